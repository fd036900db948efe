"""Linear layers over the rows of small tables, and sums over them, as compiled code for inference.

A table of some thousand rows by 64 channels is too little for a BLAS that does one layer at a time:
what comes before and after the product costs as much. Here a few rows at a time pass through all of
it in cache, and no row's result depends on another's.
"""

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn
from torch.nn import functional as F

from reco.data.ragged import Array
from reco.errors import InputError
from reco.sparse.cache import Cache
from reco.sparse.vector import BLOCKING, LANES, multiply_block

ROWS = 64
"""That pass together: they and a layer's weights stay in cache."""

Added = tuple[Tensor, Tensor | None]
"""(T, C_out) and the (N,) rows of it that are added to each result; None: (N, C_out) as it is."""


class Dense(nn.Linear):
    """nn.Linear with what comes before and after it."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self._cache = Cache()

    def forward(
        self,
        input: Tensor,
        norm: nn.LayerNorm | None = None,
        plus: tuple[Added, ...] = (),
        relu: bool = False,
    ) -> Tensor:
        """(N, C_in) -> (N, C_out): relu(linear(norm(input)) + plus), at most two tables.

        Raises InputError where `input` has other columns, or `plus` other columns or rows.
        """
        if compiled(input):
            return self._compiled(input, norm, plus, relu)
        out = super().forward(input if norm is None else norm(input))
        for table, rows in plus:
            out = out + (table if rows is None else table.index_select(0, rows))
        return torch.relu(out) if relu else out

    def _compiled(
        self, x: Tensor, norm: nn.LayerNorm | None, plus: tuple[Added, ...], relu: bool
    ) -> Tensor:
        self._check(x, plus)
        sources = (*self.parameters(), *(() if norm is None else norm.parameters()))
        packed = self._cache.get(sources, lambda: _packed(self, norm))
        first, second = ([_arrays(*added) for added in plus] + [_NOTHING] * 2)[:2]
        out = torch.empty(len(x), self.out_features)
        places = np.arange(max(ROWS, len(x)), dtype=np.int32)
        _dense(x.contiguous().numpy(), places, *packed, *first, *second, relu, out.numpy())
        return out

    def _check(self, x: Tensor, plus: tuple[Added, ...]) -> None:
        """The compiled code would read what lies beside the arrays."""
        if x.ndim != 2 or x.shape[1] != self.in_features:
            raise InputError(f"input: shape {tuple(x.shape)}, expected (N, {self.in_features})")
        for table, rows in plus:
            n = len(table if rows is None else rows)
            if n != len(x) or table.shape[1:] != (self.out_features,):
                raise InputError(
                    f"plus: {n} rows of a table {tuple(table.shape)}, expected {len(x)} of "
                    f"(T, {self.out_features})"
                )
            if rows is not None and not _rows_of(rows, len(table)):
                raise InputError(f"plus: rows outside the {len(table)} of the table")


class TwoLayers(nn.Sequential):
    """Two linear layers with a ReLU between them."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__(Dense(inputs, width), nn.ReLU(), Dense(width, outputs))

    def forward(
        self,
        input: Tensor,
        norm: nn.LayerNorm | None = None,
        plus: tuple[Added, ...] = (),
    ) -> Tensor:
        """norm: of what goes in. plus: to what comes out."""
        hidden = self[0](input, norm, relu=True)
        out: Tensor = self[2](hidden, plus=plus)
        return out


