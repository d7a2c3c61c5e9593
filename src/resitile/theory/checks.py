"""Range checks that the closed forms share."""

import math

from resitile.errors import ConfigError


def inside(name: str, value: float, low: float, high: float, remedy: str) -> float:
    """`value` if it lies in (low, high).

    Raises:
        ConfigError: otherwise; names the value, the open interval and the remedy.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        raise ConfigError(f"{name} must lie in ({low:g}, {high:g}), got {value!r}; {remedy}")
    return float(value)


def positive(name: str, value: float) -> float:
    """`value` if it is finite and above 0; raises ConfigError otherwise."""
    return inside(name, value, 0.0, math.inf, "give a finite number above 0")


def not_negative(name: str, value: float) -> float:
    """`value` if it is finite and at least 0; raises ConfigError otherwise."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value < math.inf:
        raise ConfigError(f"{name} must be at least 0, got {value!r}; give a finite number")
    return float(value)


def whole(name: str, value: int, low: int) -> int:
    """`value` if it is a whole number of at least `low`; raises ConfigError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(
            f"{name} must be a whole number of at least {low}, got {value!r}; give such a number"
        )
    return value
