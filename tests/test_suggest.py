from reco.suggest import unknown


def test_of_thousands_of_words_the_nearest_and_a_few_are_named():
    trees = [f"tree_{i}" for i in range(5000)]
    told = unknown("no tree 'tree_417x'", "tree_417x", trees, "its trees")
    assert "did you mean 'tree_417'? (its trees: tree_0, tree_1," in told
    assert told.endswith("tree_49 and 4950 more)")
    assert unknown("no tree 'a'", "a", [], "its trees") == "no tree 'a' (its trees: none)"
