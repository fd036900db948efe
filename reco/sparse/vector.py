"""The inner loops of sparse convolution, as LLVM vector code that numba inlines.

Those over pairs keep a block of `rows` x `vectors` registers of LANES floats and read scattered
rows where they lie. Gathering into a buffer and calling BLAS costs more than the arithmetic when a
layer has 16 to 96 channels; and BLAS rounds a row differently depending on how many rows there are,
whereas here a result row depends on nothing but its own pairs, in their order.

The loops are written as vector instructions because LLVM does not find this blocking by itself:
it would keep the block in memory. Arrays must be C-contiguous float32, indices int32.

Where the processor multiplies pairs of bfloat16 (avx512_bf16), features and weights may be such
pairs: an int32 holds an even channel and the next one. Sums are float32 all the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding  # type: ignore[import-untyped]
import torch
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


class Blocking(NamedTuple):
    """Rows per block, for blocks of 1, 2 and 3 vectors, that fit the register file."""

    lanes: int
    multiply: tuple[int, int, int]
    outer: int


def _blocking() -> Blocking:
    if _FEATURES.get("avx512f", False):
        return Blocking(lanes=16, multiply=(8, 8, 8), outer=8)
    return Blocking(lanes=8, multiply=(12, 6, 4), outer=4)


_FEATURES = llvmlite.binding.get_host_cpu_features()
BLOCKING = _blocking()
LANES = BLOCKING.lanes
_COMPILES_FOR_HOST = config.CPU_NAME in (None, "host") and not config.CPU_FEATURES
HAS_BFLOAT16 = LANES == 16 and _COMPILES_FOR_HOST and bool(_FEATURES.get("avx512bf16", False))
"""Whether the processor multiplies pairs of bfloat16, and numba may use all that it has."""
LINE = 16
"""Floats or int32 in a cache line."""
AHEAD = 8
"""Pairs between asking for a row and reading it in the weight gradient, rows in `finish_row`."""

_BYTE, _INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_NARROWER = [ir.VectorType(ir.FloatType(), 8)] if LANES == 16 else []
"""For what is left of a row where its width is not a multiple of LANES."""


def lowered(device: torch.device) -> bool:
    """Whether inference on this device is under autocast to a bfloat16 that the processor has."""
    return (
        HAS_BFLOAT16
        and torch.is_autocast_enabled("cpu")
        and device.type == "cpu"
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not torch.is_grad_enabled()
    )


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

    def prefetch(
        self, *index: Any, lines: int = 2, second: bool = False, write: bool = False
    ) -> None:
        """Ask for cache lines from `index` on; to the second cache alone, or to be written."""
        function = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), *[_INT32] * 3])
        prefetch = cgutils.get_or_insert_function(
            self.builder.module, function, "llvm.prefetch.p0i8"
        )
        start = self.builder.bitcast(self.at(*index), _BYTE.as_pointer())
        for line in range(lines):
            address = self.builder.gep(start, [_INT64(64 * line)])
            how = (_INT32(int(write)), _INT32(2 if second else 3), _INT32(1))
            self.builder.call(prefetch, [address, *how])


class _Block:
    """Sums in `rows` x `vectors` registers, zero at first."""

    def __init__(self, builder: Any, rows: int, vectors: int) -> None:
        self.builder = builder
        self.sums = [
            [cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(rows)
        ]
        for row in self.sums:
            for total in row:
                builder.store(_constant(_VECTOR, 0.0), total)

    def read(self, row: int, pointer: Any) -> None:
        """Go on from the sums in memory."""
        for v, total in enumerate(self.sums[row]):
            self.builder.store(_load(self.builder, self._step(pointer, v), _VECTOR), total)

    def write(self, row: int, pointer: Any) -> None:
        for v, total in enumerate(self.sums[row]):
            _store(self.builder, self.builder.load(total), self._step(pointer, v))

    def add_outer(self, scalars: list[Any], vector_pointer: Any) -> None:
        """sums[r][v] += value at scalars[r] * v-th vector at vector_pointer."""
        b = self.builder
        kind = ir.VectorType(vector_pointer.type.pointee, LANES)
        vectors = [_load(b, self._step(vector_pointer, v), kind) for v in range(len(self.sums[0]))]
        for pointer, row in zip(scalars, self.sums, strict=True):
            scalar = _broadcast(b, b.load(pointer), kind)
            for vector, total in zip(vectors, row, strict=True):
                b.store(_multiply_add(b, scalar, vector, b.load(total)), total)

    def flush(self, row: int, pointer: Any) -> None:
        """Add the sums of one row to memory."""
        for v, total in enumerate(self.sums[row]):
            target = self._step(pointer, v)
            value = _load(self.builder, target, _VECTOR)
            value = self.builder.fadd(value, self.builder.load(total))
            _store(self.builder, value, target)

    def _step(self, pointer: Any, vectors: int) -> Any:
        return self.builder.gep(pointer, [_INT64(vectors * LANES)])


class _BFloat(ir.Type):
    """The bfloat16 of LLVM, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _multiply_add(builder: Any, a: Any, b: Any, total: Any) -> Any:
    """total + a * b, lane by lane; of the two bfloat16 that a lane holds where it is an int32."""
    if a.type == _VECTOR:
        kind, name = _VECTOR, f"llvm.fmuladd.v{LANES}f32"
        arguments = [a, b, total]
        function = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    else:
        kind, name = ir.VectorType(_BFloat(), 2 * LANES), "llvm.x86.avx512bf16.dpbf16ps.512"
        arguments = [total, builder.bitcast(a, kind), builder.bitcast(b, kind)]
        function = ir.FunctionType(_VECTOR, [_VECTOR, kind, kind])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, pointer: Any) -> None:
    instruction = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    instruction.align = 2 if pointer.type.pointee == _INT16 else 4


