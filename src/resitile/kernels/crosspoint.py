"""One crosspoint: its own parameters, regenerated from the seed, and its answer to a pulse.

Regenerating costs a hash and a few table look-ups and saves the 16 bytes a crosspoint that stored
bounds and steps would take; only weights live in memory.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels.compiling import BARE, ENTRY
from resitile.kernels.law import (
    ADDITIVE,
    CYCLE,
    DOWN,
    DW_MIN,
    LOG_NORMAL,
    S_DW,
    S_MAX,
    S_MIN,
    S_UPDOWN,
    STREAMS,
    UP,
    W_MAX,
    W_MIN,
    own_parameters,
    q_down,
    q_up,
)
from resitile.kernels.random import below, cycle_noise, normal

_ONE = np.float32(1)
_TINY = np.float32(1e-6)


@njit(inline="always")
def bounds_of(spec, low, high):
    """Lower and upper bound from their deviates."""
    low = spec[W_MIN] * (_ONE + spec[S_MIN] * low)
    high = spec[W_MAX] * (_ONE + spec[S_MAX] * high)
    w_min = min(min(low, high), _TINY * spec[W_MIN])
    return w_min, max(max(low, high), _TINY * spec[W_MAX])


@njit(inline="always")
def gain_of(spec, deviate):
    """Share of the nominal step that both directions have, from its deviate."""
    return _ONE + deviate * spec[S_DW]


@njit(inline="always")
def log_gain_of(spec, deviate):
    """The same where it is log-normal."""
    return np.float32(math.exp(deviate * spec[S_DW]))


@njit(inline="always")
def _gain(spec, deviate):
    return log_gain_of(spec, deviate) if spec[LOG_NORMAL] > 0 else gain_of(spec, deviate)


@njit(inline="always")
def steps_of(spec, gain, skew):
    """Steps up and down from the gain and the deviate of their difference."""
    skew *= spec[S_UPDOWN]
    step_up = abs((spec[UP] - _ONE) + gain + skew) * spec[DW_MIN]
    return step_up, abs((spec[DOWN] - _ONE) + gain - skew) * spec[DW_MIN]


@njit(**BARE)  # not inlined: compiled once for all kernels
def crosspoint(law, spec, key, index, table):
    """The parameters of crosspoint number `index`: (p, step_up, step_down).

    As aihwkit's `PulsedDevice` populates a tile with `enforce_consistency`: bounds and steps are
    normal around their nominal values, steps are made positive, bounds are put in order and
    include 0 (here by a millionth of the nominal bound, so that 1 / bound exists).
    """
    h = below(key, np.uint64(index) * STREAMS)
    w_min, w_max = bounds_of(spec, normal(table, h, 0), normal(table, h, 1))
    step_up, step_down = steps_of(spec, _gain(spec, normal(table, h, 2)), normal(table, h, 3))
    p = own_parameters(law, w_min, w_max, spec, key, index, table)
    return p, step_up, step_down


@njit(**BARE)  # as what follows: it vectorises in a function of its own
def _all_bounds(spec, low, high):
    for j in range(np.uint64(low.size)):
        low[j], high[j] = bounds_of(spec, low[j], high[j])


@njit(**BARE)
def _all_steps(spec, gain, skew, step_up, step_down):
    for j in range(np.uint64(gain.size)):
        step_up[j], step_down[j] = steps_of(spec, gain[j], skew[j])


@njit(**BARE)
def crosspoints(law, spec, key, first, table, own, step_up, step_down, scratch):
    """`crosspoint` of neighbours, from number `first` on: p into the columns of `own`.

    The same numbers in passes, of which those without a look-up run on many devices at a time.
    `scratch` is (2, devices) float32.
    """
    low, high, gain, skew = own[0], own[1], scratch[0], scratch[1]
    for j in range(np.uint64(low.size)):
        h = below(key, (np.uint64(first) + j) * STREAMS)
        low[j], high[j] = normal(table, h, 0), normal(table, h, 1)
        gain[j], skew[j] = _gain(spec, normal(table, h, 2)), normal(table, h, 3)
    _all_bounds(spec, low, high)
    _all_steps(spec, gain, skew, step_up, step_down)
    if len(own) > 2:
        for j in range(np.uint64(low.size)):
            p = own_parameters(law, low[j], high[j], spec, key, np.uint64(first) + j, table)
            for k in range(2, len(p)):
                own[k, j] = p[k]


@njit(**BARE)  # as `crosspoint`
def pulse(law, w, up, p, step_up, step_down, cycle, additive, xi):
    """The weight after one pulse; `xi` is the cycle-to-cycle deviate of this pulse."""
    if up:
        q, step = q_up(law, w, p), step_up
    else:
        q, step = q_down(law, w, p), -step_down
    answer = q + cycle * xi if additive else q * (_ONE + cycle * xi)
    return min(max(w + step * answer, p[0]), p[1])


@njit(**ENTRY)
def describe_crosspoints(law, spec, key, table, out):
    """Fill `out` (crosspoints, 2 + fields + 2) with p, step_up and step_down of each."""
    for c in range(out.shape[0]):
        p, up, down = crosspoint(law, spec, key, np.uint64(c), table)
        for k in range(len(p)):
            out[c, k] = p[k]
        out[c, len(p)] = up
        out[c, len(p) + 1] = down


@njit(**ENTRY)
def pulse_staircase(law, spec, key, table, w, ups, noise_key):
    """Send the same train of pulses to every crosspoint of flat `w`; `ups[t]` is its direction."""
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    for c in range(w.size):
        p, up, down = crosspoint(law, spec, key, np.uint64(c), table)
        for t in range(ups.size):
            xi = cycle_noise(table, below(noise_key, t), c)
            w[c] = pulse(law, w[c], ups[t], p, up, down, cycle, additive, xi)
