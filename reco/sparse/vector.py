"""The two inner loops of sparse convolution, as LLVM vector code that numba inlines.

Both keep a block of `rows` x `vectors` registers of LANES floats and read scattered rows where
they lie. Gathering into a buffer and calling BLAS costs more than the arithmetic when a layer
has 16 to 96 channels; and BLAS rounds a row differently depending on how many rows there are,
whereas here a result row depends on nothing but its own pairs, in their order.

The loops are written as vector instructions because LLVM does not find this blocking by itself:
it would keep the block in memory. Arrays must be C-contiguous float32, indices int32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding  # type: ignore[import-untyped]
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class Blocking(NamedTuple):
    """Rows per block, for blocks of 1, 2 and 3 vectors, that fit the register file."""

    lanes: int
    multiply: tuple[int, int, int]
    outer: int


def _blocking() -> Blocking:
    if llvmlite.binding.get_host_cpu_features().get("avx512f", False):
        return Blocking(lanes=16, multiply=(12, 8, 8), outer=8)
    return Blocking(lanes=8, multiply=(12, 6, 4), outer=4)


BLOCKING = _blocking()
LANES = BLOCKING.lanes
AHEAD = 8
"""Pairs between asking for a row and reading it, in the weight gradient."""

_BYTE, _INT32, _INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)


class _Array:
    """Pointer arithmetic on a C-contiguous array inside generated code."""

    def __init__(self, context: Any, builder: Any, type_: Any, value: Any) -> None:
        array = context.make_array(type_)(context, builder, value)
        self.builder = builder
        self.data = array.data
        self.shape = cgutils.unpack_tuple(builder, array.shape)

    def at(self, *index: Any) -> Any:
        """Pointer to the element at `index`; missing trailing indices are 0."""
        position = index[0]
        for axis in range(1, len(self.shape)):
            position = self.builder.mul(position, self.shape[axis])
            if axis < len(index):
                position = self.builder.add(position, index[axis])
        return self.builder.gep(self.data, [position])

    def load(self, *index: Any) -> Any:
        """The int32 element at `index`, as int64."""
        return self.builder.sext(self.builder.load(self.at(*index)), _INT64)

    def prefetch(self, *index: Any) -> None:
        """Ask for the two cache lines at `index`: rows lie scattered, and L3 is far."""
        function = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), *[_INT32] * 3])
        prefetch = cgutils.get_or_insert_function(
            self.builder.module, function, "llvm.prefetch.p0i8"
        )
        start = self.builder.bitcast(self.at(*index), _BYTE.as_pointer())
        for line in (0, 64):
            address = self.builder.gep(start, [_INT64(line)])
            self.builder.call(prefetch, [address, _INT32(0), _INT32(3), _INT32(1)])


class _Block:
    """Sums in `rows` x `vectors` registers, zero at first."""

    def __init__(self, builder: Any, rows: int, vectors: int) -> None:
        self.builder = builder
        self.sums = [
            [cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(rows)
        ]
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        for row in self.sums:
            for total in row:
                builder.store(zero, total)

    def add_outer(self, scalars: list[Any], vector_pointer: Any) -> None:
        """sums[r][v] += value at scalars[r] * v-th vector at vector_pointer."""
        b = self.builder
        function = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        fma = cgutils.get_or_insert_function(b.module, function, f"llvm.fmuladd.v{LANES}f32")
        vectors = [_load(b, self._step(vector_pointer, v)) for v in range(len(self.sums[0]))]
        for pointer, row in zip(scalars, self.sums, strict=True):
            scalar = _broadcast(b, b.load(pointer))
            for vector, total in zip(vectors, row, strict=True):
                b.store(b.call(fma, [scalar, vector, b.load(total)]), total)

    def flush(self, row: int, pointer: Any) -> None:
        """Add the sums of one row to memory."""
        for v, total in enumerate(self.sums[row]):
            target = self._step(pointer, v)
            value = self.builder.fadd(_load(self.builder, target), self.builder.load(total))
            _store(self.builder, value, target)

    def _step(self, pointer: Any, vectors: int) -> Any:
        return self.builder.gep(pointer, [_INT64(vectors * LANES)])


def _load(builder: Any, pointer: Any) -> Any:
    value = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    instruction = builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()))
    instruction.align = 4


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    index = ir.IntType(32)
    single = builder.insert_element(undefined, scalar, index(0))
    zeros = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
    return builder.shuffle_vector(single, undefined, zeros)


def _unwrap(context: Any, builder: Any, signature: Any, values: Any) -> list[Any]:
    return [
        value if isinstance(type_, types.Integer) else _Array(context, builder, type_, value)
        for type_, value in zip(signature.args, values, strict=True)
    ]


def multiply_block(rows: int, vectors: int) -> Callable[..., None]:
    """Compiled f(x, sources, targets, first, valid, weight, k, column, out).

    For the `valid` <= rows pairs from `first` on, and `vectors` * LANES columns from `column` on:
    out[target] += x[source] @ weight[k]. The targets must differ from each other.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x, sources, targets, first, valid, weight, k, column, out = _unwrap(
            context, builder, signature, values
        )
        block = _Block(builder, rows, vectors)
        last = builder.sub(valid, _INT64(1))
        is_valid = [builder.icmp_signed("<", _INT64(r), valid) for r in range(rows)]
        # Rows past the last repeat it, and are not written: a branch per row would cost more.
        repeated = [builder.select(ok, _INT64(r), last) for r, ok in enumerate(is_valid)]
        inputs = [x.at(sources.load(builder.add(first, r))) for r in repeated]
        end = builder.sub(sources.shape[0], _INT64(1))
        for r in range(rows, 2 * rows):
            x.prefetch(sources.load(_smaller(builder, builder.add(first, _INT64(r)), end)))
        with cgutils.for_range(builder, x.shape[1]) as loop:
            scalars = [builder.gep(row, [loop.index]) for row in inputs]
            block.add_outer(scalars, weight.at(k, loop.index, column))
        for r, ok in enumerate(is_valid):
            with builder.if_then(ok):
                block.flush(r, out.at(targets.load(builder.add(first, _INT64(r))), column))
        return context.get_dummy_value()

    @intrinsic
    def multiply(_, x, sources, targets, first, valid, weight, k, column, out):  # type: ignore[no-untyped-def]
        n = types.int64
        return types.void(x, sources, targets, n, n, weight, n, n, out), generate

    return multiply


