# ruff: noqa: ARG001, PLR0917 - numba calls these by position, whatever they use
"""Eight 64-bit words that the processor handles at once, as a type of numba's; imported only by the string kernels.

Written as LLVM's portable vectors: each processor gets the widest instructions that it has, and the same results.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin, models, register_model

from auditkit.scoring.strings.compiler import primitive

LANES = 8
CHUNK = 64  # bytes that are compared at once

_WORD, _BYTE = ir.IntType(64), ir.IntType(8)
_WORDS = ir.VectorType(_WORD, LANES)
_BYTES = ir.VectorType(_BYTE, LANES * 8)


class LanesType(types.Type):
    """numba's view of eight words."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes_type: Any = LanesType()
_offered: Any = infer_global
_lowered: Any = lower_builtin


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, _WORDS)  # type: ignore[no-untyped-call]


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any, to: Any) -> Any:
    start = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(start, [at]), to.as_pointer())


def _function(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    declare: Any = cgutils.get_or_insert_function
    return declare(builder.module, ir.FunctionType(result, arguments), name)


def _splat(builder: Any, word: Any) -> Any:
    first = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_WORDS, ir.Undefined), zeros)


@primitive
def load(typing: Any, array: Any, at: Any) -> Any:
    """The eight words of ``array`` from position ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], _WORDS)
        return builder.load(pointer, align=8)

    return lanes_type(array, types.intp), generate


@primitive
def store(typing: Any, array: Any, at: Any, words: Any) -> Any:
    """Put eight words into ``array`` from position ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], _WORDS)
        builder.store(arguments[2], pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), generate


@primitive
def splat(typing: Any, word: Any) -> Any:
    """Eight times the same word."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return lanes_type(types.int64), generate


@primitive
def largest(typing: Any, words: Any) -> Any:
    """The largest of eight signed words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.vector.reduce.smax.v{LANES}i64"
        return builder.call(_function(builder, name, _WORD, [_WORDS]), arguments)

    return types.int64(lanes_type), generate


@primitive
def lowest_prefix(typing: Any, rises: Any, falls: Any) -> Any:
    """How low the running sum of (bits of ``rises`` - bits of ``falls``) gets at the ends of the words' bytes, or 0.

    The lowest bit comes first; the two have no bit in common.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        count = _function(builder, f"llvm.ctpop.v{LANES * 8}i8", _BYTES, [_BYTES])
        lower = _function(builder, f"llvm.smin.v{LANES * 8}i8", _BYTES, [_BYTES, _BYTES])

        def moved(values: Any, shift: Callable[..., Any], bits: int) -> Any:
            by = ir.Constant(_WORDS, [bits] * LANES)
            return builder.bitcast(shift(builder.bitcast(values, _WORDS), by), _BYTES)

        up, down = (builder.call(count, [builder.bitcast(words, _BYTES)]) for words in arguments)
        sums = builder.sub(up, down)
        for bits in (8, 16, 32):
            sums = builder.add(sums, moved(sums, builder.shl, bits))
        for bits in (32, 16, 8):  # zeros that move in from above are never taken for the lowest byte
            sums = builder.call(lower, [sums, moved(sums, builder.lshr, bits)])
        lowest = builder.and_(builder.bitcast(sums, _WORDS), ir.Constant(_WORDS, [255] * LANES))
        sign = ir.Constant(_WORDS, [128] * LANES)
        extended = builder.sub(builder.xor(lowest, sign), sign)
        least = _function(builder, f"llvm.smin.v{LANES}i64", _WORDS, [_WORDS, _WORDS])
        return builder.call(least, [extended, ir.Constant(_WORDS, [0] * LANES)])

    return lanes_type(lanes_type, lanes_type), generate


@primitive
def gap(typing: Any, left: Any, i: Any, right: Any, j: Any) -> Any:
    """The sum of |left[i + t] - right[j + t]| over ``CHUNK`` unsigned bytes t (LLVM knows its instruction for that)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(ir.IntType(32), CHUNK)
        narrow = ir.VectorType(_BYTE, CHUNK)
        values = []
        for side in (0, 2):
            pointer = _pointer(context, builder, signature.args[side], arguments[side], arguments[side + 1], narrow)
            values.append(builder.zext(builder.load(pointer, align=1), wide))
        absolute = _function(builder, f"llvm.abs.v{CHUNK}i32", wide, [wide, ir.IntType(1)])
        total = _function(builder, f"llvm.vector.reduce.add.v{CHUNK}i32", ir.IntType(32), [wide])
        apart = builder.call(absolute, [builder.sub(*values), ir.Constant(ir.IntType(1), 0)])
        return builder.zext(builder.call(total, [apart]), _WORD)

    return types.int64(left, types.intp, right, types.intp), generate


def _function_of_two(name: str) -> Any:
    full = f"llvm.{name}.v{LANES}i64"

    @primitive
    def of_two(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.call(_function(builder, full, _WORDS, [_WORDS, _WORDS]), arguments)

        return lanes_type(lanes_type, lanes_type), generate

    return of_two


larger, smaller = _function_of_two("smax"), _function_of_two("smin")


@primitive
def bits(typing: Any, words: Any) -> Any:
    """How many bits of each word are set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(_function(builder, f"llvm.ctpop.v{LANES}i64", _WORDS, [_WORDS]), arguments)

    return lanes_type(lanes_type), generate


@primitive
def half(typing: Any, words: Any) -> Any:
    """Half of each signed word, rounded down."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ashr(arguments[0], ir.Constant(_WORDS, [1] * LANES))

    return lanes_type(lanes_type), generate


def _offer(symbol: Callable[..., Any], make: Callable[[Any, Any, Any], Any], other: Any) -> None:
    """Let kernels write ``symbol`` between eight words and ``other``."""

    class Template(ConcreteTemplate):
        key = symbol
        cases = (lanes_type(lanes_type, other),)

    _offered(symbol)(Template)

    @_lowered(symbol, lanes_type, other)  # type: ignore[untyped-decorator]
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make(builder, *arguments)


_offer(operator.and_, lambda builder, a, b: builder.and_(a, b), lanes_type)
_offer(operator.or_, lambda builder, a, b: builder.or_(a, b), lanes_type)
_offer(operator.xor, lambda builder, a, b: builder.xor(a, b), lanes_type)
_offer(operator.add, lambda builder, a, b: builder.add(a, b), lanes_type)
_offer(operator.sub, lambda builder, a, b: builder.sub(a, b), lanes_type)
_offer(operator.lshift, lambda builder, a, b: builder.shl(a, _splat(builder, b)), types.int64)
_offer(operator.rshift, lambda builder, a, b: builder.lshr(a, _splat(builder, b)), types.int64)
