"""resitile: train neural networks inside simulated analog crossbars with few states.

    import torch, resitile as rt

    device = rt.devices.SoftBounds(states=4)
    model = rt.convert(MyNet(), rt.algorithms.ResidualLearning(device, tiles=6))
    optimizer = rt.AnalogSGD(model.parameters(), lr=0.05)

Names are loaded on first use, so that the command line starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from resitile import algorithms, cost, data, devices, errors, fitting, models, nn, theory
    from resitile.devices import Device
    from resitile.kernels.threads import get_num_threads, set_num_threads
    from resitile.nn import AnalogSGD, WarmStart, convert, estimate_cost, pulsed_update, to_digital

_MODULES = (
    "algorithms",
    "cost",
    "data",
    "devices",
    "errors",
    "fitting",
    "models",
    "nn",
    "theory",
    "tiles",
)
_NAMES = {
    "AnalogSGD": "resitile.nn",
    "Device": "resitile.devices",
    "WarmStart": "resitile.nn",
    "convert": "resitile.nn",
    "estimate_cost": "resitile.nn",
    "get_num_threads": "resitile.kernels.threads",
    "pulsed_update": "resitile.nn",
    "set_num_threads": "resitile.kernels.threads",
    "to_digital": "resitile.nn",
}

__all__ = [
    "AnalogSGD",
    "Device",
    "WarmStart",
    "algorithms",
    "convert",
    "cost",
    "data",
    "devices",
    "errors",
    "estimate_cost",
    "fitting",
    "get_num_threads",
    "models",
    "nn",
    "pulsed_update",
    "set_num_threads",
    "theory",
    "to_digital",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"resitile.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'resitile' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
