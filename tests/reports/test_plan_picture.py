"""The picture of a plan shows every choice, the limits, and what the signs mean."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from resitile.reports.plan import plan_figure


def found(recommended: str | None = "a", **limits: float) -> dict[str, Any]:
    """Three choices; the last two stand at one place."""
    choices = [
        {
            "key": key, "label": f"method {key}", "kind": kind, "accuracy": accuracy,
            "measured_accuracy": None, "update_ns": 10.0, "storage_bytes": storage,
            "energy_nj": 5.0, "breaks": ["storage_bytes"] if key == "a" and limits else [],
        }
        for key, kind, accuracy, storage in (
            ("a", "x", 0.9, 3000.0), ("b", "y", 0.8, 2000.0), ("c", "y", 0.8, 2000.0),
        )
    ]  # fmt: skip
    names = ("update_ns", "storage_bytes", "energy_nj", "area_mm2", "accuracy")
    return {
        "choices": choices, "recommended": recommended,
        "limits": {name: limits.get(name) for name in names},
    }  # fmt: skip


def dashed(figure: Figure) -> list[list[tuple[list[float], list[float]]]]:
    """Per panel, both ends of each dashed line."""
    return [
        [(list(li.get_xdata()), list(li.get_ydata())) for li in axis.lines if li.is_dashed()]
        for axis in figure.axes
    ]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_costs_are_in_the_units_of_the_axes() -> None:
    places = [
        [dots.get_offsets().tolist()[0] for dots in axis.collections]
        for axis in plan_figure(found(None)).axes
    ]
    accuracies = (0.9, 0.8, 0.8)
    assert places == [
        [pytest.approx([x, y]) for x, y in zip(costs, accuracies, strict=True)]
        for costs in ((10, 10, 10), (3, 2, 2), (5, 5, 5))  # ns, kB, nJ
    ]


def test_a_choice_behind_another_or_recommended_is_seen() -> None:
    figure = plan_figure(found("c"))
    for axis in figure.axes:
        a, b, c, ring = axis.collections
        assert b.get_sizes()[0] > c.get_sizes()[0] == a.get_sizes()[0]
        assert ring.get_facecolor().size == 0
        assert ring.get_sizes()[0] > b.get_sizes()[0]
    assert legend(figure) == ["method a", "method b", "method c", "recommended"]


def test_limits_are_drawn_and_explained() -> None:
    figure = plan_figure(found(storage_bytes=2500.0, accuracy=0.7, area_mm2=0.1))
    latency, storage, energy = dashed(figure)
    assert latency == energy == [([0, 1], [0.7, 0.7])]
    assert storage == [([2.5, 2.5], [0, 1]), ([0, 1], [0.7, 0.7])]
    assert legend(figure)[-2:] == ["limit", "faded: breaks a limit (area: 0.1 mm²)"]
    assert [dots.get_alpha() for dots in figure.axes[0].collections[::2]] == [0.35, 1]


def test_without_limits_nothing_is_said_of_them() -> None:
    figure = plan_figure(found(None))
    assert dashed(figure) == [[], [], []]
    assert legend(figure) == ["method a", "method b", "method c"]
    assert dashed(plan_figure(found(update_ns=0.0))) == [[], [], []]  # no place on the axis
