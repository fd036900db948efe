"""Files of simulated hits: what the writer writes, the readers read."""

from pathlib import Path

import numpy as np
import pytest
import uproot

from reco.data.products import (
    Header,
    Hits,
    Quantity,
    TruthDeposits,
    TruthInteractions,
    TruthParticles,
    Voxels,
)
from reco.data.ragged import Ragged, offsets_of
from reco.errors import RecoError
from reco.io.recognise import open_input
from reco.io.root_writer import RootWriter
from reco.io.store import Writer
from tests.io.files import same

COUNTS = [3, 0, 1, 7]
TRUTH = (TruthDeposits, TruthParticles, TruthInteractions)


def header(n: int) -> Header:
    numbers = np.arange(n)
    return Header(run=numbers + 1, subrun=numbers + 2, event=numbers + 3, entry=numbers)


def hits(counts: list[int], quantity: Quantity = Quantity.CHARGE) -> Hits:
    rng = np.random.default_rng(2)
    offsets = offsets_of(counts)
    n = int(offsets[-1])
    return Hits(
        Ragged(rng.normal(size=(n, 3)), offsets),
        Ragged(rng.random(n), offsets),
        Ragged(rng.random(n), offsets),
        np.full(len(counts), quantity),
    )


def truth(counts: list[int]) -> list:
    """Deposits on the hits, and as many particles and interactions, all of them pions."""
    out = []
    for kind in TRUTH:
        offsets = offsets_of(counts)
        columns = {}
        for name, spec in kind.columns().items():
            rows = np.arange(np.prod((offsets[-1], *spec.shape)))
            columns[name] = Ragged((rows % 3).reshape(-1, *spec.shape).astype(spec.dtype), offsets)
        out.append(kind(**columns))
    return out


@pytest.mark.parametrize("quantity", Quantity)
def test_hits_alone(tmp_path: Path, quantity: Quantity) -> None:
    path = tmp_path / "a.root"
    with RootWriter(path, {"seed": 4}) as out:
        out.write([header(4), hits(COUNTS, quantity)])
    with open_input(path) as reader:
        assert same(reader.read(0, 4), (header(4), hits(COUNTS, quantity)))
    with uproot.open(path) as file:
        assert str(file["provenance"]) == '{"seed": 4}'


def test_truth_in_several_batches(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    batches = [[0, 0], [4, 1], [2, 0]]
    with RootWriter(path, {}) as out:
        for counts in batches:
            out.write([header(2), hits(counts), *truth(counts)])
    with open_input(path) as reader:
        assert reader.describe().truth == tuple(kind.__name__ for kind in TRUTH)
        for i, counts in enumerate(batches):
            read = reader.read(2 * i, 2 * i + 2)
            assert same(read[1:4], (hits(counts), *truth(counts)[:2]))
            columns = (f for f in TruthInteractions.columns() if f != "topology")
            for name in columns:
                written = getattr(truth(counts)[2], name)
                assert np.array_equal(getattr(read[4], name).values, written.values)


def test_topology_is_made_from_the_primaries(tmp_path: Path) -> None:
    deposits, particles, interactions = truth([4])
    one = Ragged.one
    particles = TruthParticles(
        **{
            **{f.name: data for f, data in particles.items()},
            "pid": one(np.array([2, 4, 4, 3])),
            "is_primary": one(np.array([True, True, True, False])),
            "interaction": one(np.array([0, 0, 1, 1])),
        }
    )
    with RootWriter(tmp_path / "a.root", {}) as out:
        out.write([header(1), hits([4]), deposits, particles, interactions])
    with open_input(tmp_path / "a.root") as reader:
        assert reader.read(0, 1)[4].topology[0].tolist() == [b"1mu1p", b"1p", b"", b""]


def test_the_native_file_is_an_input_too(tmp_path: Path) -> None:
    products = (header(4), hits(COUNTS), *truth(COUNTS))
    with Writer(tmp_path / "a.h5", {}, internal=True) as out:
        out.write(products)
    with open_input(tmp_path / "a.h5") as reader:
        assert reader.describe().quantity is Quantity.CHARGE
        assert same(reader.read(0, 4), products)
        assert same(reader.read(2, 3), tuple(p.at(2) for p in products))


def test_no_event_at_all(tmp_path: Path) -> None:
    with RootWriter(tmp_path / "a.root", {}):
        pass
    with open_input(tmp_path / "a.root") as reader:
        assert len(reader) == 0


def test_what_has_no_place_is_refused(tmp_path: Path) -> None:
    with RootWriter(tmp_path / "a.root", {}) as out:
        with pytest.raises(RecoError, match="Voxels has no place"):
            out.write([header(1), Voxels.empty(1)])
        mixed = Hits.concat([hits([1]), hits([1], Quantity.ENERGY)])
        with pytest.raises(RecoError, match="all have a charge"):
            out.write([header(2), mixed])
    with pytest.raises(RecoError, match="there is no folder"):
        RootWriter(tmp_path / "none" / "a.root", {})
