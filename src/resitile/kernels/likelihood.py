"""How likely readings are under a device law: an extended Kalman filter over pulses.

The device's weight is hidden: a pulse moves it by the law's step, with cycle-to-cycle noise; a
reading is the weight with read noise, or, now and then, anything: an outlier, which then says
nothing about the weight. Fitting steps between readings instead would take read noise
for a response, since the same error makes one step larger and the next one smaller.

References:
    Särkkä, Bayesian Filtering and Smoothing (2013): Sec. 5.2, the filter; 12.3, its likelihood.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels.compiling import ENTRY
from resitile.kernels.law import as_parameters, exact_q

_ROOT, _NORMAL = math.sqrt(2), math.sqrt(2 * math.pi)
POINTS = 32  # of a response's table on either side of 0, so that kinks at halves are met


@njit(**ENTRY)
def _clipped(mean, variance, low, high):
    """Mean and variance of a normal number that hard bounds clip."""
    deviation = math.sqrt(variance)
    if low < mean - 6 * deviation and mean + 6 * deviation < high:
        return mean, variance
    a, b = (low - mean) / deviation, (high - mean) / deviation
    below, above = 0.5 * math.erfc(-a / _ROOT), 0.5 * math.erfc(b / _ROOT)
    inside = max(1.0 - below - above, 0.0)
    at_a, at_b = math.exp(-a * a / 2) / _NORMAL, math.exp(-b * b / 2) / _NORMAL
    # Moments of (X - mean) / deviation, clipped to [a, b].
    first = a * below + b * above + at_a - at_b
    second = a * a * below + b * b * above + inside
    second += (a * at_a if below > 0 else 0.0) - (b * at_b if above > 0 else 0.0)
    return mean + deviation * first, max(second - first * first, 0.0) * variance


@njit(**ENTRY)
def _follow(
    readings, ups, first, end, bounds, table, steps, noise, additive, outliers, hidden, sound
):
    """`log_likelihood` of one train: readings first to end - 1, given the first of them."""
    low, high, cycle, read = bounds[0], bounds[1], noise[0], noise[1] * noise[1]
    total, surprise = 0.0, 0.0
    w = min(max(readings[first], low), high)
    hidden[first], sound[first] = w, 1.0
    spread = read
    for k in range(first + 1, end):
        side = 0 if ups[k] else 1
        at = POINTS + (w / high if w > 0 else -w / low) * POINTS
        cell = min(max(int(at), 0), 2 * POINTS - 1)
        left, right = table[side, cell], table[side, cell + 1]
        q = left + (right - left) * (at - cell)
        slope = (right - left) * POINTS / (high if cell >= POINTS else -low)
        step = steps[0] if ups[k] else -steps[1]
        change = 1 + step * slope
        deviation = cycle * step * (1.0 if additive else q)
        spread = change * change * spread + deviation * deviation
        moved, spread = _clipped(w + step * q, spread, low, high)
        variance = spread + read
        error = readings[k] - moved
        density = math.exp(-0.5 * error * error / variance) / (_NORMAL * math.sqrt(variance))
        density *= 1 - outliers
        total += math.log(density + outliers / 4)
        sound[k] = density / (density + outliers / 4)
        if sound[k] > 0.0:  # the error of a far outlier may be infinite when squared
            surprise += sound[k] * error * error
            gain = sound[k] * spread / variance
            moved = min(max(moved + gain * error, low), high)
            spread = (1 - gain) * spread
        w = moved
        hidden[k] = w
    return total, surprise


@njit(**ENTRY)
def log_likelihood(
    readings, ups, starts, bounds, table, steps, noise, additive, outliers, hidden, sound
):
    """Log-likelihood of a device's readings, and the sum of squared surprises.

    A train begins where its first reading says; if the next one then looks like an outlier, it is
    tried whether the first one was: the more likely of both counts.

    Args:
        readings: all trains one after the other, in weight units.
        ups: direction of the pulse before each reading; not looked at where a train starts.
        starts: (trains + 1,) where each begins.
        bounds: (2,) w_min and w_max.
        table: (2, 2 POINTS + 1) response up and down from one bound to 0, from 0 to the other.
        steps: (2,) step up and down at w = 0.
        noise: (2,) cycle-to-cycle, as a share of the step, and of a reading, in weight units.
        additive: whether cycle-to-cycle noise scales with the step at 0, not with that at w.
        outliers: expected share of readings that mean nothing, anywhere in twice the range.
        hidden: filled with the estimated weight at each reading.
        sound: filled with the probability that a reading is no outlier.
    """
    total, surprise = 0.0, 0.0
    for t in range(starts.size - 1):
        first, end = starts[t], starts[t + 1]
        found, surprises = _follow(
            readings, ups, first, end, bounds, table, steps, noise, additive, outliers, hidden,
            sound,
        )  # fmt: skip
        if outliers > 0 and end > first + 2 and sound[first + 1] < 0.5:
            later, fewer = _follow(
                readings, ups, first + 1, end, bounds, table, steps, noise, additive, outliers,
                hidden, sound,
            )  # fmt: skip
            later += math.log(outliers / 4)  # that of the first; where the next is, none foretells
            if later > found:
                hidden[first], sound[first] = hidden[first + 1], 0.0
                found, surprises = later, fewer
            else:  # as it was
                found, surprises = _follow(
                    readings, ups, first, end, bounds, table, steps, noise, additive, outliers,
                    hidden, sound,
                )  # fmt: skip
        total += found
        surprise += surprises
    return total, surprise


@njit(**ENTRY)
def likelihoods(law, readings, ups, starts, numbers, additive, outliers, hidden, sound, out):
    """`log_likelihood` under a law for several settings of all its numbers.

    Args:
        law: see `law.py`.
        numbers: (trials, 6 + fields): step up and down, cycle-to-cycle and read noise, w_min,
            w_max, the law's own fields.
        out: (trials, 2), filled with what `log_likelihood` returns; `hidden` and `sound` are those
            of the last trial.
    """
    own, table = numbers[:, 4:].T, np.empty((2, 2 * POINTS + 1))
    for k in range(numbers.shape[0]):
        p = as_parameters(law, own, k)
        for side in range(2):
            for at in range(2 * POINTS + 1):
                share = (at - POINTS) / POINTS
                table[side, at] = exact_q(
                    law, side == 0, share * p[1] if share > 0 else -share * p[0], p
                )
        out[k] = log_likelihood(
            readings, ups, starts, numbers[k, 4:6], table, numbers[k, :2], numbers[k, 2:4],
            additive, outliers, hidden, sound,
        )  # fmt: skip
