"""Linear step: the step changes linearly with the weight, with a slope of your choice."""

from typing import ClassVar

from resitile.devices.base import Device
from resitile.errors import ConfigError


class LinearStep(Device, name="linear_step"):
    """q_up(w) = 1 - gamma_up * w / w_max,  q_down(w) = 1 - gamma_down * w / w_min.

    Slope 0 is `ConstantStep`, slope 1 is `SoftBounds`; between them the step at the bound is still
    `1 - gamma` of the step at 0, and the bound is hard.

    Args:
        gamma_up: slope of the up response, 0 to 1, relative to the crosspoint's own upper bound.
        gamma_down: slope of the down response, 0 to 1, relative to its lower bound.
    """

    gamma_up: float = 0.5
    gamma_down: float = 0.5

    ranges: ClassVar[dict[str, tuple[float, float]]] = {
        "gamma_up": (0.0, 1.0),
        "gamma_down": (0.0, 1.0),
    }

    def validate(self) -> None:
        """Slopes must lie in [0, 1], so that both responses stay positive inside the bounds."""
        for name, (least, most) in self.ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} must lie in [{least:g}, {most:g}], got {value}")

    @staticmethod
    def q_up(w, p):
        """Response to a pulse up; `p` is (w_min, w_max, gamma_up, gamma_down)."""
        return 1 - p[2] * w / p[1]

    @staticmethod
    def q_down(w, p):
        """Response to a pulse down; `p` is (w_min, w_max, gamma_up, gamma_down)."""
        return 1 - p[3] * w / p[0]
