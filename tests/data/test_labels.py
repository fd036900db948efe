import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.data.classes import PID, Semantic
from reco.data.labels import EventTruth, label, truth_deposits
from reco.data.lineage import trace
from reco.data.tracks import PROCESSES, Deposits, Tracks
from reco.data.truth_tables import topology
from reco.errors import InputError
from tests.data.events import Row, event

BOUNDS = (np.zeros(3), np.full(3, 100.0))
MUON = Row(1, 0, 13, "primary", (10.1, 10.1, 10.1), (40.1, 10.1, 10.1))


def labelled(*rows: Row, **options) -> tuple[Tracks, Deposits, EventTruth]:
    tracks, deposits = event(list(rows))
    return tracks, deposits, label(tracks, deposits, bounds=BOUNDS, **options)


def classes(deposits: Deposits, truth: EventTruth, row: int) -> set[Semantic]:
    return {Semantic(s) for s in truth.semantic[deposits.track == row]}


def numbers(column: np.ndarray, deposits: Deposits, row: int) -> set[int]:
    return set(column[deposits.track == row].tolist())


def test_muon_with_michel_electron():
    michel = Row(2, 1, 11, "decay", (40.1, 10.1, 10.1), (40.1, 20.1, 10.1), energy=40)
    _, deposits, truth = labelled(MUON, michel)
    assert classes(deposits, truth, 0) == {Semantic.TRACK}
    assert classes(deposits, truth, 1) == {Semantic.MICHEL}
    particles = truth.particles
    assert particles.pid.values.tolist() == [PID.MUON, PID.ELECTRON]
    assert particles.semantic.values.tolist() == [Semantic.TRACK, Semantic.MICHEL]
    assert particles.parent.values.tolist() == [-1, 0]
    assert particles.is_primary.values.tolist() == [True, False]
    assert truth.interactions.topology.values.tolist() == [b"1mu"]
    np.testing.assert_allclose(particles.start.values[0], MUON.start)
    np.testing.assert_allclose(particles.end.values[0], MUON.end)
    np.testing.assert_allclose(particles.direction.values, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(particles.length.values, [30, 10], rtol=1e-5)


@pytest.mark.parametrize(
    ("process", "pdg", "energy", "expected"),
    [
        ("capture", 11, 30.0, Semantic.MICHEL),
        ("capture", 11, 0.6, Semantic.SHOWER),
        ("unknown", 11, 30.0, Semantic.MICHEL),
        ("conversion", -11, 30.0, Semantic.SHOWER),
    ],
)
def test_what_an_electron_at_the_end_of_a_muon_is(process, pdg, energy, expected):
    electron = Row(2, 1, pdg, process, (40.1, 10.1, 10.1), (40.1, 20.1, 10.1), energy)
    _, deposits, truth = labelled(MUON, electron)
    assert classes(deposits, truth, 1) == {expected}


def test_unknown_electron_in_mid_track_is_a_delta():
    electron = Row(2, 1, 11, "unknown", (20.1, 10.1, 10.1), (20.1, 14.1, 10.1))
    _, deposits, truth = labelled(MUON, electron)
    assert classes(deposits, truth, 1) == {Semantic.DELTA}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ((20.1, 11.0, 10.1), Semantic.DELTA),  # 4 voxels, 3 of its own
        ((20.1, 10.7, 10.1), Semantic.TRACK),  # 3 voxels, 2 of its own
        ((23.1, 10.1, 10.1), Semantic.TRACK),  # 10 voxels, all shared
    ],
)
def test_delta_needs_three_voxels_of_its_own(end, expected):
    delta = Row(2, 1, 11, "ionisation", (20.1, 10.1, 10.1), end)
    _, deposits, truth = labelled(MUON, delta)
    assert classes(deposits, truth, 1) == {expected}
    merged = expected == Semantic.TRACK
    assert (numbers(truth.fragment, deposits, 1) == numbers(truth.fragment, deposits, 0)) == merged
    assert len(truth.particles.pid.values) == (1 if merged else 2)


def test_detached_pieces_of_a_small_delta_go_by_size():
    delta = Row(2, 1, 11, "ionisation", (20.1, 10.1, 10.1), (20.1, 10.4, 10.1))
    near = Row(3, 2, 22, "bremsstrahlung", (20.1, 10.4, 10.1), (20.1, 30.1, 10.1), silent=True)
    small = Row(4, 3, 11, "compton", (20.1, 30.1, 10.1), (20.1, 31.1, 10.1))
    large = Row(5, 3, 11, "conversion", (20.1, 50.1, 10.1), (20.1, 60.1, 10.1))
    _, deposits, truth = labelled(MUON, delta, near, small, large)
    assert classes(deposits, truth, 3) == {Semantic.LOW_ENERGY}
    assert numbers(truth.particle, deposits, 3) == numbers(truth.particle, deposits, 0)
    assert classes(deposits, truth, 4) == {Semantic.SHOWER}
    assert numbers(truth.particle, deposits, 4) != numbers(truth.particle, deposits, 0)


