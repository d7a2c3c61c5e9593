"""From a device law in plain Python to compiled code, without losing the kernels' disk cache.

A kernel that closes over a function cannot be cached on disk. So a kernel takes an empty argument
instead, whose *type* stands for the law: `q_up(law, w, p)` is resolved by that type when the
kernel is compiled. The type carries hashes of the law's code and of these kernels' sources; an
edited law or kernel therefore is another type and never meets an old cache entry.
"""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.core.datamodel import models, register_default
from numba.core.errors import NumbaError, UnsupportedBytecodeError
from numba.extending import NativeValue, overload, register_jitable, typeof_impl, unbox

from resitile._registry import is_own
from resitile.devices import Device
from resitile.devices.law_code import draws_numbers, helpers, only_arithmetic
from resitile.errors import ConfigError
from resitile.kernels.compiling import INNER
from resitile.kernels.random import below, normal

# Layout of the array `spec`, which describes a nominal device and its spread to the kernels.
W_MIN, W_MAX, DW_MIN, UP, DOWN = 0, 1, 2, 3, 4
S_DW, S_MIN, S_MAX, S_UPDOWN, CYCLE, ADDITIVE, LOG_NORMAL = 5, 6, 7, 8, 9, 10, 11
FIELDS = 12  # then value, spread of each of the law's own fields

STREAMS = np.uint64(16)  # hashes that one crosspoint may use: the first for every law, then fields

_LAWS: dict[str, Any] = {}  # device classes (mypy takes type[Device] for unhashable)


class LawType(types.Opaque):  # type: ignore[misc]
    """Numba type that stands for one version of one law."""

    def __init__(self, law_id: str, n_fields: int) -> None:
        self.law_id = law_id
        self.n_fields = n_fields
        super().__init__(name=f"Law({law_id},{n_fields})")


register_default(LawType)(models.OpaqueModel)


class Law:
    """The empty argument: an object whose Numba type is its law's."""

    def __init__(self, law_id: str, n_fields: int, code: str = "") -> None:
        self._numba_type_ = LawType(law_id, n_fields)
        self.code = code


@typeof_impl.register(Law)  # type: ignore[untyped-decorator]
def _typeof_law(value: Law, context: Any) -> LawType:
    return value._numba_type_


@unbox(LawType)  # type: ignore[untyped-decorator]
def _unbox_law(typ: LawType, obj: Any, c: Any) -> NativeValue:
    return NativeValue(c.context.get_dummy_value())


