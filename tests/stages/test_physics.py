import numpy as np
import torch

from reco.data.classes import PID
from reco.data.products import (
    Interactions,
    Kinematics,
    Matches,
    Particles,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
)
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.stages.base import Context
from reco.stages.matches import Match
from reco.stages.physics import MakePhysics, range_energy

CONTEXT = Context(Detector.load("generic"), torch.device("cpu"))


def make(product, offsets, **columns):
    """A product of zeros with the given rows per table; columns override."""
    data = {}
    for name, spec in product.columns().items():
        cut = np.asarray(offsets.get(spec.table, [0] * len(next(iter(offsets.values())))))
        shape = tuple(max(n, 0) for n in spec.shape)
        values = np.asarray(columns.get(name, np.zeros((cut[-1], *shape))), spec.dtype)
        data[name] = Ragged(values, cut)
    return product(**data)


def test_range_energy_follows_the_identity():
    csda = np.array([[1, 2, 3, 4]] * 7, float)
    pid = np.array([PID.MUON, PID.PION, PID.PROTON, PID.KAON, PID.PHOTON, PID.ELECTRON, -1])
    np.testing.assert_array_equal(range_energy(pid, csda), [1, 2, 3, 4, np.nan, np.nan, np.nan])


def test_topology_and_containment():
    rows = {"particles": [0, 5, 5, 6], "interactions": [0, 2, 2, 3]}
    pid = [PID.MUON, PID.PROTON, PID.PROTON, PID.PHOTON, PID.PION, PID.ELECTRON]
    physics = MakePhysics(MakePhysics.Options(threshold=10), CONTEXT)(
        make(Particles, rows),
        make(
            Kinematics,
            rows,
            energy_csda=np.array([[100.0] * 4, [50] * 4, [5] * 4, [0] * 4, [30] * 4, [0] * 4]),
            energy_calo=[0, 0, 0, 80, 0, 300],
            contained=[True, True, True, True, False, True],
        ),
        make(
            Interactions,
            rows,
            pid=pid,
            particle_interaction=[0, 0, 0, 1, 1, 0],
            is_primary=[True, True, True, True, False, True],
        ),
    )
    np.testing.assert_array_equal(physics.topology.values, [b"1mu1p", b"1g", b"1e"])
    np.testing.assert_array_equal(physics.contained.values, [True, False, True])
    np.testing.assert_array_equal(physics.topology.counts, [2, 0, 1])


def test_no_particles():
    rows = {"particles": [0, 0], "interactions": [0, 0]}
    physics = MakePhysics(MakePhysics.Options(), CONTEXT)(
        make(Particles, rows), make(Kinematics, rows), make(Interactions, rows)
    )
    assert len(physics.topology.values) == 0


def test_matches_both_ways():
    rows = {
        "voxels": [0, 5, 6],
        "particles": [0, 2, 3],
        "interactions": [0, 1, 2],
        "truth_particles": [0, 2, 2],
        "truth_interactions": [0, 1, 1],
        "fragments": [0, 0, 0],
    }
    matches = Match(Match.Options(), CONTEXT)(
        make(VoxelLabels, rows, particle=[0, 0, 0, 1, 1, -1], interaction=[0, 0, 0, 0, 0, -1]),
        make(Particles, rows, voxel_particle=[0, 0, 1, 1, 1, 0]),
        make(Interactions, rows, voxel_interaction=[0, 0, 0, 0, -1, 0]),
        make(TruthParticles, rows),
        make(TruthInteractions, rows),
    )
    assert isinstance(matches, Matches)
    np.testing.assert_array_equal(matches.particle.values, [0, 1, -1])
    np.testing.assert_allclose(matches.particle_iou.values, [2 / 3, 2 / 3, 0], rtol=1e-6)
    np.testing.assert_array_equal(matches.truth_particle.values, [0, 1])
    np.testing.assert_array_equal(matches.interaction.values, [0, -1])
    np.testing.assert_allclose(matches.truth_interaction_iou.values, [4 / 5], rtol=1e-6)
