"""Device laws: closed forms, derived physics, refusals, and laws from outside the package."""

import re

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.devices.base import _REGISTRY
from resitile.errors import ConfigError
from resitile.tiles import PulseTrain, Tile

ONE_PULSE = PulseTrain(bits=1, update_management=False, bit_length_management=False)


def staircase(device, w0, ups, *, shape=(1, 1), seed=0) -> np.ndarray:
    """The weights after each pulse of a train, (pulses, crosspoints)."""
    count = shape[0] * shape[1]
    return Tile(device, seed).staircases(np.array(ups), count, start=w0, seed=seed).T[1:]


class TestStaircases:
    @pytest.mark.parametrize("w0", [-1.0, 0.0, 0.3])
    @pytest.mark.parametrize("states", [4, 50])
    def test_soft_bounds_up(self, w0, states):
        device = rt.devices.SoftBounds(states=states, w_min=-1, w_max=1.5, variation="none")
        n = np.arange(1, 31)
        expected = 1.5 - (1.5 - w0) * (1 - device.dw_min / 1.5) ** n
        np.testing.assert_allclose(staircase(device, w0, [True] * 30)[:, 0], expected, atol=1e-5)

    @pytest.mark.parametrize("w0", [1.5, 0.0, -0.3])
    def test_soft_bounds_down(self, w0):
        device = rt.devices.SoftBounds(states=20, w_min=-1, w_max=1.5, variation="none")
        n = np.arange(1, 31)
        expected = -1 + (w0 + 1) * (1 - device.dw_min) ** n
        np.testing.assert_allclose(staircase(device, w0, [False] * 30)[:, 0], expected, atol=1e-5)

    def test_soft_bounds_with_spread_use_every_crosspoints_own_step_and_bound(self):
        device = rt.devices.SoftBounds(states=100, variation={"cycle": 0})
        own = {k: v.ravel() for k, v in Tile(device, 5).crosspoints((20, 10)).items()}
        up = staircase(device, 0.0, [True] * 25, shape=(20, 10), seed=5)
        rest = np.clip(1 - own["step_up"] / own["w_max"], 0, None)
        n = np.arange(1, 26)[:, None]
        np.testing.assert_allclose(up, own["w_max"] * (1 - rest**n), atol=1e-5)

    def test_pulsed_update_climbs_the_same_staircase(self):
        device = rt.devices.SoftBounds(states=10, variation="none")
        w, one = torch.zeros(1, 1), torch.ones(1, 1)
        for n in range(1, 8):
            w = rt.pulsed_update(w, one, -one, device, lr=device.dw_min, seed=n, train=ONE_PULSE)
            assert w.item() == pytest.approx(1 - 0.8**n, abs=1e-6)

    def test_constant_step_climbs_evenly_and_stops_at_the_bound(self):
        device = rt.devices.ConstantStep(states=4, variation="none")
        steps = staircase(device, -1.0, [True] * 6)[:, 0]
        np.testing.assert_allclose(steps, [-0.5, 0, 0.5, 1, 1, 1], atol=1e-6)

    def test_linear_step_between_the_two(self):
        device = rt.devices.LinearStep(states=20, gamma_up=0.5, gamma_down=0.25, variation="none")
        up = staircase(device, 0.0, [True] * 5)[:, 0]
        np.testing.assert_allclose(up, 2 * (1 - 0.95 ** np.arange(1, 6)), atol=1e-6)
        down = staircase(device, 0.0, [False] * 5)[:, 0]
        np.testing.assert_allclose(down, -4 * (1 - 0.975 ** np.arange(1, 6)), atol=1e-6)


