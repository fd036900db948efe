"""The simple methods every figure is compared with. They see no truth.

Density clustering, grouping by distance, a vertex by geometry, energy by summing charge, identity
by two cuts: what one writes in an afternoon, on the same voxels and predicted classes.
"""

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from reco.data.classes import PID, Semantic
from reco.data.ragged import Array

SHOWER_FACTOR = 1 / 0.83
"""Visible over total energy of a shower, as SPINE corrects it."""
FRAGMENT_RADIUS = 1.999
"""Voxels; two voxels that touch at a corner are neighbours."""
SHOWER_GAP = 6.0
"""cm between the pieces of one shower."""
INTERACTION_GAP = 6.0
"""cm between the particles of one interaction."""
VERTEX_RADIUS = 2.0
"""cm within which starts are shared."""
PHOTON_DEDX = 3.3
"""MeV/cm at the start, between one and two minimum-ionising particles."""
PROTON_DEDX = 4.0
"""MeV/cm, mean over the track."""


def dbscan(position: Array, radius: float, min_samples: int = 1) -> Array:
    """(N,) int64 cluster of each (N, 3) point, -1 for noise (Ester et al., KDD 1996).

    A border point belongs to the first of its clusters. One range search in a k-d tree.
    """
    n = len(position)
    pairs = _pairs(position, radius)
    core = 1 + np.bincount(pairs.ravel(), minlength=n) >= min_samples
    cluster = components(n, pairs[core[pairs].all(axis=1)])
    cluster[~core] = n
    for inner, outer in (pairs.T, pairs[:, ::-1].T):
        border = core[inner] & ~core[outer]
        np.minimum.at(cluster, outer[border], cluster[inner[border]])
    return _renumbered(np.where(cluster == n, -1, cluster))


def components(n: int, edges: Array) -> Array:
    """(n,) int64 connected component of each node, numbered by first node; edges (E, 2)."""
    graph = coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    return label.astype(np.int64)


def density_fragments(position: Array, semantic: Array, voxel_size: float) -> Array:
    """(N,) int64: touching voxels of one predicted class are one fragment."""
    return _per_class(position, semantic, FRAGMENT_RADIUS * voxel_size)


def density_particles(position: Array, semantic: Array, fragment: Array) -> Array:
    """(N,) int64: the density fragments, those of showers joined across gaps."""
    shower = np.flatnonzero(semantic == Semantic.SHOWER)
    particle = fragment.copy()
    particle[shower] = join_near(position[shower], fragment[shower], SHOWER_GAP)
    return particle


def density_interactions(position: Array, particle: Array) -> Array:
    """(N,) int64: particles that come close to each other are one interaction."""
    return join_near(position, particle, INTERACTION_GAP)


def join_near(position: Array, cluster: Array, gap: float) -> Array:
    """(N,) int64 clusters joined where two of their voxels lie within the gap (cm).

    The result keeps the lowest of the joined numbers; negative clusters stay as they are. One
    voxel per cell of a quarter of the gap stands for the rest, to keep the pairs few.
    """
    known = np.flatnonzero(cluster >= 0)
    if not len(known):
        return cluster.astype(np.int64)
    names, number = np.unique(cluster[known], return_inverse=True)
    cell = np.floor(position[known] / (gap / 4)).astype(np.int64)
    _, kept = np.unique(np.column_stack([number, cell]), axis=0, return_index=True)
    edges = number[kept][_pairs(position[known[kept]], gap)]
    group = components(len(names), edges)
    _, first = np.unique(group, return_index=True)
    joined = np.full(len(cluster), -1, np.int64)
    joined[known] = names[first[group[number]]]
    return joined


def geometric_vertex(
    start: Array, end: Array, direction: Array, is_track: Array, radius: float = VERTEX_RADIUS
) -> Array:
    """(3,) cm: the start that most particles share, or where their directions come nearest.

    start, end, direction: (P, 3), at least one particle. Ends of tracks are tried where no two
    starts lie within the radius; one particle alone starts at its vertex.
    """
    tracks = np.flatnonzero(is_track)
    owner = np.concatenate([np.arange(len(start)), tracks])
    ends = np.concatenate([start, end[tracks]])
    for point, of in ((start, owner[: len(start)]), (ends, owner)):
        shared = _shared_point(point, of, radius)
        if shared is not None:
            return shared
    return _nearest_approach(start, end, direction)


def _shared_point(point: Array, owner: Array, radius: float) -> Array | None:
    distance = np.linalg.norm(point[:, None] - point, axis=2)
    close = distance <= radius
    votes = np.array([len(set(owner[row])) for row in close])
    if votes.max() < 2:
        return None
    spread = np.where(close, distance, 0).sum(axis=1) / close.sum(axis=1)
    best = np.lexsort((spread, -votes))[0]
    return np.asarray(point[close[best]].mean(axis=0))


