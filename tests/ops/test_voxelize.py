from collections import defaultdict

import numpy as np
import pytest

from reco.ops.voxelize import accumulate, dominant, lookup, pack, unpack

SHAPE = (7, 5, 3)


def test_pack_orders_as_the_indices_and_inverts():
    index = np.argwhere(np.ones(SHAPE)).astype(np.int32)
    number = pack(index, SHAPE)
    np.testing.assert_array_equal(number, np.arange(7 * 5 * 3))
    np.testing.assert_array_equal(unpack(number, SHAPE), index)


def test_pack_of_a_large_grid_does_not_overflow():
    shape = (20_000, 20_000, 20_000)
    index = np.array([[19_999, 19_999, 19_999]], np.int32)
    np.testing.assert_array_equal(unpack(pack(index, shape), shape), index)


@pytest.mark.parametrize("n", [0, 1, 2, 500])
def test_accumulate_agrees_with_a_dictionary(n):
    rng = np.random.default_rng(n)
    number, value = rng.integers(0, 50, n), rng.random(n)
    sums = defaultdict(float)
    for key, x in zip(number, value, strict=True):
        sums[key] += x
    keys, total = accumulate(number, value)
    np.testing.assert_array_equal(keys, sorted(sums))
    np.testing.assert_allclose(total, [sums[key] for key in sorted(sums)], rtol=1e-14)


def test_lookup():
    np.testing.assert_array_equal(
        lookup(np.array([2, 5, 9]), np.array([9, 1, 2, 10, 5, 6])), [2, -1, 0, -1, 1, -1]
    )
    np.testing.assert_array_equal(lookup(np.zeros(0, int), np.array([4])), [-1])


@pytest.mark.parametrize("n", [0, 1, 300])
def test_dominant_agrees_with_a_search(n):
    rng = np.random.default_rng(n)
    number, rank = rng.integers(0, 30, n), rng.integers(0, 3, n)
    cluster = rank * 10 + rng.integers(0, 4, n)
    energy = rng.random(n)
    row = dominant(number, rank, cluster, energy)
    np.testing.assert_array_equal(number[row], np.unique(number))
    for r in row:
        here = number == number[r]
        lowest = here & (rank == rank[here].min())
        total = {c: energy[lowest & (cluster == c)].sum() for c in set(cluster[lowest])}
        assert cluster[r] == max(total, key=total.__getitem__)
        assert rank[r] == rank[here].min()
