"""From scores of pairs to groups: correlation clustering, near-linear in the number of pairs.

Every pair votes for or against its two clusters with a weight (log odds). Groups are found by
greedy additive contraction (Keuper et al., arXiv:1505.06973): the two groups with the most votes
for each other are joined, and their votes for any third are added, as long as any two gain. So
many small doubts outweigh one confident wrong pair. Then single clusters move while that gains.
"""

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.errors import InputError
from reco.ops.heap import rise, sink

ROUNDS = 5
"""Most rounds of joins and moves."""


def log_odds(score: Array, size_a: Array, size_b: Array, largest: float = 5.0) -> Array:
    """Votes of pairs: log odds of the scores, within ±largest, times the smaller size.

    score: (M,) probability to belong together. size_a, size_b: (M,) voxels of both clusters.
    A crumb says little of whether two showers are one, so it shall not outvote them. Raises
    InputError where a score is NaN: groups would not show it.
    """
    if np.isnan(score).any():
        raise InputError("made NaN of the scores of pairs")
    score = np.clip(score.astype(np.float64), 1e-6, 1 - 1e-6)
    odds = np.clip(np.log(score / (1 - score)), -largest, largest)
    return odds * np.minimum(size_a, size_b)


def partition(n: int, pairs: Array, vote: Array) -> Array:
    """Group n clusters by the votes (M,) of pairs (M, 2) -> (n,) int32 group, by first cluster.

    Joins and moves only ever add votes within groups, so they come to an end.
    """
    group, pairs = np.arange(n), pairs.astype(np.int64)
    around = _incidence(n, pairs, vote)
    for _ in range(ROUNDS):
        joined = _contract(n, group[pairs], vote)[group]
        moved = _by_first(_move(joined, *around, ROUNDS))
        if np.array_equal(moved, group):
            break
        group = moved.astype(np.int64)
    return _by_first(group)


