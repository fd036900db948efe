"""A widened network answers as before, and its copies can learn apart."""

import pytest
import torch

from reco.nn.backbone import Backbone
from reco.nn.graph import Graph, GraphNet
from reco.nn.widen import widen_backbone, widen_input

from .test_backbone import batch_of, event


@pytest.mark.parametrize("filters", [8, 12, 16, 27])
def test_the_answers_stay(filters: int):
    torch.manual_seed(0)
    narrow = Backbone(filters=8, levels=3, blocks=2, hidden=8)
    batch = batch_of(event(0, 300), event(1, 50, batch=1))
    narrow.train()(batch)  # running means and variances that are not the first ones
    wide = Backbone(filters=filters, levels=3, blocks=2, hidden=8)
    widen_backbone(narrow, wide, torch.Generator().manual_seed(1))
    before, after = narrow.eval()(batch), wide.eval()(batch)
    torch.testing.assert_close(after.semantic, before.semantic, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.affinity, before.affinity, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.features[:, :8], before.features, rtol=1e-3, atol=1e-4)


def test_copies_get_gradients_of_their_own():
    torch.manual_seed(0)
    wide = Backbone(filters=8, levels=3, blocks=1, hidden=8)
    widen_backbone(
        Backbone(filters=4, levels=3, blocks=1, hidden=8), wide, torch.Generator().manual_seed(1)
    )
    wide.train()(batch_of(event(2, 200))).semantic.square().sum().backward()
    gradient = wide.unet.encoder[0].blocks[0].conv1.weight.grad
    assert (gradient[:, :, :4] - gradient[:, :, 4:]).abs().max() > 1e-3 * gradient.abs().max()


@pytest.mark.parametrize("others", [0, 4])
def test_a_graph_network_reads_the_copies_as_it_read_the_features(others: int):
    torch.manual_seed(0)
    narrow, wide = (GraphNet(5 + 2 * n + others, 2, 1, 2, width=8, rounds=1) for n in (3, 4))
    nodes, ends = torch.randn(7, 11 + others), torch.randint(0, 7, (2, 12))
    graph = Graph(nodes, ends, torch.randn(12, 4))
    narrow.standardise(graph)
    widen_input(narrow, wide, 5, (3, 4), torch.Generator().manual_seed(1))
    columns = [0, 1, 2, 3, 4, 5, 6, 7, 5, 8, 9, 10, 8, *range(11, 11 + others)]
    before, after = narrow(graph), wide(Graph(nodes[:, columns], ends, graph.pairs))
    torch.testing.assert_close(after.nodes, before.nodes, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(after.pairs, before.pairs, rtol=1e-4, atol=1e-5)
