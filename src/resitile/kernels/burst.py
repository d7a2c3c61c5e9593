"""One pulse for each of many devices, at most one a device: what one slot of a vector brings.

The work is cut into passes over short lists, so that the hashes of one device need not wait for the
memory of another, and the arithmetic of the law runs on several devices at a time.
"""

import numpy as np
from numba import njit

from resitile.kernels.crosspoint import crosspoint, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, as_parameters, width
from resitile.kernels.random import cycle_noise
from resitile.kernels.update import refresh


@njit(inline="always")
def scratch(law, size):
    """Lists for `size` devices: numbers, own parameters (one row each), step, noise, weight."""
    return (
        np.empty(size, dtype=np.uint64),
        np.empty((width(law), size), dtype=np.float32),
        np.empty(size, dtype=np.float32),
        np.empty(size, dtype=np.float32),
        np.empty(size, dtype=np.float32),
    )


@njit(inline="always")
def append(devices, first, lines, front, back, rising, ups, downs):
    """List one row's devices, those that go up from the front on, the others from the back.

    Its lines are `front` of positive x, at the front of `lines`, and `back` of negative x, at the
    back; the former go up in a `rising` row, and the latter in a falling one.
    """
    up_begin, up_end, down_begin, down_end = 0, front, lines.size - back, lines.size
    if not rising:
        up_begin, up_end, down_begin, down_end = down_begin, down_end, up_begin, up_end
    at = np.uint64(ups)
    for c in range(np.uint64(up_begin), np.uint64(up_end)):
        devices[at] = first + np.uint64(lines[c])
        at += np.uint64(1)
    down = np.uint64(devices.size - downs)
    for c in range(np.uint64(down_begin), np.uint64(down_end)):
        down -= np.uint64(1)
        devices[down] = first + np.uint64(lines[c])
    return np.int64(at), devices.size - np.int64(down)


@njit(inline="always")
def _move(law, own, step, noise, values, begin, end, up, cycle, additive):
    """The arithmetic alone, of pulses in one direction."""
    for e in range(begin, end):
        p = as_parameters(law, own, e)
        values[e] = pulse(law, values[e], up, p, step[e], step[e], cycle, additive, noise[e])


@njit(cache=True, nogil=True, error_model="numpy")
def fire(
    law, spec, table, device_key, slot, drawn, tiles, t, coefficients, weight, lists, ups, downs
):
    """Send the listed pulses; `tiles` is (d_out * d_in, tiles), `weight` (d_out * d_in,).

    Their noise is that of `slot`, or, where they are of several, `drawn` by the caller.
    """
    devices, own, step, noise, values = lists
    for side in range(2):
        begin, end = (0, ups) if side == 0 else (devices.size - downs, devices.size)
        for e in range(begin, end):  # apart: many loads from memory are then under way at a time
            values[e] = tiles[devices[e], t]
        for e in range(begin, end):
            p, up_step, down_step = crosspoint(law, spec, device_key, devices[e], table)
            for k in range(len(p)):
                own[k, e] = p[k]
            step[e] = up_step if side == 0 else down_step
            if not drawn:
                noise[e] = cycle_noise(table, slot, devices[e])
        if side == 0:  # apart, so that neither loop asks for the direction
            _move(law, own, step, noise, values, begin, end, True, spec[CYCLE], spec[ADDITIVE] > 0)
        else:
            _move(law, own, step, noise, values, begin, end, False, spec[CYCLE], spec[ADDITIVE] > 0)
        for e in range(begin, end):
            tiles[devices[e], t] = values[e]
        if coefficients[t] == 0:
            continue  # a hidden tile: no part of the weight
        if coefficients.size == 1:
            for e in range(begin, end):
                weight[devices[e]] = coefficients[0] * values[e]
        else:
            for e in range(begin, end):
                refresh(tiles, coefficients, weight, devices[e])