@njit(cache=True, nogil=True)
def _contract(n, pairs, vote):  # type: ignore[no-untyped-def]
    """Join the two groups with the largest positive sum of votes, as long as there are any."""
    key, total, table = _distinct(n, pairs, vote)
    partner, following, chain, count = _partners(n, key)
    # a heap of pairs by the votes that they had when they were put in
    lost, wanted = np.empty(2 * len(key) + 1), np.empty(2 * len(key) + 1, np.int64)
    size = _fill(lost, wanted, key, total)
    into = np.arange(n)
    used = len(key)
    while size:
        least, pair = lost[0], wanted[0]
        size -= 1
        sink(lost, wanted, size, lost[size], wanted[size])
        e = table[_slot(table, key, pair)]
        if e < 0 or total[e] != -least:
            continue
        # the group with fewer partners moves, so that every pair moves at most log n times
        a, b = pair // n, pair % n
        gone, kept = (a, b) if count[a] < count[b] else (b, a)
        into[gone] = kept
        key[e] = -1
        count[kept] -= 1
        at = chain[gone]
        while at >= 0:
            after = following[at]
            if key[at // 2] >= 0:
                e = _hand_over(n, at, kept, key, total, table, partner, following, chain, count)
                used += e == at // 2
                if total[e] > 0:
                    size = _want(lost, wanted, size, key, total, e)
            at = after
        if 2 * used > len(table):
            used = _enter(table, key)
    return _ends(into)


@njit(cache=True, nogil=True)
def _hand_over(n, at, kept, key, total, table, partner, following, chain, count):  # type: ignore[no-untyped-def]
    """Make a pair, which is entry `at` of a group that is no more, one of the group `kept`; the row
    of that pair: another one if `kept` had that partner before."""
    e, other = at // 2, partner[at]
    pair = min(kept, other) * n + max(kept, other)
    slot = _slot(table, key, pair)
    known = table[slot]
    if known >= 0:
        total[known] += total[e]
        key[e] = -1
        count[other] -= 1
        return known
    key[e], table[slot] = pair, e
    partner[at ^ 1] = kept
    following[at], chain[kept] = chain[kept], at
    count[kept] += 1
    return e


@njit(cache=True, nogil=True)
def _ends(into):  # type: ignore[no-untyped-def]
    """Where each chain of groups that went into others comes to its end."""
    for i in range(len(into)):
        while into[into[i]] != into[i]:
            into[i] = into[into[i]]
    return into


@njit(cache=True, nogil=True)
def _distinct(n, pairs, vote):  # type: ignore[no-untyped-def]
    """Of each pair of different clusters: low * n + high, the sum of its votes, and a hash table
    of the rows of these (-1 for none)."""
    size = 16
    while size < 4 * len(pairs):
        size *= 2
    table = np.full(size, -1)
    key, total = np.full(len(pairs), -1), np.zeros(len(pairs))
    known = 0
    for e in range(len(pairs)):
        a, b = min(pairs[e, 0], pairs[e, 1]), max(pairs[e, 0], pairs[e, 1])
        if a != b:
            slot = _slot(table, key, a * n + b)
            if table[slot] < 0:
                table[slot], key[known] = known, a * n + b
                known += 1
            total[table[slot]] += vote[e]
    return key[:known], total[:known], table


@njit(cache=True, nogil=True)
def _partners(n, key):  # type: ignore[no-untyped-def]
    """The partners of each group as linked lists: entry 2 e is that of the smaller group of pair e,
    2 e + 1 that of the larger; the next entry, the first of each group, and how many it has."""
    partner, following = np.empty(2 * len(key), np.int64), np.empty(2 * len(key), np.int64)
    chain, count = np.full(n, -1), np.zeros(n, np.int64)
    for e in range(len(key)):
        for side in range(2):
            group = key[e] % n if side else key[e] // n
            partner[2 * e + side] = key[e] // n if side else key[e] % n
            following[2 * e + side], chain[group] = chain[group], 2 * e + side
            count[group] += 1
    return partner, following, chain, count


@njit(cache=True, nogil=True)
def _fill(lost, wanted, key, total):  # type: ignore[no-untyped-def]
    """Make the heap of all pairs that would gain; how many."""
    size = np.int64(0)  # as a plain 0 `rise` is compiled for that very number too
    for e in range(len(key)):
        if key[e] >= 0 and total[e] > 0:
            rise(lost, wanted, size, -total[e], key[e])
            size += 1
    return size


@njit(cache=True, nogil=True)
def _want(lost, wanted, size, key, total, e):  # type: ignore[no-untyped-def]
    """Put a pair into the heap of this size, or make it anew where it is full; its new size."""
    if size == len(lost):
        return _fill(lost, wanted, key, total)
    rise(lost, wanted, size, -total[e], key[e])
    return size + 1


@njit(cache=True, nogil=True)
def _enter(table, key):  # type: ignore[no-untyped-def]
    """Make the table of all pairs anew; how many."""
    used = 0
    for slot in range(len(table)):
        table[slot] = -1
    for e in range(len(key)):
        if key[e] >= 0:
            table[_slot(table, key, key[e])] = e
            used += 1
    return used


@njit(cache=True, nogil=True)
def _slot(table, key, wanted):  # type: ignore[no-untyped-def]
    """Where a pair stands in the table, or the empty place where it would."""
    mask = len(table) - 1
    slot = (wanted * 0x9E3779B97F4A7C1 >> 17) & mask
    while table[slot] >= 0 and key[table[slot]] != wanted:
        slot = (slot + 1) & mask
    return slot


def _incidence(n: int, pairs: Array, vote: Array) -> tuple[Array, Array, Array]:
    """Offsets (n + 1,) of each cluster's pairs, and of these the other cluster and the vote."""
    if len(pairs) == 0:
        return np.zeros(n + 1, np.int64), np.zeros(0, np.int64), np.zeros(0)
    end = pairs.T.reshape(-1)
    order = np.argsort(end, kind="stable")
    offsets = np.searchsorted(end[order], np.arange(n + 1))
    return offsets, pairs[:, ::-1].T.reshape(-1)[order], np.tile(vote, 2)[order]


@njit(cache=True, nogil=True)
def _move(group, offsets, other, vote, sweeps):  # type: ignore[no-untyped-def]
    # Group n + i is the one of cluster i alone, so that a cluster can always leave.
    n = len(group)
    group = group.copy()
    gain = np.zeros(2 * n)
    for _ in range(sweeps):
        moved = False
        for i in range(n):
            for e in range(offsets[i], offsets[i + 1]):
                gain[group[other[e]]] += vote[e]
            best = group[i] if gain[group[i]] >= 0 else n + i
            for e in range(offsets[i], offsets[i + 1]):
                if gain[group[other[e]]] > gain[best] + 1e-9:
                    best = group[other[e]]
            for e in range(offsets[i], offsets[i + 1]):
                gain[group[other[e]]] = 0.0
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
