"""Voxels that touch, of one class, and that the backbone links -> fragments."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from pydantic import Field

from reco.data.products import Fragments, Semantics, Voxels
from reco.data.ragged import Array, Ragged
from reco.ops.gaps import gap_pairs
from reco.ops.neighbours import Grid, components, linked
from reco.ops.partition import partition
from reco.sparse.maps import submanifold_map
from reco.stages.base import Stage, StageOptions

REACH = 8.0
"""Voxels around a contact that tell the directions of the two pieces."""
AT_ONCE = 2000
"""Contacts looked at together: each has up to two thousand voxels within REACH."""
POINT_REACH = 3.0
"""Voxels around a contact where a point of interest speaks against one fragment."""


class FragmentsOptions(StageOptions):
    """min_affinity: of two neighbours of one class that are of one piece; 0 joins all that touch.
    Pieces that touch are then joined by votes, the log odds of a logistic regression: link, of the
    mean log odds of their links; point, of those of a point of interest between them; kink, per
    radian that two long pieces do not go straight on; straight, where they do; bias."""

    min_affinity: float = Field(default=0.95, ge=0, le=1)
    link: float = 1.0
    point: float = -0.3
    straight: float = 1.0
    kink: float = -5.5
    bias: float = 1.5


class FindFragments(Stage):
    """Pieces of linked neighbours, then a partition of those that touch. Near-linear in the
    voxels. A track that another crosses is cut by doubtful links alone, so the pieces on both
    sides are asked whether they go straight on. So are those on both sides of what is dead."""

    name = "fragments"
    Options = FragmentsOptions
    options: FragmentsOptions

    def __call__(self, voxels: Voxels, semantics: Semantics) -> Fragments:
        columns = (semantics.semantic, semantics.affinity, semantics.point_score)
        return Fragments.concat([self._event(*e) for e in zip(voxels.index, *columns, strict=True)])

    def _event(self, index: Array, semantic: Array, affinity: Array, point: Array) -> Fragments:
        links = neighbour_links(index, semantic, affinity)
        strong = links.affinity >= self.options.min_affinity
        piece = components(links.pairs[strong], len(index))
        label = piece
        touching = contacts(index, links, piece)
        if len(touching.pairs):
            n = int(piece.max()) + 1
            vote = self._votes(index, piece, logit(point), touching)
            label = partition(n, touching.pairs, vote)[piece]
        if self.context.detector.dead:
            across = gap_pairs(index, label, semantic, *self.context.detector.dead_boxes)
            label = components(across, int(label.max(initial=-1)) + 1)[label]
        n = int(label.max(initial=-1)) + 1
        kind = np.zeros(n, np.int8)
        kind[label] = semantic
        return Fragments(
            voxel_fragment=Ragged.one(label),
            semantic=Ragged.one(kind),
            n_voxels=Ragged.one(np.bincount(label, minlength=n)),
        )

    def _votes(self, index: Array, piece: Array, point: Array, touching: "Contacts") -> Array:
        o = self.options
        length, angle, nearest = surroundings(index, piece, point, touching)
        shape = np.minimum(length / (REACH / 2), 1) * (o.straight + o.kink * angle)
        return np.asarray(o.bias + o.link * touching.odds + o.point * nearest + shape)


class Links(NamedTuple):
    """pairs: (E, 2) rows of voxels of one class that touch. affinity: (E,) of each."""

    pairs: Array
    affinity: Array


class Contacts(NamedTuple):
    """pairs: (M, 2) pieces that touch. odds: (M,) mean log odds of the links between them.
    middle: (M, 3) of these links, in voxels."""

    pairs: Array
    odds: Array
    middle: Array


def neighbour_links(index: Array, semantic: Array, affinity: Array) -> Links:
    """All links of voxels (N, 3) with classes (N,) and affinities (N, 13)."""
    batch = np.zeros((len(index), 1), np.int32)
    table = submanifold_map(np.concatenate([batch, index], axis=1)).table[:13]
    offset, voxel, other = linked(table, semantic.astype(np.int32), True)
    return Links(np.stack([voxel, other], axis=1), affinity[voxel, offset])


def logit(score: Array) -> Array:
    """Log odds, within those of one in a thousand."""
    score = np.clip(score.astype(np.float64), 1e-3, 1 - 1e-3)
    return np.asarray(np.log(score / (1 - score)))


def contacts(index: Array, links: Links, piece: Array) -> Contacts:
    """Where pieces (N,) of voxels (N, 3) touch, sorted by pair."""
    a, b = piece[links.pairs.T]
    apart = np.flatnonzero(a != b)
    a, b = a[apart].astype(np.int64), b[apart].astype(np.int64)
    n = int(piece.max(initial=-1)) + 1
    key = np.minimum(a, b) * n + np.maximum(a, b)
    cells, row, count = np.unique(key, return_inverse=True, return_counts=True)
    place = index[links.pairs[apart]].mean(axis=1)
    middle = [np.bincount(row, x, len(cells)) / count for x in place.T]
    odds = np.bincount(row, logit(links.affinity[apart]), len(cells)) / count
    pairs = np.stack(np.divmod(cells, max(n, 1)), axis=1)
    return Contacts(pairs, odds, np.stack(middle, axis=1))


def surroundings(
    index: Array, piece: Array, point: Array, touching: Contacts
) -> tuple[Array, Array, Array]:
    """Of each contact: how far its shorter piece extends (mean distance of its voxels within
    REACH, in voxels), the angle between the pieces (0 straight on, radian; wide too where one
    goes on at both sides of the contact), and the largest of `point` (N,) within POINT_REACH."""
    grid = Grid.of(index, REACH)
    parts = []
    for first in range(0, max(len(touching.pairs), 1), AT_ONCE):
        some = Contacts(*(column[first : first + AT_ONCE] for column in touching))
        parts.append(_surroundings(grid, index, piece, point, some))
    length, angle, nearest = (np.concatenate(column) for column in zip(*parts, strict=True))
    return length, angle, nearest


def _surroundings(
    grid: Grid, index: Array, piece: Array, point: Array, touching: Contacts
) -> tuple[Array, Array, Array]:
    m = len(touching.pairs)
    contact, voxel = grid.within(touching.middle, REACH)
    arms, length, nearest = np.zeros((2, m, 3)), np.zeros((2, m)), np.full(m, point.min())
    _arms(
        index, piece, point, contact, voxel, touching.pairs, touching.middle, arms, length, nearest
    )
    cosine = -(arms[0] * arms[1]).sum(axis=1) / np.maximum(length.prod(axis=0), 1e-9)
    return length.min(axis=0), np.arccos(np.clip(cosine, -1, 1)), nearest


@njit(cache=True, nogil=True, error_model="numpy")
def _arms(index, piece, point, contact, voxel, pairs, middle, arms, length, nearest):  # type: ignore[no-untyped-def]
    """Fill, from the voxels within REACH of each contact: by side (2, M, 3) their mean place as
    seen from it and (2, M) mean distance, and (M,) the largest of point within POINT_REACH."""
    count = np.zeros((2, len(pairs)), np.int64)
    for k in range(len(contact)):
        c, v = contact[k], voxel[k]
        x, y, z = index[v, 0] - middle[c, 0], index[v, 1] - middle[c, 1], index[v, 2] - middle[c, 2]
        distance = math.sqrt(x * x + y * y + z * z)
        if distance <= POINT_REACH:
            nearest[c] = max(nearest[c], point[v])
        for side in range(2):
            if piece[v] == pairs[c, side]:
                count[side, c] += 1
                length[side, c] += distance
                arms[side, c, 0] += x
                arms[side, c, 1] += y
                arms[side, c, 2] += z
    for c in range(len(pairs)):
        for side in range(2):
            length[side, c] /= max(count[side, c], 1)
            for axis in range(3):
                arms[side, c, axis] /= max(count[side, c], 1)