class TestDerivedPhysics:
    def test_states_and_dw_min(self):
        assert rt.devices.SoftBounds(states=4).dw_min == 0.5
        assert rt.devices.SoftBounds(states=10, w_min=-0.6, w_max=0.6).dw_min == pytest.approx(0.12)

    @pytest.mark.parametrize("w", [-0.9, 0.0, 0.4])
    def test_f_and_g(self, w):
        soft = rt.devices.SoftBounds(w_min=-2, w_max=2)
        assert (soft.symmetric(w), soft.asymmetric(w)) == pytest.approx((1, w / 2))
        flat = rt.devices.ConstantStep()
        assert (flat.symmetric(w), flat.asymmetric(w)) == (1, 0)

    @pytest.mark.parametrize("up_down", [-0.4, 0.0, 0.1, 0.5])
    def test_symmetric_point(self, up_down):
        device = rt.devices.SoftBounds(w_min=-0.8, w_max=1.2, up_down=up_down, variation="none")
        s_up, s_down = device.step_up, device.step_down
        expected = (s_up - s_down) / (s_up / 1.2 - s_down / -0.8)
        assert device.symmetric_point == pytest.approx(expected, abs=1e-9)
        fine = device.replace(states=20000)
        up, down = staircase(fine, expected, [True, False])[:, 0]
        assert up - expected > 0
        assert down == pytest.approx(expected, abs=1e-6)

    def test_up_down_weakens_one_direction(self):
        device = rt.devices.ConstantStep(states=10, up_down=0.2)
        assert (device.step_up, device.step_down) == pytest.approx((0.2, 0.16))
        device = rt.devices.ConstantStep(states=10, up_down=-0.2)
        assert (device.step_up, device.step_down) == pytest.approx((0.16, 0.2))

    def test_the_symmetric_point_is_one_to_which_pulses_lead_back(self):
        """Down is the larger step at both bounds; only the upper of two crossings is stable."""
        device = rt.devices.PiecewiseStep(
            states=20, up_down=0.05, up_min=0.5, up_low=1.5, up_high=0.5, variation="none"
        )
        assert device.symmetric_point == pytest.approx(0.05, abs=1e-6)
        turned = rt.devices.PiecewiseStep(states=20, up_min=0.5, up_low=0.5, up_high=1.5, up_max=2)
        with pytest.raises(ConfigError, match="no symmetric point"):  # pulses lead away from it
            _ = turned.replace(up_down=0.05).symmetric_point

    def test_a_law_without_a_symmetric_point_says_so(self):
        with pytest.raises(ConfigError, match="no symmetric point"):
            _ = rt.devices.ConstantStep(up_down=0.1).symmetric_point