def _nearest_approach(start: Array, end: Array, direction: Array) -> Array:
    """Least squares of the distances to the lines; the start of the longest if ill-defined."""
    longest = start[np.linalg.norm(end - start, axis=1).argmax()]
    across = np.eye(3) - direction[:, :, None] * direction[:, None, :]
    normal = across.sum(axis=0)
    if len(start) < 2 or np.linalg.cond(normal) > 1e3:
        return np.asarray(longest)
    return np.linalg.solve(normal, np.einsum("pij,pj->i", across, start))


def calorimetric_energy(voxel_energy: Array, voxel_particle: Array, semantic: Array) -> Array:
    """(P,) float64 MeV: energy of the voxels of each particle, more for what showers lose.

    voxel_energy: (N,) MeV. voxel_particle: (N,) row, -1 for none. semantic: (P,).
    """
    known = voxel_particle >= 0
    total = np.bincount(voxel_particle[known], weights=voxel_energy[known], minlength=len(semantic))
    return total * np.where(semantic == Semantic.SHOWER, SHOWER_FACTOR, 1.0)


def identity_by_dedx(semantic: Array, start_dedx: Array, mean_dedx: Array) -> Array:
    """(P,) int8 PID: protons and muons by mean dE/dx, photons and electrons by it at the start.

    semantic: (P,). start_dedx, mean_dedx: (P,) MeV/cm, NaN where unknown.
    """
    track = np.where(mean_dedx > PROTON_DEDX, PID.PROTON, PID.MUON)
    shower = np.where(start_dedx > PHOTON_DEDX, PID.PHOTON, PID.ELECTRON)
    pid = np.where(semantic == Semantic.TRACK, track, shower)
    pid[np.isin(semantic, (Semantic.MICHEL, Semantic.DELTA))] = PID.ELECTRON
    pid[semantic == Semantic.LOW_ENERGY] = PID.PHOTON
    return pid.astype(np.int8)


def near_vertex(start: Array, vertex: Array, radius: float = VERTEX_RADIUS) -> Array:
    """(P,) bool primary: does the (P, 3) start lie at the (P, 3) vertex of its interaction?"""
    return np.linalg.norm(start - vertex, axis=1) <= radius


def cluster_ends(position: Array, cluster: Array, semantic: Array, min_voxels: int = 5) -> Array:
    """(M, 3) points of interest: the voxels farthest along the axis of each cluster.

    Both ends of a track; of anything else the end where the cluster is thinner. Low-energy
    scatters and clusters of few voxels have none. position: (N, 3), cluster, semantic: (N,).
    """
    order = np.argsort(cluster, kind="stable")
    bounds = np.flatnonzero(np.diff(cluster[order], prepend=-2, append=np.iinfo(np.int64).max))
    found = [np.zeros((0, 3), position.dtype)]
    for a, b in pairwise(bounds):
        rows = order[a:b]
        kind = semantic[rows[0]]
        if cluster[rows[0]] < 0 or len(rows) < min_voxels or kind == Semantic.LOW_ENERGY:
            continue
        ends = _extremes(position[rows])
        found.append(ends if kind == Semantic.TRACK else ends[:1])
    return np.concatenate(found)


def _extremes(position: Array) -> Array:
    """(2, 3) the extreme voxels along the principal axis, the one of the thinner half first."""
    centred = position - position.mean(axis=0)
    axis = np.linalg.svd(centred.T @ centred)[0][:, 0]
    along = centred @ axis
    across = np.linalg.norm(centred - along[:, None] * axis, axis=1)
    low, high = across[along <= 0], across[along >= 0]
    thin_first = [along.argmin(), along.argmax()]
    return position[thin_first if low.mean() <= high.mean() else thin_first[::-1]]


def _pairs(position: Array, radius: float) -> Array:
    if not len(position):
        return np.zeros((0, 2), np.int64)
    return np.asarray(cKDTree(position).query_pairs(radius, output_type="ndarray"), np.int64)


def _per_class(position: Array, semantic: Array, radius: float) -> Array:
    cluster = np.full(len(position), -1, np.int64)
    n_clusters = 0
    for kind in np.unique(semantic[semantic >= 0]):
        rows = np.flatnonzero(semantic == kind)
        found = dbscan(position[rows], radius)
        cluster[rows] = found + n_clusters
        n_clusters += int(found.max()) + 1
    return cluster


def _renumbered(cluster: Array) -> Array:
    """Clusters without gaps, in the same order; -1 stays."""
    names, number = np.unique(cluster, return_inverse=True)
    return number - int(bool(len(names)) and names[0] == -1)
