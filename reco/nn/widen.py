"""More channels for a network that has learnt: Net2WiderNet (arXiv:1511.05641).

A channel is copied, and what reads it shares its weight between the copies, in random parts so that
they learn apart from then on. The wider network answers as the narrow one did.
"""

import torch

from reco.nn.backbone import Backbone

READS_TWO = ("blocks.0.norm1", "blocks.0.conv1.weight", "blocks.0.shortcut.weight")
"""Parameters of a decoder that read what came up beside what was skipped."""


def widen(narrow: Backbone, wide: Backbone, generator: torch.Generator) -> None:
    """Fill `wide`, of the same levels and blocks and no fewer filters, from `narrow`.

    Before training both answer alike, but for rounding.
    """
    source = narrow.state_dict()
    for name, target in wide.state_dict().items():
        reads_two = name.startswith("unet.decoder.") and any(part in name for part in READS_TWO)
        target.copy_(_widened(source[name], target.shape, 2 if reads_two else 1, generator))


def _widened(
    weight: torch.Tensor, shape: torch.Size, sources: int, generator: torch.Generator
) -> torch.Tensor:
    """A tensor of `shape`: a convolution (K, in, out), a linear layer (out, in), or one value per
    channel; `in` are the channels of so many `sources` in a row."""
    if weight.dim() < 2:
        return weight if weight.dim() == 0 else weight[_copied(len(weight), shape[0], sources)]
    reads, gives = (1, 2) if weight.dim() == 3 else (1, 0)
    copies = _copied(weight.shape[reads], shape[reads], sources)
    result = weight.index_select(gives, _copied(weight.shape[gives], shape[gives], 1))
    share = torch.rand(shape, generator=generator)
    whole = torch.zeros(result.shape).index_add(reads, copies, share)
    return result.index_select(reads, copies) * share / whole.index_select(reads, copies)


def _copied(before: int, after: int, sources: int) -> torch.Tensor:
    """(after,) int64: the old channel that each new one is a copy of."""
    old, new = before // sources, after // sources
    return torch.cat([source * old + torch.arange(new) % old for source in range(sources)])