class TestSpread:
    def test_none_makes_all_crosspoints_nominal(self):
        own = Tile(rt.devices.SoftBounds(states=4, variation="none"), 3).crosspoints((5, 6))
        for name, value in {"w_min": -1, "w_max": 1, "step_up": 0.5, "step_down": 0.5}.items():
            np.testing.assert_array_equal(own[name], np.full((5, 6), value, dtype=np.float32))

    def test_the_default_keeps_bounds_in_order_and_steps_positive(self):
        own = Tile(rt.devices.SoftBounds(states=4), 3).crosspoints((200, 200))
        assert (own["w_min"] < 0).all()
        assert (own["w_max"] > 0).all()
        assert (own["step_up"] >= 0).all()
        assert (own["step_down"] >= 0).all()

    def test_a_mapping_changes_single_entries_of_the_default(self):
        spread = rt.devices.SoftBounds(variation={"cycle": 0.0}).spread()
        assert spread == {"dw_min": 0.3, "w_min": 0.3, "w_max": 0.3, "up_down": 0.01, "cycle": 0.0}

    def test_a_mapping_works_wherever_a_device_does(self):
        device = rt.devices.SoftBounds(variation={"cycle": 0.0})
        assert hash(device) == hash(rt.devices.SoftBounds(variation={"cycle": 0.0}))
        assert Tile(device, 0).crosspoints((2, 2))["w_max"].shape == (2, 2)

    def test_the_seed_decides_and_the_shape_of_the_rest_does_not(self):
        device = rt.devices.SoftBounds(states=4)
        one, again, other = (Tile(device, s).crosspoints((4, 5)) for s in (1, 1, 2))
        np.testing.assert_array_equal(one["w_max"], again["w_max"])
        assert (one["w_max"] != other["w_max"]).any()


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"states": 1}, "states must be at least 2, got 1"),
            ({"states": float("nan")}, "states must be finite"),
            ({"states": "4"}, "states must be a number, got '4'"),
            ({"states": True}, "states must be a number"),
            ({"w_min": 1, "w_max": -1}, "w_min < 0 < w_max"),
            ({"w_min": 0.1}, "w_min < 0 < w_max"),
            ({"w_max": 0}, "w_min < 0 < w_max"),
            ({"w_max": float("inf")}, "w_max must be finite"),
            ({"up_down": 1}, "up_down must lie in"),
            ({"cycle_noise": "mult"}, "multiplicative"),
            ({"log_normal": 1}, "log_normal must be true or false"),
            ({"variation": "some"}, '"default", "none"'),
            ({"variation": {"dw_mim": 0.1}}, "'dw_mim' is unknown; did you mean 'dw_min'"),
            ({"variation": {"dw_min": -0.1}}, "dw_min must be a number >= 0"),
            ({"variation": {"dw_min": float("nan")}}, "dw_min must be a number >= 0"),
            (
                {"variation": {"cycle": 1e39}},
                r"variation of cycle must be at most 1e\+15, got 1e\+",
            ),
            ({"variation": {"w_max": 1.1e15}}, r"variation of w_max must be at most 1e\+15"),
            ({"states": 1e46}, r"at most 2e\+07 between bounds of -1 and 1, got 1e\+46: .*float32"),
            ({"states": 1e300}, r"states must be at most 2e\+07"),
            ({"states": 10**5000}, r"states must be at most 2e\+07 .* got about 1e5000"),
            ({"states": 1.2e7, "w_min": -1e-3}, r"states must be at most 1e\+07"),
            (
                {"w_min": -1e39, "w_max": 1e39},
                r"w_min must be 1e-15 to 1e\+15 in size, got -1e\+39",
            ),
            ({"w_min": -1e-50, "w_max": 1e-50}, r"w_min must be 1e-15 .*, got -1e-50"),
            ({"w_max": 10**400}, "w_max must be 1e-15 to .*, got about 1e400"),
        ],
    )
    def test_impossible_settings(self, fields, message):
        with pytest.raises(ConfigError, match=message):
            rt.devices.SoftBounds(**fields)

    def test_unknown_names(self):
        with pytest.raises(ConfigError, match="did you mean 'soft_bounds'"):
            rt.devices.create("soft_bound")
        with pytest.raises(ConfigError, match="no field 'stats'; did you mean 'states'"):
            rt.devices.create("soft_bounds", stats=4)
        with pytest.raises(
            ConfigError, match="SoftBounds has no setting 'stats'; did you mean 'st"
        ):
            rt.devices.SoftBounds(stats=4)
        with pytest.raises(ConfigError, match="no setting 'stats'; did you mean 'states'"):
            rt.devices.SoftBounds().replace(stats=4)

    def test_fields_of_a_law_must_be_numbers_of_the_engine(self):
        assert TestOwnLaws.cubic()(bend=1e15, w_min=-1e-15, w_max=1e-15).bend == 1e15
        for bend in ("1e+39", "-1e+39"):
            with pytest.raises(ConfigError, match=rf"bend must lie in .*, got {re.escape(bend)}"):
                TestOwnLaws.cubic()(bend=float(bend))

    @pytest.mark.parametrize("bound", [1e-15, 1e15])
    def test_the_most_states_move_at_every_pulse(self, bound):
        """At both ends of what is allowed, and next to the bound, where float32 is coarsest."""
        device = rt.devices.ConstantStep(states=1.99e7, w_min=-bound, w_max=bound, variation="none")
        climbed = staircase(device, 0.99 * bound, [True] * 20 + [False] * 40)[:, 0]
        assert (np.diff(climbed)[:19] > 0).all() and (np.diff(climbed)[20:] < 0).all()

    @pytest.mark.parametrize("gamma", [-0.1, 1.1])
    def test_slopes_outside_their_range(self, gamma):
        with pytest.raises(ConfigError, match=r"gamma_up must lie in \[0, 1\]"):
            rt.devices.LinearStep(gamma_up=gamma)

    def test_numbers_of_numpy_are_numbers(self):
        plain = rt.devices.SoftBounds(states=4, w_max=0.5)
        for kind in (np.float32, np.float64):
            device = rt.devices.SoftBounds(states=np.int64(4), w_max=kind(0.5))
            assert (device, repr(device), hash(device)) == (plain, repr(plain), hash(plain))
        rule = rt.algorithms.ResidualLearning(plain, tiles=np.int64(3), gamma=np.float32(0.5))
        assert repr(rule) == repr(rt.algorithms.ResidualLearning(plain, tiles=3))

    def test_a_law_that_moves_nothing(self, monkeypatch):
        monkeypatch.setattr(_REGISTRY, "_classes", dict(_REGISTRY._classes))  # it is not to stay
        still = {"q_up": staticmethod(lambda w, p: 0.0), "q_down": staticmethod(lambda w, p: 1.0)}
        law = type("Still", (rt.Device,), still, name="still_of_test_devices")
        with pytest.raises(ConfigError, match="q_up of the law Still answers 0 everywhere"):
            law()

    def test_laws_are_final_and_complete(self):
        with pytest.raises(ConfigError, match="laws are final"):
            type("Sub", (rt.devices.SoftBounds,), {}, name="sub")
        with pytest.raises(ConfigError, match=r"@staticmethod q_up\(w, p\)"):
            type("Half", (rt.Device,), {}, name="half")
        with pytest.raises(ConfigError, match="give the law a name"):
            type("Nameless", (rt.Device,), {})
        with pytest.raises(ConfigError, match="abstract"):
            rt.Device()


