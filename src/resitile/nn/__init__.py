"""Torch layers whose weights are crossbar tiles, and what trains and converts them."""

from resitile.nn import hooks
from resitile.nn.analog import AnalogModule, analog_layers
from resitile.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from resitile.nn.convert import convert, describe, to_digital
from resitile.nn.cost import counted_cost, estimate_cost
from resitile.nn.functional import pulsed_update
from resitile.nn.linear import AnalogLinear
from resitile.nn.optimizer import AnalogSGD
from resitile.nn.tape import AnalogWeight
from resitile.nn.warm_start import WarmStart

hooks.install()

__all__ = [
    "AnalogConv1d",
    "AnalogConv2d",
    "AnalogConv3d",
    "AnalogLinear",
    "AnalogModule",
    "AnalogSGD",
    "AnalogWeight",
    "WarmStart",
    "analog_layers",
    "convert",
    "counted_cost",
    "describe",
    "estimate_cost",
    "pulsed_update",
    "to_digital",
]
