"""Which method, how many tiles, at what cost: a choice for a device and a network.

Cost comes from the cost model. Accuracy is predicted from reference runs (`plan_reference.json`,
made by scripts/calibrate_plan.py: LeNet-5 on `fashion-mnist-10k`, several numbers of states), as
the share of digital training's accuracy above chance that a method kept. A device enters by the
number of states with the same spread under noise, so by its steps, bounds and cycle noise.
Accuracies that were measured on the task itself (`pilots`) count instead, and correct the others.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from torch import nn

from resitile import algorithms
from resitile.algorithms import Algorithm
from resitile.cost.primitives import primitives_of
from resitile.devices import Device, SoftBounds
from resitile.errors import ConfigError, did_you_mean
from resitile.experiments.plan_choices import Choice, choices, with_rates
from resitile.nn import estimate_cost
from resitile.nn.cost import crossbars, one_patch_only

CLOSE = 0.005  # predicted accuracies that near one another count as equal
_REFERENCE_NOISE = 0.3  # cycle-to-cycle noise of the reference devices
_OFFSET = 0.2  # added to losses before they are compared; chosen with the tasks of check_plan.py


@dataclass(frozen=True)
class Limits:
    """What a plan must keep to; None is no limit.

    Args:
        update_ns: latency of an update per sample, ns.
        storage_bytes: digital storage, byte.
        energy_nj: energy of forward, backward and update per sample, nJ.
        area_mm2: area of all tiles, mm^2.
        accuracy: least accuracy, measured or else predicted, in [0, 1].
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


def tuned_for_fewer(key: str, states: float) -> bool:
    """Whether a method kept over a point more with some coarser device of the reference runs.

    Its steps were tuned at 4 states; on finer devices they may not be the best.
    """
    reference = _reference()
    kept = kept_share(key, states) + 2 * CLOSE
    pairs = zip(reference["states"], reference["kept"][key], strict=True)
    return any(there < states and share > kept for there, share in pairs)


def left_out(device: Device) -> list[str]:
    """What of a device does not enter predictions and is other than in the reference runs."""
    usual, own = SoftBounds(states=4).spread(), device.spread()
    names = [f"up_down={device.up_down:g}"] if device.up_down else []
    return names + [
        f"variation {name}={own[name]:g} (there {usual[name]:g})"
        for name in ("dw_min", "w_min", "w_max", "up_down")
        if own[name] != usual[name]
    ]


def corrected(
    predicted: Mapping[str, float], measured: Mapping[str, float], kinds: Mapping[str, str]
) -> dict[str, float]:
    """Predicted losses, scaled by what measured ones say about the task.

    Losses are compared with 0.2 added to them, so that a small one is shifted rather than scaled. A
    measured choice gives the ratio of the two; a prediction is multiplied by the geometric mean of
    the ratios of its kind and the mean of all, which in turn holds one ratio of 1: one run says
    only so much. What was measured of a choice does not correct its own prediction, so the two can
    be held side by side.

    Args:
        predicted: loss of every choice: 1 - the share of digital accuracy that it keeps.
        measured: loss of those that were measured.
        kinds: the kind of every choice.
    """
    ratios = {
        key: math.log(max(loss + _OFFSET, 0.01) / (predicted[key] + _OFFSET))
        for key, loss in measured.items()
    }
    found = {}
    for key, loss in predicted.items():
        others = [k for k in ratios if k != key]
        alike = [k for k in others if kinds[k] == kinds[key]]
        overall = sum(ratios[k] for k in others) / (len(others) + 1)
        scale = (sum(ratios[k] for k in alike) + overall) / (len(alike) + 1)
        shifted = (loss + _OFFSET) * math.exp(scale) - _OFFSET
        found[key] = min(max(shifted, min(loss, 0.0)), 1.0)  # chance at worst, digital at best
    return found


def reference_range() -> tuple[float, float]:
    """The fewest and the most states of the reference runs."""
    states = _reference()["states"]
    return float(min(states)), float(max(states))


def chance() -> float:
    """Accuracy of guessing, on a task of ten classes as those of the reference runs."""
    return float(_reference()["chance"])


