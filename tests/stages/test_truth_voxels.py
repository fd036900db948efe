import numpy as np
import pytest
import torch

from reco.data.classes import Semantic
from reco.data.products import TruthDeposits, TruthParticles, Voxels
from reco.data.ragged import Ragged
from reco.detector import Detector
from reco.errors import InputError
from reco.stages.base import Context
from reco.stages.labels import Labels
from reco.stages.truth_voxels import TruthVoxelize

CONTEXT = Context(Detector.load("generic"), torch.device("cpu"))
TRUTH = TruthVoxelize(TruthVoxelize.Options(), CONTEXT)


def deposits(*events):
    """One list of (x, energy, semantic, fragment, particle) per event."""
    rows = Ragged.of([np.asarray(e, float).reshape(-1, 5) for e in events])
    v = rows.values
    position = np.column_stack([v[:, 0], np.full((len(v), 2), 0.1)])
    return TruthDeposits(rows.like(position), *(rows.like(v[:, column]) for column in (1, 2, 3, 4)))


def particles(*interactions):
    empty = TruthParticles.empty(len(interactions))
    rows = Ragged.of([np.asarray(i, np.int32) for i in interactions])
    columns = {}
    for name, spec in TruthParticles.columns().items():
        shape = getattr(empty, name).values.shape[1:]
        columns[name] = rows.like(np.zeros((len(rows.values), *shape), spec.dtype))
    return TruthParticles(**{**columns, "interaction": rows})


def test_class_by_precedence_then_fragment_by_energy():
    out = TRUTH(
        deposits(
            [
                (0.1, 5.0, Semantic.SHOWER, 0, 0),
                (0.1, 0.2, Semantic.TRACK, 1, 1),
                (0.1, 0.3, Semantic.TRACK, 2, 2),
                (0.2, 0.2, Semantic.TRACK, 1, 1),
                (9.0, 1.0, Semantic.LOW_ENERGY, 3, 0),
                (9.0, 0.1, Semantic.DELTA, 4, 2),
                (-9.0, 1.0, Semantic.UNKNOWN, -1, -1),
                (200.0, 1.0, Semantic.TRACK, 1, 1),
            ],
            [],
        ),
        particles([0, 1, 0], []),
    )
    np.testing.assert_array_equal(out.semantic[0], [-1, Semantic.TRACK, Semantic.DELTA])
    np.testing.assert_array_equal(out.fragment[0], [-1, 1, 4])
    np.testing.assert_array_equal(out.particle[0], [-1, 1, 2])
    np.testing.assert_array_equal(out.interaction[0], [-1, 1, 0])
    np.testing.assert_allclose(out.energy[0], [1.0, 5.7, 1.1], rtol=1e-6)
    assert len(out.energy[1]) == 0


def test_not_a_number_is_refused():
    with pytest.raises(InputError, match="truth_deposits"):
        TRUTH(deposits([(np.nan, 1, 1, 0, 0)]), particles([0]))


def test_labels_by_index():
    truth = TRUTH(
        deposits([(5, 1, 1, 7, 0)], [(0.1, 1, 0, 3, 0), (5, 1, 1, 4, 1)]), particles([2], [0, 1])
    )
    index = Ragged.of([np.array([[0, 0, 0]]), np.array([[384, 384, 384], [400, 384, 384]])])
    voxels = Voxels(
        index=index,
        position=index.like(index.values.astype(float)),
        energy=index.like(np.ones(3)),
        n_hits=np.zeros(2),
        n_hits_outside=np.zeros(2),
    )
    out = Labels(Labels.Options(), CONTEXT)(voxels, truth)
    np.testing.assert_array_equal(out.fragment.values, [-1, 3, 4])
    np.testing.assert_array_equal(out.semantic.values, [-1, 0, 1])
    np.testing.assert_array_equal(out.interaction.values, [-1, 0, 1])


def test_labels_without_truth_or_voxels():
    truth = TRUTH(deposits([], []), particles([], []))
    out = Labels(Labels.Options(), CONTEXT)(Voxels.empty(2), truth)
    assert len(out) == 2
    assert len(out.semantic.values) == 0
