"""Weight files: what is written comes back, and nothing else is taken for one."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reco.errors import ConfigError, RecoError
from reco.stages import weights
from reco.stages.estimates import Estimate
from reco.stages.segment import Segment

from .voxel_events import CONTEXT

MODEL = {"filters": 8, "levels": 2, "blocks": 1, "hidden": 8}


def network() -> nn.Module:
    return Segment(Segment.Options(), CONTEXT).network(Segment.Model(**MODEL))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "folder" / "w.safetensors"
    weights.write(path, network(), "segment", MODEL, {"events": 7})
    return path


def load(path) -> Segment:
    return Segment(Segment.Options(weights=str(path)), CONTEXT)


def changed(path, **metadata):
    """The same tensors under other metadata; None leaves a key out."""
    old = {"format": "reco", "stage": "segment", "model": json.dumps(MODEL), "training": "{}"}
    kept = {k: v for k, v in (old | metadata).items() if v is not None}
    save_file(load_file(path), path, kept)
    return path


def test_round_trip(file):
    before = load_file(file)
    stored = weights.read(str(file), "segment")
    assert stored.model == MODEL
    assert stored.training == {"events": 7}
    stage = load(file)
    for name, value in stage.module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert stage.weights_sha256 == stored.sha256
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_weights_of_another_stage(file):
    with pytest.raises(ConfigError, match=r"w\.safetensors: weights of stage 'segment', wanted"):
        weights.read(str(file), "particles")


def test_weights_of_a_network_of_other_sizes(file):
    with pytest.raises(ConfigError, match="another architecture"):
        load(changed(file, model=json.dumps(MODEL | {"levels": 3})))
    with pytest.raises(ConfigError, match=r"another architecture.*size mismatch"):
        load(changed(file, model=json.dumps(MODEL | {"filters": 16})))


def test_weights_with_an_option_nobody_knows(file):
    with pytest.raises(ConfigError, match="another architecture: depth: extra inputs") as caught:
        load(changed(file, model=json.dumps(MODEL | {"depth": 3})))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"filters": 0}, r"filters: input should be greater than or equal to 1"),
        ({"filters": 100_000}, r"filters: input should be less than or equal to 4096"),
        ({"levels": -1}, r"levels: input should be greater"),
        ({"blocks": 10**7}, r"blocks: input should be less"),
        ({"filters": 4096, "levels": 16}, r"(Missing key|size mismatch)"),  # petabytes
    ],
)
def test_sizes_that_a_file_only_claims_take_no_memory(file, option, told):
    claimed = changed(file, model=json.dumps(MODEL | option))
    with pytest.raises(ConfigError, match=rf"w\.safetensors: weights of another arch.*{told}"):
        load(claimed)


def test_heads_that_do_not_share_the_width(file):
    claimed = changed(file, stage="estimates", model=json.dumps({"width": 64, "heads": 5}))
    with pytest.raises(ConfigError, match=r"w\.safetensors: .*5 heads cannot share a width of 64"):
        Estimate(Estimate.Options(weights=str(claimed)), CONTEXT)


@pytest.mark.parametrize("bad", [None, "{", "[1]", "3"])
def test_metadata_that_cannot_be_read(file, bad):
    with pytest.raises(ConfigError, match="nothing of 'model'"):
        load(changed(file, model=bad))


def test_tensors_of_another_program(file):
    with pytest.raises(ConfigError, match="not written by reco"):
        load(changed(file, format="pt"))


@pytest.mark.parametrize("keep", [0, 4, 100, 2000, -1])
def test_truncated(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ConfigError, match="not a safetensors file"):
        load(file)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_never_opened(tmp_path, zipped):
    path = tmp_path / "w.pt"
    if zipped:
        torch.save(Bomb(), path)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ConfigError, match="not a safetensors file"):
        load(path)


def test_unknown_name_lists_those_shipped():
    with pytest.raises(ConfigError, match=r"weights 'sgement': neither a file nor among"):
        load("sgement")


def test_a_shipped_name_is_not_shadowed_by_a_file_at_hand(tmp_path, monkeypatch):
    shipped = sorted(weights.SHIPPED.glob("*.safetensors"))
    if not shipped:
        pytest.skip("no weights ship yet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / shipped[0].stem).write_text("something else")
    assert weights.find(shipped[0].stem) == shipped[0]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecoError, match=r"w\.safetensors: cannot be written"):
        weights.write(tmp_path / "file" / "w.safetensors", network(), "segment", MODEL, {})
