import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.data.product import Product
from reco.data.products import Header, Hits, Semantics, Voxels
from reco.data.ragged import Ragged, offsets_of
from reco.errors import FormatError, RecoError
from reco.io.store import StoredProducts, Writer


def hits(counts: list[int], seed: int) -> Hits:
    rng = np.random.default_rng(seed)
    offsets = offsets_of(counts)
    n = int(offsets[-1])
    return Hits(
        position=Ragged(rng.normal(size=(n, 3)), offsets),
        value=Ragged(rng.random(n), offsets),
        time=Ragged(rng.random(n), offsets),
        quantity=np.zeros(len(counts)),
    )


def header(n: int, first: int = 0) -> Header:
    numbers = np.arange(first, first + n)
    return Header(run=numbers * 0, subrun=numbers * 0, event=numbers * 10, entry=numbers)


def assert_equal(a: Product, b: Product) -> None:
    for (f, x), (_, y) in zip(a.items(), b.items(), strict=True):
        if isinstance(x, Ragged):
            np.testing.assert_array_equal(x.values, y.values, err_msg=f.name)
            np.testing.assert_array_equal(x.offsets, y.offsets, err_msg=f.name)
        else:
            np.testing.assert_array_equal(x, y, err_msg=f.name)


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    data=st.data(),
)
def test_what_is_written_is_read(tmp_path_factory, counts, data):
    path = tmp_path_factory.mktemp("store") / "a.h5"
    batches = [hits(c, i) for i, c in enumerate(counts)]
    with Writer(path, {"seed": 3}) as out:
        for batch in batches:
            out.write([header(len(batch)), batch])
    whole = Hits.concat(batches)
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    with StoredProducts(path) as stored:
        assert len(stored) == len(whole)
        assert stored.provenance == {"seed": 3}
        (back,) = stored.read(start, stop, [Hits])
        assert_equal(back, Hits.concat([whole.at(i) for i in range(start, stop)]))


def test_internal_columns_are_written_on_request_only(tmp_path):
    voxels = Voxels.empty(2)
    for internal in (False, True):
        with Writer(tmp_path / "a.h5", {}, internal=internal) as out:
            out.write([voxels])
        with StoredProducts(tmp_path / "a.h5") as stored:
            assert (Voxels in stored.products) == internal
            assert len(stored) == 2


def fail_while_writing(path: Path) -> None:
    with Writer(path, {}) as out:
        out.write([header(1)])
        raise ZeroDivisionError


def test_nothing_under_the_final_name_when_the_block_fails(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


def test_free_width_columns_keep_their_width(tmp_path):
    semantics = Semantics(
        scores=Ragged.one(np.full((3, 5), 0.2)),
        semantic=Ragged.one(np.zeros(3)),
        features=Ragged.one(np.ones((3, 7))),
        point_score=Ragged.one(np.zeros(3)),
        point_offset=Ragged.one(np.zeros((3, 3))),
        point_type=Ragged.one(np.zeros(3)),
        affinity=Ragged.one(np.zeros((3, 13))),
    )
    with Writer(tmp_path / "a.h5", {}, internal=True) as out:
        out.write([semantics])
    with StoredProducts(tmp_path / "a.h5") as stored:
        (back,) = stored.read(0, 1, [Semantics])
        assert_equal(back, semantics)


def test_errors_say_what_and_where(tmp_path):
    with pytest.raises(RecoError, match=r"missing/a\.h5: there is no folder"):
        Writer(tmp_path / "missing" / "a.h5", {})
    with pytest.raises(FormatError, match="no such file"):
        StoredProducts(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(FormatError, match="not a file written by reco"):
        StoredProducts(tmp_path / "other.h5")
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([header(1)])
    with StoredProducts(tmp_path / "a.h5") as stored, pytest.raises(FormatError, match="no Hits"):
        stored.read(0, 1, [Hits])
    os.truncate(tmp_path / "a.h5", 300)
    with pytest.raises(FormatError, match="HDF5 file: cannot be read"):
        StoredProducts(tmp_path / "a.h5")


def test_partial_reading_fills_internal_columns_with_zeros(tmp_path):
    semantics = Semantics.empty(1)
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([semantics])
    with StoredProducts(tmp_path / "a.h5", partial=True) as stored:
        (back,) = stored.read(0, 1, [Semantics])
        assert back.affinity.values.shape == (0, 13)


def test_a_column_without_width_is_left_out(tmp_path):
    with Writer(tmp_path / "a.h5", {}, internal=True) as out:
        out.write([Semantics.empty(1)])
    with StoredProducts(tmp_path / "a.h5") as stored:
        assert Semantics not in stored.products


def test_a_file_without_events_still_has_its_tables(tmp_path):
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([header(0), Hits.empty(0)])
    with StoredProducts(tmp_path / "a.h5") as stored:
        assert len(stored) == 0
        assert Hits in stored.products
