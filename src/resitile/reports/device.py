"""Pictures of devices: a measurement with the law fitted to it, and a law with its spread."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from resitile._pictures import plain

if TYPE_CHECKING:
    from resitile.devices import Device
    from resitile.fitting import Fitted

_UP, _DOWN, _LINE = "#0072B2", "#D55E00", "#333333"
_PANELS = 4  # devices whose readings are drawn
_DOTS = 4000


def fit_figure(fitted: "Fitted") -> Figure:
    """Readings against pulses, a panel a device, and all steps against the weight, with the law.

    Outliers are crosses; the right panel leaves them out.
    """
    names = fitted.names
    shown = names[:_PANELS]
    figure = Figure(figsize=(11, max(4.4, 1.9 * len(shown))), layout="constrained")
    grid = figure.add_gridspec(len(shown), 2)
    for row, name in enumerate(shown):
        axis = figure.add_subplot(grid[row, 0])
        _readings(axis, fitted, row, name)
        axis.set_xlabel("reading" if row == len(shown) - 1 else "")
        _tidy(axis, loc=None)
        if row == 0:  # above the data, which fill the panel
            axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8)
    right = figure.add_subplot(grid[:, 1])
    _steps(right, fitted)
    _tidy(right)
    if len(names) > len(shown):
        figure.supxlabel(f"the first {len(shown)} of {len(names)} devices", fontsize=8)
    return figure


def _readings(axis: Any, fitted: "Fitted", number: int, name: str) -> None:
    """One device's readings, and its own law's staircases."""
    trains = fitted.of(name)
    device, outliers = fitted.best.single[number], fitted.best.outliers[number]
    readings = np.concatenate([train.readings for train in trains])
    colours = np.concatenate([[_LINE, *np.where(t.ups, _UP, _DOWN)] for t in trains])
    sound = np.ones(readings.size, dtype=bool)
    sound[outliers] = False
    at = np.arange(readings.size)
    axis.scatter(at[sound], readings[sound], s=7, c=colours[sound], zorder=2)
    low, high = readings[sound].min() - 0.15, readings[sound].max() + 0.15
    some = any(found.size for found in fitted.best.outliers[:_PANELS])  # one legend for all panels
    axis.scatter(
        outliers, np.clip(readings[outliers], low, high), s=30, marker="x", color="#000000",
        zorder=3, label="outlier" if some else None,
    )  # fmt: skip
    start = 0
    for k, train in enumerate(trains):
        axis.plot(
            np.arange(start, start + train.readings.size),
            _followed(device, float(train.readings[0]), train.ups), color=_LINE, lw=1,
            label=None if k else "its law without noise, from the first reading",
        )  # fmt: skip
        start += train.readings.size
    axis.set(ylim=(low, high), ylabel=plain(f"weight of device {name}") if name else "weight")
    _with_readings(axis, fitted)


def _steps(axis: Any, fitted: "Fitted") -> None:
    """All steps but those to and from outliers, and the written device's."""
    device, before, steps, ups = fitted.device, [], [], []
    for name, outliers in zip(fitted.names, fitted.best.outliers, strict=True):
        start = 0
        for train in fitted.of(name):
            at = np.arange(start, start + train.readings.size)
            sound = ~np.isin(at, outliers)
            both = sound[:-1] & sound[1:]
            before.append(train.readings[:-1][both])
            steps.append(np.diff(train.readings)[both])
            ups.append(train.ups[both])
            start += train.readings.size
    x, y, up = np.concatenate(before), np.concatenate(steps), np.concatenate(ups)
    some = np.linspace(0, y.size - 1, min(y.size, _DOTS)).astype(int)
    x, y, up = x[some], y[some], up[some]
    w = np.linspace(device.w_min, device.w_max, 201)
    for way, colour, word in ((True, _UP, "up"), (False, _DOWN, "down")):
        axis.scatter(x[up == way], y[up == way], s=6, color=colour, alpha=0.35, lw=0)
        size = device.step_up if way else -device.step_down
        q = device.q_up if way else device.q_down
        line = [size * q(float(v), device.p) for v in w]
        axis.plot(w, line, color=colour, lw=2, label=f"{device.name}, pulse {word}")
    axis.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    axis.set(xlabel="weight before the pulse (dots: as read)", ylabel="change by one pulse")


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
    quantity = fitted.quantity if len(fitted.quantity) <= 24 else f"{fitted.quantity[:23]}…"
    scale.set_ylabel(plain(f"{quantity}, as read"))


def _tidy(axis: Any, loc: str | None = "best") -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top"]].set_visible(False)
    if loc is not None:
        axis.legend(frameon=False, fontsize=8, loc=loc)
