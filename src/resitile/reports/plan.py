"""The accuracy-cost front of a plan."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from resitile._pictures import write_figure
from resitile.reports.figures import COLOURS

_COSTS = (
    ("update_ns", 1.0, "update latency (ns per sample)"),
    ("storage_bytes", 1e-3, "digital storage (kB)"),
    ("energy_nj", 1.0, "energy (nJ per sample)"),
)
_FADED = 0.35
_LIMIT: dict[str, Any] = {"color": "#B00020", "linestyle": "--", "linewidth": 1}
_MARKERS = "os^Dvph"  # one for each kind of method; colours tell its tiles


def front(rows: list[dict[str, Any]], cost: str) -> list[dict[str, Any]]:
    """The choices that no other beats in both accuracy and this cost, the cheapest first."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda r: (r[cost], -r["accuracy"])):
        if not kept or row["accuracy"] > kept[-1]["accuracy"]:
            kept.append(row)
    return kept


def plan_figure(found: dict[str, Any]) -> Figure:
    """Accuracy against latency, storage and energy, the front as a line, limits as dashed ones.

    Measured accuracies are filled; predictions are hollow then. What breaks a limit is faded, what
    is recommended has a ring.

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
            colour = COLOURS[number % len(COLOURS)]
            hollow = some and row["measured_accuracy"] is None
            axis.scatter(
                row[key] * unit, row["accuracy"], s=_size(found["choices"], number, key), zorder=2,
                facecolors="none" if hollow else colour, edgecolors=colour,
                marker=_MARKERS[kinds.index(row["kind"]) % len(_MARKERS)],
                alpha=_FADED if row["breaks"] else 1.0, label=row["label"],
            )  # fmt: skip
            if row["key"] == found["recommended"]:
                axis.scatter(
                    row[key] * unit, row["accuracy"], s=260, zorder=3, facecolors="none",
                    edgecolors="black",
                )  # fmt: skip
        _draw_limits(axis, found["limits"], key, unit)
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
    handles = axes[0].get_legend_handles_labels()[0] + _signs(found)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8
    )  # fmt: skip
    return figure


def _size(choices: list[dict[str, Any]], number: int, cost: str) -> int:
    """Larger the more choices are drawn over this one at the same place: they are seen as rims."""
    place = choices[number][cost], choices[number]["accuracy"]
    over = sum((row[cost], row["accuracy"]) == place for row in choices[number + 1 :])
    return (6 + 4 * over) ** 2


def _draw_limits(axis: Any, limits: dict[str, float | None], cost: str, unit: float) -> None:
    most, least = limits[cost], limits["accuracy"]
    if most:  # none is at 0, which has no place on a logarithmic axis
        axis.axvline(most * unit, **_LIMIT)
    if least is not None:
        axis.axhline(least, **_LIMIT)


def _signs(found: dict[str, Any]) -> list[Line2D]:
    """What the legend says of the ring and of limits, if any; that of the area has no axis."""
    signs: list[Line2D] = []
    if found["recommended"] is not None:
        ring: dict[str, Any] = {
            "marker": "o",
            "linestyle": "",
            "color": "black",
            "markerfacecolor": "none",
        }
        signs.append(Line2D([], [], markersize=11, **ring, label="recommended"))
    limits = {key: value for key, value in found["limits"].items() if value is not None}
    if limits.keys() - {"area_mm2"}:
        signs.append(Line2D([], [], **_LIMIT, label="limit"))
    if any(row["breaks"] for row in found["choices"]):
        area = f" (area: {limits['area_mm2']:g} mm²)" if "area_mm2" in limits else ""
        faded: dict[str, Any] = {"marker": "o", "linestyle": "", "color": "#333333"}
        signs.append(Line2D([], [], **faded, alpha=_FADED, label=f"faded: breaks a limit{area}"))
    return signs


def write_plan(found: dict[str, Any], path: Path) -> Path:
    """Draw the front into `path` (.svg or .png by its ending)."""
    write_figure(plan_figure(found), path)
    return path
