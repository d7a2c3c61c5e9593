"""Pictures of devices: a measurement with the law fitted to it, and a law with its spread."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from resitile.devices import Device
    from resitile.fitting import Fitted

_UP, _DOWN, _LINE = "#0072B2", "#D55E00", "#333333"
_SHOWN = 400  # pulses of the first device's trains
_DOTS = 4000


def fit_figure(fitted: "Fitted") -> Figure:
    """Readings of one device against pulses, and all steps against the weight, with the law."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    device, first = fitted.device, fitted.trains[0].device
    at, labelled = 0, False
    mean = "mean device's " if fitted.devices > 1 else ""
    for train in fitted.trains:
        if train.device != first or at > _SHOWN:
            continue
        pulses = np.arange(at, at + train.readings.size)
        colours = [_LINE, *(_UP if up else _DOWN for up in train.ups)]
        left.scatter(pulses, train.readings, s=9, c=colours, zorder=2)
        left.plot(
            pulses, _followed(device, float(train.readings[0]), train.ups), color=_LINE, lw=1,
            label=None if labelled else f"the {mean}law without noise, from the first reading",
        )  # fmt: skip
        at, labelled = at + train.readings.size, True
    name = f" (device {first})" if first else ""
    left.set(xlabel=f"reading{name}", ylabel="weight")
    _with_readings(left, fitted)
    before = np.concatenate([train.readings[:-1] for train in fitted.trains])
    steps = np.concatenate([np.diff(train.readings) for train in fitted.trains])
    ups = np.concatenate([train.ups for train in fitted.trains])
    some = np.linspace(0, steps.size - 1, min(steps.size, _DOTS)).astype(int)
    before, steps, ups = before[some], steps[some], ups[some]
    w = np.linspace(device.w_min, device.w_max, 201)
    for way, colour, word in ((True, _UP, "up"), (False, _DOWN, "down")):
        right.scatter(before[ups == way], steps[ups == way], s=6, color=colour, alpha=0.35, lw=0)
        size = device.step_up if way else -device.step_down
        q = device.q_up if way else device.q_down
        line = [size * q(float(x), device.p) for x in w]
        right.plot(w, line, color=colour, lw=2, label=f"{device.name}, pulse {word}")
    right.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    right.set(xlabel="weight before the pulse (dots: as read)", ylabel="change by one pulse")
    for axis in (left, right):
        _tidy(axis)
    return figure


def device_figure(record: dict[str, Any]) -> Figure:
    """Staircases of single devices, and the nominal steps against the weight."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    staircases = record["staircases"]
    for k, staircase in enumerate(staircases):
        left.plot(
            staircase, color=_UP, alpha=0.35, lw=1, drawstyle="steps-post",
            label=None if k else f"{len(staircases)} devices, with spread and noise",
        )  # fmt: skip
    left.plot(
        record["nominal"], color=_LINE, lw=2, drawstyle="steps-post", label="nominal, without"
    )
    left.set(xlabel="pulses: up, then down", ylabel="weight")
    for key, colour in (("up", _UP), ("down", _DOWN)):
        right.plot(record["w"], record[key], color=colour, lw=2, label=f"pulse {key}")
    right.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    right.set(xlabel="weight before the pulse", ylabel="change by one pulse, nominal device")
    for axis in (left, right):
        _tidy(axis)
    figure.suptitle(textwrap.fill(record["device"], 150), fontsize=8)
    return figure


def write_figure(figure: Figure, path: Path) -> None:
    """Write a picture, .svg or .png by its ending; the same picture is the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resitile"}):
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def _followed(device: "Device", w: float, ups: np.ndarray) -> list[float]:
    """The nominal device's weights under pulses, without noise."""
    found = [w]
    for up in ups:
        p = device.p
        step = device.step_up * device.q_up(w, p) if up else -device.step_down * device.q_down(w, p)
        w = min(max(w + step, device.w_min), device.w_max)
        found.append(w)
    return found


def _with_readings(axis: Any, fitted: "Fitted") -> None:
    """A second scale in the unit of the file."""
    scale = axis.secondary_yaxis(
        "right",
        functions=(
            lambda w: fitted.zero + fitted.unit * w,
            lambda g: (g - fitted.zero) / fitted.unit,
        ),
    )
    scale.set_ylabel("as read")


def _tidy(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="best")
