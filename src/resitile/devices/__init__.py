"""Device laws: what one crosspoint does when a pulse arrives. One file each."""

from resitile._registry import import_all
from resitile.devices.base import Device, Variation, create, names

import_all(__name__, list(__path__))

from resitile.devices.constant_step import ConstantStep  # noqa: E402
from resitile.devices.linear_step import LinearStep  # noqa: E402
from resitile.devices.piecewise_step import PiecewiseStep  # noqa: E402
from resitile.devices.soft_bounds import SoftBounds  # noqa: E402

__all__ = [
    "ConstantStep",
    "Device",
    "LinearStep",
    "PiecewiseStep",
    "SoftBounds",
    "Variation",
    "create",
    "names",
]
