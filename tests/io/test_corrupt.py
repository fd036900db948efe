"""Truncated files and flipped bytes: a FormatError, or events that can be read; nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reco.data.product import Product
from reco.errors import FormatError, RecoError
from reco.io.branches import Branches
from reco.io.recognise import open_input
from reco.io.root_writer import RootWriter
from tests.io import (
    test_jaxtpc,
    test_larcv3,
    test_ndlar_flow,
    test_numl,
    test_pilarnet,
    test_spine,
)
from tests.io.files import COUNTS, jagged, same, write_groups, write_ntuple, write_tree
from tests.io.test_flat_hdf5 import columns_of
from tests.io.test_flat_root import MAKIU

REAL = {
    "edepsim/samfogarty_test.root": Branches(),
    "edepsim/samfogarty_ten-Mu-plus.root": Branches(),
    "larcv2/pixlarevd_multi_particle.root": Branches(),
    "larsoft_flat/Makiu_analyzeItOutput_R2-2_SR1-1.root": MAKIU,
    "larcv3/larcv3_3d_derived.h5": Branches(),
    "larndsim/jax_input_0.h5": Branches(),
    "larndsim/ynashed_module0_corsika.h5": Branches(),
    "misc/jaxtpc_muon.h5": Branches(),
    "ndlar_flow/h5flow_layout.h5": Branches(),
    "spine/spine_v1.h5": Branches(),
    "spine/spine_v2.h5": Branches(),
}
N_EVENTS = {"misc/jaxtpc_muon.h5": 1}
"""Events of files that have fewer than are read here."""
FLIPS = 9
READ = 2
"""Events read of each broken file."""


def hdf5(path: Path) -> Path:
    return write_groups(path, columns_of(200) | {"event": np.arange(200) // 9})


MADE: dict[str, Callable[[Path], Path]] = {
    "tree": lambda path: write_tree(path, jagged(COUNTS)),
    "ntuple": lambda path: write_ntuple(path, jagged(COUNTS)),
    "hdf5": hdf5,
    "pilarnet": lambda path: test_pilarnet.write(path, *(test_pilarnet.event(3),) * 2),
    "numl": test_numl.write,
    "larcv3": test_larcv3.write_sparse,
    "spine": test_spine.write,
    "ndlar_flow": test_ndlar_flow.write,
    "jaxtpc": test_jaxtpc.write,
}


def readable(path: Path, branches: Branches) -> dict[int, tuple[Product, ...]]:
    """The events that can be read, among the first. Any exception but RecoError fails the test."""
    events: dict[int, tuple[Product, ...]] = {}
    said = []
    try:
        with open_input(path, branches) as reader:
            reader.describe()
            for i in range(min(len(reader), READ)):
                try:
                    events[i] = reader.read(i, i + 1)
                except RecoError as error:
                    said.append(str(error))
    except FormatError as error:
        said.append(str(error))
    assert all(str(path) in message for message in said)
    return events


def broken_copies(data: bytes, rng: np.random.Generator) -> list[bytes]:
    """With flipped bytes: anywhere, in the first kilobytes, in the last ones."""
    copies = []
    for turn in range(FLIPS):
        copy = np.frombuffer(data, np.uint8).copy()
        low, high = [(0, len(copy)), (0, 3000), (max(len(copy) - 20000, 0), len(copy))][turn % 3]
        at = rng.integers(low, min(high, len(copy)), int(rng.integers(1, 12)))
        copy[at] ^= rng.integers(1, 256, len(at)).astype(np.uint8)
        copies.append(copy.tobytes())
    return copies


@pytest.mark.parametrize("name", REAL)
def test_real_files_cut_short(realdata: Path, tmp_path: Path, name: str) -> None:
    data = (realdata / name).read_bytes()
    whole = readable(realdata / name, REAL[name])
    assert len(whole) == min(READ, N_EVENTS.get(name, READ))
    path = tmp_path / "cut"
    for length in (0, 3, 50, 300, 2000, len(data) // 2, len(data) * 9 // 10, len(data) - 1):
        path.write_bytes(data[:length])
        for number, event in readable(path, REAL[name]).items():
            assert same(event, whole[number])


@pytest.mark.parametrize("name", REAL)
def test_real_files_with_flipped_bytes(realdata: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "flipped"
    for copy in broken_copies((realdata / name).read_bytes(), np.random.default_rng(5)):
        path.write_bytes(copy)
        readable(path, REAL[name])


@pytest.mark.parametrize("kind", MADE)
def test_made_files_cut_and_flipped(tmp_path: Path, kind: str) -> None:
    data = MADE[kind](tmp_path / "whole").read_bytes()
    whole = readable(tmp_path / "whole", Branches())
    assert len(whole) == READ
    path = tmp_path / "broken"
    for length in np.linspace(0, len(data) - 1, 15).astype(int):
        path.write_bytes(data[:length])
        for number, event in readable(path, Branches()).items():
            assert same(event, whole[number])
    for copy in broken_copies(data, np.random.default_rng(6)):
        path.write_bytes(copy)
        readable(path, Branches())


def test_a_broken_basket_costs_its_events_only(realdata: Path, tmp_path: Path) -> None:
    """Each event of this file has its own basket of segments."""
    original = realdata / "edepsim" / "samfogarty_ten-Mu-plus.root"
    with open_input(original) as reader:
        basket = reader.tree.branch("SegmentDetectors").basket_key(4)  # type: ignore[attr-defined]
        where = int(basket.fSeekKey)
        whole = [reader.read(i, i + 1) for i in range(10)]
    data = bytearray(original.read_bytes())
    data[where + 2000 : where + 2050] = bytes(50)
    path = tmp_path / "one"
    path.write_bytes(data)
    with open_input(path) as reader:
        for i in range(10):
            if i == 4:
                with pytest.raises(FormatError, match=r"entry 4: branch 'SegmentDetectors'"):
                    reader.read(i, i + 1)
            else:
                assert same(reader.read(i, i + 1), whole[i])


def test_nothing_is_left_of_an_interrupted_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _interrupted(tmp_path / "a.root")
    assert list(tmp_path.iterdir()) == []


def _interrupted(path: Path) -> None:
    with RootWriter(path, {}):
        raise ZeroDivisionError
