"""A law's two functions as code: do they answer sensibly, and which version of them is it?"""

import dis
import hashlib
import math
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from resitile.errors import ConfigError

_POINTS = 9  # between the bounds, at which the answers are looked at
_KNOWN = ("math", "numba", "numpy")  # modules whose functions mean what their names say
_ROUNDING = 1e-6  # of an answer that is 0 at its bound


def check_answers(device: Any) -> None:
    """Try the nominal device's answers between its bounds.

    Raises:
        ConfigError: if `q_up` or `q_down` fails, is below 0 or not finite, or 0 everywhere.
    """
    law, p = type(device), device.p
    for name in ("q_up", "q_down"):
        largest = 0.0
        for k in range(_POINTS):
            w = p[0] + (p[1] - p[0]) * k / (_POINTS - 1)
            place = f"{name}(w, p) of the law {law.__qualname__} at w = {w:g} with p = {p}"
            try:
                answer = float(getattr(device, name)(w, p))
            except Exception as error:  # whatever a law of the user's own may raise
                raise ConfigError(f"{place} fails: {type(error).__name__}: {error}") from error
            if not (math.isfinite(answer) and answer >= -_ROUNDING):
                raise ConfigError(
                    f"{place} is {answer:g}; between the bounds an answer must be a number of at "
                    "least 0: the size of the step as a share of dw_min, in either direction"
                )
            largest = max(largest, answer)
        if largest == 0:
            raise ConfigError(
                f"{name} of the law {law.__qualname__} answers 0 everywhere between the bounds, so "
                "that no pulse moves a device; it is the size of a step as a share of dw_min"
            )


def code_id(name: str, fields: Iterable[str], functions: Iterable[Callable[..., float]]) -> str:
    """A hash of a law's functions: their code and what they refer to."""
    parts: list[str] = [name, *fields]
    for function in functions:
        _describe(function, parts, set())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _describe(thing: Any, parts: list[str], seen: set[int]) -> None:
    """Append what decides the meaning of a function or of what it refers to.

    Of a function: code, constants, globals, closure. Arrays count with all their numbers, and what
    comes from numpy or is built in with its name.
    """
    thing = getattr(thing, "py_func", thing)
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(thing).tobytes()).hexdigest()
        parts.append(f"{thing.dtype} {thing.shape} {content}")
    elif isinstance(thing, tuple | list):
        parts.append(f"{type(thing).__name__} {len(thing)}")
        for part in thing:
            _describe(part, parts, seen)
    elif isinstance(thing, FunctionType):
        _describe_function(thing, parts, seen)
    elif callable(thing) and hasattr(thing, "__qualname__"):
        parts.append(f"{thing.__module__}.{thing.__qualname__}")
    else:
        parts.append(repr(thing))


def _describe_function(function: FunctionType, parts: list[str], seen: set[int]) -> None:
    parts.append(f"{function.__defaults__!r}")
    _describe_code(function.__code__, parts)
    for cell in function.__closure__ or ():
        _describe(cell.cell_contents, parts, seen)
    names = sorted(_names(function.__code__))
    for name in names:
        if name not in function.__globals__:
            continue
        parts.append(name)
        found = function.__globals__[name]
        _describe(found, parts, seen)
        if isinstance(found, ModuleType) and found.__name__.partition(".")[0] not in _KNOWN:
            for inner in names:
                if hasattr(found, inner):
                    parts.append(inner)
                    _describe(getattr(found, inner), parts, seen)


def helpers(function: FunctionType) -> list[FunctionType]:
    """The plain functions that a law's function refers to by name, directly or through others."""
    found: list[FunctionType] = []
    waiting = [function]
    while waiting:
        now = waiting.pop()
        names = [n for n in _names(now.__code__) if n in now.__globals__]
        inside = [cell.cell_contents for cell in now.__closure__ or ()]
        for thing in [*(now.__globals__[name] for name in names), *inside]:
            if isinstance(thing, FunctionType) and thing not in (function, *found):
                found.append(thing)
                waiting.append(thing)
    return found


def only_arithmetic(function: FunctionType) -> bool:
    """Whether a law's function only adds, multiplies and divides: no call, branch or power."""
    if function.__code__.co_names or function.__closure__:
        return False
    branches = {*dis.hasjrel, *dis.hasjabs}
    steps = list(dis.get_instructions(function))
    return not any(s.opcode in branches or "**" in s.argrepr for s in steps)


def draws_numbers(function: FunctionType) -> bool:
    """Whether a law's function, or a plain one that it calls, uses `random` or `numpy.random`."""
    for code in (function, *helpers(function)):
        names = _names(code.__code__)
        used = [code.__globals__[name] for name in names if name in code.__globals__]
        used += [cell.cell_contents for cell in code.__closure__ or ()]
        if "random" in names and any(thing is np for thing in used):  # arrays compare elementwise
            return True
        for thing in used:
            where = thing.__name__ if isinstance(thing, ModuleType) else _home(thing)
            if where.split(".")[0] == "random" or where.startswith("numpy.random"):
                return True
    return False


def _home(thing: Any) -> str:
    """The module of a function, or of the object whose method it is (`random.random`)."""
    owner = getattr(thing, "__self__", None)
    home = getattr(thing, "__module__", None) or type(owner).__module__
    return str(home) if callable(thing) else type(thing).__module__


def _describe_code(code: CodeType, parts: list[str]) -> None:
    parts.append(code.co_code.hex() + repr(code.co_names) + repr(code.co_varnames))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _describe_code(constant, parts)
        else:
            parts.append(repr(constant))


def _names(code: CodeType) -> set[str]:
    inner = [_names(c) for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*inner)
