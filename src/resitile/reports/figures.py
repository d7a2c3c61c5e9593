"""Matplotlib figures from run records, for the page and for notebooks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)

from resitile._pictures import plain
from resitile.reports.lines import lines_of
from resitile.reports.records import Run

# Okabe and Ito's palette: distinct to colour-blind readers too; black is kept for text.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#666666")
_STYLES = ("-", "--", ":")

_BESIDE = 6  # layers of one tile in a row of their histograms


def _look(number: int) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": _STYLES[number // len(COLOURS) % len(_STYLES)],
    }


def _inwards(edge: float) -> float:
    """The number of one digit next to it on the side of 0; edges of small devices are below 1."""
    if edge == 0:
        return 0.0
    digit = math.floor(math.log10(abs(edge)))
    # 0.3 is 2.9999999999999996 tenths.
    return round(
        math.copysign(math.floor(abs(edge) / 10**digit + 1e-9), edge) * 10.0**digit, -digit
    )


def learning_curves(runs: Sequence[Run]) -> Figure:
    """Validation accuracy and training loss against the epoch.

    One line for all seeds of the same settings, their mean, with every seed as a faint line.
    """
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    for number, (label, group) in enumerate(lines_of(runs)):
        look = _look(number)
        for axis, key in ((accuracy, "val_accuracy"), (loss, "train_loss")):
            lines = [[e[key] for e in run.epochs] for run in group]
            if len(lines) > 1:
                for line in lines:
                    axis.plot(range(1, len(line) + 1), line, **look, alpha=0.25, linewidth=0.8)
            # Only as far as all seeds have come: a mean over fewer would jump.
            mean = [sum(values) / len(values) for values in zip(*lines, strict=False)]
            mark = "o" if len(mean) < 25 else None
            axis.plot(
                range(1, len(mean) + 1), mean, **look, marker=mark, markersize=3.5,
                label=plain(label),
            )  # fmt: skip
        for before, after in pairwise(group[0].epochs):
            if before.get("stage") is not None and before.get("stage") != after.get("stage"):
                at = (after["epoch"] + before["epoch"]) / 2
                accuracy.axvline(at, color=look["color"], alpha=0.25, linewidth=0.8)
    for classes in sorted({run.classes for run in runs if run.classes}):
        accuracy.axhline(1 / classes, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
        accuracy.annotate(
            f"chance ({classes} classes)", (1, 1 / classes), (-2, 3), fontsize=8, color="#666666",
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        )  # fmt: skip
    accuracy.set(xlabel="epoch", ylabel="validation accuracy", ylim=(0, 1))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    loss.set(xlabel="epoch", ylabel="training loss (negative log-likelihood)")
    loss.set_yscale("log")  # a collapsed run would flatten the others
    loss.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    loss.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    loss.yaxis.set_minor_formatter(NullFormatter())
    last = max((len(run.epochs) for run in runs), default=1)
    for axis in (accuracy, loss):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if last < 3:  # a point or two: the epochs around it, not parts of one
            axis.set(xlim=(0.5, last + 0.5), xticks=range(1, last + 1))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def tile_histograms(run: Run, record: dict[str, Any], colour: str = COLOURS[0]) -> Figure:
    """What every tile of every layer holds: a row per layer, the coarsest tile on the left.

    Layers of a single tile stand side by side.
    """
    layers = record["layers"]
    tiles = max(len(layer["counts"]) for layer in layers.values())
    columns = tiles if tiles > 1 else min(len(layers), _BESIDE)
    rows = len(layers) if tiles > 1 else -(-len(layers) // columns)
    figure = Figure(figsize=(1.2 + 1.55 * columns, 0.5 + 1.55 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_visible(False)
    lines = axes if tiles > 1 else axes.reshape(-1, 1)
    for line, (name, layer) in zip(lines, layers.items(), strict=False):
        edges, top = layer["edges"], max(max(c) / (sum(c) or 1) for c in layer["counts"])
        for n, (axis, counts) in enumerate(zip(line, layer["counts"], strict=False)):
            axis.set_visible(True)
            share = [c / (sum(counts) or 1) for c in counts]
            axis.stairs(share, edges, fill=True, color=colour, alpha=0.8)
            axis.set_ylim(0, 1.08 * min(top, 0.35))
            axis.set_yticks([])
            axis.tick_params(labelsize=7)
            axis.set_xticks(sorted({_inwards(edges[0]), 0.0, _inwards(edges[-1])}))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.spines[["top", "right", "left"]].set_visible(False)
            which = f"tile {n} · ×{layer['gamma'][n]:.3g}" if tiles > 1 else plain(name)
            axis.set_title(f"{which} · std {layer['std'][n]:.2f}", fontsize=7.5)
        if tiles > 1:
            line[0].set_ylabel(plain(name), fontsize=8, rotation=0, ha="right", va="center")
    told = "weight in the tile's own units;{}share of its devices"
    figure.supxlabel(told.format("\n" if columns == 1 else " "), fontsize=8)
    return figure


def tile_history(run: Run, name: str) -> Figure:
    """How the contents of one layer's tiles spread out over the epochs: a heat map per tile."""
    tiles = len(run.tiles[-1]["layers"][name]["counts"])
    figure = Figure(figsize=(1.0 + 1.5 * tiles, 1.9), layout="constrained")
    axes = figure.subplots(1, tiles, sharey=True, squeeze=False)[0]
    edges = run.tiles[-1]["layers"][name]["edges"]
    epochs = [record["epoch"] for record in run.tiles]
    sides = [epochs[0] - 0.5, *(epoch + 0.5 for epoch in epochs)]
    for n, axis in enumerate(axes):
        counts = [record["layers"][name]["counts"][n] for record in run.tiles]
        shares = [
            [column[b] / (sum(column) or 1) for column in counts] for b in range(len(edges) - 1)
        ]
        axis.pcolormesh(sides, edges, shares, cmap="Blues", vmin=0, vmax=0.15, rasterized=True)
        axis.set_title(f"tile {n}", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axes[0].set_ylabel(plain(name), fontsize=8)
    figure.supxlabel("epoch", fontsize=8)
    return figure


def tile_evolution(run: Run) -> Figure:
    """The spread of each tile's contents against the epoch, a panel per layer."""
    names = list(run.tiles[-1]["layers"])
    figure = Figure(figsize=(9.5, 2.9), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    epochs = [record["epoch"] for record in run.tiles]
    for axis, name in zip(axes, names, strict=True):
        for n in range(len(run.tiles[-1]["layers"][name]["std"])):
            values = [record["layers"][name]["std"][n] for record in run.tiles]
            axis.plot(epochs, values, **_look(n), marker=".", label=f"tile {n}")
        axis.set_title(plain(name), fontsize=9)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("std of the tile's weights")
    axes[0].set_ylim(bottom=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, frameon=False, fontsize=8)
    return figure


def pulses_per_tile(runs: Sequence[Run]) -> Figure:
    """Pulses that each tile received in a whole run, summed over layers; means over seeds."""
    analog = []
    for number, (label, group) in enumerate(lines_of(runs)):
        totals = [
            [sum(counts) for counts in zip(*run.epochs[-1]["pulses"].values(), strict=True)]
            for run in group
            if run.epochs and run.epochs[-1]["pulses"]
        ]
        if totals:
            mean = [sum(values) / len(values) for values in zip(*totals, strict=True)]
            analog.append((number, plain(label), mean))
    figure = Figure(figsize=(9.5, 2.8), layout="constrained")
    axis = figure.subplots()
    for slot, (number, label, mean) in enumerate(analog):
        width = 0.5 / len(analog)
        at = [n + (slot - (len(analog) - 1) / 2) * width for n in range(len(mean))]
        # Dots, for on a logarithmic axis there is no zero that bars could stand on.
        axis.plot(at, mean, "o", markersize=5, color=_look(number)["color"], label=label)
    axis.set_yscale("log")
    axis.set_xlim(-0.5, max((len(mean) for *_, mean in analog), default=1) - 0.5)
    axis.set(xlabel="tile (0 is the coarsest)", ylabel="pulses received")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
