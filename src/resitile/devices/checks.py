"""What a law's class and a device's numbers must be, so that the engine can compute with them."""

import dataclasses
import math
from collections.abc import Collection
from typing import Any

from resitile._registry import check_call, declared
from resitile.errors import ConfigError

# Contents of devices are float32. Within these limits neither products of two numbers of a device
# nor the millionth of a bound, which the kernels keep, leave its range of 1e-38 to 3e38.
LEAST, LARGEST = 1e-15, 1e15
# Half a unit in the last place of a float32 is at most 6e-8 of it: a smaller step is rounded away.
LEAST_STEP = 1e-7
MOST_LOG_NORMAL = 10  # e to the power of 3.7 times that, times a step of at most 2e15, is finite


def check_functions(cls: type) -> None:
    """Refuse a law without q_up and q_down that can be called with (w, p)."""
    for name in ("q_up", "q_down"):
        function = cls.__dict__.get(name)
        if not isinstance(function, staticmethod) or not callable(function.__func__):
            raise ConfigError(f"{cls.__name__} needs a @staticmethod {name}(w, p)")
        call = f"@staticmethod {name}(w, p)"
        check_call(function.__func__, 2, f"{name} of the law {cls.__name__}", call)


def check_names(cls: type, base: Any, taken: Collection[str]) -> None:
    """Refuse fields of a law that would hide what every device has.

    Args:
        cls: the law.
        base: Device. A plain `states = 10` in the law's body would change nothing.
        taken: entries of the spread, by which a law's own fields go as well.
    """
    fields = {field.name for field in dataclasses.fields(base)}
    for name in [*declared(cls), *(name for name in cls.__dict__ if name in fields)]:
        if name in taken or hasattr(base, name):
            raise ConfigError(
                f"the law {cls.__name__} has a field of its own called {name!r}, which every "
                "device has already; give the field another name, and set the numbers of a device "
                f"where it is made: {cls.__name__}(states=10)"
            )


def check_numbers(device: Any) -> None:
    """Refuse numbers of a device with which nothing can be computed, or nothing would move.

    Raises:
        ConfigError: naming the number and its range.
    """
    for field in ("states", "w_min", "w_max", "up_down", *device.law_fields):
        value = getattr(device, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{field} must be a number, got {value!r}")
        if value != value or abs(value) == math.inf:
            raise ConfigError(f"{field} must be finite, got {value}")
    if device.states < 2:
        raise ConfigError(
            f"states must be at least 2, got {device.states}: a device with fewer cannot learn"
        )
    _check_bounds(device)
    bound = max(-device.w_min, device.w_max)
    most = (device.w_max - device.w_min) / (LEAST_STEP * bound)
    if device.states > most:
        raise ConfigError(
            f"states must be at most {most:.3g} between bounds of {device.w_min:g} and "
            f"{device.w_max:g}, got {_shown(device.states)}: weights are float32, and the step of "
            "a pulse would be lost in their rounding"
        )
    if not -1 < device.up_down < 1:
        raise ConfigError(f"up_down must lie in (-1, 1), got {_shown(device.up_down)}")
    for field in device.law_fields:
        value = getattr(device, field)
        if abs(value) > LARGEST:
            raise ConfigError(
                f"{field} must lie in [{-LARGEST:g}, {LARGEST:g}], got {_shown(value)}: the "
                "engine computes with float32"
            )


def _check_bounds(device: Any) -> None:
    low, high = device.w_min, device.w_max
    if not low < 0 < high:
        raise ConfigError(
            f"the bounds must satisfy w_min < 0 < w_max, got w_min={_shown(low)}, "
            f"w_max={_shown(high)}"
        )
    for name, value in (("w_min", low), ("w_max", high)):
        if not LEAST <= abs(value) <= LARGEST:
            raise ConfigError(
                f"{name} must be {LEAST:g} to {LARGEST:g} in size, got {_shown(value)}: weights "
                "are float32; measure them in another unit"
            )


def _shown(value: float) -> str:
    """A number as it was given; a whole one with very many digits by its size."""
    huge = isinstance(value, int) and abs(value) > LARGEST**2
    return f"about 1e{int(math.log10(abs(value)))}" if huge else f"{value}"


def check_spread(entry: str, value: Any) -> float:
    """The spread of one entry as a number; raises ConfigError if it is none, or out of range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ConfigError(f"variation of {entry} must be a number >= 0, got {value!r}")
    if value > LARGEST:
        raise ConfigError(
            f"variation of {entry} must be at most {LARGEST:g}, got {_shown(value)}: the engine "
            "computes with float32"
        )
    return float(value)
