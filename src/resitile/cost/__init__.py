"""What training in memory costs: named constants, and what they make of an algorithm's work."""

from resitile.cost.combine import ModelCost, total_of, with_device_pulses
from resitile.cost.primitives import Primitives, describe, primitives_of
from resitile.cost.work import Cost, Layer, Work, cost_of

__all__ = [
    "Cost",
    "Layer",
    "ModelCost",
    "Primitives",
    "Work",
    "cost_of",
    "describe",
    "primitives_of",
    "total_of",
    "with_device_pulses",
]
