"""Memory of kernels, and their arrays seen in another way, in few instructions of the compiler.

NumPy's `empty`, `view` and `reshape` do the same in compiled code, and each takes the compiler as
long as a short kernel: `reshape` and `view` are written for every case, and an array of NumPy's own
counts its users (see `compiling.BARE`).
"""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.imputils import impl_ret_borrowed
from numba.core.runtime.context import NRTContext
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


def _fill(context: Any, b: Any, kind: Any, data: Any, shape: list[Any], meminfo: Any) -> Any:
    """An array of type `kind`, in C order."""
    array = make_array(kind)(context, b)
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides = [context.get_constant(types.intp, size)]
    for length in reversed(shape[1:]):
        strides.insert(0, b.mul(strides[0], length))
    populate_array(array, b.bitcast(data, array.data.type), shape, strides, size, meminfo)
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def allocate(typing: Any, shape: Any, dtype: Any) -> Any:
    """An array of a dtype, of a length or shape, whose contents are undefined.

    Whoever allocates it gives it back: see `release`.

    Raises:
        MemoryError: if there is not enough; what was allocated before is lost then.
    """
    del typing
    lengths = list(shape) if isinstance(shape, types.BaseTuple) else [shape]
    kind = types.Array(dtype.dtype, len(lengths), "C")

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del signature
        given = arguments[0]
        values = cgutils.unpack_tuple(b, given) if isinstance(shape, types.BaseTuple) else [given]
        pairs = zip(values, lengths, strict=True)
        values = [context.cast(b, value, length, types.intp) for value, length in pairs]
        item = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        size = context.get_constant(types.intp, item)
        for value in values:
            size = b.mul(size, value)
        size = b.add(size, context.get_constant(types.intp, 1))  # of none, some systems give none
        data = NRTContext(context, enabled=True).allocate_unchecked(b, size)
        with b.if_then(cgutils.is_null(b, data), likely=False):
            context.call_conv.return_user_exc(b, MemoryError, ("no memory is left for an update",))
        return _fill(context, b, kind, data, values, None)

    return kind(shape, dtype), build


@intrinsic  # type: ignore[untyped-decorator]
def release(typing: Any, arrays: Any) -> Any:
    """Give back a tuple of arrays that were allocated above."""
    del typing

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        for k, kind in enumerate(signature.args[0]):
            array = make_array(kind)(context, b, b.extract_value(arguments[0], k))
            NRTContext(context, enabled=True).free(b, b.bitcast(array.data, cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.none(arrays), build


@intrinsic  # type: ignore[untyped-decorator]
def seen_as(typing: Any, array: Any, dtype: Any) -> Any:
    """An array as numbers of another dtype; of another size only if it has one axis."""
    del typing
    if array.ndim > 1 and array.dtype.bitwidth != dtype.dtype.bitwidth:
        raise TypingError(f"{array} cannot be seen as numbers of another size, {dtype.dtype}")
    kind = types.Array(dtype.dtype, array.ndim, array.layout)

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del signature
        source = make_array(array)(context, b, arguments[0])
        old, new = (context.get_abi_sizeof(context.get_data_type(x.dtype)) for x in (array, kind))
        shape = cgutils.unpack_tuple(b, source.shape)
        if old != new:
            size = b.mul(shape[0], context.get_constant(types.intp, old))
            shape = [b.udiv(size, context.get_constant(types.intp, new))]
        found = make_array(kind)(context, b)
        data, strides = b.bitcast(source.data, found.data.type), source.strides
        if old != new:
            strides = [context.get_constant(types.intp, new)]
        populate_array(found, data, shape, strides, new, source.meminfo)
        return impl_ret_borrowed(context, b, kind, found._getvalue())

    return kind(array, dtype), build


@intrinsic  # type: ignore[untyped-decorator]
def merged(typing: Any, array: Any) -> Any:
    """An array in C order with its first two axes made one: (a, b, ...) as (a * b, ...)."""
    del typing
    if array.layout != "C":
        raise TypingError(f"only arrays in C order have axes to merge, not {array}")
    kind = types.Array(array.dtype, array.ndim - 1, "C")

    def build(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
        del signature
        source = make_array(array)(context, b, arguments[0])
        shape = cgutils.unpack_tuple(b, source.shape)
        shape = [b.mul(shape[0], shape[1]), *shape[2:]]
        found = _fill(context, b, kind, source.data, shape, source.meminfo)
        return impl_ret_borrowed(context, b, kind, found)

    return kind(array), build
