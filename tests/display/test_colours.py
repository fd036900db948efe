import numpy as np

from reco.display.colours import best_partners, by_size, paired


def test_the_largest_owner_comes_first():
    ids = np.array([2, 2, 2, 0, -1, -1, -1, -1])
    assert by_size(ids, 4).tolist() == [1, 2, 0, 3]
    assert by_size(np.array([], int), 0).tolist() == []


def test_partners_are_best_both_ways():
    # 0 shares three voxels with 5 and one with 6; 1 shares two with 5, which prefers 0; 2 none
    ids = np.array([0, 0, 0, 0, 1, 1, 2, -1])
    others = np.array([5, 5, 5, 6, 5, 5, -1, 6])
    assert best_partners(ids, others, 3, 7).tolist() == [5, -1, -1]
    assert best_partners(others, ids, 7, 3).tolist() == [-1, -1, -1, -1, -1, 0, -1]


def test_partners_share_a_slot_and_no_one_else_does():
    rng = np.random.default_rng(1)
    true = rng.integers(-1, 6, 300)
    swap = rng.permutation(8)
    ids = np.where(true >= 0, swap[true], -1)
    ids[:30] = 7 if 7 not in swap[:6] else swap[7]  # one that matches nothing well
    slots = by_size(true, 6)
    found = paired(ids, true, slots, 8)
    partner = best_partners(ids, true, 8, 6)
    for i in range(8):
        assert found[i] == slots[partner[i]] if partner[i] >= 0 else found[i] >= 6
    assert len(set(found.tolist())) == 8


def test_no_voxels_and_no_owners():
    none = np.array([], int)
    assert paired(none, none, none, 0).tolist() == []
    assert sorted(paired(none, none, none, 2).tolist()) == [0, 1]
