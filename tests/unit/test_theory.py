"""The theory's closed forms, schedules and problems, exactly where they are exact."""

import math

import numpy as np
import pytest

import resitile as rt
from resitile.errors import ConfigError, UpdateError
from resitile.theory import toy
from resitile.theory.bounds import dropped_term
from resitile.theory.copies import Copies
from resitile.theory.fits import decay, slope
from resitile.theory.problems import LeastSquares, LowerBound, Toy
from resitile.theory.schedules import Schedule

QUIET = rt.devices.SoftBounds(states=4, variation="none")


def test_update_times_are_those_of_figure_9():
    t0, t1, t2, t3 = rt.theory.nested_times([2, 2, 2], 8)
    assert t3 == [0, 1, 2, 3, 4, 5, 6, 7]
    assert t2 == [0, 1, 1, 2, 2, 3, 3, 4]
    assert t1 == [0, 0, 0, 1, 1, 1, 1, 2]
    assert t0 == [0, 0, 0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("lengths", [[], [3], [2, 3], [4, 1, 5]])
def test_a_schedule_makes_the_updates_that_the_table_counts(lengths):
    schedule, steps = Schedule.nested(lengths), 2 * math.prod(lengths) + 3
    made = [0] * (len(lengths) + 1)
    table = rt.theory.nested_times(lengths, steps)
    for t in range(steps):
        for source in schedule.due(t + 1):
            made[source - 1] += 1
        assert made[:-1] == [row[t] for row in table[:-1]]


def test_periods_are_those_of_the_experiments():
    assert Schedule.periodic(4).periods == (8, 4, 2)
    assert Schedule.periodic(1).due(6) == []
    assert Schedule.periodic(4).due(4) == [3, 2]  # the finest first
    rule = rt.algorithms.ResidualLearning(QUIET, tiles=4, transfer_ratio=2)
    assert [rule.transfer_every * rule.transfer_ratio**k for k in (2, 1, 0)] == [8, 4, 2]


def test_bounds_have_the_printed_constants():
    bound = rt.theory.theorem1(0.2, 0.1, smoothness=3, w_max=0.5, steps=800, gap=1)
    assert bound.asymmetry == pytest.approx(4 * 0.04 / 3)
    assert bound.granularity == pytest.approx(0.1 * 2 * 3 / 0.75)
    assert bound.optimization == pytest.approx(8 * 0.2 * math.sqrt(2 / 800))
    assert bound.total == pytest.approx(bound.optimization + bound.floor)
    assert rt.theory.theorem2(0.2, 0.1, w_max=0.5) == pytest.approx(0.04 / 3 + 0.1 * 2 / 0.75)
    second = rt.theory.lemma2(
        0.5, 2, 3, alpha=0.1, sigma=0.2, dw_min=0.1, mu=1, smoothness=3, constant=0
    )
    assert second.rate == pytest.approx(0.1 * 3 * 0.25 / 16)
    assert second.factor == pytest.approx((1 - second.rate) ** 3)
    assert second.floor == pytest.approx(8 * 4 * 0.1 * 0.04 / (0.25 * 3))
    third = rt.theory.lemma3(0.3, 4, beta=0.05, source_error=0.2, dw_min=0.1, h_min=0.5)
    assert third.rate == pytest.approx(0.05 * 0.5 / 0.6)
    assert third.factor == pytest.approx((1 - third.rate) ** 4)
    assert third.floor == pytest.approx(6 * 0.09 / 0.25 * 0.2 + 2 * 0.1 / 0.5)


def test_composite_bound_scales_as_corollary_1_says():
    assert rt.theory.theorem3(0.1, 3, 0.5, 0.2) == pytest.approx(1e4 * 0.1 ** (2 / 3))
    ratio = rt.theory.corollary1(0.3, 3, 1, 0.1) / rt.theory.corollary1(0.3, 2, 1, 0.1)
    assert ratio == pytest.approx(0.3 ** (2 / 3))
    ratio = rt.theory.corollary1(0.3, 2, 1, 0.1) / rt.theory.corollary1(0.3, 2, 1, 0.0125)
    assert ratio == pytest.approx(4)
    # the term that Theorem 3 drops is the larger one at 4 states and 3 tiles
    assert dropped_term(0.4, 2, 2.0) > rt.theory.corollary1(0.4, 2, 2.0, 0.01)
    assert dropped_term(0.1, 5, 1.0) < rt.theory.corollary1(0.1, 5, 1.0, 0.5)


def test_inner_loops_grow_as_the_proof_needs():
    middle, finest = rt.theory.minimum_periods(0.1, 2)
    need = math.log(2 * (2 + 6 * 0.04 * 1e-3) / 0.5)
    assert middle == math.ceil(need / 0.01)
    assert finest == math.ceil(need / (0.01 / 8))
    assert rt.theory.minimum_periods(0.1, 0) == []
    with pytest.raises(ConfigError, match=r"gamma must lie in \(0, 0.408\], got 0.5"):
        rt.theory.minimum_periods(0.5, 2)


def test_update_statistics():
    assert rt.theory.response(QUIET, 0.25) == pytest.approx((1.0, 0.25))
    assert rt.theory.expected_update(QUIET, 0.25, 0.1) == pytest.approx(0.075)
    assert rt.theory.expected_update(QUIET, 0.25, -0.1) == pytest.approx(-0.125)
    assert rt.theory.update_variance(-0.1, 0.5, 2) == pytest.approx(0.1 * 0.5 * 0.9)
    assert rt.theory.stationary_mean(0.3, 2.0) == pytest.approx(0.6)
    assert rt.theory.stationary_spread(0.5) == pytest.approx(math.sqrt(0.5 / 1.5))
    assert rt.theory.stationary_spread(1.0, reach=2) == pytest.approx(2 * math.sqrt(0.5 / 1.5))
    low, high = rt.theory.gamma_range(0.5)
    assert (low, high) == pytest.approx((0.366, 0.536), abs=1e-3)


def test_problems_have_their_optimum_and_noise():
    rng, w = np.random.default_rng(0), np.full(200_000, 0.5)
    problem = LeastSquares(optimum=0.2, sigma=2.0, curvature=3.0)
    assert problem.gradient(w, rng).mean() == pytest.approx(0.9, abs=0.03)
    assert not problem.error(np.array([0.2]))
    hard = LowerBound(dimension=2, optimum=0.1, sigma=0.15)
    noise = hard.gradient(w, rng) - 0.4
    assert noise.mean() == pytest.approx(0, abs=5e-3)
    assert noise.var() == pytest.approx(0.15**2 / 2, rel=0.02)
    assert set(np.round(noise, 6)) == set(
        np.round([0.15 / math.sqrt(2) * z for z in (math.sqrt(3), -math.sqrt(1 / 3))], 6)
    )
    problem = Toy(1000, seed=1, reach=0.5)
    assert abs(problem.b).max() <= 0.5
    steps = (problem.b.astype(np.float64) + 1) * (2**16 - 1) / 2
    np.testing.assert_allclose(steps, steps.round(), atol=0.01)


def test_a_slope_and_its_interval():
    x = np.array([1.0, 2.0, 4.0, 8.0])
    exact = slope(x, 3 * x**1.5)
    assert exact.value == pytest.approx(1.5)
    assert exact.high - exact.low < 1e-6
    rough = slope(x, x * np.array([1.0, 1.2, 0.9, 1.1]))
    assert rough.holds(1.0)
    assert not rough.holds(2.0)
    line = np.polyfit(np.log(x), np.log(x * [1.0, 1.2, 0.9, 1.1]), 1, cov=True)
    # With two degrees of freedom Student's t lies within +-4.303 in 95 of 100 cases.
    assert (rough.high - rough.low) / 2 == pytest.approx(4.303 * line[1][0, 0] ** 0.5, rel=1e-3)
    t = np.arange(20.0)
    assert decay(t, 0.5 - 0.3 * np.exp(-0.2 * t)) == pytest.approx((0.2, 0.5))


def test_reach_of_the_finer_tiles():
    copies = Copies(QUIET, 4, tiles=2, gamma=0.1)
    copies.tiles[:, 0] = 0.5
    b = np.array([0.45, 0.55, 0.61, 0.2])
    assert toy.covered(copies, b, 0.1).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rt.theory.theorem1(1, 0.1, w_max=1.0), "w_max must lie in .*wider"),
        (lambda: rt.theory.theorem1(1, -0.1), "dw_min must lie in"),
        (lambda: rt.theory.theorem3(0.5, 1, 1, 0.1), r"gamma must lie in \(0, 0.408\]"),
        (lambda: rt.theory.lemma3(0.1, 1, beta=0.1, source_error=0, dw_min=0.1), "beta must lie"),
        (
            lambda: rt.theory.lemma3(0.1, 1, beta=0.9, source_error=0, dw_min=0.1, f_max=3.0),
            "rate 1.5 below 1",
        ),
        (lambda: rt.theory.lemma2(0.1, 0, 1, alpha=20, sigma=0, dw_min=0.1), "alpha must keep"),
        (lambda: rt.theory.update_variance(2, 0.5, 2), "wanted must lie within 2 pulses"),
        (lambda: rt.theory.stationary_spread(2.0), r"dw_min must lie in \(0, 2\)"),
        (lambda: rt.theory.stationary_mean(1.5), "direction must lie"),
        (lambda: rt.theory.response(QUIET, 1.5), r"w must lie in \[-1, 1\]"),
        (lambda: Schedule((5, 2)), "must be a multiple"),
        (lambda: Schedule.nested([0]), "at least 1"),
        (lambda: LowerBound(optimum=0.3), "optimum must lie"),
        (lambda: LowerBound(sigma=0.2), "sigma must lie"),
        (lambda: LeastSquares(0.1, 1.0).single_tile_error(0.1), "the closed form needs"),
        (lambda: Toy(4, reach=2.0), "reach must lie"),
        (lambda: slope(np.ones(2), np.ones(2)), "at least 3 points"),
        (lambda: toy.Protocol("x", schedule="none"), "schedule must be"),
        (lambda: Copies(QUIET, 0), "count must be a whole number"),
    ],
)
def test_impossible_requests(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_gradient_that_is_not_a_number_moves_nothing():
    copies = Copies(QUIET, 4)
    with pytest.raises(UpdateError, match="NaN"):
        copies.pulse(0, np.full(copies.count, np.nan), 0.1)
    assert not copies.weight.any()