def shower(size: float) -> list[Row]:
    """A photon that converts at y = 30 and scatters once more, detached, over `size` cm."""
    return [
        Row(1, 0, 22, "primary", (10.1, 10.1, 10.1), (10.1, 30.1, 10.1), 300, silent=True),
        Row(2, 1, 11, "conversion", (10.1, 30.1, 10.1), (10.1, 45.1, 10.1), 290),
        Row(3, 2, 22, "bremsstrahlung", (10.1, 40.1, 10.1), (10.1, 60.1, 10.1), 9, silent=True),
        Row(4, 3, 11, "compton", (10.1, 60.1, 10.1), (10.1, 60.1 + size, 10.1), 5),
    ]


@pytest.mark.parametrize(("size", "expected"), [(2.9, Semantic.LOW_ENERGY), (3.3, Semantic.SHOWER)])
def test_pieces_of_a_shower_are_scatter_up_to_ten_voxels(size, expected):
    _, deposits, truth = labelled(*shower(size))
    assert classes(deposits, truth, 1) == {Semantic.SHOWER}
    assert classes(deposits, truth, 3) == {expected}
    assert numbers(truth.particle, deposits, 3) == numbers(truth.particle, deposits, 1) == {0}
    assert numbers(truth.fragment, deposits, 3) != numbers(truth.fragment, deposits, 1)


def test_photon_starts_where_it_converts_not_where_it_was_made():
    _, _, truth = labelled(*shower(1.0))
    particles = truth.particles
    np.testing.assert_allclose(particles.start.values, [[10.1, 30.1, 10.1]], rtol=1e-6)
    np.testing.assert_allclose(particles.end.values, [[10.1, 45.1, 10.1]], rtol=1e-6)
    np.testing.assert_allclose(particles.direction.values, [[0, 1, 0]])
    assert particles.pid.values.tolist() == [PID.PHOTON]
    assert particles.energy.values.tolist() == [300]
    np.testing.assert_allclose(truth.interactions.vertex.values, [[10.1, 10.1, 10.1]])


def test_pi0_gives_two_primary_photons():
    at = (50.1, 50.1, 50.1)
    rows = [
        Row(1, 0, 111, "primary", at, at, 200, silent=True),
        Row(2, 1, 22, "decay", at, (60.1, 50.1, 50.1), 150, silent=True),
        Row(3, 1, 22, "decay", at, (50.1, 60.1, 50.1), 185, silent=True),
        Row(4, 2, 11, "conversion", (60.1, 50.1, 50.1), (70.1, 50.1, 50.1), 150),
        Row(5, 3, 11, "conversion", (50.1, 60.1, 50.1), (50.1, 70.1, 50.1), 185),
    ]
    _, _, truth = labelled(*rows)
    assert truth.particles.pid.values.tolist() == [PID.PHOTON, PID.PHOTON]
    assert truth.particles.is_primary.values.all()
    assert truth.particles.parent.values.tolist() == [-1, -1]
    assert truth.interactions.topology.values.tolist() == [b"2g"]
    assert truth.interactions.energy.values.tolist() == [335]


def test_small_primary_electron_stays_a_shower():
    electron = Row(1, 0, 11, "primary", (10.1, 10.1, 10.1), (11.0, 10.1, 10.1), 2.0)
    _, deposits, truth = labelled(electron)
    assert classes(deposits, truth, 0) == {Semantic.SHOWER}


def test_scatter_that_touches_its_ancestor_is_part_of_it():
    photon = Row(2, 1, 22, "capture", (40.1, 10.1, 10.1), (40.4, 10.4, 10.1), 1.0, silent=True)
    touching = Row(3, 2, 11, "photoelectric", (40.4, 10.4, 10.1), (40.4, 10.5, 10.1), 0.5)
    detached = Row(4, 2, 11, "compton", (40.1, 25.1, 10.1), (40.1, 25.2, 10.1), 0.5)
    _, deposits, truth = labelled(MUON, photon, touching, detached)
    assert classes(deposits, truth, 2) == {Semantic.TRACK}
    assert numbers(truth.fragment, deposits, 2) == numbers(truth.fragment, deposits, 0)
    assert classes(deposits, truth, 3) == {Semantic.LOW_ENERGY}
    assert numbers(truth.particle, deposits, 3) != numbers(truth.particle, deposits, 0)


