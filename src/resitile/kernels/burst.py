"""One pulse for each of many devices, at most one a device: what a slot brings, or several do.

The work is cut into passes over short lists, so that the hashes of one device need not wait for the
memory of another, and most of it runs on several devices at a time.
"""

import numpy as np
from numba import njit

from resitile.kernels.compiling import BARE
from resitile.kernels.crosspoint import (
    bounds_of,
    crosspoint,
    gain_of,
    log_gain_of,
    pulse,
    steps_of,
)
from resitile.kernels.law import (
    ADDITIVE,
    CYCLE,
    LOG_NORMAL,
    STREAMS,
    as_parameters,
    own_parameters,
    width,
)
from resitile.kernels.memory import allocate
from resitile.kernels.random import below, cycle_noise, noise_level, normal
from resitile.kernels.update import refresh

_STEP, _NOISE, _VALUE, _GAIN, _SKEW = range(5)  # rows behind a device's own parameters
_MANY = 16  # devices from which passes over all of them pay


@njit(inline="always")
def lists(law, size):
    """For `size` devices: their numbers, the keys of their slots, rows of numbers, hashes.

    They are to be given back: see `memory.release`.
    """
    return (
        allocate(size, np.uint64),
        allocate(size, np.uint64),
        allocate((width(law) + 5, size), np.float32),
        allocate(size, np.uint64),
    )


@njit(inline="always")
def append(devices, slots, slot, first, lines, front, back, rising, ups, downs):
    """List one row's devices, those that go up from the front on, the others from the back.

    Its lines are `front` of positive x, at the front of `lines`, and `back` of negative x, at the
    back; the former go up in a `rising` row, and the latter in a falling one.
    """
    up_begin, up_end, down_begin, down_end = 0, front, lines.size - back, lines.size
    if not rising:
        up_begin, up_end, down_begin, down_end = down_begin, down_end, up_begin, up_end
    at = np.uint64(ups)
    for c in range(np.uint64(up_begin), np.uint64(up_end)):
        devices[at], slots[at] = first + np.uint64(lines[c]), slot
        at += np.uint64(1)
    down = np.uint64(devices.size - downs)
    for c in range(np.uint64(down_begin), np.uint64(down_end)):
        down -= np.uint64(1)
        devices[down], slots[down] = first + np.uint64(lines[c]), slot
    return np.int64(at), devices.size - np.int64(down)


# Passes over devices begin to end of the lists. Most are functions of their own, so that the
# compiler sees that it can work on several devices at a time.


@njit(**BARE)
def _hash(key, devices, begin, end, hashes):
    for e in range(np.uint64(begin), np.uint64(end)):
        hashes[e] = below(key, devices[e] * STREAMS)


@njit(**BARE)
def _deviates(law, table, hashes, begin, end, rows):
    own = width(law)
    for e in range(np.uint64(begin), np.uint64(end)):
        h = hashes[e]
        rows[0, e], rows[1, e] = normal(table, h, 0), normal(table, h, 1)
        rows[own + _GAIN, e], rows[own + _SKEW, e] = normal(table, h, 2), normal(table, h, 3)


@njit(**BARE)
def _bounds(spec, begin, end, rows):
    for e in range(np.uint64(begin), np.uint64(end)):
        rows[0, e], rows[1, e] = bounds_of(spec, rows[0, e], rows[1, e])


@njit(**BARE)
def _gains(law, spec, begin, end, rows):
    gain = width(law) + _GAIN
    if spec[LOG_NORMAL] > 0:
        for e in range(np.uint64(begin), np.uint64(end)):
            rows[gain, e] = log_gain_of(spec, rows[gain, e])
    else:
        for e in range(np.uint64(begin), np.uint64(end)):
            rows[gain, e] = gain_of(spec, rows[gain, e])


@njit(**BARE)
def _steps(law, spec, begin, end, up, rows):
    own = width(law)
    for e in range(np.uint64(begin), np.uint64(end)):
        both = steps_of(spec, rows[own + _GAIN, e], rows[own + _SKEW, e])
        rows[own + _STEP, e] = both[0] if up else both[1]