def outer_block(rows: int, vectors: int) -> Callable[..., None]:
    """Compiled f(x, gradient, sources, targets, first, stop, k, row, column, out).

    Over the pairs first to stop, for `rows` rows from `row` on and `vectors` * LANES columns
    from `column` on: out[k] += outer product of x[source] and gradient[target].
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x, gradient, sources, targets, first, stop, k, row, column, out = _unwrap(
            context, builder, signature, values
        )
        block = _Block(builder, rows, vectors)
        last = builder.sub(stop, _INT64(1))
        with cgutils.for_range(builder, stop, start=first) as loop:
            ahead = _smaller(builder, builder.add(loop.index, _INT64(AHEAD)), last)
            x.prefetch(sources.load(ahead), row)
            gradient.prefetch(targets.load(ahead), column)
            start = x.at(sources.load(loop.index), row)
            scalars = [builder.gep(start, [_INT64(r)]) for r in range(rows)]
            block.add_outer(scalars, gradient.at(targets.load(loop.index), column))
        for r in range(rows):
            block.flush(r, out.at(k, builder.add(row, _INT64(r)), column))
        return context.get_dummy_value()

    @intrinsic
    def outer(_, x, gradient, sources, targets, first, stop, k, row, column, out):  # type: ignore[no-untyped-def]
        n = types.int64
        return types.void(x, gradient, sources, targets, n, n, n, n, n, out), generate

    return outer


@intrinsic
def next_task(_, counter):  # type: ignore[no-untyped-def]
    """The value of counter[0], an int64, which grows by one: each value goes to one thread."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (array,) = _unwrap(context, builder, signature, values)
        return builder.atomic_rmw("add", array.data, _INT64(1), "monotonic")

    return types.int64(counter), generate