@pytest.mark.parametrize(("length", "expected"), [(1.5, Semantic.LOW_ENERGY), (6, Semantic.TRACK)])
def test_neutron_made_proton_is_scatter_when_short(length, expected):
    neutron = Row(1, 0, 2112, "primary", (10.1, 10.1, 10.1), (30.1, 10.1, 10.1), silent=True)
    proton = Row(2, 1, 2212, "neutron", (30.1, 10.1, 10.1), (30.1 + length, 10.1, 10.1))
    _, deposits, truth = labelled(neutron, proton)
    assert classes(deposits, truth, 1) == {expected}
    assert truth.particles.is_primary.values.tolist() == [False]


def test_recoils_of_a_neutron_are_never_a_track():
    neutron = Row(1, 0, 2112, "primary", (10.1, 10.1, 10.1), (90.1, 10.1, 10.1))
    tracks, deposits = event([neutron])
    apart = np.arange(len(deposits)) % 5 == 0
    sparse = Deposits(*(getattr(deposits, f)[apart] for f in Deposits.__dataclass_fields__))
    truth = label(tracks, sparse, bounds=BOUNDS)
    assert set(truth.semantic) == {Semantic.LOW_ENERGY}
    assert len(set(truth.fragment)) == len(sparse) > 10


def test_hadronic_secondary_is_a_particle_of_its_own():
    pion = Row(1, 0, 211, "primary", (10.1, 10.1, 10.1), (40.1, 10.1, 10.1))
    proton = Row(2, 1, 2212, "hadronic", (40.1, 10.1, 10.1), (40.1, 11.0, 10.1))
    _, deposits, truth = labelled(pion, proton)
    assert classes(deposits, truth, 1) == {Semantic.TRACK}
    assert truth.particles.pid.values.tolist() == [PID.PION, PID.PROTON]
    assert truth.particles.parent.values.tolist() == [-1, 0]
    assert truth.interactions.topology.values.tolist() == [b"1pi"]


def test_track_leaving_the_volume_is_cut_at_it():
    muon = Row(1, 0, 13, "primary", (-20.1, 10.1, 10.1), (110.1, 10.1, 10.1))
    tracks, deposits, truth = labelled(muon)
    particles = truth.particles
    assert not particles.contained.values[0]
    assert not truth.interactions.contained.values[0]
    assert abs(particles.start.values[0, 0]) < 0.31
    assert abs(particles.end.values[0, 0] - 100) < 0.31
    assert abs(particles.length.values[0] - 100) < 0.31
    outside = (deposits.end[:, 0] < 0) | (deposits.start[:, 0] > 100)
    assert (truth.fragment[outside] == -1).all()
    assert (truth.semantic[outside] == Semantic.UNKNOWN).all()
    unbounded = label(tracks, deposits).particles
    assert unbounded.contained.values[0]
    np.testing.assert_allclose(unbounded.length.values[0], 130.2, rtol=1e-5)


def test_shower_at_the_wall_is_contained_only_with_its_energy():
    near = Row(1, 0, 11, "primary", (50.1, 1.1, 50.1), (60.1, 1.1, 50.1), energy=400, per_step=1)
    kept = Row(1, 0, 11, "primary", (50.1, 1.1, 50.1), (60.1, 1.1, 50.1), energy=33, per_step=1)
    assert labelled(near)[2].particles.contained.values.tolist() == [False]
    assert labelled(kept)[2].particles.contained.values.tolist() == [True]


def test_invisible_vertices_get_no_row_and_neutrinos_follow():
    other = Row(7, 0, 2212, "primary", (70.1, 70.1, 70.1), (75.1, 70.1, 70.1), interaction=2)
    unseen = Row(8, 0, 2112, "primary", (5, 5, 5), (6, 5, 5), silent=True, interaction=1)
    _, _, truth = labelled(MUON, unseen, other, neutrino_pdg=np.array([14, 12, -14]))
    assert truth.particles.interaction.values.tolist() == [0, 1]
    assert truth.interactions.pdg.values.tolist() == [14, -14]
    np.testing.assert_allclose(truth.interactions.vertex.values, [MUON.start, other.start])


def test_event_without_deposits_or_tracks():
    for rows in ([], [Row(1, 0, 2112, "primary", (5, 5, 5), (6, 5, 5), silent=True)]):
        tracks, deposits = event(rows)
        truth = label(tracks, deposits, bounds=BOUNDS)
        assert len(truth.fragment) == 0
        assert len(truth.particles) == len(truth.interactions) == 1
        assert len(truth.particles.pid.values) == 0


def test_bad_arguments_are_named():
    tracks, deposits = event([MUON])
    with pytest.raises(InputError, match="voxel_size"):
        label(tracks, deposits, voxel_size=0)
    beyond = Deposits(
        deposits.track + 1, deposits.start, deposits.end, deposits.energy, deposits.time
    )
    with pytest.raises(InputError, match="rows of the 1 tracks"):
        label(tracks, beyond)


