"""Pictures of the measurements, from the records that `resitile theory` writes."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's palette: distinct to colour-blind readers too.
BLUE, RED, GREEN, PINK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#666666"


def _tidy(axis: Any) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def floor_figure(record: dict[str, Any]) -> Figure:
    """Error of one tile against dw_min, with the closed form and Theorem 1's floor."""
    figure = Figure(figsize=(6.2, 4.4), layout="constrained")
    axis = figure.subplots()
    points = sorted(record["points"], key=lambda p: p["dw_min"])
    dw = np.array([p["dw_min"] for p in points])
    axis.plot(dw, [p["theorem_1"] for p in points], color=GREY, ls="--", label="Theorem 1 (upper)")
    axis.plot(dw, [p["closed_form"] for p in points], color=BLUE, label="closed form")
    for fitted, mark, name in ((True, "o", "in the fit"), (False, "s", "few states, not fitted")):
        some = [p for p in points if p["fitted"] is fitted]
        axis.errorbar(
            [p["dw_min"] for p in some], [p["error"] for p in some],
            yerr=[1.96 * p["standard_error"] for p in some], color=RED, fmt=mark, ms=5,
            mfc=RED if fitted else "white", capsize=2, label=f"measured, {name}",
        )  # fmt: skip
    fit = record["slope"]
    axis.set_title(
        f"Floor of one tile: slope {fit['value']:.3f} [{fit['low']:.3f}, {fit['high']:.3f}], "
        "theory 1",
        fontsize=10,
    )
    axis.set(xscale="log", yscale="log", xlabel="dw_min, change of one pulse (reach 1)")
    axis.set_ylabel("E (w - w*)²  at sigma = 1, w* = 0")
    _tidy(axis)
    return figure


def tiles_figure(records: dict[str, Any], published: list[float]) -> Figure:
    """Loss of the toy against the number of tiles, a panel a protocol, and the published ones."""
    figure = Figure(figsize=(4.1 * len(records), 4.6), layout="constrained")
    axes = figure.subplots(1, len(records), sharey=True, squeeze=False)[0]
    lines = (
        ("mean", RED, "o", "mean of all targets"),
        ("median", PINK, "v", "median of all targets"),
        ("covered_mean", BLUE, "s", "mean, residuals in reach"),
        ("covered_median", GREEN, "^", "median, residuals in reach"),
    )
    for axis, record in zip(axes, records.values(), strict=True):
        runs = record["runs"]
        for key, colour, mark, name in lines:
            some = [run for run in runs if run[key] is not None]
            axis.plot(
                [run["tiles"] for run in some], [run[key] for run in some],
                color=colour, marker=mark, ms=5, label=name,
            )  # fmt: skip
        axis.plot(
            range(1, 1 + len(published)), published, color="black", ls=":", marker="x", ms=6,
            label="published, Figure 7 (right)",
        )  # fmt: skip
        for run in runs[1:]:
            axis.annotate(
                f"{run['covered']:.2g}", (run["tiles"], 1.02), xycoords=("data", "axes fraction"),
                ha="center", fontsize=7, color=GREY,
            )  # fmt: skip
        axis.annotate("in reach:", (0.0, 1.02), xycoords="axes fraction", fontsize=7, color=GREY)
        axis.set_title(record["settings"]["name"], fontsize=10, pad=16)
        axis.set(yscale="log", xlabel="tiles", xlim=(0.7, 6.3))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_locator(LogLocator(numticks=12))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("loss (w - b)² at the end")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def time_figure(record: dict[str, Any]) -> Figure:
    """Loss of the toy against time for each number of tiles, of targets in reach at the end."""
    figure = Figure(figsize=(6.6, 4.4), layout="constrained")
    axis = figure.subplots()
    colours = (GREY, RED, BLUE, GREEN, PINK, "#E69F00")
    for run, colour in zip(record["runs"], colours, strict=False):
        trace, copies = run["trace"], run["covered_copies"]
        if not copies:
            continue
        tiles = f"{run['tiles']} tile" + "s" * (run["tiles"] > 1)
        axis.plot(
            trace["times"][1:], trace["covered_median"][1:], color=colour,
            label=f"{tiles} ({copies} of {round(copies / run['covered'])} targets)",
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="updates of the finest tile")
    axis.set_ylabel("median loss (w - b)²")
    axis.set_title(
        f"{record['settings']['name']}: targets whose residuals end in reach", fontsize=10
    )
    _tidy(axis)
    axis.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def contraction_figure(finest: list[dict[str, Any]], coarse: dict[str, Any]) -> Figure:
    """Measured contraction rates beside those of Lemmas 2 and 3."""
    figure = Figure(figsize=(9.4, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for record, colour, mark in zip(finest, (BLUE, RED), ("o", "s"), strict=True):
        points, fit = record["points"], record["slope"]["value"]
        left.plot(
            [p["scale"] for p in points], [p["rate"] for p in points], color=colour, marker=mark,
            label=f"measured, sigma = {record['sigma']:g} (slope {fit:.2f})",
        )  # fmt: skip
    points = finest[0]["points"]
    left.plot(
        [p["scale"] for p in points], [p["lemma_rate"] for p in points], color=GREY, ls="--",
        label="Lemma 2, at least (slope 1)",
    )  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="gamma^N, coefficient of the finest tile")
    left.set_ylabel("decay of the squared distance per update")
    left.set_title("Finest tile", fontsize=10)
    points, fit = coarse["points"], coarse["slope"]
    right.plot(
        [p["beta"] for p in points], [p["rate"] for p in points], color=BLUE, marker="o",
        label=f"measured (slope {fit['value']:.2f} [{fit['low']:.2f}, {fit['high']:.2f}])",
    )  # fmt: skip
    right.plot(
        [p["beta"] for p in points], [p["lemma_rate"] for p in points], color=GREY, ls="--",
        label="Lemma 3, at least (slope 1)",
    )  # fmt: skip
    right.set(xscale="log", yscale="log", xlabel="beta, step of a transfer")
    right.set_ylabel("decay of the squared distance per transfer")
    right.set_title("Coarser tile, fed by its drifting residual", fontsize=10)
    for side in (right.xaxis, right.yaxis):  # about one decade: label within it
        side.set_major_locator(LogLocator(subs=(1, 2, 5)))
        side.set_major_formatter(StrMethodFormatter("{x:g}"))
        side.set_minor_formatter(NullFormatter())
    for axis in (left, right):
        _tidy(axis)
    return figure
