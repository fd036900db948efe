"""Voxels that touch, of one class, and that the backbone links -> fragments."""

import numpy as np
from pydantic import Field

from reco.data.products import Fragments, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.ops import neighbours
from reco.sparse.maps import submanifold_map
from reco.stages.base import Stage, StageOptions


class FragmentsOptions(StageOptions):
    """min_affinity: of two neighbours of one class that are joined; 0 joins all that touch."""

    min_affinity: float = Field(default=0.7, ge=0, le=1)


class FindFragments(Stage):
    """Connected components of the graph of linked neighbours, near-linear in the voxels."""

    name = "fragments"
    Options = FragmentsOptions
    options: FragmentsOptions

    def __call__(self, voxels: Voxels, semantics: Semantics) -> Fragments:
        return Fragments.concat(
            [
                self._event(*columns)
                for columns in zip(
                    voxels.index, semantics.semantic, semantics.affinity, strict=True
                )
            ]
        )

    def _event(self, index: Array, semantic: Array, affinity: Array) -> Fragments:
        batch = np.zeros((len(index), 1), np.int32)
        table = submanifold_map(np.concatenate([batch, index], axis=1)).table[:13]
        label = components(table, semantic, self.options.min_affinity <= affinity.T)
        n = int(label.max(initial=-1)) + 1
        kind = np.zeros(n, np.int8)
        kind[label] = semantic
        return Fragments(
            voxel_fragment=Ragged.one(label),
            semantic=Ragged.one(kind),
            n_voxels=Ragged.one(np.bincount(label, minlength=n)),
        )


def components(table: Array, semantic: Array, linked: Array) -> Array:
    """Fragment of each voxel (N,) int32, numbered by first voxel.

    table: (K, N) neighbour rows, -1 for none. semantic: (N,). linked: (K, N) bool.
    """
    offset, voxel = np.nonzero((table >= 0) & linked)
    other = table[offset, voxel]
    same = semantic[voxel] == semantic[other]
    links = np.stack([voxel[same], other[same]], axis=1).astype(np.int64)
    return np.asarray(neighbours.components(links, len(semantic)))