def _store_as(builder: Any, value: Any, pointer: Any) -> None:
    """Store floats; where the pointer is to int16, the bits of the nearest bfloat16."""
    if pointer.type.pointee == _INT16:
        value = _nearest_bfloat16(builder, value)
    _store(builder, value, pointer)


def _nearest_bfloat16(builder: Any, value: Any) -> Any:
    """Ties to even and one NaN, as torch rounds; a float or a vector of them.

    In integers: where the processor cannot, LLVM calls a function that numba does not have.
    """
    wide, narrow = _INT32, _INT16
    if isinstance(value.type, ir.VectorType):
        wide, narrow = (ir.VectorType(t, value.type.count) for t in (_INT32, _INT16))
    half, one, shift, nan = (_constant(wide, n) for n in (0x7FFF, 1, 16, 0x7FC0))
    bits = builder.bitcast(value, wide)
    odd = builder.and_(builder.lshr(bits, shift), one)
    rounded = builder.lshr(builder.add(builder.add(bits, half), odd), shift)
    unordered = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(unordered, nan, rounded), narrow)


def _constant(kind: Any, number: float) -> Any:
    vector = isinstance(kind, ir.VectorType)
    return ir.Constant(kind, [number] * kind.count if vector else number)


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _broadcast(builder: Any, scalar: Any, kind: Any) -> Any:
    if not isinstance(kind, ir.VectorType):
        return scalar
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, scalar, _INT32(0))
    zeros = _constant(ir.VectorType(_INT32, kind.count), 0)
    return builder.shuffle_vector(single, undefined, zeros)


def _unwrap(context: Any, builder: Any, signature: Any, values: Any) -> list[Any]:
    return [
        _Array(context, builder, type_, value) if isinstance(type_, types.Array) else value
        for type_, value in zip(signature.args, values, strict=True)
    ]


