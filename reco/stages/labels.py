"""TruthVoxels -> VoxelLabels: the truth on the reconstructed voxels."""

import numpy as np

from reco.data.products import TruthVoxels, VoxelLabels, Voxels
from reco.data.ragged import Array
from reco.ops.voxelize import lookup, pack
from reco.stages.base import Stage


class Labels(Stage):
    """Each reconstructed voxel takes the labels of the true voxel of the same index."""

    name = "labels"
    optional = True

    def __call__(self, voxels: Voxels, truth: TruthVoxels) -> VoxelLabels:
        row = np.concatenate(
            [self._rows(voxels, truth, event) for event in range(len(voxels))] or [np.zeros(0, int)]
        )

        def label(values: Array) -> Array:
            return np.append(values, values.dtype.type(-1))[row]

        return VoxelLabels(
            semantic=voxels.energy.like(label(truth.semantic.values)),
            fragment=voxels.energy.like(label(truth.fragment.values)),
            particle=voxels.energy.like(label(truth.particle.values)),
            interaction=voxels.energy.like(label(truth.interaction.values)),
        )

    def _rows(self, voxels: Voxels, truth: TruthVoxels, event: int) -> Array:
        """(V,) row in the flat columns of truth, -1 for none."""
        shape = self.context.detector.grid_shape
        found = lookup(pack(truth.index[event], shape), pack(voxels.index[event], shape))
        return np.where(found >= 0, found + truth.index.offsets[event], -1)
