"""From scores of pairs to groups: correlation clustering, near-linear in the number of pairs.

Every pair votes for or against its two clusters with a weight (log odds). Groups are found by
greedy additive contraction (Keuper et al., arXiv:1505.06973): the two groups with the most votes
for each other are joined, and their votes for any third are added, as long as any two gain. So
many small doubts outweigh one confident wrong pair. Then single clusters move while that gains.
"""

from heapq import heapify, heappop, heappush

import numpy as np
from numba import njit

from reco.data.ragged import Array

ROUNDS = 5
"""Most rounds of joins and moves."""


def log_odds(score: Array, size_a: Array, size_b: Array, largest: float = 5.0) -> Array:
    """Votes of pairs: log odds of the scores, within ±largest, times the smaller size.

    score: (M,) probability to belong together. size_a, size_b: (M,) voxels of both clusters.
    A crumb says little of whether two showers are one, so it shall not outvote them.
    """
    score = np.clip(score.astype(np.float64), 1e-6, 1 - 1e-6)
    odds = np.clip(np.log(score / (1 - score)), -largest, largest)
    return odds * np.minimum(size_a, size_b)


def partition(n: int, pairs: Array, vote: Array) -> Array:
    """Group n clusters by the votes (M,) of pairs (M, 2) -> (n,) int32 group, by first cluster.

    Joins and moves only ever add votes within groups, so they come to an end.
    """
    group = np.arange(n)
    around = _incidence(n, pairs, vote)
    for _ in range(ROUNDS):
        joined = _contract(n, group[pairs], vote)[group]
        moved = _by_first(_move(joined, *around, ROUNDS))
        if np.array_equal(moved, group):
            break
        group = moved
    return _by_first(group)


def _contract(n: int, pairs: Array, vote: Array) -> Array:
    """Join the two groups with the largest positive sum of votes, as long as there are any."""
    votes: list[dict[int, float]] = [{} for _ in range(n)]
    for (a, b), v in zip(pairs.tolist(), vote.tolist(), strict=True):
        if a != b:
            votes[a][b] = votes[b][a] = votes[a].get(b, 0.0) + v
    heap = [(-v, a, b) for a, row in enumerate(votes) for b, v in row.items() if a < b and v > 0]
    heapify(heap)
    into = list(range(n))
    while heap:
        v, a, b = heappop(heap)
        if votes[a].get(b) == -v:
            # the group with fewer partners moves, so that every pair moves at most log n times
            gone, kept = (a, b) if len(votes[a]) < len(votes[b]) else (b, a)
            into[gone] = kept
            _absorb(votes, gone, kept, heap)
    return _roots(into)


def _absorb(
    votes: list[dict[int, float]], gone: int, kept: int, heap: list[tuple[float, int, int]]
) -> None:
    del votes[gone][kept], votes[kept][gone]
    for other, v in votes[gone].items():
        total = votes[kept].get(other, 0.0) + v
        del votes[other][gone]
        votes[kept][other] = votes[other][kept] = total
        if total > 0:
            heappush(heap, (-total, min(kept, other), max(kept, other)))
    votes[gone] = {}


def _roots(into: list[int]) -> Array:
    """Follow pointers to their end."""
    group = np.array(into, np.int64)
    while len(group) and (group[group] != group).any():
        group = group[group]
    return group


def _incidence(n: int, pairs: Array, vote: Array) -> tuple[Array, Array, Array]:
    """Offsets (n + 1,) of each cluster's pairs, and of these the other cluster and the vote."""
    if len(pairs) == 0:
        return np.zeros(n + 1, np.int64), np.zeros(0, np.int64), np.zeros(0)
    end = pairs.T.reshape(-1)
    order = np.argsort(end, kind="stable")
    offsets = np.searchsorted(end[order], np.arange(n + 1))
    return offsets, pairs[:, ::-1].T.reshape(-1)[order], np.tile(vote, 2)[order]


@njit(cache=True)
def _move(group, offsets, other, vote, sweeps):  # type: ignore[no-untyped-def]
    # Group n + i is the one of cluster i alone, so that a cluster can always leave.
    n = len(group)
    group = group.copy()
    gain = np.zeros(2 * n)
    for _ in range(sweeps):
        moved = False
        for i in range(n):
            mine = slice(offsets[i], offsets[i + 1])
            for e in range(offsets[i], offsets[i + 1]):
                gain[group[other[e]]] += vote[e]
            best = group[i] if gain[group[i]] >= 0 else n + i
            for j in other[mine]:
                if gain[group[j]] > gain[best] + 1e-9:
                    best = group[j]
            for j in other[mine]:
                gain[group[j]] = 0.0
            moved |= best != group[i]
            group[i] = best
        if not moved:
            break
    return group


def _by_first(group: Array) -> Array:
    """Renumber groups from 0 in order of their first member."""
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[number.reshape(-1)]
