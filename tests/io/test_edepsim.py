"""edep-sim ROOT against numbers found with an independent decoder, and against its own parts."""

from pathlib import Path

import numpy as np
import pytest

from reco.data.products import Header, Hits, TruthDeposits, TruthInteractions, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.edepsim_bytes import hit_segments, primary_tracks, trajectory_points
from reco.io.recognise import open_input
from reco.io.root import RootFile
from tests.io.files import hits, product, same

DRIFT = [
    *(227.3208763228031, 220.06843110802583, 232.30907006491907, 214.27575741615146),
    *(226.88211434350728, 236.5074488443788, 206.57677011721535, 243.27530281463828),
    *(220.64515292825672, 229.1621268752715),
]
CRYO = [
    *(33.211523681879044, 35.05351839098148, 35.78203457593918, 34.61395703791641),
    *(37.449672473128885, 35.899960309267044, 36.57166412472725, 38.23046792158857),
    *(38.7365815192461, 33.55742700770497),
]
PIECES = [1368, 1309, 1375, 1303, 1376, 1400, 1251, 1476, 1345, 1347]
"""Segments cut to 1.5 mm, counted from their ends by other code."""


@pytest.fixture
def muons(realdata: Path) -> Path:
    return realdata / "edepsim" / "samfogarty_ten-Mu-plus.root"


def test_all_detectors_together(muons: Path) -> None:
    with open_input(muons) as reader:
        products = reader.read(0, 10)
        assert reader.describe().extent == "sensitive detectors: cryo, drift"
    header, read = product(products, Header), hits(products)
    assert header.event.tolist() == list(range(10))
    assert read.value.counts.tolist() == PIECES
    sums = [float(v.sum(dtype=np.float64)) for v in read.value]
    assert sums == pytest.approx(np.array(DRIFT) + CRYO, rel=1e-5)


def test_one_detector(muons: Path) -> None:
    with open_input(muons, Branches(detectors=("drift",))) as reader:
        read = hits(reader.read(0, 10))
    assert [float(v.sum(dtype=np.float64)) for v in read.value] == pytest.approx(DRIFT, rel=1e-5)
    assert read.value.counts[0] == 1247
    start = np.array([-4.27855849, -2.67335653, -591.14022017])
    stop = np.array([-3.28279828, -2.75739455, -591.17758763])
    assert read.position[0][0] == pytest.approx((start + stop) / 20, rel=1e-5)
    assert read.time[0][0] == pytest.approx(1.00168683e-3, rel=1e-5)
    with pytest.raises(FormatError, match=r"no detector wires; .*cryo, drift"):
        open_input(muons, Branches(detectors=("wires",)))


def test_truth_of_antimuons(muons: Path) -> None:
    """Each event is one mu+ of about 0.6 GeV/c to 1 GeV/c from the same point, and it leaves."""
    with open_input(muons) as reader:
        products = reader.read(0, 10)
    particles, interactions = (
        product(products, TruthParticles),
        product(products, TruthInteractions),
    )
    deposits = product(products, TruthDeposits)
    assert interactions.topology.values.tolist() == [b"1mu"] * 10
    for event in range(10):
        muon = np.flatnonzero(particles.pdg[event] == -13)
        assert len(muon) == 1
        assert particles.is_primary[event][muon].all()
        assert not particles.contained[event][muon].any()
        assert (particles.semantic[event][muon] == 1).all()
        own = deposits.particle[event] == muon[0]
        assert deposits.energy[event][own].sum() > 150
    muon = np.flatnonzero(particles.pdg[0] == -13)[0]
    assert particles.energy[0][muon] == pytest.approx(705.6583714999999 - 105.6583755, rel=1e-5)
    assert interactions.energy[0][0] == pytest.approx(600.0, rel=1e-4)
    assert particles.start[0][muon] == pytest.approx(
        [-0.427855849, -0.267335653, -59.114022], rel=1e-4
    )
    direction = np.array([694.7462946882042, -58.63369684752532, -26.071467368475048])
    assert particles.direction[0][muon] == pytest.approx(
        direction / np.linalg.norm(direction), abs=1e-4
    )


def test_every_event_alone_is_as_in_its_chunk(muons: Path) -> None:
    with open_input(muons) as reader:
        whole = reader.read(0, 10)
        for i in (9, 0, 5):
            assert same(reader.read(i, i + 1), tuple(p.at(i) for p in whole))


def test_events_without_segments(realdata: Path) -> None:
    with open_input(realdata / "edepsim" / "samfogarty_test.root") as reader:
        assert len(reader) == 10
        products = reader.read(0, 10)
    assert [type(p) for p in products] == [
        Header,
        Hits,
        TruthDeposits,
        TruthParticles,
        TruthInteractions,
    ]
    assert hits(products).value.counts.tolist() == [0] * 10


def test_parts_of_an_entry_are_refused(muons: Path) -> None:
    """Bytes that stop anywhere are an error of the entry, and never read beyond its end."""
    file = RootFile(str(muons))
    tree = file.tree("EDepSimEvents")
    for name, decode in (
        ("SegmentDetectors", hit_segments),
        ("Trajectories.Points", trajectory_points),
        ("Primaries.Particles", primary_tracks),
    ):
        (data,) = tree.entry_bytes(name, 3, 4)
        decode(data)
        for length in np.linspace(13, len(data) - 1, 25).astype(int):
            with pytest.raises((ValueError, IndexError)):
                decode(data[:length])
    file.close()


def test_counts_beyond_the_entry_allocate_nothing() -> None:
    count = (2**31 - 1).to_bytes(4, "big")
    head = bytes(4) + b"\x40\x09" + b"\x00\x01"
    for data in (head + count, head + count + bytes(200)):
        for decode in (trajectory_points, primary_tracks):
            with pytest.raises(ValueError, match="do not fit"):
                decode(np.frombuffer(data, np.uint8))
    segments = bytes(4) + b"\x00\x09" + bytes([0, 0, 0, 1]) + b"\x01a" + count + bytes(300)
    with pytest.raises(ValueError, match="do not fit"):
        hit_segments(np.frombuffer(segments, np.uint8))
