"""More channels for a backbone that has learnt: Net2WiderNet (arXiv:1511.05641).

A channel is copied, and what reads it shares its weight between the copies, in random parts so that
they learn apart from then on. The wider network answers as the narrow one did.
"""

from collections.abc import Sequence

import torch

from reco.nn.backbone import Backbone
from reco.nn.graph import GraphNet

Block = tuple[int, int]
"""Channels of one source, before and after."""

READS_TWO = ("blocks.0.norm1", "blocks.0.conv1.weight", "blocks.0.shortcut.weight")
"""Parameters of a decoder that read what came up beside what was skipped."""


def widen_backbone(narrow: Backbone, wide: Backbone, generator: torch.Generator) -> None:
    """Fill `wide`, of the same levels and blocks and no fewer filters, from `narrow`."""
    source = narrow.state_dict()
    for name, target in wide.state_dict().items():
        reads_two = name.startswith("unet.decoder.") and any(part in name for part in READS_TWO)
        target.copy_(_widened(source[name], target.shape, 2 if reads_two else 1, generator))


def _widened(
    weight: torch.Tensor, shape: torch.Size, sources: int, generator: torch.Generator
) -> torch.Tensor:
    """A tensor of `shape`: a convolution (K, in, out), a linear layer (out, in), or one value per
    channel; `in` are the channels of so many `sources` in a row."""
    if weight.dim() == 0:
        return weight
    reads, gives = {1: (0, 0), 2: (1, 0), 3: (1, 2)}[weight.dim()]
    blocks = [(weight.shape[reads] // sources, shape[reads] // sources)] * sources
    if weight.dim() == 1:
        return weight[_copied(blocks)]
    given = weight.index_select(gives, _copied([(weight.shape[gives], shape[gives])]))
    return _shared(given, reads, blocks, generator)


def widen_input(
    narrow: GraphNet, wide: GraphNet, own: int, block: Block, generator: torch.Generator
) -> None:
    """Fill `wide` from `narrow`: the nodes' features are `own` ones, mean and largest of the
    backbone's, which are more now, and some others."""
    state = dict(narrow.state_dict())
    others = len(narrow.node_mean) - own - 2 * block[0]
    blocks = [(own, own), block, block, (others, others)]
    for name in ("node_mean", "node_width"):
        state[name] = state[name][_copied(blocks)]
    state["node_in.0.weight"] = _shared(state["node_in.0.weight"], 1, blocks, generator)
    wide.load_state_dict(state)


def _shared(
    weight: torch.Tensor, axis: int, blocks: Sequence[Block], generator: torch.Generator
) -> torch.Tensor:
    """The weight of each channel of an axis, in random parts for its copies."""
    copies = _copied(blocks)
    result = weight.index_select(axis, copies)
    part = 0.5 + torch.rand(result.shape, generator=generator)  # never zero of zero
    whole = torch.zeros(weight.shape).index_add(axis, copies, part)
    return result * part / whole.index_select(axis, copies)


def _copied(blocks: Sequence[Block]) -> torch.Tensor:
    """int64: for each new channel of the blocks in a row, the old one that it is a copy of."""
    first, rows = 0, []
    for before, after in blocks:
        rows.append(first + torch.arange(after) % max(before, 1))
        first += before
    return torch.cat(rows)
