"""32-bit arithmetic that stays 32 bits wide.

Numba computes with integers of 64 bits, whatever their types, and cuts the result. The bits are
the same, but a processor then works on half as many numbers at a time and has to piece products
together; in the loops over lines that is most of the time. So these few are written in LLVM's own
terms.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(32)


@intrinsic  # type: ignore[untyped-decorator]
def hash_word(typing: Any, low: Any, high: Any, counter: Any) -> Any:
    """A well mixed word of the stream (low, high) for a counter; all are uint32.

    The finaliser is `lowbias32` by C. Wellons (hash-prospector), with half of the key added and
    half of it mixed in between.
    """
    del typing, low, high, counter

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        low, high, counter = arguments

        def word(value: int) -> Any:
            return ir.Constant(_WORD, value)

        x = b.add(b.mul(counter, word(0x9E3779B9)), low)
        x = b.mul(b.xor(x, b.lshr(x, word(16))), word(0x21F0AAAD))
        x = b.mul(b.xor(b.xor(x, b.lshr(x, word(15))), high), word(0xD35A2D97))
        return b.xor(x, b.lshr(x, word(15)))

    return types.uint32(types.uint32, types.uint32, types.uint32), build


@intrinsic  # type: ignore[untyped-decorator]
def larger_magnitude(typing: Any, most: Any, bits: Any) -> Any:
    """The larger of `most` and |x|, where `bits` is the float32 x seen as int32; int32.

    Magnitudes of floats order like their bits; infinity and NaN are the largest.
    """
    del typing, most, bits

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        most, bits = arguments
        magnitude = b.and_(bits, ir.Constant(_WORD, 0x7FFFFFFF))
        return b.select(b.icmp_signed(">", magnitude, most), magnitude, most)

    return types.int32(types.int32, types.int32), build


@intrinsic  # type: ignore[untyped-decorator]
def trailing_zeros(typing: Any, bits: Any) -> Any:
    """The number of the lowest bit of a uint64 that is 1; uint64. Of 0 it says nothing."""
    del typing, bits

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return b.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), build
