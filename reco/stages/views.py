"""One event, looked at from several sides: what the backbone says, averaged.

The physics has no preferred side, but a network that has learnt from so many events has, and its
coarse grids lie differently in each view. What changes with the view is noise, and averages out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from reco.data.ragged import Array
from reco.nn.backbone import N_AFFINITIES, Backbone, BackboneInput, BackboneOutput
from reco.ops.neighbours import OFFSETS
from reco.ops.symmetry import IDENTITY, Symmetry
from reco.sparse import build_pyramid
from reco.sparse.tensor import lexicographic_order


def _view(axes: tuple[int, int, int], sign: tuple[int, int, int], shift: int) -> Symmetry:
    return Symmetry(np.array(axes), np.array(sign), np.array([shift, shift - 1, shift + 1]))


VIEWS = (
    IDENTITY,
    _view((0, 1, 2), (-1, -1, -1), 16),
    _view((1, 2, 0), (1, -1, -1), 5),
    _view((2, 0, 1), (-1, 1, 1), 10),
    _view((0, 2, 1), (1, -1, 1), 27),
    _view((1, 0, 2), (-1, 1, -1), 21),
    _view((2, 1, 0), (1, 1, -1), 14),
    _view((1, 2, 0), (-1, 1, 1), 30),
)
"""Any first few of them differ in direction, and in where the coarse grids lie."""

AT_ONCE = 100_000
"""Voxels that go through the network together, unless one view has more."""


@dataclass(frozen=True)
class Opinion(BackboneOutput):
    """What a network says of the N voxels of one event: probabilities where its output has
    logits."""


def opinion(
    net: Backbone, index: Array, features: torch.Tensor, views: Sequence[Symmetry]
) -> Opinion:
    """Mean over the views. index: (N, 3) sorted voxels. features: (N, C), on the network's device.

    Offsets to a point count by the score that there is one.
    """
    at_once = max(1, AT_ONCE // max(len(index), 1))
    mean: Opinion | None = None
    for first in range(0, len(views), at_once):
        seen = look(net, index, features, views[first : first + at_once])
        for n, other in enumerate(seen, start=first):
            mean = other if mean is None else _joined(mean, n, other)
    assert mean is not None, "at least one view"
    return mean


def _joined(mean: Opinion, n: int, other: Opinion) -> Opinion:
    """The mean of n views and one more."""
    parts = {k: torch.lerp(a, getattr(other, k), 1 / (n + 1)) for k, a in vars(mean).items()}
    share = other.point_score / ((n + 1) * parts["point_score"]).clamp_min(1e-6)
    parts["point_offset"] = torch.lerp(mean.point_offset, other.point_offset, share[:, None])
    return Opinion(**parts)


def look(
    net: Backbone, index: Array, features: torch.Tensor, views: Sequence[Symmetry]
) -> list[Opinion]:
    """As `opinion`, each view; rows and directions are those of the event. The network takes them
    as the events of one batch."""
    turned = [np.insert(view.index(index), 0, i, axis=1) for i, view in enumerate(views)]
    orders = [lexicographic_order(coordinates) for coordinates in turned]
    coordinates = np.concatenate([c[order] for c, order in zip(turned, orders, strict=True)])
    pyramid = build_pyramid(coordinates, net.levels)
    device = features.device
    rows = torch.from_numpy(np.concatenate(orders)).to(device)
    out = net(BackboneInput(features[rows], pyramid))
    table = torch.from_numpy(pyramid.same[0].table).to(device)
    seen = []
    for i, (view, order) in enumerate(zip(views, orders, strict=True)):
        place = torch.from_numpy(np.argsort(order) + i * len(index)).to(device)
        seen.append(_seen(out, place, table[:, place], view))
    return seen


def _seen(out: BackboneOutput, place: torch.Tensor, table: torch.Tensor, view: Symmetry) -> Opinion:
    """place: (N,) row in the network's output of each voxel. table: (27, N) of its neighbours."""
    return Opinion(
        _shares(out.semantic[place]),
        out.features[place],
        out.point_score[place].sigmoid(),
        _turned_back(out.point_offset[place], view),
        _shares(out.point_type[place]),
        _links(out.affinity, place, table, view).sigmoid(),
    )


def _shares(logits: torch.Tensor) -> torch.Tensor:
    """Softmax of (N, 5) over the columns, in a fifth of torch's time row by row; over the rows of
    a transpose its bits would depend on the number of threads."""
    above = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return above / above.sum(dim=1, keepdim=True)


def _turned_back(offset: torch.Tensor, view: Symmetry) -> torch.Tensor:
    """(N, 3) steps in the view -> in the event."""
    back = np.argsort(view.axes)
    sign = torch.from_numpy(view.sign).to(offset)
    return (offset * sign)[:, torch.from_numpy(back).to(offset.device)]


def _links(
    affinity: torch.Tensor, place: torch.Tensor, table: torch.Tensor, view: Symmetry
) -> torch.Tensor:
    """(R, 13) of the view's first 13 neighbours -> (N, 13) of those that are the event's.

    What is the other half in the view is known from the neighbour's side. Entries of neighbours
    that do not exist mean nothing.
    """
    columns = []
    for k in ((view.turn(OFFSETS[:N_AFFINITIES]) + 1) @ (9, 3, 1)).tolist():
        known = k < N_AFFINITIES
        columns.append(affinity[place, k] if known else affinity[table[k].long(), 26 - k])
    return torch.stack(columns, dim=1)
