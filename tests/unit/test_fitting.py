"""From a measurement to a device: what the fit makes of it."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import resitile as rt
from resitile.devices import base
from resitile.errors import ConfigError, DataError
from resitile.fitting import Candidate, Fitted, Train, fit, warnings
from resitile.fitting.fit import _frame, _piecewise, _range
from resitile.fitting.nominal import combined
from resitile.fitting.response import _NAMES, Response
from resitile.tiles import Tile

ALIKE = {"dw_min": 0, "w_min": 0, "w_max": 0, "up_down": 0, "cycle": 0.2}
Z = 4.0  # standard errors: a two-sided false alarm of 6e-5 for each comparison


def measured(device, pulses, cycles, *, read=0.0, count=1, seed=0) -> list[Train]:
    """Readings of simulated devices: 10 + 5 w, pulses up and then as many down, several times."""
    ups = np.array(([True] * pulses + [False] * pulses) * cycles)
    w = Tile(device, seed).staircases(ups, count, seed=seed)
    g = 10 + 5 * (w + np.random.default_rng(seed).normal(0, read, w.shape))
    return [Train(f"{k}" if count > 1 else "", g[k], ups) for k in range(count)]


def response(**own) -> SimpleNamespace:
    """What the fit of a law to one device found."""
    made = {
        "steps": (0.1, 0.08), "bounds": (-1.0, 1.0), "fields": (0.5, 0.5), "cycle": 0.2,
        "read": 0.02, "parameters": 8, "log_likelihood": 50.0, "surprises": 4.0,
        "outliers": np.empty(0, dtype=int), "readings": SimpleNamespace(pulses=100), "error": 0.1,
        "ridge": [],
    } | own  # fmt: skip
    return SimpleNamespace(**made, step_error=lambda: made["error"], tied=lambda: made["ridge"])


class TestDevices:
    """From what was found of single devices to the written one, by hand."""

    def test_what_is_known_against_a_candidate(self):
        def doubt(*found):
            return combined(found, rt.devices.LinearStep(), False).doubt

        assert doubt(response(), response()) == ""
        assert doubt(response(), response(error=math.nan)) == "did not converge"
        tied = response(error=math.nan, ridge=["gamma_up", "gamma_down"])
        assert doubt(response(), tied) == "not identifiable: gamma_up, gamma_down"

    def test_one_device_and_the_spread_of_several(self):
        best = combined(
            [
                response(steps=(0.1, 0.08), fields=(0.4, 0.2), bounds=(-1.0, 1.2), error=0.03),
                response(steps=(0.14, 0.1), fields=(0.6, 0.2), bounds=(-0.8, 1.0), error=0.04),
            ],
            rt.devices.LinearStep(),
            False,
        )  # fmt: skip
        device, spread = best.device, best.device.spread()
        assert (device.w_min, device.w_max) == (-0.9, 1.1)
        assert (device.step_up, device.step_down) == pytest.approx((0.12, 0.09), rel=1e-3)
        assert (device.gamma_up, device.gamma_down) == (0.5, 0.2)
        # Steps as shares of the mean: 5/6 and 8/9 of one device, 7/6 and 10/9 of the other.
        assert spread["dw_min"] == pytest.approx(5 / 18 / math.sqrt(2), rel=1e-3)
        assert spread["up_down"] == pytest.approx(1 / 18 / math.sqrt(2), rel=1e-3)
        assert spread["gamma_up"] == pytest.approx(0.4 / math.sqrt(2), rel=1e-3)
        assert spread["w_min"] == pytest.approx(2 / 9 / math.sqrt(2), rel=1e-3)
        assert spread["gamma_down"] == 0
        assert [d.step_up for d in best.single] == pytest.approx([0.1, 0.14], rel=1e-3)
        assert best.bic == pytest.approx(16 * 100 / 91 * math.log(200) - 2 * 100)
        assert best.error == pytest.approx(math.sqrt(8 / 200))
        assert best.step_error == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2 / 2))

    @pytest.mark.parametrize("steps", [(0.1, 0.08), (0.08, 0.1), (0.1, 0.1)])
    def test_steps_up_and_down(self, steps):
        device = combined([response(steps=steps)], rt.devices.LinearStep(), True).device
        assert (device.step_up, device.step_down) == pytest.approx(steps, rel=1e-3)
        assert device.states == 20

    def test_weights_are_shares_of_the_larger_side(self):
        ends = np.array([[0.0, 10.0], [2.0, 12.0]])
        assert _frame(ends, None) == (6, 5)
        assert _frame(ends, 2.0) == (2, 9)
        assert _frame(ends, 9.0) == (9, 8)

    def test_a_spike_is_no_part_of_the_range(self):
        readings = np.concatenate([np.arange(30.0), np.arange(30.0, 0, -1)])
        readings[[10, 40]] = 90, -60
        train = Train("", readings, np.array([True] * 30 + [False] * 29))
        assert _range([train]) == (0, 30)

    def test_a_law_as_a_piecewise_one(self):
        law = rt.devices.LinearStep(w_min=-0.5, w_max=2, gamma_up=0.4, gamma_down=0.1)
        wide = _piecewise(law)
        for w in np.linspace(-0.5, 2, 5):
            p = (law.w_min, law.w_max, *wide.p[2:])
            assert wide.q_up(w, p) == pytest.approx(law.q_up(w, law.p))
            assert wide.q_down(w, p) == pytest.approx(law.q_down(w, law.p))

    def test_what_is_worth_a_second_look(self):
        def told(device, error, count=1, tied=(), numbers=8):
            best = Candidate(
                device, 0.0, numbers * count, 0.1, 0.02, error, [device] * count,
                [np.empty(0, dtype=int)] * count, list(tied),
            )  # fmt: skip
            trains = [
                Train(f"{k}", np.resize([-1.0, 1.0], 33), np.ones(32, bool)) for k in range(count)
            ]
            return " ".join(warnings(Fitted([best], 0.0, 1.0, trains)))

        fine = rt.devices.SoftBounds(states=9)
        assert told(fine, 0.1) == ""
        assert "the error of states is 30% of them" in told(fine, 0.3)
        assert "cannot be told" in told(fine, math.nan)
        assert told(fine, 0.1, numbers=9) == (
            "32 pulses for 9 numbers are too few: neither the error of states nor the choice of "
            "the law can be relied on; measure at least 36"
        )
        assert told(fine, 0.1, tied=["a", "b"]).startswith("a and b cannot be told apart")
        wild = fine.replace(variation={"w_max": 0.7})
        assert told(wild, 0.1) == ""  # of one device nothing is known about others
        assert told(wild, 0.1, count=2) == "w_max varies by 70%"
        assert told(fine.replace(variation={"cycle": 0.8}), 0.1) == "cycle varies by 80%"


class TestFits:
    def test_every_number_of_a_device(self):
        """Up and down differ in every respect, so a fit that swaps them is far off."""
        device = rt.devices.LinearStep(
            states=40, gamma_up=0.9, gamma_down=0.4, up_down=0.3, variation=ALIKE
        )
        seen: list[tuple[int, int]] = []
        found = fit(
            measured(device, 70, 4, read=0.02), law="linear_step",
            progress=lambda *at: seen.append(at),
        )  # fmt: skip
        assert seen == [(1, 3), (2, 3), (3, 3)]
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
            weight = found.pulses / (found.pulses - c.parameters - 1)
            likelihood = (c.parameters * weight * math.log(found.pulses) - c.bic) / 2
            least[c.device.name] = max(least[c.device.name], likelihood)
        assert least["piecewise_step"] > least["linear_step"] - 0.5

    @pytest.mark.parametrize("place", [0, 1])
    def test_an_outlier_at_the_start(self, place):
        device = rt.devices.SoftBounds(states=20, variation=ALIKE)
        (train,) = measured(device, 30, 3, read=0.01)
        clean = fit([train], law="soft_bounds")
        train.readings[place] = 0.0
        found = fit([train], law="soft_bounds")
        assert found.best.outliers[0].tolist() == [place]
        assert found.device.states == pytest.approx(clean.device.states, rel=0.03)
        assert found.device.spread()["cycle"] == pytest.approx(0.2, abs=0.05)

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

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_few_pulses_are_no_ground_for_many_numbers(self, seed):
        device = rt.devices.SoftBounds(states=10, variation=ALIKE)
        with pytest.raises(DataError, match=r"too few pulses: constant_step has 6 .* are 6\. "):
            fit(measured(device, 3, 1, seed=seed))
        found = fit(measured(device, 4, 1, seed=seed))
        assert found.best.parameters == 6
        assert [text.split()[0] for text in found.left_out] == ["linear_step", "piecewise_step"]
        assert "8 pulses for 6 numbers are too few" in " ".join(warnings(found))
        found = fit(measured(device, 10, 1, seed=seed))
        assert found.device.name != "piecewise_step" and not found.left_out
        assert "pulses for" in " ".join(warnings(found))

    def test_as_many_pulses_as_make_the_range_uncertain(self):
        """The law that finds the range has 14 numbers; it is compared with none."""
        (train,) = measured(rt.devices.SoftBounds(states=10, variation=ALIKE), 10, 1)
        few = Train("", train.readings[:16], train.ups[:15])
        assert fit([few], zero="symmetric").device.states > 0

    @pytest.mark.parametrize("count", [6, 14, 30])
    def test_a_ridge_along_many_numbers_names_them(self, count):
        alike = np.ones((count, count)) / (count - 1)  # all of them together cost nothing
        curvature = np.eye(count) * (1 + 1 / (count - 1)) - alike
        fields = tuple(f"c{k}" for k in range(count - 6))
        made = SimpleNamespace(
            _curvature=lambda: (list(range(count)), curvature),
            law=SimpleNamespace(law_fields=fields),
        )
        found = Response.tied(made)
        assert found == ([*_NAMES, *fields] if fields else [])

    def test_the_device_with_the_fewest_pulses_decides(self):
        device = rt.devices.ConstantStep(states=6, variation=ALIKE)
        long, short = measured(device, 8, 3, read=0.01, count=2)
        short = Train("1", short.readings[:16], short.ups[:15])
        found = fit([long, short])
        assert [text.split()[0] for text in found.left_out] == ["piecewise_step"]
        assert any(text.startswith("15 pulses for 6 numbers") for text in warnings(found))

    def test_a_dead_device_is_named(self):
        device = rt.devices.ConstantStep(states=10, variation=ALIKE)
        trains = measured(device, 15, 1, read=0.01, count=3)
        assert not [line for line in warnings(fit(trains, law="constant_step")) if "dead" in line]
        trains[1].readings[1:] = 10 + np.random.default_rng(0).normal(0, 0.05, 30)
        found = [line for line in warnings(fit(trains, law="constant_step")) if "dead" in line]
        assert len(found) == 1 and found[0].startswith("device 1 moves by")

    def test_a_dead_device_is_held_against_the_others(self):
        ups = np.array(([True] * 9 + [False] * 9) * 2)
        w = np.cumsum(np.concatenate([[0.0], np.where(ups, 0.1, -0.1)]))
        trains = [Train("a", w, ups), Train("b", 0.12 * w, ups)]
        best = SimpleNamespace(
            outliers=[np.array([])] * 2, step_error=0.0, device=rt.devices.ConstantStep(),
            tied=[], parameters=12,
        )  # fmt: skip
        found = [w for w in warnings(Fitted([best], 0.0, 1.0, trains)) if "dead" in w]
        assert len(found) == 1 and found[0].startswith("device b moves by 12% of what others do")

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
        assert fit(trains, law=Bent).device == found
        with pytest.raises(ConfigError, match=r"law must be .* got Bent\(states=9\)"):
            fit(trains, law=Bent(states=9))  # type: ignore[arg-type]

    def test_a_search_that_is_stuck_is_helped_by_the_other_kind_of_noise(self):
        """And fields of which the data show a combination only are named: a b / (1 - a) here."""

        class Bent(rt.Device, name="exponential_of_test_fitting"):
            a: float = 0.2
            b: float = 1.5

            @staticmethod
            def q_up(w, p):
                return max(1.0 - p[2] * np.exp(p[3] * w), 0.0) / (1 - p[2])

            @staticmethod
            def q_down(w, p):
                return max(1.0 - p[2] * np.exp(-p[3] * w), 0.0) / (1 - p[2])

        device = rt.devices.SoftBounds(states=20, variation=ALIKE)
        found = fit(measured(device, 30, 4, read=0.02, seed=4), law=Bent)
        one, other = (candidate.device for candidate in found.candidates)
        assert one.states == pytest.approx(20, rel=0.15)
        assert other.states == pytest.approx(one.states, rel=0.1)
        assert other.spread()["cycle"] < 0.3
        assert found.best.tied == ["a", "b"]
        assert found.best.doubt == "not identifiable: a, b"
        assert warnings(found)[0].startswith("a and b cannot be told apart")

    def test_laws_of_ones_own_do_not_disturb_those_of_the_package(self, monkeypatch):
        monkeypatch.setattr(base._REGISTRY, "_classes", dict(base._REGISTRY._classes))

        class Fails(rt.Device, name="fails_of_test_fitting"):
            @staticmethod
            def q_up(w, p):
                return 0.5 - w

            @staticmethod
            def q_down(w, p):
                return 0.5 + w

        with pytest.raises(ConfigError):
            Fails()
        trains = measured(rt.devices.ConstantStep(states=6, variation=ALIKE), 8, 3, read=0.01)
        laws = {candidate.device.name for candidate in fit(trains).candidates}
        assert laws == {"constant_step", "linear_step", "soft_bounds", "piecewise_step"}

    def test_readings_without_a_response_are_refused(self):
        ups = np.tile(np.repeat([True, False], 40), 4)
        two_levels = np.concatenate([[2.0], np.where(ups, 50.0, 2.0)])
        with pytest.raises(DataError, match=r"no law explains.*readings would be outliers"):
            fit([Train("", two_levels, ups)])
        noise = np.random.default_rng(1).normal(5, 1, ups.size + 1)
        with pytest.raises(DataError, match="no law explains"):
            fit([Train("", noise, ups)])

    def test_a_bound_that_was_never_near_is_named(self):
        device = rt.devices.SoftBounds(states=60, variation=ALIKE)
        ups = np.tile(np.repeat([True, False], (10, 60)), 4)
        w, readings = -0.9, [-0.9]
        for up in ups:  # up to a third of the way only
            q = device.q_up(w, device.p) if up else device.q_down(w, device.p)
            w += device.dw_min * q if up else -device.dw_min * q
            readings.append(w)
        found = fit([Train("", np.array(readings), ups)], law="soft_bounds")
        assert any("w_max" in text and "far beyond" in text for text in warnings(found))

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
        trains[0].readings[3] = np.nan
        with pytest.raises(DataError, match="has readings that are NaN or infinite"):
            fit(trains)


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
    with pytest.raises(ConfigError, match=r"down_max must lie in \[0, 20\], got -1"):
        rt.devices.PiecewiseStep(down_max=-1)


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
            told = call("device", "plot", "mine.toml", "-o", picture)
            assert f"{device.states:.4g} states" in told and "symmetric point at w" in told
            assert f"dw_min {device.dw_min:.4g}" in told
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
