"""The accuracy-cost front of a plan."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from resitile._pictures import write_figure
from resitile.reports.figures import COLOURS

_COSTS = (
    ("update_ns", 1.0, "update latency (ns per sample)"),
    ("storage_bytes", 1e-3, "digital storage (kB)"),
    ("energy_nj", 1.0, "energy (nJ per sample)"),
)
_MARKERS = "os^Dvph"  # one for each kind of method; colours tell its tiles


def front(rows: list[dict[str, Any]], cost: str) -> list[dict[str, Any]]:
    """The choices that no other beats in both accuracy and this cost, the cheapest first."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r[cost], -r["accuracy"])):
        if not kept or row["accuracy"] > kept[-1]["accuracy"]:
            kept.append(row)
    return kept


def plan_figure(found: dict[str, Any]) -> Figure:
    """Accuracy against latency, storage and energy, the front as a line.

    Measured accuracies are filled; predictions are hollow then.

    Args:
        found: what `resitile.experiments.plan.plan` returns.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in found["choices"]))
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, len(_COSTS), sharey=True)
    some = any(row["measured_accuracy"] is not None for row in found["choices"])
    for axis, (key, unit, label) in zip(axes, _COSTS, strict=True):
        line = front(found["choices"], key)
        axis.plot(
            [row[key] * unit for row in line], [row["accuracy"] for row in line],
            color="#999999", drawstyle="steps-post", zorder=1,
        )  # fmt: skip
        for number, row in enumerate(found["choices"]):
            chosen = row["key"] == found["recommended"]
            colour = COLOURS[number % len(COLOURS)]
            hollow = some and row["measured_accuracy"] is None
            axis.scatter(
                row[key] * unit, row["accuracy"], s=110 if chosen else 36, zorder=2,
                facecolors="none" if hollow else colour,
                edgecolors="black" if chosen else colour,
                marker=_MARKERS[kinds.index(row["kind"]) % len(_MARKERS)],
                alpha=0.35 if row["breaks"] else 1.0,
                label=_label(row, chosen),
            )  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].margins(y=0.1)  # room for the large marker
    axes[0].set_ylabel("accuracy (hollow: predicted)" if some else "predicted accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _label(row: dict[str, Any], chosen: bool) -> str:
    return str(row["label"]) + (" (recommended)" if chosen else "")


def write_plan(found: dict[str, Any], path: Path) -> Path:
    """Draw the front into `path` (.svg or .png by its ending)."""
    write_figure(plan_figure(found), path)
    return path