@functools.cache
def source_id() -> str:
    """A hash of the kernels' own sources: Numba's cache only watches the file of the caller."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def sources() -> Law:
    """What kernels take that know no law: an edited source makes another type here as well."""
    return Law(f"none:{source_id()}", 0)


def law_of(device: Any) -> Law:
    """The one `Law` of a device class.

    Raises:
        ConfigError: if its `q_up` or `q_down` cannot be compiled, draws random numbers, or uses
            something that was changed since it was compiled.
    """
    law = _law_of(device)
    if is_own(device) and law.code != device.law_id():
        raise ConfigError(
            f"something that q_up or q_down of the law {device.__qualname__} use, such as a table "
            "of their module, was changed after they were compiled: pulses would go on as before. "
            "Define the class anew after the change, or make numbers that change fields of the law"
        )
    return law


@functools.cache
def _law_of(device: Any) -> Law:
    if is_own(device):
        _check(device)
    code = device.law_id()
    law_id = f"{device.__module__}:{device.__qualname__}:{code}:{source_id()}"
    _LAWS[law_id] = device
    return Law(law_id, len(device.law_fields), code)


_jitable = functools.cache(register_jitable)  # a helper is registered once


@functools.cache
def _compiled(device: type, name: str) -> Any:
    """A law's function for compiled code: the check below and the kernels share it.

    Functions that it calls may be plain Python as well. Dividing by 0 gives infinity, as in the
    kernels: a test for it would keep loops from running on several devices at a time.
    """
    function = getattr(device, name)
    function = getattr(function, "py_func", function)  # of one that the user compiled already
    for helper in helpers(function):
        _jitable(helper)
    return njit(function, **INNER)


def _check(device: Any) -> None:
    """Compile a law of the user's own by itself: its errors inside a kernel fill pages."""
    p = types.UniTuple(types.float32, 2 + len(device.law_fields))
    for name in ("q_up", "q_down"):
        function = _compiled(device, name)
        code = function.py_func.__code__
        place = f"{code.co_filename}:{code.co_firstlineno}"
        if draws_numbers(function.py_func):
            raise ConfigError(
                f"{name} of the law {device.__qualname__} ({place}) draws random numbers: pulses "
                "would differ from run to run. Noise from pulse to pulse is the entry `cycle` of "
                "variation, that between devices the others"
            )
        try:
            function.compile((types.float32, p))
        except (NumbaError, UnsupportedBytecodeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ConfigError(
                f"{name} of the law {device.__qualname__} ({place}) cannot be compiled: {reason} "
                "... A law computes with numbers and functions of math; import modules at the top "
                "of its file"
            ) from error
        answer = types.unliteral(function.overloads[types.float32, p].signature.return_type)
        if not isinstance(answer, types.Float | types.Integer | types.Boolean):
            raise ConfigError(
                f"{name} of the law {device.__qualname__} ({place}) answers, for some weights at "
                f"least, with {answer}; it must return a real number for every weight"
            )


@functools.lru_cache(maxsize=256)
def spec_of(device: Device) -> np.ndarray:
    """The numbers of a device in the layout above, float32; shared, not to be written to."""
    s = device.spread()
    dw = device.dw_min
    numbers = [device.w_min, device.w_max, dw, device.step_up / dw, device.step_down / dw]
    numbers += [s["dw_min"], s["w_min"], s["w_max"], s["up_down"], s["cycle"]]
    numbers += [device.cycle_noise == "additive", device.log_normal]
    for field in device.law_fields:
        numbers += [getattr(device, field), s[field]]
    return np.array(numbers, dtype=np.float32)


def q_up(law, w, p):  # type: ignore[no-untyped-def]
    """Stands for the law's `q_up` inside kernels."""
    raise NotImplementedError


def q_down(law, w, p):  # type: ignore[no-untyped-def]
    """Stands for the law's `q_down` inside kernels."""
    raise NotImplementedError


def exact_q(law, up, w, p):  # type: ignore[no-untyped-def]
    """`q_up` or `q_down` in double precision, for fits that differentiate it, inside kernels."""
    raise NotImplementedError


def own_parameters(law, w_min, w_max, spec, key, crosspoint, table):  # type: ignore[no-untyped-def]
    """The tuple p = (w_min, w_max, *fields) of one crosspoint, inside kernels."""
    raise NotImplementedError


def as_parameters(law, own, j):  # type: ignore[no-untyped-def]
    """Column j of an array of parameters as the tuple p, inside kernels."""
    raise NotImplementedError


def width(law):  # type: ignore[no-untyped-def]
    """How many numbers the tuple p of a law has, inside kernels."""
    raise NotImplementedError


def plain(law):  # type: ignore[no-untyped-def]
    """Whether a law is arithmetic alone, which costs little where it is not wanted; in kernels."""
    raise NotImplementedError


@overload(q_up)  # type: ignore[untyped-decorator]
def _q_up(law, w, p):  # type: ignore[no-untyped-def]
    function = _compiled(_LAWS[law.law_id], "q_up")
    return lambda law, w, p: np.float32(function(w, p))


@overload(q_down)  # type: ignore[untyped-decorator]
def _q_down(law, w, p):  # type: ignore[no-untyped-def]
    function = _compiled(_LAWS[law.law_id], "q_down")
    return lambda law, w, p: np.float32(function(w, p))


@overload(exact_q)  # type: ignore[untyped-decorator]
def _exact_q(law, up, w, p):  # type: ignore[no-untyped-def]
    rising, falling = (_compiled(_LAWS[law.law_id], name) for name in ("q_up", "q_down"))
    return lambda law, up, w, p: np.float64(rising(w, p) if up else falling(w, p))


@overload(own_parameters)  # type: ignore[untyped-decorator]
def _own_parameters(law, w_min, w_max, spec, key, crosspoint, table):  # type: ignore[no-untyped-def]
    # A tuple has a fixed length for the compiler: the text is made from the number of fields.
    fields = [
        f"spec[{FIELDS + 2 * k}] * (np.float32(1) + spec[{FIELDS + 2 * k + 1}] * "
        f"normal(table, below(key, first + np.uint64({1 + k // 4})), {k % 4}))"
        for k in range(law.n_fields)
    ]
    arguments = "law, w_min, w_max, spec, key, crosspoint, table"
    text = f"""def impl({arguments}):
    first = np.uint64(crosspoint) * STREAMS
    return ({", ".join(["w_min", "w_max", *fields])},)"""
    scope: dict[str, Any] = {"np": np, "normal": normal, "below": below, "STREAMS": STREAMS}
    exec(text, scope)
    return scope["impl"]


@overload(as_parameters)  # type: ignore[untyped-decorator]
def _as_parameters(law, own, j):  # type: ignore[no-untyped-def]
    numbers = ", ".join(f"own[{k}, j]" for k in range(2 + law.n_fields))
    text = f"def impl(law, own, j): return ({numbers},)"
    scope: dict[str, Any] = {}
    exec(text, scope)
    return scope["impl"]


@overload(width)  # type: ignore[untyped-decorator]
def _width(law):  # type: ignore[no-untyped-def]
    count = 2 + law.n_fields
    return lambda law: count


@overload(plain)  # type: ignore[untyped-decorator]
def _plain(law):  # type: ignore[no-untyped-def]
    law_class = _LAWS[law.law_id]
    functions = [_compiled(law_class, name).py_func for name in ("q_up", "q_down")]
    answer = all(only_arithmetic(function) for function in functions)
    return lambda law: answer
