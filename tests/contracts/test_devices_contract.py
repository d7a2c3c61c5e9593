"""What every registered device law must keep, whoever wrote it."""

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.kernels.crosspoint import pulse_staircase
from resitile.tiles import PulseTrain, Tile

LAWS = [
    name for name in rt.devices.names() if name in ("constant_step", "linear_step", "soft_bounds")
]
LAWS += [
    name
    for name in rt.devices.names()
    if name not in LAWS and rt.devices.create(name).__module__.startswith("resitile.")
]


@pytest.mark.parametrize("name", LAWS)
class TestEveryLaw:
    def test_responses_are_finite_and_positive_inside_the_bounds(self, name):
        device = rt.devices.create(name, w_min=-0.7, w_max=1.3)
        for w in np.linspace(-0.7, 1.3, 101)[1:-1]:
            for q in (device.q_up(w, device.p), device.q_down(w, device.p)):
                assert np.isfinite(q)
                assert q > 0

    def test_f_and_g_are_built_from_them(self, name):
        device = rt.devices.create(name)
        for w in (-0.5, 0.0, 0.5):
            f, g = device.symmetric(w), device.asymmetric(w)
            assert f - g == pytest.approx(device.q_up(w, device.p))
            assert f + g == pytest.approx(device.q_down(w, device.p))
        assert device.asymmetric(device.symmetric_point) == pytest.approx(0, abs=1e-9)

    def test_states_count_the_steps_between_the_bounds(self, name):
        device = rt.devices.create(name, states=7, w_min=-0.6, w_max=0.8)
        assert device.dw_min * 7 == pytest.approx(1.4)

    def test_the_kernel_is_the_law_pulse_by_pulse(self, name):
        device = rt.devices.create(name, states=9, variation="none")
        law, spec, table, key = Tile(device, 0).physics
        ups = np.random.default_rng(0).random(60) < 0.5
        w = np.zeros(1, dtype=np.float32)
        expected = 0.0
        for t, up in enumerate(ups):
            pulse_staircase(law, spec, key, table, w, np.array([up]), np.uint64(t))
            q = device.q_up(expected, device.p) if up else -device.q_down(expected, device.p)
            expected = min(max(expected + device.dw_min * q, -1.0), 1.0)
            assert w[0] == pytest.approx(expected, abs=1e-5)

    def test_own_parameters_reach_the_law(self, name):
        """With spread but no cycle noise, each crosspoint follows the law at its own p."""
        device = rt.devices.create(name, states=9)
        law, spec, table, key = Tile(device, 4).physics
        own = Tile(device, 4).crosspoints((6, 5))
        quiet = spec.copy()
        quiet[9] = 0  # cycle-to-cycle noise off
        w = np.zeros(30, dtype=np.float32)
        pulse_staircase(law, quiet, key, table, w, np.array([True, True, False]), np.uint64(1))
        columns = [own[k].ravel() for k in ("w_min", "w_max", *device.law_fields)]
        for c, got in enumerate(w):
            p = tuple(float(column[c]) for column in columns)
            up, down = (float(own[k].ravel()[c]) for k in ("step_up", "step_down"))
            value = 0.0
            for sign in (1, 1, -1):
                step = up * device.q_up(value, p) if sign > 0 else -down * device.q_down(value, p)
                value = min(max(value + step, p[0]), p[1])
            assert got == pytest.approx(value, abs=1e-5)

    def test_certain_pulses_through_the_engine(self, name):
        device = rt.devices.create(name, states=9, variation="none")
        train = PulseTrain(bits=1, update_management=False, bit_length_management=False)
        for sign in (1.0, -1.0):
            w = rt.pulsed_update(
                torch.full((2, 1), 0.25), torch.ones(1, 1), torch.full((1, 2), -sign), device,
                lr=device.dw_min, seed=0, train=train,
            )  # fmt: skip
            q = device.q_up(0.25, device.p) if sign > 0 else -device.q_down(0.25, device.p)
            np.testing.assert_allclose(w.numpy(), 0.25 + device.dw_min * q, rtol=1e-6)

    def test_it_is_made_by_name_compared_and_printed(self, name):
        device = rt.devices.create(name, states=5)
        again = rt.devices.create(name, states=5)
        assert device == again
        assert hash(device) == hash(again)
        assert device != device.replace(states=6)
        assert "states=5" in repr(device)
