"""From the costs of layers to those of a model, and from counted events to a cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from resitile.cost.work import Cost
from resitile.errors import ConfigError

_PARALLEL = ("analog_ns", "digital_ns")


@dataclass(frozen=True)
class ModelCost:
    """Costs of a model's analog layers, and in total.

    Storage, traffic, operations, energy and area add up. Every layer has arrays of its own and all
    are updated at once, so an update takes as long as that of the slowest layer, as Table 7 of
    arXiv 2510.02516 has it; `analog_ns` and `digital_ns` are that layer's. Forward and backward
    run through the layers one after the other.

    Attributes:
        layers: costs by layer name.
        total: see above.
    """

    layers: Mapping[str, Cost]
    total: Cost

    def figures(self) -> dict[str, Any]:
        """All of it by name, units in the names, as `Cost.figures` gives it."""
        layers = {name: cost.figures() for name, cost in self.layers.items()}
        return {"total": self.total.figures(), "layers": layers}


def total_of(costs: Iterable[Cost]) -> Cost:
    """The cost of layers together; see `ModelCost`.

    Raises:
        ConfigError: if there are none.
    """
    costs = list(costs)
    if not costs:
        raise ConfigError("there is no layer to add up; give a model with analog layers")
    slowest = max(costs, key=lambda cost: cost.update_ns)
    summed = {f.name: sum(getattr(cost, f.name) for cost in costs) for f in fields(Cost)}
    summed.update({name: getattr(slowest, name) for name in _PARALLEL})
    return Cost(**{**summed, "tiles": max(cost.tiles for cost in costs)})


def with_device_pulses(cost: Cost, pulses_per_sample: float, pulse_pj: float) -> Cost:
    """The cost with the energy of counted pulses in the devices themselves added."""
    return replace(cost, analog_nj=cost.analog_nj + pulses_per_sample * pulse_pj / 1e3)