def gathered(message: Tensor, target: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(n, W) mean and maximum of the messages (E, W) to each target (E,), zero for none."""
    if compiled(message):
        if len(target) != len(message) or not _rows_of(target, n):
            raise InputError(f"target: expected {len(message)} rows of {n}")
        mean, most = torch.zeros(n, message.shape[1]), torch.zeros(n, message.shape[1])
        _gather(message.contiguous().numpy(), target.numpy(), mean.numpy(), most.numpy())
        return mean, most
    nothing = message.new_zeros(n, message.shape[1])
    index = target[:, None].expand_as(message)
    count = torch.bincount(target, minlength=n).clamp_min(1)
    mean = nothing.scatter_add(0, index, message) / count[:, None]
    return mean, nothing.scatter_reduce(0, index, message, "amax", include_self=False)


def _rows_of(rows: Tensor, n: int) -> bool:
    return len(rows) == 0 or bool(rows.min() >= 0 and rows.max() < n)


def compiled(values: Tensor) -> bool:
    """Whether the compiled code takes them: at inference, float32 on the CPU."""
    plain = values.dtype == torch.float32 and values.device.type == "cpu"
    return plain and not torch.is_grad_enabled()


class _Packed(NamedTuple):
    """weight: (blocks of columns, C_in, columns), flat. bias: (C_out,). epsilon: of the norm, whose
    scale and shift are in weight and bias; negative for none."""

    weight: Array
    bias: Array
    epsilon: float


def _packed(layer: nn.Linear, norm: nn.LayerNorm | None) -> _Packed:
    weight = layer.weight.detach().T
    bias = weight.new_zeros(weight.shape[1]) if layer.bias is None else layer.bias.detach()
    if norm is not None:
        bias = bias + norm.bias.detach() @ weight
        weight = weight * norm.weight.detach()[:, None]
    padded = F.pad(weight, (0, -weight.shape[1] % _WIDTH)).numpy()
    blocks = padded.reshape(len(padded), -1, _WIDTH).transpose(1, 0, 2)
    return _Packed(blocks.reshape(-1), bias.numpy(), -1.0 if norm is None else norm.eps)


_NOTHING = np.empty(0, np.float32), np.empty(0, np.int64)


def _arrays(table: Tensor, rows: Tensor | None) -> tuple[Array, Array]:
    return table.numpy().reshape(-1), _NOTHING[1] if rows is None else rows.numpy()


_WIDTH = 2 * LANES
"""Columns of a block of the weight."""
_BLOCK_ROWS = BLOCKING.multiply[1]
_multiply = multiply_block(_BLOCK_ROWS, 2)
_FAST = {"reassoc", "nsz", "contract"}


@njit(cache=True, nogil=True)
def _dense(x, places, weight, bias, epsilon, a, of_a, b, of_b, relu, out):  # type: ignore[no-untyped-def]
    channels, columns = x.shape[1], out.shape[1]
    tile, sums = np.empty((ROWS, channels), np.float32), np.empty((ROWS, _WIDTH), np.float32)
    total, result, with_a, with_b = sums.reshape(-1), out.reshape(-1), len(a) > 0, len(b) > 0
    floor = np.float32(0 if relu else -np.inf)
    for first in range(0, len(x), ROWS):
        rows, source, base = min(ROWS, len(x) - first), x, first
        if epsilon >= 0:
            source, base = tile, 0
            _normalise(x, first, rows, epsilon, tile)
        for begin in range(0, columns, _WIDTH):
            # unsigned: an index that may be negative would keep these loops from being vectors
            some, start = np.uint64(min(_WIDTH, columns - begin)), np.uint64(begin)
            for r in range(rows):
                i, to = first + r, np.uint64(r * _WIDTH)
                of = np.uint64((of_a[i] if len(of_a) else i) * columns + begin)
                for c in range(some):
                    total[to + c] = bias[start + c]
                if with_a:
                    for c in range(some):
                        total[to + c] += a[of + c]
                if with_b:
                    of = np.uint64((of_b[i] if len(of_b) else i) * columns + begin)
                    for c in range(some):
                        total[to + c] += b[of + c]
            for r in range(0, rows, _BLOCK_ROWS):
                valid, w = min(_BLOCK_ROWS, rows - r), begin * channels
                _multiply(
                    source, places[base:], places, r, valid, rows, 1, weight, w, _WIDTH, w, sums
                )
            for r in range(rows):
                of, to = np.uint64(r * _WIDTH), np.uint64((first + r) * columns + begin)
                for c in range(some):
                    result[to + c] = floor if total[of + c] < floor else total[of + c]


@njit(cache=True, nogil=True, fastmath=_FAST, error_model="numpy")
def _normalise(x, first, rows, epsilon, tile):  # type: ignore[no-untyped-def]
    channels = np.float32(x.shape[1])
    for r in range(rows):
        mean, square = np.float32(0), np.float32(0)
        for c in range(x.shape[1]):
            mean += x[first + r, c]
        mean /= channels
        for c in range(x.shape[1]):
            square += (x[first + r, c] - mean) * (x[first + r, c] - mean)
        scale = 1 / np.sqrt(square / channels + np.float32(epsilon))
        for c in range(x.shape[1]):
            tile[r, c] = (x[first + r, c] - mean) * scale


@njit(cache=True, nogil=True)
def _gather(message, target, mean, most):  # type: ignore[no-untyped-def]
    count = np.zeros(len(mean), np.int64)
    for e in range(len(message)):
        i = target[e]
        for c in range(message.shape[1]):
            value = message[e, c]
            mean[i, c] += value
            most[i, c] = value if count[i] == 0 else max(most[i, c], value)
        count[i] += 1
    for i in range(len(mean)):
        for c in range(mean.shape[1]):
            mean[i, c] /= np.float32(max(count[i], 1))
