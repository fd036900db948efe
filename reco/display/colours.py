"""Which colour a fragment, particle or interaction has: the same on both sides where they match.

A slot is a place in the palette of the page, from 0; the page starts over where it ends.
"""

import numpy as np

from reco.data.ragged import Array


def by_size(ids: Array, n: int) -> Array:
    """(N,) numbers of the voxels' owners, -1 none -> (n,) int32 slots, the largest owner first."""
    return _ranks(np.bincount(ids[ids >= 0], minlength=n))


def paired(ids: Array, true_ids: Array, slots: Array, n: int) -> Array:
    """Slots of n reconstructed owners: that of the true owner which is each other's best overlap.

    ids, true_ids: (N,) owners of the same voxels, -1 none. slots: (T,) of the true owners. Those
    without a partner come after all true ones, the largest first.
    """
    partner = best_partners(ids, true_ids, n, len(slots))
    alone = partner < 0
    result = np.empty(n, np.int32)
    result[~alone] = slots[partner[~alone]]
    sizes = np.bincount(ids[ids >= 0], minlength=n)
    result[alone] = len(slots) + _ranks(sizes[alone])
    return result


def best_partners(ids: Array, others: Array, n: int, n_others: int) -> Array:
    """(n,) the other owner that shares most voxels, if that is so both ways; else -1."""
    both = (ids >= 0) & (others >= 0)
    pairs, shared = np.unique(np.stack([ids[both], others[both]]), axis=1, return_counts=True)
    order = np.argsort(shared, kind="stable")
    forth, back = np.full(n, -1), np.full(n_others, -1)
    forth[pairs[0, order]] = pairs[1, order]  # of several writes to one place, the last stays
    back[pairs[1, order]] = pairs[0, order]
    chosen = np.flatnonzero(forth >= 0)
    mutual = np.full(n, -1)
    agreed = chosen[back[forth[chosen]] == chosen]
    mutual[agreed] = forth[agreed]
    return mutual


def _ranks(sizes: Array) -> Array:
    rank = np.empty(len(sizes), np.int32)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes), dtype=np.int32)
    return rank
