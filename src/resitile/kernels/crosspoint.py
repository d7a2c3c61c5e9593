"""One crosspoint: its own parameters, regenerated from the seed, and its answer to a pulse.

Regenerating costs a hash and a few table look-ups and saves the 16 bytes a crosspoint that stored
bounds and steps would take; only weights live in memory.
"""

import math

import numpy as np
from numba import njit

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


@njit(nogil=True, error_model="numpy")  # not inlined: compiled once for all kernels
def crosspoint(law, spec, key, index, table):
    """The parameters of crosspoint number `index`: (p, step_up, step_down).

    As aihwkit's `PulsedDevice` populates a tile with `enforce_consistency`: bounds and steps are
    normal around their nominal values, steps are made positive, bounds are put in order and
    include 0 (here by a millionth of the nominal bound, so that 1 / bound exists).
    """
    h = below(key, np.uint64(index) * STREAMS)
    low = spec[W_MIN] * (_ONE + spec[S_MIN] * normal(table, h, 0))
    high = spec[W_MAX] * (_ONE + spec[S_MAX] * normal(table, h, 1))
    w_min = min(min(low, high), _TINY * spec[W_MIN])
    w_max = max(max(low, high), _TINY * spec[W_MAX])
    deviate = spec[S_DW] * normal(table, h, 2)
    gain = np.float32(math.exp(deviate)) if spec[LOG_NORMAL] > 0 else _ONE + deviate
    skew = spec[S_UPDOWN] * normal(table, h, 3)
    step_up = abs((spec[UP] - _ONE) + gain + skew) * spec[DW_MIN]
    step_down = abs((spec[DOWN] - _ONE) + gain - skew) * spec[DW_MIN]
    p = own_parameters(law, w_min, w_max, spec, key, index, table)
    return p, step_up, step_down


@njit(nogil=True, error_model="numpy")  # as `crosspoint`
def pulse(law, w, up, p, step_up, step_down, cycle, additive, xi):
    """The weight after one pulse; `xi` is the cycle-to-cycle deviate of this pulse."""
    if up:
        q, step = q_up(law, w, p), step_up
    else:
        q, step = q_down(law, w, p), -step_down
    answer = q + cycle * xi if additive else q * (_ONE + cycle * xi)
    return min(max(w + step * answer, p[0]), p[1])


@njit(cache=True, nogil=True)
def describe_crosspoints(law, spec, key, table, out):
    """Fill `out` (crosspoints, 2 + fields + 2) with p, step_up and step_down of each."""
    for c in range(out.shape[0]):
        p, up, down = crosspoint(law, spec, key, c, table)
        for k in range(len(p)):
            out[c, k] = p[k]
        out[c, len(p)] = up
        out[c, len(p) + 1] = down


@njit(cache=True, nogil=True)
def pulse_staircase(law, spec, key, table, w, ups, noise_key):
    """Send the same train of pulses to every crosspoint of flat `w`; `ups[t]` is its direction."""
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    for c in range(w.size):
        p, up, down = crosspoint(law, spec, key, c, table)
        for t in range(ups.size):
            xi = cycle_noise(table, below(noise_key, t), c)
            w[c] = pulse(law, w[c], ups[t], p, up, down, cycle, additive, xi)
