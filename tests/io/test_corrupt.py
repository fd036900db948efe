"""What a broken file costs; tests/faults breaks files of every format, and more of them."""

from pathlib import Path

import pytest

from reco.cli.inspect import inspect_file
from reco.errors import FormatError
from reco.io.recognise import open_input
from reco.io.root_writer import RootWriter
from tests.io.files import COUNTS, jagged, same, write_tree


def test_a_root_file_that_is_cut_short_says_so(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.root", jagged(COUNTS))
    assert not any("cut short" in line for line in inspect_file(str(path), None, ()))
    path.write_bytes(path.read_bytes()[:-7])
    told = "cut short: its last 7 bytes are missing"
    assert any(told in line for line in inspect_file(str(path), None, ()))


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