def test_parents_that_go_in_circles_are_cut():
    rows = [
        Row(1, 2, 2212, "hadronic", (10.1, 10.1, 10.1), (20.1, 10.1, 10.1)),
        Row(2, 1, 2212, "hadronic", (20.1, 10.1, 10.1), (30.1, 10.1, 10.1)),
    ]
    _, _, truth = labelled(*rows)
    assert len(truth.particles.pid.values) == 2
    assert not truth.particles.is_primary.values.any()


def test_orphan_is_not_primary_but_a_rootless_unknown_is():
    orphan = Row(5, 4, 2212, "unknown", (10.1, 10.1, 10.1), (20.1, 10.1, 10.1))
    rootless = Row(6, -1, 2212, "unknown", (10.1, 30.1, 10.1), (20.1, 30.1, 10.1))
    tracks, _ = event([orphan, rootless])
    assert trace(tracks).primary.tolist() == [False, True]


def test_topology_counts_in_the_order_of_the_field():
    pids = [PID.PHOTON, PID.PROTON, PID.MUON, PID.PROTON, PID.UNKNOWN, PID.KAON, PID.PION]
    assert topology(pids) == "1mu1pi2p1K1g"
    assert topology([]) == ""


def test_truth_deposits_keep_what_is_seen():
    muon = Row(1, 0, 13, "primary", (-20.1, 10.1, 10.1), (40.1, 10.1, 10.1))
    _, deposits, truth = labelled(muon)
    product = truth_deposits(deposits, truth)
    assert len(product.energy.values) == (truth.fragment >= 0).sum() < len(deposits)
    assert (product.position.values[:, 0] > 0).all()


def random_event(rng: np.random.Generator, n: int) -> tuple[Tracks, Deposits]:
    """A family tree of any particles with any processes; nothing in it need make sense."""
    pdgs = (11, -11, 22, 13, -13, 211, 2212, 2112, 111, 321, 1000180400, 3122)
    rows = []
    for i in range(1, n + 1):
        start = rng.uniform(40, 60, 3)
        rows.append(
            Row(
                id=i,
                parent=int(rng.integers(0, i)),
                pdg=int(rng.choice(pdgs)),
                process=str(rng.choice(PROCESSES)),
                start=tuple(start),
                end=tuple(start + rng.normal(0, rng.choice([0.1, 2.0]), 3)),
                energy=float(rng.exponential(20)),
                silent=bool(rng.random() < 0.2),
                interaction=int(rng.integers(0, 3)),
            )
        )
    return event(rows)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_labels_of_any_event_are_consistent(seed, n):
    tracks, deposits = random_event(np.random.default_rng(seed), n)
    truth = label(tracks, deposits, bounds=(np.full(3, 42.0), np.full(3, 58.0)))
    seen = truth.fragment >= 0
    for column in (truth.particle, truth.semantic):
        assert ((column >= 0) == seen).all()
        pairs = np.unique(np.stack([truth.fragment[seen], column[seen]]), axis=1)
        assert pairs.shape[1] == len(np.unique(truth.fragment[seen]))
    particles = truth.particles
    count = len(particles.pid.values)
    assert set(truth.particle[seen]) == set(range(count))
    energy = np.bincount(truth.particle[seen], deposits.energy[seen], count)
    np.testing.assert_allclose(particles.energy_deposit.values, energy, rtol=1e-5)
    assert (particles.parent.values < count).all()
    assert (particles.parent.values != np.arange(count)).all()
    assert np.isfinite(particles.start.values).all()
    assert set(particles.interaction.values) == set(range(len(truth.interactions.pdg.values)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_labels_do_not_depend_on_the_order_of_rows(seed, n):
    rng = np.random.default_rng(seed)
    tracks, deposits = random_event(rng, n)
    new_row, shuffle = rng.permutation(n), rng.permutation(len(deposits))
    old = np.argsort(new_row)
    moved = Tracks(*(getattr(tracks, f)[old] for f in Tracks.__dataclass_fields__))
    mixed = {f: getattr(deposits, f)[shuffle] for f in Deposits.__dataclass_fields__}
    mixed["track"] = new_row[mixed["track"]].astype(np.int32)
    straight = label(tracks, deposits, bounds=BOUNDS)
    turned = label(moved, Deposits(**mixed), bounds=BOUNDS)
    assert (straight.semantic[shuffle] == turned.semantic).all()
    for name in ("fragment", "particle"):
        a, b = getattr(straight, name)[shuffle], getattr(turned, name)
        pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
        assert pairs == len(np.unique(a)) == len(np.unique(b))