class TestOwnLaws:
    """Laws defined outside the package, as in a notebook."""

    @staticmethod
    def cubic():
        class Cubic(rt.Device, name="cubic"):
            bend: float = 0.5

            @staticmethod
            def q_up(w, p):
                return (1 - w / p[1]) * (1 - p[2] * w * w)

            @staticmethod
            def q_down(w, p):
                return (1 - w / p[0]) * (1 - p[2] * w * w)

        return Cubic

    def test_cubic_runs_through_the_engine(self):
        device = self.cubic()(states=10, bend=0.3, variation="none")
        w = np.float32(0.6)
        up = rt.pulsed_update(
            torch.full((3, 1), float(w)), torch.ones(1, 1), -torch.ones(1, 3), device,
            lr=device.dw_min, seed=0, train=ONE_PULSE,
        )  # fmt: skip
        expected = 0.6 + 0.2 * (1 - 0.6) * (1 - 0.3 * 0.36)
        np.testing.assert_allclose(up.numpy(), expected, rtol=1e-6)
        assert rt.devices.create("cubic", bend=0.2).bend == 0.2

    def test_cubic_with_spread_of_its_own_field(self):
        device = self.cubic()(states=10, bend=0.3, variation={"bend": 0.1, "cycle": 0})
        own = {k: v.ravel() for k, v in Tile(device, 1).crosspoints((10, 10)).items()}
        w = staircase(device, 0.0, [True, True], shape=(10, 10), seed=1)
        first = np.minimum(own["step_up"], own["w_max"])
        q = (1 - first / own["w_max"]) * (1 - own["bend"] * first**2)
        expected = np.minimum(first + own["step_up"] * q, own["w_max"])
        np.testing.assert_allclose(w[1], expected, atol=1e-6)

    def test_an_edited_law_is_not_served_by_an_old_kernel(self):
        def define(step):
            class Edited(rt.Device, name="edited"):
                @staticmethod
                def q_up(w, p):
                    return step

                @staticmethod
                def q_down(w, p):
                    return 1.0

            return Edited

        for step in (0.5, 0.25, 0.5):
            law = define(step)
            assert staircase(law(states=10, variation="none"), 0.0, [True])[0, 0] == pytest.approx(
                0.2 * step
            )

    def test_a_name_in_use_is_refused(self):
        with pytest.raises(ConfigError, match="'soft_bounds' is taken"):
            type(
                "Mine",
                (rt.Device,),
                {"q_up": staticmethod(lambda w, p: 1), "q_down": staticmethod(lambda w, p: 1)},
                name="soft_bounds",
            )


def test_a_symmetric_point_attracts():
    """Around 0 steps up grow with the weight here: pulses in turn lead away from it."""
    away = rt.devices.PiecewiseStep(
        states=100, up_high=1.5, up_max=0, down_low=1.5, down_min=0, variation="none"
    )
    assert abs(away.symmetric_point) > 0.5
    assert rt.devices.ConstantStep(states=10).symmetric_point == 0


def test_equal_devices_have_equal_hashes():
    assert hash(rt.devices.SoftBounds(states=4)) == hash(rt.devices.SoftBounds(states=4.0))
    one, other = ({"cycle": 0.0, "dw_min": 0.1}, {"dw_min": 0.1, "cycle": 0.0})
    pair = [rt.devices.SoftBounds(variation=spread) for spread in (one, other)]
    assert pair[0] == pair[1]
    assert hash(pair[0]) == hash(pair[1])


def test_a_log_normal_spread_that_float32_cannot_hold():
    with pytest.raises(ConfigError, match="at most 10 with log_normal"):
        rt.devices.SoftBounds(log_normal=True, variation={"dw_min": 11})
    rt.devices.SoftBounds(log_normal=False, variation={"dw_min": 11})
