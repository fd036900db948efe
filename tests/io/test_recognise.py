"""Formats are told by content; what cannot be read is refused with a reason."""

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.errors import FormatError
from reco.io.inspect import inspect_lines
from reco.io.recognise import open_input
from tests.io.files import COUNTS, jagged, write_tree

OPENED = {
    "edepsim/samfogarty_ten-Mu-plus.root": ("edep-sim ROOT", 10),
    "edepsim/samfogarty_test.root": ("edep-sim ROOT", 10),
    "larcv2/pixlarevd_multi_particle.root": ("larcv2 ROOT", 3),
    "larndsim/jax_input_0.h5": ("larnd-sim HDF5 segments", 26),
    "larndsim/ynashed_edepsim-output.h5": ("larnd-sim HDF5 segments", 100),
    "larndsim/ynashed_module0_corsika.h5": ("larnd-sim HDF5 segments", 25),
    "larcv3/larcv3_3d_derived.h5": ("larcv3 HDF5", 3),
    "misc/jaxtpc_muon.h5": ("edep-sim HDF5 (JAXTPC)", 1),
    "ndlar_flow/h5flow_layout.h5": ("ndlar_flow HDF5", 26),
    "spine/spine_v1.h5": ("SPINE HDF5, version 1", 3),
    "spine/spine_v2.h5": ("SPINE HDF5, version 2", 3),
}
REFUSED = {
    "larcv2/larcv_tutorial_electron.root": "2D images",
    "larcv3/larcv3_core_dataformat_test.h5": "without voxels in space",
    "larndsim/dune_evd_qc_tpc.h5": "pixel and a clock tick",
    "larsoft_flat/Makiu_analyzeItOutput_R2-2_SR1-1.root": "EnDepX",
    "larsoft_flat/coffea_pduneana.root": "reco_beam_calo_X",
    "larsoft_flat/sbnd_celltree.root": "simide_x",
    "uboone/opensamples_schema_synthetic.h5": "no position in space",
}


@pytest.mark.parametrize("name", OPENED)
def test_opened(realdata: Path, tmp_path: Path, name: str) -> None:
    """Under another name and ending, too."""
    shutil.copy(realdata / name, tmp_path / "data.bin")
    with open_input(tmp_path / "data.bin") as reader:
        description = reader.describe()
    assert (description.format, description.n_events) == OPENED[name]
    lines = inspect_lines(description)
    assert lines[0].endswith("data.bin")
    truth = "none" if name.startswith("ndlar_flow") else "TruthDeposits"
    assert any(line.startswith(f"truth     {truth}") for line in lines)
    assert any(re.match(r"units     length [\w. ]+.*, (energy|charge) \w+", line) for line in lines)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(realdata: Path, name: str) -> None:
    with pytest.raises(FormatError, match=REFUSED[name]) as error:
        open_input(realdata / name)
    assert str(error.value).startswith(str(realdata / name))


def test_every_real_file_is_in_one_of_the_lists(realdata: Path) -> None:
    files = {str(p.relative_to(realdata)) for p in realdata.glob("*/*") if p.suffix != ".md"}
    assert files == set(OPENED) | set(REFUSED)


def test_packets_without_segments(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["packets"] = np.zeros(3, [("timestamp", "u8"), ("channel_id", "u1")])
    with pytest.raises(FormatError, match="pixel map"):
        open_input(tmp_path / "a.h5")


@pytest.mark.parametrize("content", [b"x,y,z\n1,2,3\n", b"\x89PNG\r\n", bytes(1000)])
def test_neither_root_nor_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hits.root").write_bytes(content)
    with pytest.raises(FormatError, match=r"neither ROOT nor HDF5 .*edep-sim, larcv2"):
        open_input(tmp_path / "hits.root")


def test_a_file_without_bytes(tmp_path: Path) -> None:
    (tmp_path / "hits.root").touch()
    with pytest.raises(FormatError, match=r"hits\.root: is empty \(0 bytes\)"):
        open_input(tmp_path / "hits.root")


def test_text_is_told_how_to_come_in(tmp_path: Path) -> None:
    (tmp_path / "hits.csv").write_text("x,y,z")
    with pytest.raises(FormatError, match=r"text is made flat HDF5 as docs/formats\.md shows"):
        open_input(tmp_path / "hits.csv")


def test_no_file_and_no_tree(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no such file$"):
        open_input(tmp_path / "none.root")
    with pytest.raises(FormatError, match="is a folder"):
        open_input(tmp_path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["noise"] = np.zeros(3)
    with pytest.raises(FormatError, match="holds noise, no known format"):
        open_input(tmp_path / "a.h5")


def test_a_colon_in_the_name_is_a_colon(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", jagged(COUNTS))
    odd = path.rename(tmp_path / "run:3.root")
    with open_input(str(odd)) as reader:
        assert len(reader) == 5