def multiply_block(rows: int, vectors: int) -> Callable[..., None]:
    """Compiled f(x, sources, targets, first, valid, end, length, weight, start, step, ahead, sums).

    For the `valid` <= rows entries from `first` on, and `vectors` * LANES columns:
    sums[target] += x[source : source + length], as one vector, @ w, where row c of w is at
    weight[start + c * step:]. The targets must differ from each other. A sum goes on where it
    stopped: the products are added one by one, in their order, however they are called for.
    end: of the entries whose rows may be asked for beforehand; ahead: where in weight to do so.
    x, weight: float32, or int32 that hold two bfloat16 each, of an even channel and of the next;
    sums: float32.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        x, sources, targets, first, valid, end, length, weight, start, step, ahead, sums = _unwrap(
            context, builder, signature, values
        )
        b, block = builder, _Block(builder, rows, vectors)
        last = b.sub(valid, _INT64(1))
        # Rows past the last repeat it, to the same result: a branch per row would cost more.
        places = [b.add(first, _smaller(b, _INT64(r), last)) for r in range(rows)]
        inputs = [x.at(sources.load(place)) for place in places]
        results = [sums.at(targets.load(place)) for place in places]
        for r, pointer in enumerate(results):
            block.read(r, pointer)
        end = b.sub(end, _INT64(1))
        for r in range(rows, 2 * rows):
            x.prefetch(sources.load(_smaller(b, b.add(first, _INT64(r)), end)))
        with cgutils.for_range(b, b.mul(length, x.shape[1])) as loop:
            scalars = [b.gep(row, [loop.index]) for row in inputs]
            place = b.add(start, b.mul(loop.index, step))
            block.add_outer(scalars, weight.at(place))
            line = b.mul(loop.index, _INT64(LINE))
            weight.prefetch(b.add(ahead, line), lines=1, second=True)
        for r, pointer in enumerate(results):
            block.write(r, pointer)
        return context.get_dummy_value()

    @intrinsic
    def multiply(  # type: ignore[no-untyped-def]
        _, x, sources, targets, first, valid, end, length, weight, start, step, ahead, sums
    ):
        n = types.int64
        return types.void(x, sources, targets, n, n, n, n, weight, n, n, n, sums), generate

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
def finish_row(_, sums, i, begin, end, out, activated, row, scale, shift, slope, plus):  # type: ignore[no-untyped-def]
    """What follows a convolution, for columns begin to end; sums[i] has them from its start on.

    x = sums + plus goes to out[row], leaky_relu(x * scale + shift, slope) to activated[row], each
    where the array is not empty; without plus or scale, where these are empty. activated: float32,
    or int16, the bits of a bfloat16.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        sums, i, begin, end, out, activated, row, scale, shift, slope, plus = _unwrap(
            context, builder, signature, values
        )
        b = builder
        asked = (out, activated, scale, plus)
        given = {a: b.icmp_signed(">", a.shape[0], _INT64(0)) for a in asked}
        start = begin
        later = b.add(row, _INT64(AHEAD))
        plus.prefetch(later, begin, lines=3)
        for written in (out, activated):
            written.prefetch(later, begin, lines=3, write=True)
        for kind in (_VECTOR, *_NARROWER, ir.FloatType()):
            lanes = _INT64(kind.count if isinstance(kind, ir.VectorType) else 1)
            value, leak = cgutils.alloca_once(b, kind), _broadcast(b, slope, kind)
            stop = b.add(start, b.mul(b.sdiv(b.sub(end, start), lanes), lanes))
            with cgutils.for_range_slice(b, start, stop, lanes, inc=True) as (place, _):
                b.store(_load(b, sums.at(i, b.sub(place, begin)), kind), value)
                with b.if_then(given[plus]):
                    b.store(b.fadd(b.load(value), _load(b, plus.at(row, place), kind)), value)
                with b.if_then(given[out]):
                    _store(b, b.load(value), out.at(row, place))
                with b.if_then(given[scale]):
                    z = b.fmul(b.load(value), _load(b, scale.at(place), kind))
                    z = b.fadd(z, _load(b, shift.at(place), kind))
                    positive = b.fcmp_ordered(">", z, _constant(kind, 0.0))
                    b.store(b.select(positive, z, b.fmul(leak, z)), value)
                with b.if_then(given[activated]):
                    _store_as(b, b.load(value), activated.at(row, place))
            start = stop
        return context.get_dummy_value()

    n, f = types.int64, types.float32
    arguments = (sums, n, n, n, out, activated, n, scale, shift, f, plus)
    return types.void(*arguments), generate


@intrinsic
def put(_, array, row, column, value):  # type: ignore[no-untyped-def]
    """array[row, column] = value, a float32; of int16 the bits of the nearest bfloat16."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        array, row, column, value = _unwrap(context, builder, signature, values)
        _store_as(builder, value, array.at(row, column))
        return context.get_dummy_value()

    n = types.int64
    return types.void(array, n, n, types.float32), generate


@intrinsic
def next_task(_, counter):  # type: ignore[no-untyped-def]
    """The value of counter[0], an int64, which grows by one: each value goes to one thread."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (array,) = _unwrap(context, builder, signature, values)
        return builder.atomic_rmw("add", array.data, _INT64(1), "monotonic")

    return types.int64(counter), generate