@njit(**BARE)
def _fields(law, spec, table, key, devices, begin, end, rows):
    for e in range(np.uint64(begin), np.uint64(end)):
        p = own_parameters(law, rows[0, e], rows[1, e], spec, key, devices[e], table)
        for k in range(2, len(p)):
            rows[k, e] = p[k]


@njit(**BARE)
def _noise_levels(devices, slots, begin, end, hashes):
    for e in range(np.uint64(begin), np.uint64(end)):
        hashes[e] = noise_level(slots[e], devices[e])


@njit(**BARE)
def _noise(law, table, hashes, begin, end, rows):
    for e in range(np.uint64(begin), np.uint64(end)):
        rows[width(law) + _NOISE, e] = table[hashes[e]]


@njit(**BARE)
def _many(law, spec, table, key, begin, end, up, devices, slots, rows, hashes):
    """`crosspoint` and `cycle_noise` of listed devices, the same numbers in passes."""
    _hash(key, devices, begin, end, hashes)
    _deviates(law, table, hashes, begin, end, rows)
    _bounds(spec, begin, end, rows)
    _gains(law, spec, begin, end, rows)
    _steps(law, spec, begin, end, up, rows)
    if width(law) > 2:
        _fields(law, spec, table, key, devices, begin, end, rows)
    _noise_levels(devices, slots, begin, end, hashes)
    _noise(law, table, hashes, begin, end, rows)


@njit(**BARE)
def _rise(law, rows, begin, end, cycle, additive):
    """The arithmetic alone, of pulses up."""
    own = width(law)
    for e in range(np.uint64(begin), np.uint64(end)):
        p, step = as_parameters(law, rows, e), rows[own + _STEP, e]
        w, xi = rows[own + _VALUE, e], rows[own + _NOISE, e]
        rows[own + _VALUE, e] = pulse(law, w, True, p, step, step, cycle, additive, xi)


@njit(**BARE)
def _fall(law, rows, begin, end, cycle, additive):
    """Of pulses down."""
    own = width(law)
    for e in range(np.uint64(begin), np.uint64(end)):
        p, step = as_parameters(law, rows, e), rows[own + _STEP, e]
        w, xi = rows[own + _VALUE, e], rows[own + _NOISE, e]
        rows[own + _VALUE, e] = pulse(law, w, False, p, step, step, cycle, additive, xi)


@njit(**BARE)
def fire(law, spec, table, device_key, tiles, t, coefficients, weight, lists, ups, downs):
    """Send the listed pulses; `tiles` is (d_out * d_in, tiles), `weight` (d_out * d_in,)."""
    devices, slots, rows, hashes = lists
    t = np.uint64(t)  # as below
    value = width(law) + _VALUE
    for side in range(2):
        begin, end = (0, ups) if side == 0 else (devices.size - downs, devices.size)
        begin, end = np.uint64(begin), np.uint64(end)  # no test for negative indices
        for e in range(begin, end):  # apart: many loads from memory are then under way at a time
            rows[value, e] = tiles[devices[e], t]
        if end - begin < _MANY:
            for e in range(begin, end):
                p, up_step, down_step = crosspoint(law, spec, device_key, devices[e], table)
                for k in range(len(p)):
                    rows[k, e] = p[k]
                rows[width(law) + _STEP, e] = up_step if side == 0 else down_step
                rows[width(law) + _NOISE, e] = cycle_noise(table, slots[e], devices[e])
        else:
            _many(law, spec, table, device_key, begin, end, side == 0, devices, slots, rows, hashes)
        if side == 0:
            _rise(law, rows, begin, end, spec[CYCLE], spec[ADDITIVE] > 0)
        else:
            _fall(law, rows, begin, end, spec[CYCLE], spec[ADDITIVE] > 0)
        for e in range(begin, end):
            tiles[devices[e], t] = rows[value, e]
        if coefficients[t] == 0:
            continue  # a hidden tile: no part of the weight
        if coefficients.size == 1:
            for e in range(begin, end):
                weight[devices[e]] = coefficients[0] * rows[value, e]
        else:
            for e in range(begin, end):
                refresh(tiles, coefficients, weight, devices[e])
