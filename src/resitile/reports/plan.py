"""The accuracy-cost front of a plan."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

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
    for row in sorted(rows, key=lambda r: (r[cost], -r["predicted_accuracy"])):
        if not kept or row["predicted_accuracy"] > kept[-1]["predicted_accuracy"]:
            kept.append(row)
    return kept


def plan_figure(found: dict[str, Any]) -> Figure:
    """Predicted accuracy against latency, storage and energy, the front as a line.

    Args:
        found: what `resitile.experiments.plan.plan` returns.
    """
    kinds = list(dict.fromkeys(_kind(row) for row in found["choices"]))
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots(1, len(_COSTS), sharey=True)
    for axis, (key, unit, label) in zip(axes, _COSTS, strict=True):
        line = front(found["choices"], key)
        axis.plot(
            [row[key] * unit for row in line], [row["predicted_accuracy"] for row in line],
            color="#999999", drawstyle="steps-post", zorder=1,
        )  # fmt: skip
        for number, row in enumerate(found["choices"]):
            chosen = row["key"] == found["recommended"]
            axis.scatter(
                row[key] * unit, row["predicted_accuracy"], s=110 if chosen else 36, zorder=2,
                color=COLOURS[number % len(COLOURS)], edgecolors="black" if chosen else "none",
                marker=_MARKERS[kinds.index(_kind(row)) % len(_MARKERS)],
                alpha=0.35 if row["breaks"] else 1.0,
                label=row["label"] + (" (recommended)" if chosen else ""),
            )  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("predicted accuracy")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _kind(row: dict[str, Any]) -> str:
    """The method without its number of tiles."""
    return str(row["key"]).rsplit("-", 1)[0]


def write_plan(found: dict[str, Any], path: Path) -> Path:
    """Draw the front into `path` (.svg or .png by its ending)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "resitile"}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        plan_figure(found).savefig(path, dpi=150, metadata=metadata)
    return path
