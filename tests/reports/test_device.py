"""Pictures of devices show what was read, and what the law says of it."""

import numpy as np
import pytest

import resitile as rt
from resitile._pictures import write_figure
from resitile.fitting import Candidate, Fitted, Train, fit, read_trains
from resitile.reports.device import device_figure, fit_figure

STEPS = rt.devices.ConstantStep(states=4, up_down=0.2)  # 0.5 up, 0.4 down


@pytest.fixture
def fitted() -> Fitted:
    """Two trains of one device, with an outlier in the first, and one of another device."""
    trains = [
        Train("a", np.array([0.0, 0.5, 9.0, 0.9, 1.0]), np.ones(4, dtype=bool)),
        Train("a", np.array([1.0, 0.6, 0.2]), np.zeros(2, dtype=bool)),
        Train("b", np.array([0.1, 0.7]), np.ones(1, dtype=bool)),
    ]
    outliers = [np.array([2]), np.empty(0, dtype=int)]
    best = Candidate(STEPS, 0.0, 6, 0.1, 0.01, 0.1, [STEPS, STEPS], outliers)
    return Fitted([best], 10.0, 5.0, trains)


def test_readings_and_the_staircase_of_the_law(fitted):
    panel, other, _ = fit_figure(fitted).axes
    dots, crosses = panel.collections
    assert dots.get_offsets().tolist() == [
        [0, 0], [1, 0.5], [3, 0.9], [4, 1], [5, 1], [6, 0.6], [7, 0.2]
    ]  # fmt: skip
    top = panel.get_ylim()[1]
    assert crosses.get_offsets().tolist() == [[2, top]]
    assert 1 < top < 1.5
    first, second = panel.lines
    assert first.get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert first.get_ydata() == pytest.approx([0, 0.5, 1, 1, 1])  # no further than its bound
    assert second.get_xdata().tolist() == [5, 6, 7]
    assert second.get_ydata() == pytest.approx([1, 0.6, 0.2])
    assert other.collections[0].get_offsets().tolist() == [[0, 0.1], [1, 0.7]]


@pytest.mark.parametrize("where", [None, 0, 1])
def test_the_legend_names_outliers_where_there_are_some(fitted, where):
    """The first panel has the legend of all."""
    for number, outliers in enumerate(fitted.best.outliers):
        outliers.resize(int(number == where), refcheck=False)
    names = [text.get_text() for text in fit_figure(fitted).axes[0].get_legend().get_texts()]
    assert ("outlier" in names) is (where is not None)
    assert names[-1].startswith("its law")


def test_a_second_scale_is_in_the_unit_of_the_file(fitted):
    figure = fit_figure(fitted)
    figure.draw_without_rendering()
    panel = figure.axes[0]
    (scale,) = panel.child_axes
    low, high = panel.get_ylim()
    assert scale.get_ylim() == pytest.approx((10 + 5 * low, 10 + 5 * high))
    there, back = scale._functions  # matplotlib sets limits with the one, places ticks with both
    assert [back(there(w)) for w in (-1.0, 0.3)] == pytest.approx([-1.0, 0.3])
    assert back(10 + 5 * 0.3) == pytest.approx(0.3)
    assert scale.get_ylabel() == "reading, as read"


def test_the_second_scale_is_called_as_in_the_file(tmp_path):
    path = tmp_path / "pulses.csv"
    rows = [f"{'up' if k % 8 < 4 else 'down'},{min(k % 8, 8 - k % 8)}" for k in range(1, 40)]
    path.write_text("direction,Current ($ per h)\n," + "0\n" + "\n".join(rows) + "\n")
    scales = [
        scale for axis in fit_figure(fit(read_trains(path))).axes for scale in axis.child_axes
    ]
    assert [scale.get_ylabel() for scale in scales] == [r"Current (\$ per h), as read"]


def test_steps_to_and_from_outliers_are_left_out(fitted):
    right = fit_figure(fitted).axes[-1]
    up, down = right.collections
    np.testing.assert_allclose(up.get_offsets(), [[0, 0.5], [0.9, 0.1], [0.1, 0.6]])
    np.testing.assert_allclose(down.get_offsets(), [[1, -0.4], [0.6, -0.4]])
    assert right.lines[0].get_ydata() == pytest.approx(np.full(201, 0.5))
    assert right.lines[1].get_ydata() == pytest.approx(np.full(201, -0.4))


def test_single_devices_and_the_nominal_one(tmp_path):
    record = {
        "staircases": [[0, 0.4, 0.1], [0, 0.6, 0.2]], "nominal": [0, 0.5, 0.1], "device": "Mine()",
        "w": [-1, 1], "up": [0.5, 0.6], "down": [-0.4, -0.3],
    }  # fmt: skip
    left, right = device_figure(record).axes
    assert [list(line.get_ydata()) for line in left.lines] == [
        *record["staircases"], record["nominal"]
    ]  # fmt: skip
    lines = {line.get_label(): list(line.get_ydata()) for line in right.lines}
    assert lines["pulse up"] == [0.5, 0.6]
    assert lines["pulse down"] == [-0.4, -0.3]
    pages = []
    for name in ("a.svg", "b.svg"):
        write_figure(device_figure(record), tmp_path / "deep" / name)
        pages.append((tmp_path / "deep" / name).read_bytes())
    assert pages[0] == pages[1]
    assert b"Mine()" in pages[0]  # text that can be looked for
