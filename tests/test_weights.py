"""`reco weights`: from another program's checkpoint to a network that runs; what it refuses."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from reco.cli.app import app
from reco.errors import ConfigError, FormatError, InputError
from reco.nn.peer import PeerModel, PeerUNet, from_checkpoint
from reco.sparse import build_pyramid
from reco.stages.weights import read

from .nn.test_peer import checkpoint
from .sparse.conftest import walk


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_import_show_and_run(tmp_path: Path) -> None:
    source, file = tmp_path / "snapshot-1.ckpt", tmp_path / "unet.safetensors"
    state = checkpoint("uresnet_ppn.uresnet.backbone.", 1, 8, 3)
    other = {"uresnet_ppn.ppn.ppn_type.linear.bias": torch.zeros(5)}
    torch.save({"state_dict": state | other, "global_step": 5, "optimizer": {"lr": 1e-3}}, source)
    told = run("import", source, "-o", file, "--slope", 0.2)
    assert '"filters": 8, "levels": 3, "blocks": 2, "stem": 3, "classes": 5, "slope": 0.2' in told
    assert "snapshot-1.ckpt" in run("show", file)

    weights = read(str(file), "uresnet")
    net = PeerUNet(PeerModel(**weights.model)).eval()
    weights.into(net)
    voxels = walk(0, 60)
    arguments = (torch.randn(len(voxels), 1), build_pyramid(voxels, 3))
    expected = from_checkpoint(state, slope=0.2)[1]
    with torch.inference_mode():
        assert torch.equal(net(*arguments)[1], expected(*arguments)[1])

    with pytest.raises(ConfigError, match="weights of stage 'uresnet', wanted 'segment'"):
        read(str(file), "segment")


def test_shows_shipped_weights() -> None:
    assert "stage segment" in run("show", "segment")


def test_graph_networks_follow_a_wider_backbone(tmp_path: Path) -> None:
    file = tmp_path / "wide.safetensors"
    run("widen", "interactions", "--filters", 40, "-o", file)
    assert read(str(file), "interactions").model["features"] == 40
    with pytest.raises(ConfigError, match="of stage 'estimates'; segment, particles, inter"):
        run("widen", "estimates", "--filters", 40, "-o", tmp_path / "no.safetensors")


def test_widened_weights_are_of_the_same_stage(tmp_path: Path) -> None:
    file = tmp_path / "wide.safetensors"
    assert "40 filters" in run("widen", "segment", "--filters", 40, "-o", file)
    assert read(str(file), "segment").model["filters"] == 40
    with pytest.raises(InputError, match="has 40; give more"):
        run("widen", file, "--filters", 40, "-o", tmp_path / "no.safetensors")


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("attacked"),)


def test_runs_nothing_that_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"a": Attack()}}, "evil.ckpt")
    with pytest.raises(FormatError, match=r"evil\.ckpt: .*could run code; store its state_dict"):
        run("import", "evil.ckpt", "-o", "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["evil.ckpt"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no checkpoint|cannot be read"),
        (b"not a checkpoint at all", "no checkpoint|cannot be read"),
        ({"state_dict": {"epoch": 1}}, "holds no state_dict"),
        ({"a": torch.zeros(2)}, "holds no U-Net"),
    ],
)
def test_refuses_other_files(tmp_path: Path, content: object, match: str) -> None:
    source = tmp_path / "some.ckpt"
    if isinstance(content, bytes):
        source.write_bytes(content)
    else:
        torch.save(content, source)
    with pytest.raises(FormatError, match=rf"some\.ckpt: .*({match})"):
        run("import", source, "-o", tmp_path / "out.safetensors")
