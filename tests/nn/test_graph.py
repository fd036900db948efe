import numpy as np
import pytest
import torch

from reco.nn.graph import Graph, GraphNet

COMMON, OWN, NODE = 4, 3, 7


def graph(n, m, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(0, n, (2, m), generator=generator) if n else torch.zeros(2, 0).long()
    pairs = torch.randn(ends.shape[1], COMMON + 2 * OWN, generator=generator)
    return Graph(torch.randn(n, NODE, generator=generator), ends, pairs)


def network():
    torch.manual_seed(1)
    return GraphNet(NODE, COMMON, OWN, 2, width=16, rounds=2).eval()


def turned(g, pairs):
    """The same graph with the ends of some pairs exchanged."""
    ends, features = g.ends.clone(), g.pairs.clone()
    ends[:, pairs] = ends[:, pairs].flip(0)
    features[pairs] = torch.cat(
        [
            g.pairs[pairs, :COMMON],
            g.pairs[pairs, COMMON + OWN :],
            g.pairs[pairs, COMMON : COMMON + OWN],
        ],
        dim=1,
    )
    return Graph(g.nodes, ends, features)


def test_which_end_of_a_pair_comes_first_does_not_matter():
    g, net = graph(9, 20), network()
    one, two = net(g), net(turned(g, torch.arange(0, 20, 3)))
    torch.testing.assert_close(one.nodes, two.nodes)
    torch.testing.assert_close(one.pairs, two.pairs)


def test_order_of_clusters_does_not_matter():
    g, net = graph(9, 20), network()
    order = torch.randperm(9)
    place = torch.argsort(order)
    one, two = net(g), net(Graph(g.nodes[order], place[g.ends], g.pairs))
    torch.testing.assert_close(one.nodes[order], two.nodes)
    torch.testing.assert_close(one.pairs, two.pairs)


def test_joined_events_do_not_see_each_other():
    events, net = [graph(5, 8, 1), graph(1, 0, 2), graph(0, 0), graph(7, 12, 3)], network()
    joined, single = net(Graph.join(events)), [net(g) for g in events]
    torch.testing.assert_close(joined.nodes, torch.cat([o.nodes for o in single]))
    torch.testing.assert_close(joined.pairs, torch.cat([o.pairs for o in single]))


@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (2, 1), (3, 0)])
def test_hardly_any_clusters(n, m):
    output = network()(graph(n, m))
    assert output.nodes.shape == (n, 2)
    assert output.pairs.shape == (m,)
    assert torch.isfinite(output.nodes).all()


def test_every_parameter_gets_a_gradient():
    net = network().train()
    output = net(graph(9, 30))
    (output.nodes.square().sum() + output.pairs.square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_far_cluster_matters_through_rounds_of_messages():
    net = network()
    chain = Graph(torch.randn(4, NODE), torch.tensor([[0, 1, 2], [1, 2, 3]]), torch.randn(3, 10))
    nodes = chain.nodes.clone().requires_grad_()
    net(Graph(nodes, chain.ends, chain.pairs)).nodes[0].sum().backward()
    reached = nodes.grad.abs().sum(dim=1) > 0
    np.testing.assert_array_equal(reached.numpy(), [True, True, True, False])


def test_input_is_standardised_and_bounded():
    net, g = network(), graph(50, 80)
    g = Graph(g.nodes * 100 + 1000, g.ends, g.pairs)
    net.standardise(g)
    torch.testing.assert_close(net.node_mean, g.nodes.mean(dim=0))
    wild = Graph(g.nodes * 1e6, g.ends, g.pairs)
    assert net(wild).nodes.abs().max() < 100
