"""How likely readings are under a law, and what one law makes of one device."""

import math
from typing import ClassVar

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

import resitile as rt
from resitile.fitting import Train
from resitile.fitting.response import Readings, Response
from resitile.kernels.likelihood import POINTS, _clipped, log_likelihood
from resitile.tiles import Tile

SIDE = np.arange(POINTS + 1) / POINTS  # where a response is tabled, from 0 to a bound
Z = 4.0  # standard errors: a two-sided false alarm of 6e-5 for each comparison


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
        flat, hidden = np.ones((2, 2 * POINTS + 1)), np.empty(10)
        found, surprises = log_likelihood(
            y, np.concatenate([[False], ups]), np.array([0, 10]), np.array([-50.0, 50.0]), flat,
            np.array([step, step]), np.array([cycle, read]), False, 0.0, hidden, np.empty(10),
        )  # fmt: skip
        assert found == pytest.approx(multivariate_normal(mean, covariance).logpdf(y[1:]))
        assert surprises > 0
        # The last hidden weight is the mean of the walk's end, given all readings.
        gain = (covariance[-1] - read**2 * np.eye(9)[-1]) @ np.linalg.inv(covariance)
        assert hidden[-1] == pytest.approx(mean[-1] + gain @ (y[1:] - mean))

    def test_it_follows_the_slopes_of_a_response(self):
        """Linear responses and additive noise, bounds far away: jointly normal again."""
        rng = np.random.default_rng(1)
        ups = rng.random(9) < 0.5
        low, high, cycle, read = -20.0, 40.0, 0.4, 0.07
        y = rng.normal(0, 0.5, 10)
        step, slope = np.where(ups, 0.3, -0.2), np.where(ups, -0.5, 0.8)
        # Each hidden weight as the sum of the first reading's noise and that of every pulse.
        mean, rows = np.full(10, y[0]), np.zeros((10, 10))
        rows[0, 0] = read
        for k in range(9):
            change = 1 + step[k] * slope[k]
            mean[k + 1], rows[k + 1] = change * mean[k] + step[k], change * rows[k]
            rows[k + 1, k + 1] = cycle * step[k]
        mean, covariance = mean[1:], rows[1:] @ rows[1:].T + read**2 * np.eye(9)
        table = 1 + np.outer([-0.5, 0.8], np.concatenate([low * SIDE[:0:-1], high * SIDE]))
        found, surprises = log_likelihood(
            y, np.concatenate([[False], ups]), np.array([0, 10]), np.array([low, high]), table,
            np.array([0.3, 0.2]), np.array([cycle, read]), True, 0.0, np.empty(10), np.empty(10),
        )  # fmt: skip
        assert found == pytest.approx(multivariate_normal(mean, covariance).logpdf(y[1:]))
        factor = np.linalg.cholesky(covariance)
        errors = np.diag(factor) * np.linalg.solve(factor, y[1:] - mean)
        assert surprises == pytest.approx((errors**2).sum())

    def test_no_hidden_weight_lies_beyond_the_bounds(self):
        y, hidden = np.array([1.3, 1.4, 1.6, 0.2, -1.6, -1.5]), np.empty(6)
        flat, ups = np.ones((2, 2 * POINTS + 1)), np.array([True] * 3 + [False] * 3)
        log_likelihood(
            y, ups, np.array([0, 3, 6]), np.array([-1.0, 1.0]), flat, np.array([0.5, 0.9]),
            np.array([0.4, 0.3]), False, 0.0, hidden, np.empty(6),
        )  # fmt: skip
        assert hidden[0] == 1
        assert np.abs(hidden).max() <= 1

    def test_an_outlier_says_nothing_about_the_weight(self):
        y = np.array([0.0, 0.1, 0.2, 9e37, 0.4, 0.5])
        flat, hidden, sound = np.ones((2, 2 * POINTS + 1)), np.empty(6), np.empty(6)
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


