"""Piecewise step: responses of any shape, as four numbers for each direction."""

from typing import ClassVar

from resitile.devices.base import Device
from resitile.errors import ConfigError

_LARGEST = 20.0  # times the step at 0


def _between(w, p, least, low, high, most):
    """Linear between least, low, 1, high, most at w_min, w_min / 2, 0, w_max / 2, w_max."""
    t = w / p[1] if w > 0 else -w / p[0]
    if t < -0.5:
        return least + (low - least) * (2 * t + 2)
    if t < 0:
        return low + (1 - low) * (2 * t + 1)
    if t < 0.5:
        return 1 + (high - 1) * 2 * t
    return high + (most - high) * (2 * t - 1)


class PiecewiseStep(Device, name="piecewise_step"):
    """q_up and q_down are 1 at w = 0 and linear between five points each.

    What a measured device needs that no formula fits; `resitile device fit` finds the numbers.
    The points lie at the crosspoint's own w_min, w_min / 2, 0, w_max / 2 and w_max; the bounds are
    hard.

    Args:
        up_min, up_low, up_high, up_max: response to a pulse up at w_min, w_min / 2, w_max / 2 and
            w_max, as a share of that at 0; 0 to 20.
        down_min, down_low, down_high, down_max: the same of a pulse down.

    References:
        aihwkit's PiecewiseStepDevice, which has any number of points, all of equal distance.
    """

    up_min: float = 1.0
    up_low: float = 1.0
    up_high: float = 1.0
    up_max: float = 1.0
    down_min: float = 1.0
    down_low: float = 1.0
    down_high: float = 1.0
    down_max: float = 1.0

    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        f"{side}_{point}": (0.0, _LARGEST)
        for side in ("up", "down")
        for point in ("min", "low", "high", "max")
    }

    def validate(self) -> None:
        """Responses must be at least 0, and not much larger than that at 0."""
        for name, (least, most) in self.ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} must lie in [{least:g}, {most:g}], got {value}")

    @staticmethod
    def q_up(w, p):
        """Response to a pulse up; `p` is (w_min, w_max, the fields in order)."""
        return _between(w, p, p[2], p[3], p[4], p[5])

    @staticmethod
    def q_down(w, p):
        """Response to a pulse down; `p` is (w_min, w_max, the fields in order)."""
        return _between(w, p, p[6], p[7], p[8], p[9])
