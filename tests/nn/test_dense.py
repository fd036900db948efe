import pytest
import torch

from reco.errors import InputError
from reco.nn.dense import Dense, TwoLayers, gathered

SIZES = [(0, 5, 3), (1, 64, 64), (7, 43, 64), (64, 16, 33), (200, 192, 70)]


def parts(n, inputs, outputs):
    torch.manual_seed(3)
    layer, norm = Dense(inputs, outputs), torch.nn.LayerNorm(inputs)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    table, rows = torch.randn(9, outputs), torch.randint(0, 9, (n,))
    return layer, norm, 3 + torch.randn(n, inputs), table, rows, torch.randn(n, outputs)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_compiled_layer_is_what_its_parts_are_in_double_precision(size, relu):
    layer, norm, x, table, rows, same = parts(*size)
    with torch.inference_mode():
        found = layer(x, norm, ((table, rows), (same, None)), relu)
        plain = layer(x)
        wanted = layer.double()(norm.double()(x.double())) + table.double()[rows] + same.double()
    wanted = wanted.relu() if relu else wanted
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(plain.double(), layer(x.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES[1:])
def test_layer_in_training_answers_as_at_inference(size):
    layer, norm, x, table, rows, same = parts(*size)
    arguments = (x, norm, ((table, rows), (same, None)), True)
    with torch.inference_mode():
        found = layer(*arguments)
    torch.testing.assert_close(found, layer(*arguments), rtol=1e-5, atol=2e-5)


def test_row_does_not_depend_on_the_others():
    layer, norm, x, *_ = parts(150, 43, 64)
    with torch.inference_mode():
        whole, some = layer(x, norm), layer(x[70:81], norm)
    assert torch.equal(whole[70:81], some)


def test_changed_weights_are_seen():
    layers, x = TwoLayers(4, 8, 2), torch.randn(3, 4)
    with torch.no_grad():
        before = layers(x)
        layers[2].bias += 1
        torch.testing.assert_close(layers(x), before + 1)


def test_what_is_not_a_number_stays_so():
    layer, x = Dense(4, 4), torch.full((2, 4), float("nan"))
    with torch.inference_mode():
        assert layer(x, relu=True).isnan().all()


@pytest.mark.parametrize(("n", "edges"), [(0, 0), (3, 0), (1, 5), (20, 50)])
def test_gathered_messages(n, edges):
    torch.manual_seed(1)
    message, target = torch.randn(edges, 6), torch.randint(0, max(n, 1), (edges,))
    learning = gathered(message, target, n)
    with torch.inference_mode():
        mean, most = gathered(message, target, n)
    for i in range(n):
        own = message[target == i]
        wanted = (own.mean(0), own.amax(0)) if len(own) else (torch.zeros(6),) * 2
        torch.testing.assert_close((mean[i], most[i]), wanted)
    torch.testing.assert_close((mean, most), learning)


def test_shapes_that_do_not_fit_are_refused():
    layer, x = Dense(4, 4), torch.zeros(3, 4)
    table, rows = torch.zeros(2, 4), torch.tensor([0, 1, 1])
    with torch.inference_mode():
        for wrong in (
            lambda: layer(torch.zeros(3, 7)),
            lambda: layer(x, plus=((table, None),)),
            lambda: layer(x, plus=((table, torch.tensor([0, 1, 2])),)),
            lambda: layer(x, plus=((torch.zeros(2, 5), rows),)),
            lambda: gathered(x, torch.tensor([0, 1, 5]), 2),
            lambda: gathered(x, torch.tensor([0, -1, 1]), 2),
        ):
            with pytest.raises(InputError, match=r"expected|outside"):
                wrong()
        assert layer(x, plus=((table, rows),)).shape == (3, 4)
