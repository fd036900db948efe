"""A widened network answers as before, and its copies can learn apart."""

import pytest
import torch

from reco.nn.backbone import Backbone
from reco.nn.widen import widen

from .test_backbone import batch_of, event


@pytest.mark.parametrize("filters", [8, 12, 16, 27])
def test_the_answers_stay(filters: int):
    torch.manual_seed(0)
    narrow = Backbone(filters=8, levels=3, blocks=2, hidden=8)
    batch = batch_of(event(0, 300), event(1, 50, batch=1))
    narrow.train()(batch)  # running means and variances that are not the first ones
    wide = Backbone(filters=filters, levels=3, blocks=2, hidden=8)
    widen(narrow, wide, torch.Generator().manual_seed(1))
    before, after = narrow.eval()(batch), wide.eval()(batch)
    torch.testing.assert_close(after.semantic, before.semantic, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.affinity, before.affinity, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(after.features[:, :8], before.features, rtol=1e-3, atol=1e-4)


def test_copies_get_gradients_of_their_own():
    torch.manual_seed(0)
    wide = Backbone(filters=8, levels=3, blocks=1, hidden=8)
    widen(Backbone(filters=4, levels=3, blocks=1, hidden=8), wide, torch.Generator().manual_seed(1))
    wide.train()(batch_of(event(2, 200))).semantic.square().sum().backward()
    gradient = wide.unet.encoder[0].blocks[0].conv1.weight.grad
    assert (gradient[:, :, :4] - gradient[:, :, 4:]).abs().max() > 1e-3 * gradient.abs().max()
