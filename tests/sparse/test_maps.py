"""Kernel maps against dictionaries of coordinates, and what they refuse."""

import numpy as np
import pytest
import torch

from reco.errors import InputError
from reco.sparse import (
    KernelMap,
    SparseTensor,
    build_pyramid,
    pack,
    strided_map,
    submanifold_map,
)

from .conftest import walk

FAR = 2**20 - 1


def expected_same(voxels: np.ndarray, size: int = 3) -> np.ndarray:
    rows = {tuple(v): i for i, v in enumerate(voxels.tolist())}
    reach = range(-(size // 2), size // 2 + 1)
    steps = [(x, y, z) for x in reach for y in reach for z in reach]
    return np.array(
        [
            [rows.get((b, x + dx, y + dy, z + dz), -1) for b, x, y, z in voxels.tolist()]
            for dx, dy, dz in steps
        ]
    ).reshape(size**3, len(voxels))


def batch_of(*events: np.ndarray) -> np.ndarray:
    return np.concatenate(events)


EVENTS = {
    "none": np.zeros((0, 4), np.int32),
    "one": np.array([[7, -3, 0, 5]], np.int32),
    "block": np.array(
        [[0, x, y, z] for x in range(4) for y in range(3) for z in range(5)], np.int32
    ),
    "walk": walk(0, 500),
    "negative": walk(1, 300, low=-150),
    "batch": batch_of(walk(2, 200, 0), walk(3, 200, 1, low=-40), walk(4, 200, 2_000_000_000)),
    "corners": np.array(
        [[b, x, y, z] for b in range(30) for x in (0, FAR) for y in (0, FAR) for z in (0, FAR)],
        np.int32,
    ),
    "faces": np.array([[0, 0, 0, 9], [0, 0, 1, 0], [0, 0, 9, 9], [0, 1, 0, 0]], np.int32),
}


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("name", EVENTS)
def test_submanifold_map_finds_all_neighbours(name, size):
    voxels = EVENTS[name]
    m = submanifold_map(voxels, size)
    assert m.table.dtype == np.int32
    np.testing.assert_array_equal(m.table, expected_same(voxels, size))
    assert m.pair_count == (m.table >= 0).sum()


@pytest.mark.parametrize("name", EVENTS)
def test_strided_map_sends_each_voxel_to_its_parent(name):
    voxels = EVENTS[name]
    coarse, m = strided_map(voxels)
    np.testing.assert_array_equal(coarse, np.unique(voxels // [1, 2, 2, 2], axis=0))
    k, parent = np.nonzero(m.table >= 0)
    children = m.table[k, parent]
    np.testing.assert_array_equal(np.sort(children), np.arange(len(voxels)))
    corner = np.stack([k // 4, k // 2 % 2, k % 2], axis=1)
    np.testing.assert_array_equal(voxels[children, 1:], 2 * coarse[parent, 1:] + corner)
    np.testing.assert_array_equal(voxels[children, 0], coarse[parent, 0])


@pytest.mark.parametrize("name", EVENTS)
def test_transposed_map_exchanges_inputs_and_outputs(name):
    for m in (submanifold_map(EVENTS[name]), strided_map(EVENTS[name])[1]):
        t = m.transposed
        pairs = {
            (k, int(m.table[k, i]), int(i)) for k, i in zip(*np.nonzero(m.table >= 0), strict=True)
        }
        turned = {
            (k, int(i), int(t.table[k, i])) for k, i in zip(*np.nonzero(t.table >= 0), strict=True)
        }
        assert pairs == turned
        assert (t.inputs, t.outputs) == (m.outputs, m.inputs)


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_tiles_hold_every_pair_once_in_order(rows):
    m = submanifold_map(EVENTS["walk"])
    sources, targets, starts = m.tiled(rows)
    tile, k = np.divmod(np.repeat(np.arange(len(starts) - 1), np.diff(starts)), 27)
    np.testing.assert_array_equal(targets // rows, tile)
    np.testing.assert_array_equal(m.table[k, targets], sources)
    assert len(np.unique(k * m.outputs + targets)) == m.pair_count


def pairs_of(m: KernelMap, rows: int) -> list[list[tuple[int, int]]]:
    """(offset, source) of each target, in the order in which its runs have them."""
    sources, targets, starts, offsets, lengths = m.runs(rows)
    found: list[list[tuple[int, int]]] = [[] for _ in range(m.outputs)]
    for tile, begins in enumerate(starts.tolist()):
        for g, (k, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
            for p in range(begins[g], begins[g + 1]):
                pairs = [(k + j, int(sources[p]) + j) for j in range(length)]
                found[tile * rows + int(targets[p])] += pairs
    return found


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("name", ["block", "walk", "batch"])
@pytest.mark.parametrize("kind", ["same", "down", "up", "pointwise", "wide"])
def test_runs_hold_every_pair_of_a_target_in_order(name, rows, kind):
    same, down = submanifold_map(EVENTS[name]), strided_map(EVENTS[name])[1]
    wide = submanifold_map(EVENTS[name], 5)
    maps = {"same": same, "down": down, "up": down.transposed, "pointwise": same.pointwise}
    m = maps.get(kind, wide)
    want = [[(k, q) for k, q in enumerate(m.table[:, i]) if q >= 0] for i in range(m.outputs)]
    assert pairs_of(m, rows) == want


def test_runs_of_any_table_hold_every_pair_in_order():
    table = np.random.default_rng(3).integers(-1, 6, (27, 500)).astype(np.int32)
    found = pairs_of(KernelMap(table, 6), 64)
    assert found == [[(k, q) for k, q in enumerate(column) if q >= 0] for column in table.T]


def test_pyramid_levels_do_not_depend_on_the_rest_of_the_batch():
    alone = build_pyramid(walk(3, 200, 1, low=-40), 5)
    batch = build_pyramid(EVENTS["batch"], 5)
    for one, many in zip(alone.coordinates, batch.coordinates, strict=True):
        np.testing.assert_array_equal(one, many[many[:, 0] == 1])
    assert batch.levels == 5
    assert batch.sizes() == tuple(m.outputs for m in batch.same)


def test_sorted_orders_features_with_their_voxels():
    voxels = EVENTS["batch"]
    shuffled = np.random.default_rng(0).permutation(len(voxels))
    features = torch.from_numpy(shuffled).float()[:, None]
    tensor = SparseTensor(torch.from_numpy(voxels[shuffled]), features).sorted()
    np.testing.assert_array_equal(tensor.coordinates.numpy(), voxels)
    np.testing.assert_array_equal(tensor.features[:, 0].numpy(), np.arange(len(voxels)))


@pytest.mark.parametrize(
    ("voxels", "match"),
    [
        (np.zeros((3, 4), np.int32), r"\[0, 0, 0, 0\] appears twice \(rows 0 and 1\)"),
        (walk(0, 50)[::-1], "row 1 is out of order"),
        (walk(0, 50).astype(np.int64), "dtype int64, expected int32"),
        (walk(0, 50)[:, 1:], r"shape \(\d+, 3\), expected \(N, 4\)"),
        (
            np.array([[0, 0, 0, 0], [0, 2**31 - 1, 2**31 - 1, 2**31 - 1]], np.int32),
            "span 2147483650 x",
        ),
    ],
)
@pytest.mark.parametrize("build", [submanifold_map, strided_map, lambda v: build_pyramid(v, 2)])
def test_refuses_voxels_it_cannot_map(voxels, match, build):
    with pytest.raises(InputError, match=match):
        build(voxels)


def test_refuses_mismatched_tensors_and_levels():
    voxels = torch.from_numpy(walk(0, 50))
    with pytest.raises(InputError, match=r"features: shape \(3, 1\)"):
        SparseTensor(voxels, torch.zeros(3, 1))
    with pytest.raises(InputError, match=r"features: dtype torch\.int64"):
        SparseTensor(voxels, torch.zeros(len(voxels), 1, dtype=torch.long))
    with pytest.raises(InputError, match="levels: 0"):
        build_pyramid(voxels, 0)
    with pytest.raises(InputError, match="size: 4, expected an odd number"):
        submanifold_map(voxels, 4)


def test_keys_sort_as_coordinates():
    voxels = EVENTS["negative"]
    assert np.all(np.diff(pack(voxels).values) > 0)
