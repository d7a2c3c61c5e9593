"""Which method, how many tiles, at what cost: a choice for a device and a network.

Cost comes from the cost model. Accuracy is predicted from reference runs (`plan_reference.json`,
made by scripts/calibrate_plan.py: LeNet-5 on `fashion-mnist-10k`, several numbers of states), as
the share of digital training's accuracy above chance that a method kept. A device enters by the
number of states with the same spread under noise, so by its steps, bounds and cycle noise.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from torch import nn

from resitile import algorithms
from resitile.algorithms import Algorithm
from resitile.devices import Device
from resitile.errors import ConfigError, did_you_mean
from resitile.experiments.plan_choices import Choice, choices
from resitile.nn import estimate_cost

CLOSE = 0.005  # accuracies that near one another count as equal
_REFERENCE_NOISE = 0.3  # cycle-to-cycle noise of the reference devices


@dataclass(frozen=True)
class Limits:
    """What a plan must keep to; None is no limit.

    Args:
        update_ns: latency of an update per sample, ns.
        storage_bytes: digital storage, byte.
        energy_nj: energy of forward, backward and update per sample, nJ.
        area_mm2: area of all tiles, mm^2.
        accuracy: least predicted accuracy, in [0, 1].
    """

    update_ns: float | None = None
    storage_bytes: float | None = None
    energy_nj: float | None = None
    area_mm2: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            high = 1.0 if field.name == "accuracy" else math.inf
            if value is not None and not 0 <= value <= high:
                span = "in [0, 1]" if high == 1 else "of at least 0"
                raise ConfigError(f"{field.name} must be a number {span}, got {value}")


def effective_states(device: Device) -> float:
    """States of a reference device with the same heat: dw_min (1 + cycle^2) over the reach."""
    reach = (device.w_max - device.w_min) / 2
    heat = device.dw_min / reach * (1 + device.spread()["cycle"] ** 2)
    return 2 * (1 + _REFERENCE_NOISE**2) / heat


def kept_share(key: str, states: float) -> float:
    """Share of digital accuracy above chance that a method kept in the reference runs.

    Linear in log(states) between the reference devices; beyond them, that of the last one.

    Raises:
        ConfigError: if there are no reference runs of the method.
    """
    reference = _reference()
    if key not in reference["kept"]:
        raise ConfigError(f"no reference runs of {key!r}; {did_you_mean(key, reference['kept'])}")
    at = np.log(reference["states"])
    return float(np.interp(math.log(states), at, reference["kept"][key]))


def reference_range() -> tuple[float, float]:
    """The fewest and the most states of the reference runs."""
    states = _reference()["states"]
    return float(min(states)), float(max(states))


def plan(
    device: Device,
    model: nn.Module,
    *,
    batch: int = 16,
    steps_per_epoch: int = 1000,
    digital_accuracy: float | None = None,
    limits: Limits | None = None,
    primitives: Any = None,
) -> dict[str, Any]:
    """All choices with predicted accuracy and cost, and the recommended one.

    Recommended is, among the choices within the limits, one whose predicted accuracy is within
    half a point of the best and whose update is the fastest; with a least accuracy given, the
    fastest that reaches it.

    Args:
        device: of every tile.
        model: the network, as plain torch.
        batch: images of a mini-batch.
        steps_per_epoch: mini-batches of an epoch.
        digital_accuracy: what digital training reaches on the task; None takes the reference's.
        limits: see `Limits`.
        primitives: as for `resitile.estimate_cost`.

    Returns:
        `choices`: per choice key, label, gamma, predicted accuracy, floor, cost figures and what
        limit it breaks; `recommended`: the key, None if all break one; `effective_states`.

    Raises:
        ConfigError: if a number is out of range.
    """
    limits = limits or Limits()
    reference = _reference()
    digital = reference["digital"] if digital_accuracy is None else digital_accuracy
    chance = reference["chance"]
    if not chance < digital <= 1:
        raise ConfigError(f"digital_accuracy must lie in ({chance}, 1], got {digital}")
    states = effective_states(device)
    rows = []
    for choice in choices(device, batch, steps_per_epoch):
        rule = rule_of(choice, device, steps_per_epoch)
        cost = estimate_cost(
            model, algorithm=rule, batch=batch, primitives=primitives, lr=choice.lr
        ).total
        row = {
            "key": choice.key,
            "label": choice.label,
            "tiles": rule.count,
            "gamma": rule.ratio if rule.visible > 1 and rule.ratio > 0 else None,
            "predicted_accuracy": chance + kept_share(choice.key, states) * (digital - chance),
            "floor": rule.floor(),
            "update_ns": cost.update_ns,
            "storage_bytes": cost.storage_bytes,
            "energy_nj": cost.energy_nj,
            "area_mm2": cost.area_mm2,
        }
        rows.append({**row, "breaks": _broken(row, limits)})
    return {
        "device": repr(device),
        "effective_states": states,
        "digital_accuracy": digital,
        "choices": rows,
        "recommended": _recommend(rows, limits),
    }


def rule_of(choice: Choice, device: Device, steps_per_epoch: int) -> Algorithm:
    """The algorithm of a choice; its schedule knows the steps of an epoch."""
    settings = {k: v for k, v in choice.algorithm.items() if k != "name"}
    if settings.get("schedule") == "auto":
        settings["steps_per_epoch"] = steps_per_epoch
    return algorithms.create(choice.algorithm["name"], device, **settings)


def _broken(row: dict[str, Any], limits: Limits) -> list[str]:
    broken = [
        name
        for name in ("update_ns", "storage_bytes", "energy_nj", "area_mm2")
        if getattr(limits, name) is not None and row[name] > getattr(limits, name)
    ]
    if limits.accuracy is not None and row["predicted_accuracy"] < limits.accuracy:
        broken.append("accuracy")
    return broken


def _recommend(rows: list[dict[str, Any]], limits: Limits) -> str | None:
    possible = [row for row in rows if not row["breaks"]]
    if not possible:
        return None
    if limits.accuracy is None:
        best = max(row["predicted_accuracy"] for row in possible)
        possible = [row for row in possible if row["predicted_accuracy"] >= best - CLOSE]
    chosen = min(possible, key=lambda row: (row["update_ns"], row["area_mm2"]))
    return str(chosen["key"])


@cache
def _reference() -> dict[str, Any]:
    text = (
        resources.files("resitile.experiments").joinpath("plan_reference.json").read_text("utf-8")
    )
    found: dict[str, Any] = json.loads(text)
    return found
