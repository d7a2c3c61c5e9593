"""From a measurement to a device: what is read from a file, and what the fit makes of it."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import resitile as rt
from resitile.errors import ConfigError, DataError
from resitile.fitting import Train, fit, read_trains
from resitile.kernels.crosspoint import pulse_staircase
from resitile.kernels.likelihood import _clipped, log_likelihood, positions
from resitile.tiles import Tile

ALIKE = {"dw_min": 0, "w_min": 0, "w_max": 0, "up_down": 0, "cycle": 0.2}
Z = 4.0  # standard errors: a two-sided false alarm of 6e-5 for each comparison


def measured(device, pulses, cycles, *, read=0.0, count=1, seed=0) -> list[Train]:
    """Readings of simulated devices: 10 + 5 w, pulses up and then as many down, several times."""
    law, spec, table, key = Tile(device, seed).physics
    ups = np.array(([True] * pulses + [False] * pulses) * cycles)
    w = np.zeros(count, dtype=np.float32)
    found = [w.copy()]
    for t in range(ups.size):
        pulse_staircase(law, spec, key, table, w, ups[t : t + 1], np.uint64(seed + 7919 * t))
        found.append(w.copy())
    noise = np.random.default_rng(seed).normal(0, read, (ups.size + 1, count))
    g = 10 + 5 * (np.array(found, dtype=np.float64) + noise)
    return [Train(f"{k}" if count > 1 else "", g[:, k], ups) for k in range(count)]


class TestFiles:
    def test_rows_with_directions(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(
            "Device;Cycle;Direction;Conductance;note\n"
            "x;1;;1.0;a\nx;1;up;2.0;b\nx;1;SET;3;\nx;1;-1;2.5;\n"
            "x;2;;1;\nx;2;down;0.5;\nx;2;reset;0.4;\ny;1;;7;\ny;1;+1;8;\n",
            encoding="utf-8-sig",
        )
        first, second, other = read_trains(path)
        assert (first.device, second.device, other.device) == ("x", "x", "y")
        assert first.readings.tolist() == [1, 2, 3, 2.5]
        assert first.ups.tolist() == [True, True, False]
        assert second.readings.tolist() == [1, 0.5, 0.4]
        assert other.ups.tolist() == [True]

    def test_two_columns_of_different_length(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("up,down\n1,9\n2,8\n3,7\n4,6\n5,\n")
        up, down = read_trains(path)
        assert up.readings.tolist() == [1, 2, 3, 4, 5] and up.ups.all()
        assert down.readings.tolist() == [9, 8, 7, 6] and not down.ups.any()

    def test_as_laboratories_write_them(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(
            "# Keithley\nDevice;Voltage [V];Conductance (\u00b5S)\n"
            "a;;1,5\na;1,2;2,5\n# pause\na;1,2;3\n\na;-1,4;2,25\na;-1,4;2\na;1;3\na;-1;2\n",
            encoding="cp1252",
        )
        (train,) = read_trains(path)
        assert train.readings.tolist() == [1.5, 2.5, 3, 2.25, 2, 3, 2]
        assert train.ups.tolist() == [True, True, False, False, True, False]

    def test_two_columns_of_several_devices_and_cycles(self, tmp_path):
        path = tmp_path / "a.csv"
        rows = [f"{d},{c},{k},{9 - k}" for d in "xy" for c in (1, 2) for k in range(4)]
        path.write_text("device,cycle,up,down\n" + "\n".join(rows))
        trains = read_trains(path)
        assert [t.device for t in trains] == ["x"] * 4 + ["y"] * 4
        assert all(t.ups.all() != (t.readings[0] > 5) for t in trains)
        path.write_text("up,down\n" + "\n".join(f"{k},{9 - k}" for k in (0, 1, 2, 3, 0, 1, 2, 3)))
        with pytest.raises(DataError, match=r"line 6: the column up leads back by 3, .* cycle"):
            read_trains(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("d,direction,g\n1,,1\n1,up,2,908\n", r"line 3: 4 cells under 3 columns; .*decimal"),
            ("voltage,g\n,1\n0,2\n", r"line 3: voltage is 0, so no pulse went"),
            (
                "pulse,conductance\n1,2\n",
                "needs a column conductance and .*which must name them, has pulse, cond",
            ),
            ("g,direction\n1,\n2,left\n", r"line 3: direction must be up or down .* got 'left'"),
            ("g,direction\n1,\n2;5,up\n", r"line 3: g must be a number, got '2;5'; leave rows"),
            ("g,direction\n1,\nnan,up\n", r"line 3: g must be a number, got 'nan'"),
            ("up,down\n1,2\n2,1\n", r"has 1 pulses up .* at least 3"),
            ("g,direction\n" + "1,up\n" * 5 + "1,down\n" * 5, "no pulse moved anything"),
            ("", "is empty; it needs a column"),
            ("g,direction,g\n1,,5\n", "line 1: 2 columns are called 'g'; rename"),
            ('g,direction\n1,\n"2,up\n3,up\n', r"line 3: direction must be up or down .* got ''"),
            (f"g,direction\n1,\n{'2' * 200_000},up\n", "line 3: field larger than field limit"),
        ],
    )
    def test_what_is_no_measurement_is_refused(self, tmp_path, text, message):
        path = tmp_path / "a.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_trains(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match="there is no file"):
            read_trains(tmp_path / "none.csv")


class TestLikelihood:
    def test_it_is_that_of_a_normal_random_walk(self):
        """Constant steps, bounds far away: the readings after the first are jointly normal."""
        rng = np.random.default_rng(0)
        ups = rng.random(9) < 0.5
        step, cycle, read = 0.1, 0.4, 0.07
        y = np.concatenate([[0.3], rng.normal(0, 0.4, 9)])
        n = np.arange(1, 10)
        mean = y[0] + np.cumsum(np.where(ups, step, -step))
        covariance = read**2 * (1 + np.eye(9)) + (cycle * step) ** 2 * np.minimum.outer(n, n)
        flat, hidden = np.ones((2, positions(-1, 1).size)), np.empty(10)
        found, surprises = log_likelihood(
            y, np.concatenate([[False], ups]), np.array([0, 10]), np.array([-50.0, 50.0]), flat,
            np.array([step, step]), np.array([cycle, read]), False, 0.0, hidden, np.empty(10),
        )  # fmt: skip
        assert found == pytest.approx(multivariate_normal(mean, covariance).logpdf(y[1:]))
        assert surprises > 0
        # The last hidden weight is the mean of the walk's end, given all readings.
        gain = (covariance[-1] - read**2 * np.eye(9)[-1]) @ np.linalg.inv(covariance)
        assert hidden[-1] == pytest.approx(mean[-1] + gain @ (y[1:] - mean))

    def test_an_outlier_says_nothing_about_the_weight(self):
        y = np.array([0.0, 0.1, 0.2, 9e37, 0.4, 0.5])
        flat, hidden, sound = np.ones((2, positions(-1, 1).size)), np.empty(6), np.empty(6)
        found, surprises = log_likelihood(
            y, np.ones(6, dtype=bool), np.array([0, 6]), np.array([-5.0, 5.0]), flat,
            np.array([0.1, 0.1]), np.array([0.1, 0.01]), False, 0.01, hidden, sound,
        )  # fmt: skip
        assert (sound < 0.5).tolist() == [False, False, False, True, False, False]
        assert hidden[3] == pytest.approx(hidden[2] + 0.1)
        assert math.isfinite(found) and surprises < 1e-3

    @pytest.mark.parametrize("mean", [-1.3, -0.9, 0.0, 0.95, 1.4])
    @pytest.mark.parametrize("deviation", [0.02, 0.3, 2.0])
    def test_moments_of_a_clipped_normal(self, mean, deviation):
        law = norm(mean, deviation)

        def moment(k):
            inside = quad(lambda x: x**k * law.pdf(x), -1, 1, points=[np.clip(mean, -1, 1)])[0]
            return inside + (-1) ** k * law.cdf(-1) + law.sf(1)

        found = _clipped(mean, deviation**2, -1.0, 1.0)
        assert found[0] == pytest.approx(moment(1), abs=1e-7)
        assert found[1] == pytest.approx(moment(2) - moment(1) ** 2, abs=1e-7)


class TestFits:
    def test_every_number_of_a_device(self):
        """Up and down differ in every respect, so a fit that swaps them is far off."""
        device = rt.devices.LinearStep(
            states=40, gamma_up=0.9, gamma_down=0.4, up_down=0.3, variation=ALIKE
        )
        found = fit(measured(device, 70, 4, read=0.02), law="linear_step")
        best, got = found.best, found.device
        assert found.zero == pytest.approx(10, abs=0.15)
        assert found.unit == pytest.approx(5, rel=0.03)
        assert abs(got.states / 40 - 1) < Z * best.step_error
        assert best.step_error < 0.05
        assert got.up_down == pytest.approx(0.3, abs=0.07)
        assert got.gamma_up == pytest.approx(0.9, abs=0.1)
        assert got.gamma_down == pytest.approx(0.4, abs=0.1)
        assert got.spread()["cycle"] == pytest.approx(0.2, abs=0.06)
        assert best.read_noise == pytest.approx(0.02, rel=0.2)
        assert found.devices == 1 and found.pulses == 560
        assert got.spread()["dw_min"] == 0.3  # of one device nothing is known about others

    @pytest.mark.parametrize(
        "device",
        [
            rt.devices.SoftBounds(states=16, variation=ALIKE),
            rt.devices.ConstantStep(states=16, variation=ALIKE),
            rt.devices.PiecewiseStep(
                states=16, up_min=2.0, up_low=1.8, up_high=0.3, up_max=0.2, down_min=0.2,
                down_low=0.3, down_high=1.8, down_max=2.0, variation=ALIKE,
            ),
        ],
    )  # fmt: skip
    def test_the_law_is_found(self, device):
        found = fit(measured(device, 25, 4, read=0.01))
        assert found.device.name == device.name
        assert abs(found.device.states / 16 - 1) < Z * found.best.step_error
        assert len({c.device.name for c in found.candidates}) == 4

    def test_additive_noise_is_told_from_multiplicative(self):
        for kind in ("additive", "multiplicative"):
            device = rt.devices.SoftBounds(states=20, variation=ALIKE, cycle_noise=kind)
            found = fit(measured(device, 40, 4, read=0.003), law="soft_bounds")
            assert found.device.cycle_noise == kind

    def test_read_noise_is_not_taken_for_a_response(self):
        """Steps of 0.02 under read noise of 0.06: a regression of steps sees slopes of 1 / 0.12.

        80 of the 100 steps between the bounds are gone through: that is the range it can know of.
        """
        device = rt.devices.ConstantStep(states=100, variation={**ALIKE, "cycle": 0})
        trains = measured(device, 80, 6, read=0.06)
        readings, ups = trains[0].readings, trains[0].ups
        naive = np.polyfit(readings[:-1][ups], np.diff(readings)[ups], 1)[0]
        found = fit(trains, law="linear_step").device
        assert -naive * 5 / found.dw_min > 1.0
        assert found.gamma_up < 0.25 and found.gamma_down < 0.25
        assert found.states == pytest.approx(80, rel=0.15)

    def test_outliers_and_a_wide_law(self):
        """Two drop-outs to 0 and an overflow; and no law is worse than one that it contains."""
        device = rt.devices.LinearStep(states=12, up_down=0.2, gamma_up=0.9, variation=ALIKE)
        (train,) = measured(device, 20, 4, read=0.01)
        clean = fit([train], law="linear_step")
        train.readings[[31, 90]], train.readings[120] = 0.0, 9.9e37
        found = fit([train])
        assert found.best.outliers[0].tolist() == [31, 90, 120]
        assert found.device.name == "linear_step"
        assert found.device.states == pytest.approx(clean.device.states, rel=0.05)
        assert found.device.spread()["cycle"] == pytest.approx(0.2, abs=0.06)
        least = {c.device.name: -np.inf for c in found.candidates}
        for c in found.candidates:
            likelihood = (c.parameters * math.log(found.pulses) - c.bic) / 2
            least[c.device.name] = max(least[c.device.name], likelihood)
        assert least["piecewise_step"] > least["linear_step"] - 0.5

    def test_the_spread_between_devices(self):
        variation = {"dw_min": 0.2, "w_max": 0.1, "w_min": 0.1, "cycle": 0.2}
        device = rt.devices.SoftBounds(states=20, variation=variation)
        own = {k: v.ravel() for k, v in Tile(device, 1).crosspoints((5, 1)).items()}
        own["dw_min"] = own["step_up"] + own["step_down"]
        found = fit(measured(device, 40, 2, read=0.005, count=5, seed=1), law="soft_bounds")
        spread = found.device.spread()
        assert found.devices == 5
        for name in ("w_min", "w_max", "dw_min"):
            real = np.std(own[name] / own[name].mean(), ddof=1)
            assert spread[name] == pytest.approx(real, abs=0.06), name
        assert spread["up_down"] < 0.08

    def test_zero_at_the_symmetric_point(self):
        device = rt.devices.SoftBounds(states=20, up_down=0.4, variation=ALIKE)
        trains = measured(device, 40, 4, read=0.01)
        middle, symmetric = (
            fit(trains, law="soft_bounds", zero=z) for z in ("middle", "symmetric")
        )
        assert middle.device.symmetric_point == pytest.approx(device.symmetric_point, abs=0.1)
        assert abs(symmetric.device.symmetric_point) < 0.03
        assert symmetric.zero == pytest.approx(10 + 5 * device.symmetric_point, abs=0.3)
        assert max(symmetric.device.w_max, -symmetric.device.w_min) == pytest.approx(1, abs=0.2)

    def test_a_law_of_ones_own(self):
        class Bent(rt.Device, name="bent_of_test_fitting"):
            bend: float = 0.1

            @staticmethod
            def q_up(w, p):
                return (1 - w / p[1]) * (1 - p[2] * w * w)

            @staticmethod
            def q_down(w, p):
                return (1 - w / p[0]) * (1 - p[2] * w * w)

        trains = measured(Bent(states=30, bend=0.6, variation=ALIKE), 60, 4, read=0.005)
        found = fit(trains, law="bent_of_test_fitting").device
        assert found.bend == pytest.approx(0.6, abs=0.2)

    def test_what_cannot_be(self):
        trains = measured(rt.devices.SoftBounds(states=10, variation=ALIKE), 8, 1)
        with pytest.raises(ConfigError, match="zero must be"):
            fit(trains, zero="left")
        with pytest.raises(ConfigError, match="did you mean 'soft_bounds'"):
            fit(trains, law="soft_bound")
        with pytest.raises(DataError, match="0 pulses down"):
            fit([Train("", np.arange(9.0), np.ones(8, dtype=bool))])
        with pytest.raises(DataError, match=r"device 'b' has 0 pulses"):
            fit([*trains, Train("b", np.arange(4.0), np.ones(3, dtype=bool))])
        with pytest.raises(DataError, match="so 4; got an array of shape"):
            Train("", np.arange(3.0), np.ones(3, dtype=bool))


def test_piecewise_steps_meet_their_points():
    device = rt.devices.PiecewiseStep(
        w_min=-0.6, w_max=1.4, up_min=3, up_low=2, up_high=0.5, up_max=0.25, down_min=0.1,
        down_low=0.4, down_high=1.5, down_max=4,
    )  # fmt: skip
    at = (-0.6, -0.3, 0.0, 0.7, 1.4)
    assert [device.q_up(w, device.p) for w in at] == pytest.approx([3, 2, 1, 0.5, 0.25])
    assert [device.q_down(w, device.p) for w in at] == pytest.approx([0.1, 0.4, 1, 1.5, 4])
    assert device.q_up(1.05, device.p) == pytest.approx(0.375)
    assert device.q_down(-0.15, device.p) == pytest.approx(0.7)
    with pytest.raises(ConfigError, match=r"up_min must lie in \[0, 20\], got 21"):
        rt.devices.PiecewiseStep(up_min=21)


def test_the_command_line_from_a_file_to_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import json
    import tomllib

    from typer.testing import CliRunner

    from resitile.cli import app

    monkeypatch.chdir(tmp_path)
    (train,) = measured(rt.devices.SoftBounds(states=12, variation=ALIKE), 20, 3, read=0.01)
    words = ["", *("up" if up else "down" for up in train.ups)]
    lines = [f"{g},{word}" for g, word in zip(train.readings, words, strict=True)]
    Path("mine.csv").write_text("g,direction\n" + "\n".join(lines))

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    train.readings[17] = -300.0
    lines[17] = f"-300,{words[17]}"
    Path("mine.csv").write_text("g,direction\n" + "\n".join(lines))
    text = call("device", "fit", "mine.csv", "--law", "soft_bounds")
    assert "1 readings are outliers (number 18)" in text
    assert "up and" in text and "cycle varies" not in text
    assert "<- written" in text and "next: resitile plan --device mine.toml" in text
    assert "one device says nothing about the spread" in text
    table = tomllib.loads(Path("mine.toml").read_text())["device"]
    device = rt.devices.create(**table)
    assert device.states == pytest.approx(12, rel=0.15)
    for picture in ("mine.svg", "other.svg"):
        if picture == "other.svg":
            call("device", "plot", "mine.toml", "-o", picture)
        assert "<svg" in Path(picture).read_text()
    assert "recommended" in call("plan", "--device", "mine.toml", "-o", "run.toml")
    again = CliRunner().invoke(app, ["device", "fit", "mine.csv"])
    assert again.exit_code != 0 and "exists" in str(again.exception)
    record = json.loads(
        call("device", "fit", "mine.csv", "--law", "soft_bounds", "--overwrite", "--json")
    )
    assert rt.devices.create(**record["candidates"][0]["device"]) == device
    assert record["unit"] == pytest.approx(5, rel=0.1)
    assert not math.isnan(record["candidates"][0]["step_error"])