def plan(
    device: Device,
    model: nn.Module,
    *,
    batch: int = 16,
    steps_per_epoch: int = 1000,
    digital_accuracy: float | None = None,
    limits: Limits | None = None,
    measured: Mapping[str, float] | None = None,
    images: int | None = None,
    primitives: Any = None,
) -> dict[str, Any]:
    """All choices with predicted accuracy and cost, and the recommended one.

    Recommended is, among the choices within the limits, one whose accuracy is within half a point
    of the best and whose update is the fastest; with a least accuracy given, the fastest that
    reaches it. Where accuracies were measured, only those choices are recommended, and as equal
    count those within one standard error of the best (Breiman et al., Classification and
    Regression Trees, 1984), if that is more: what the images cannot tell apart, cost decides.

    Args:
        device: of every tile.
        model: the network, as plain torch.
        batch: images of a mini-batch.
        steps_per_epoch: mini-batches of an epoch.
        digital_accuracy: what digital training reaches on the task; None takes the reference's.
        limits: see `Limits`.
        measured: accuracy of the choices that were tried on the task, by key, such as
            "mixed_precision", or "mixed_precision-x0.5" with half the learning rate.
        images: on which they were measured; None takes half a point for their error.
        primitives: as for `resitile.estimate_cost`.

    Returns:
        `choices`: per choice key, factor of its learning rate and the most that can be, label,
        gamma, predicted and measured accuracy (None if it was not tried), `accuracy` (the measured
        one, else the predicted), floor, cost figures, what limit it breaks, whether it must be
        measured before it is recommended, and whether it kept more with coarser devices, for which
        its steps were tuned; `recommended`: the key, None if there is none; `close`: accuracies
        that near one another count as equal; `limits`; `effective_states`; `left_out`: what of the
        device does not enter predictions and is other than in the reference runs.

    Raises:
        ConfigError: if a number is out of range.
    """
    limits, measured = limits or Limits(), measured or {}
    reference = _reference()
    digital = reference["digital"] if digital_accuracy is None else digital_accuracy
    least = chance()
    if not least < digital <= 1:
        raise ConfigError(f"digital_accuracy must lie in ({least}, 1], got {digital}")
    for key, got in measured.items():
        if not 0 <= got <= 1:
            raise ConfigError(f"the measured accuracy of {key} must lie in [0, 1], got {got}")
    states = effective_states(device)
    offered = choices(device, batch, steps_per_epoch)
    methods = [choice.key for choice in offered]
    losses = corrected(
        {choice.key: 1 - kept_share(choice.key, states) for choice in offered},
        # Reference runs have the planner's learning rates, so only such runs compare with them.
        {k: 1 - (got - least) / (digital - least) for k, got in measured.items() if k in methods},
        {choice.key: choice.kind for choice in offered},
    )
    rows = []
    for choice in with_rates(offered, measured):
        rule = rule_of(choice, device, steps_per_epoch)
        cost = estimate_cost(
            model, algorithm=rule, batch=batch, primitives=primitives, lr=choice.lr
        ).total
        predicted = min(least + (1 - losses[choice.method]) * (digital - least), 1.0)
        if choice.factor != 1:  # another rate is thought to do as well
            predicted = measured.get(choice.method, predicted)
        row = {
            "key": choice.key,
            "method": choice.method,
            "factor": choice.factor,
            "most": choice.most,
            "kind": choice.kind,
            "label": choice.label,
            "tiles": rule.count,
            "gamma": rule.ratio if rule.visible > 1 and rule.ratio > 0 else None,
            "predicted_accuracy": predicted,
            "measured_accuracy": measured.get(choice.key),
            "accuracy": measured.get(choice.key, predicted),
            "measure_first": choice.measure_first,
            "tuned_for_fewer": tuned_for_fewer(choice.method, states),
            "floor": rule.floor(),
            "update_ns": cost.update_ns,
            "storage_bytes": cost.storage_bytes,
            "energy_nj": cost.energy_nj,
            "area_mm2": cost.area_mm2,
        }
        rows.append({**row, "breaks": _broken(row, limits)})
    layers = crossbars(model, batch, primitives_of(primitives), digital=True)
    candidates = _candidates(rows)
    close = _resolution(candidates, images) if measured else CLOSE
    return {
        "device": repr(device),
        "effective_states": states,
        "left_out": left_out(device),
        "digital_accuracy": digital,
        "choices": rows,
        "one_patch_only": one_patch_only(layers, None),
        "close": close,
        "limits": dataclasses.asdict(limits),
        "recommended": best(candidates, limits, close),
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
    if limits.accuracy is not None and row["accuracy"] < limits.accuracy:
        broken.append("accuracy")
    return broken


def _candidates(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What may be recommended: the measured choices, if there are any."""
    measured = [row for row in rows if row["measured_accuracy"] is not None]
    return measured or [row for row in rows if not row["measure_first"]]


def _resolution(rows: list[dict[str, Any]], images: int | None) -> float:
    """The standard error of the best accuracy, on so many images; half a point at least."""
    top = max((row["accuracy"] for row in rows if not row["breaks"]), default=0.0)
    return max(CLOSE, math.sqrt(top * (1 - top) / images)) if images else CLOSE


def promising(found: dict[str, Any]) -> str | None:
    """The label of the choice predicted to be better than the recommended, measured one, if any."""
    keep = [row for row in found["choices"] if not row["breaks"]]
    chosen = next((row for row in keep if row["key"] == found["recommended"]), None)
    if chosen is None:
        return None
    most = max(keep, key=lambda row: float(row["accuracy"]))
    return str(most["label"]) if most["accuracy"] > chosen["accuracy"] + found["close"] else None


def best(rows: list[dict[str, Any]], limits: Limits, close: float = CLOSE) -> str | None:
    """The key of the best of some choices by the rule of `plan`; None if all break a limit."""
    possible = [row for row in rows if not row["breaks"]]
    if not possible:
        return None
    if limits.accuracy is None:
        most = max(row["accuracy"] for row in possible)
        possible = [row for row in possible if row["accuracy"] >= most - close]
    return str(min(possible, key=order)["key"])


def order(row: dict[str, Any]) -> tuple[float, float, float]:
    """What is preferred among equals: fast, then accurate, then small."""
    return row["update_ns"], -row["accuracy"], row["area_mm2"]


@cache
def _reference() -> dict[str, Any]:
    text = (
        resources.files("resitile.experiments").joinpath("plan_reference.json").read_text("utf-8")
    )
    found: dict[str, Any] = json.loads(text)
    return found