class TestResponses:
    def test_no_step_is_taken_from_one_train_to_the_next(self):
        up, down = np.ones(3, dtype=bool), np.zeros(2, dtype=bool)
        trains = [
            Train("", np.array([0.0, 0.1, 0.2, 0.3]), up), Train("", np.array([9, 8.8, 8.6]), down)
        ]  # fmt: skip
        assert Readings(trains, 0.0, 1.0).first_steps() == pytest.approx([0.1, 0.2])

    def test_the_error_of_a_step_is_that_of_a_mean(self):
        """Noisy steps, read without noise: the share of noise by the root of their number."""
        ups = np.tile([True] * 10 + [False] * 15, 6)
        noise = 1 + 0.1 * np.random.default_rng(0).normal(size=ups.size)
        w = np.cumsum(np.concatenate([[0.0], np.where(ups, 0.15, -0.1) * noise]))
        found = Response(
            Readings([Train("", w, ups)], 0.0, 1.0), np.array([-9.0, 9.0]),
            [rt.devices.ConstantStep()], True,
        )  # fmt: skip
        assert found.steps == pytest.approx([0.15, 0.1], rel=Z * 0.1 / math.sqrt(60))
        assert found.step_error() == pytest.approx(found.cycle / math.sqrt(60), rel=0.05)
        assert found.cycle > 10 * found.read

    def test_the_error_of_a_step_that_is_known_well(self):
        """Not too small: far from the best numbers readings are outliers, and nothing is curved."""
        cycle, read = 0.02, 5e-4
        own = {"cycle": cycle, "dw_min": 0, "w_min": 0, "w_max": 0, "up_down": 0}
        device = rt.devices.SoftBounds(states=40, variation=own)
        ups = np.tile([True] * 60 + [False] * 60, 4)
        steps, errors = [], []
        for seed in range(8):
            w = Tile(device, 0).staircases(ups, seed=seed)[0]
            y = w + np.random.default_rng(seed).normal(0, read, w.size)
            ends = np.array([w.min(), w.max()])
            found = Response(
                Readings([Train("", y, ups)], 0.0, 1.0), ends, [device], False, (cycle, read)
            )
            steps.append(math.log(found.steps.max()))
            errors.append(found.step_error())
        assert max(errors) < 1.5 * min(errors)
        assert 0.4 < np.std(steps, ddof=1) / np.mean(errors) < 2

    def test_numbers_that_a_law_cannot_take_are_no_fault_of_the_fit(self):
        class Rooted(rt.Device, name="rooted_of_test_likelihood"):
            bend: float = 0.02

            @staticmethod
            def q_up(w, p):
                return 1 + math.sqrt(p[2]) * w * w

            @staticmethod
            def q_down(w, p):
                return 1 + math.sqrt(p[2]) * w * w

        ups = np.tile([True] * 9 + [False] * 9, 6)
        noise = np.random.default_rng(0).normal(0, 0.02, ups.size + 1)
        y = np.cumsum(np.concatenate([[0.0], np.where(ups, 0.1, -0.1)])) + noise
        found = Response(
            Readings([Train("", y, ups)], 0.0, 1.0), np.array([-0.1, 1]), [Rooted()], False
        )
        assert 0 <= found.fields[0] < 0.03
        assert math.isnan(found.step_error()) or found.step_error() < 0.1

    def test_steps_that_vanish_at_the_bounds_lead_beyond_what_was_reached(self):
        w = [0.0]
        for _ in range(8):
            w.append(w[-1] + 0.1 * (1 - w[-1]))
        for _ in range(16):
            w.append(w[-1] - 0.1 * (1 + w[-1]))
        train = Train("", np.array(w), np.array([True] * 8 + [False] * 16))
        ends = np.array([min(w), max(w)])
        found = Response(Readings([train], 0.0, 1.0), ends, [rt.devices.SoftBounds()], False)
        assert ends[1] < 0.6
        assert found.bounds == pytest.approx([-1, 1], rel=0.05)

    def test_fields_stay_in_their_ranges_and_bounds_on_either_side_of_0(self):
        class Sloped(rt.Device, name="sloped_of_test_fitting"):
            slope: float = 0.1
            ranges: ClassVar = {"slope": (0.0, 0.3)}

            @staticmethod
            def q_up(w, p):
                return 1 - p[2] * w

            @staticmethod
            def q_down(w, p):
                return 1.0

        w = [0.1]
        for _ in range(12):
            w.append(w[-1] + 0.1 * (1 - 0.6 * w[-1]))
        for _ in range(4):
            w.append(w[-1] - 0.1)
        train = Train("", np.array(w), np.array([True] * 12 + [False] * 4))
        found = Response(Readings([train], 0.0, 1.0), np.array([0.1, 1]), [Sloped()], False)
        assert found.fields == pytest.approx([0.3])
        assert found.bounds[0] < 0 < found.bounds[1]
