"""The picture of a sweep: accuracy along its axis, published points beside ours."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from resitile._pictures import plain, write_figure
from resitile.reports.figures import COLOURS

_WIDTH = 70  # characters that fit below the axis side by side


def sweep_figure(record: dict[str, Any]) -> Figure:
    """Test accuracy against the axis: mean over seeds, every seed as a dot, published lines dashed.

    Between points whose places are names there are no lines; their accuracies are written beside
    them, and the axis begins near the lowest.

    Args:
        record: what `resitile.experiments.sweep.collect` returns.
    """
    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    axes = figure.subplots()
    named = any(isinstance(x, str) for x in record["x"])
    place: dict[Any, float] = {}
    for line in (record, *record["published"]):  # a published name may have a place of its own
        for x in line["x"]:
            place.setdefault(x, float(len(place)) if named else float(x))
    ticks = list(place) if named else record["x"]
    for number, line in enumerate(record["series"]):
        colour = COLOURS[number % len(COLOURS)]
        at = [place[x] for x in record["x"]]
        mean = [sum(values) / len(values) for values in line["test"]]
        link = "" if named else "-"  # between names there is nothing
        axes.plot(
            at, mean, linestyle=link, color=colour, marker="o", markersize=4.5,
            label=plain(line["label"]),
        )  # fmt: skip
        for x, y in zip(at, mean, strict=True):
            if named:
                axes.annotate(
                    f"{100 * y:.1f}", (x, y), (0, 5), textcoords="offset points", ha="center",
                    color=colour, fontsize=8,
                )  # fmt: skip
        for x, values in zip(at, line["test"], strict=True):
            if len(values) > 1:
                axes.plot([x] * len(values), values, ".", color=colour, alpha=0.45)
    for number, line in enumerate(record["published"]):
        at = [place[x] for x in line["x"]]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(
            at, [y / 100 for y in line["y"]], color=colour, linestyle="" if named else "--",
            marker="s", markersize=4, alpha=0.55,
            label=plain(f"{line['label']} ({line['source']})"),
        )  # fmt: skip
    drawn = [y for line in record["series"] for values in line["test"] for y in values]
    drawn += [y / 100 for line in record["published"] for y in line["y"]]
    room = max(0.03, 0.1 * (max(drawn) - min(drawn)))  # for the values above the points
    span = (min(drawn) - room, min(max(drawn) + room, 1)) if named else (0, 1)
    axes.set(xlabel=plain(record["axis"]), ylabel="test accuracy", ylim=span)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if record["log"]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([place[x] for x in ticks], [plain(x) for x in ticks])
    if sum(len(str(x)) for x in ticks) > _WIDTH:
        axes.tick_params("x", rotation=35)
        for name in axes.get_xticklabels():
            name.set(horizontalalignment="right", rotation_mode="anchor")
    axes.set_title(plain(f"{record['title']}\n{_task(record)}"), fontsize=9)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(record["series"]) + len(record["published"]) > 1:
        figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8)
    return figure


def _task(record: dict[str, Any]) -> str:
    """What all runs have in common; of the rest, the axis and the legend tell."""
    size, data, epochs = record["train_size"], record["data"], record["epochs"]
    images = "" if size is None else f"{size:,} training images"
    if data is not None:
        images += f" of {data}" if images else str(data)
    time = "" if epochs is None else f"{epochs} epoch{'s' * (epochs != 1)}"
    count = len(record["series"][0]["test"][0])
    seeds = f"{count} seeds" if count > 1 else "one seed"
    return ", ".join(part for part in (images, time, seeds) if part)


def write_sweep(record: dict[str, Any], folder: Path) -> Path:
    """Draw the record as `sweep.svg` and `sweep.png` in `folder`; returns the SVG's path."""
    figure = sweep_figure(record)
    for kind in ("png", "svg"):
        write_figure(figure, folder / f"sweep.{kind}")
    return folder / "sweep.svg"
