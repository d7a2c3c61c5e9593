"""Slopes with intervals, and decay rates."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from resitile.errors import ConfigError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Slope:
    """A power law y ~ x^value, fitted to logarithms.

    Attributes:
        value: the exponent.
        low, high: its 95 % interval, from the scatter of the points (Student's t).
    """

    value: float
    low: float
    high: float

    def holds(self, exponent: float) -> bool:
        """Whether `exponent` lies within the interval."""
        return self.low <= exponent <= self.high


def slope(x: Array, y: Array) -> Slope:
    """The exponent of y against x by least squares on logarithms.

    Raises:
        ConfigError: for fewer than 3 points, or values that have no logarithm.
    """
    from scipy import stats

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.size < 3 or x.shape != y.shape or not ((x > 0).all() and (y > 0).all()):
        raise ConfigError(
            f"a slope needs at least 3 points above 0, got x = {x.tolist()}, y = {y.tolist()}; "
            "measure at more settings"
        )
    line = stats.linregress(np.log(x), np.log(y))
    half = float(stats.t.ppf(0.975, x.size - 2) * line.stderr)
    return Slope(float(line.slope), float(line.slope) - half, float(line.slope) + half)


def decay(times: Array, values: Array) -> tuple[float, float]:
    """(rate, end) of values = end + (start - end) exp(-rate * time), by least squares.

    Args:
        times: (k,) increasing from 0.
        values: (k,) falling or rising.
    """
    from scipy.optimize import curve_fit

    start, end = float(values[0]), float(values[-1])

    def law(t: Array, amplitude: float, rate: float, last: float) -> Array:
        return last + amplitude * np.exp(-rate * t)

    found, _ = curve_fit(law, times, values, p0=(start - end, 3 / float(times[-1]), end))
    return float(found[1]), float(found[2])
