"""The pulsed update for many pulses: row after row, each row's devices at hand.

It pays when a device meets several pulses. Arguments are those of `update.py`.
"""

import numpy as np
from numba import njit

from resitile.kernels.compiling import BARE, BARE_ENTRY
from resitile.kernels.crosspoint import crosspoints, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, as_parameters, plain, width
from resitile.kernels.lines import (
    line_bits,
    lines_of_slot,
    row_key,
    sample_columns,
    threshold,
    train,
)
from resitile.kernels.memory import allocate, release
from resitile.kernels.random import below, cycle_levels
from resitile.kernels.update import ONE, refresh, slot_key

_FULL = 4  # where a slot pulses at least every fourth device, all of a row are computed with


@njit(**BARE_ENTRY, error_model="numpy")
def list_columns(
    law, key, first, x, starts, offset, turned, x_max, d_max, lr, dw_min, bits, manage,
    manage_length, lines, words, spans, scales, lengths,
):  # fmt: skip
    """The columns that fire for each of a chunk of vectors, for `pulse_rows`.

    Vector v of the chunk (number `first + v`) gets its columns in lines[v] and words[v], as
    `sample_columns` orders them, and spans[v] = (positive, negative) counts.
    """
    flags, found = allocate((offset.size + 7) // 8, np.uint64), allocate(offset.size, np.uint32)
    flags[:] = 0
    patches = starts.size
    for v in range(lengths.size):
        n, p = (first + v) // patches, (first + v) % patches
        length, row, column = train(
            lr, x_max[n, p], d_max[n, p], dw_min, bits, manage, manage_length
        )
        lengths[v], scales[v] = length, row
        spans[v, 0], spans[v, 1] = 0, 0
        if length:
            front, back = sample_columns(
                below(key, first + v + 1), x, n, starts[p], offset, turned, x_max[n, p], column,
                length, lines[v], words[v], flags, found,
            )  # fmt: skip
            spans[v, 0], spans[v, 1] = front, back  # a tuple at once would compile for a second
    release((flags, found))


@njit(inline="always")
def _cross_listed(
    law, up, lines, begin, end, levels, row, own, step, cycle, additive, table
):  # fmt: skip
    """A pulse for each device of one row on lines begin to end, noise as numbered in `levels`."""
    for c in range(begin, end):
        j = np.uint64(lines[c])
        p = as_parameters(law, own, j)
        xi = table[np.uint64(levels[c])]
        row[j] = pulse(law, row[j], up, p, step[j], step[j], cycle, additive, xi)


@njit(inline="always")
def _spread(lines, begin, end, levels, table, noise):
    """The noise of lines begin to end, each to its place in the row."""
    for c in range(begin, end):
        noise[np.uint64(lines[c])] = table[np.uint64(levels[c])]


@njit(inline="always")
def _mark(lines, front, back, signs):
    """1 where one of the lines at the front stands, -1 for the back, elsewhere 0."""
    signs[:] = 0
    for c in range(np.uint64(front)):
        signs[np.uint64(lines[c])] = 1
    for c in range(np.uint64(lines.size - back), np.uint64(lines.size)):
        signs[np.uint64(lines[c])] = -1


@njit(**BARE)  # not inlined: the compiler then sees that it can vectorise
def _cross_marked(law, signs, turn, noise, row, own, step_up, step_down, cycle, additive):
    """A pulse for each device of one row that has a sign: up where times `turn` it is above 0."""
    for j in range(np.uint64(row.size)):
        p = as_parameters(law, own, j)
        up = pulse(law, row[j], True, p, step_up[j], step_up[j], cycle, additive, noise[j])
        down = pulse(law, row[j], False, p, step_down[j], step_down[j], cycle, additive, noise[j])
        sign = signs[j] * turn
        row[j] = up if sign > 0 else (down if sign < 0 else row[j])


@njit(inline="always")
def _fire_slot(law, spec, table, slot, device, value, active, front, back, marked, marks, row):
    """What one slot of one vector brings to a row whose d is `value`; see `pulse_rows`.

    `marks` tells the signs of the lines once more, for the whole row; it is written here unless
    that is done already (`marked`).
    """
    weights, own, step_up, step_down, noise, levels = row
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    # unsigned, as every index here: no test for a negative one
    begin, end, last = np.uint64(front), np.uint64(active.size - back), np.uint64(active.size)
    cycle_levels(slot, device, active, np.uint64(0), begin, levels)
    cycle_levels(slot, device, active, end, last, levels)
    if plain(law) and (front + back) * _FULL > active.size:
        if not marked:
            _mark(active, front, back, marks)
        _spread(active, np.uint64(0), begin, levels, table, noise)
        _spread(active, end, last, levels, table, noise)
        _cross_marked(
            law, marks, -1 if value > 0 else 1, noise, weights, own, step_up, step_down, cycle,
            additive,
        )  # fmt: skip
        return
    up, down = (np.uint64(0), begin), (end, last)
    if value > 0:
        up, down = down, up
    _cross_listed(
        law, True, active, up[0], up[1], levels, weights, own, step_up, cycle, additive, table
    )
    _cross_listed(
        law, False, active, down[0], down[1], levels, weights, own, step_down, cycle, additive,
        table,
    )  # fmt: skip


@njit(inline="always")
def _wear_out(wear, active, front, back):
    """Count a pulse of each device on the lines that fire; `wear` is (d_in,)."""
    for c in range(np.uint64(front)):
        wear[active[c]] += 1
    for c in range(np.uint64(active.size - back), np.uint64(active.size)):
        wear[active[c]] += 1


@njit(**BARE_ENTRY, error_model="numpy")
def pulse_rows(
    law, spec, table, device_key, key, first, tiles, t, coefficients, weight, wear,
    lines, words, spans, scales, lengths, d, row0, low, high,
):  # fmt: skip
    """Send a chunk of vectors as pulses, row after row; returns the number of pulses."""
    patches, count, d_in = d.shape[2], lengths.size, lines.shape[1]
    # What belongs to each device of a row, side by side, not a tile's stack apart.
    numbers, levels = allocate((6, d_in), np.float32), allocate(d_in, np.uint16)
    weights, step_up, step_down, noise = numbers[0], numbers[1], numbers[2], numbers[3]
    own = allocate((width(law), d_in), np.float32)
    row = (weights, own, step_up, step_down, noise, levels)
    keys, chosen = allocate(count, np.uint64), allocate(d_in, np.uint32)
    marks = allocate((count + 1, d_in), np.int8)  # of each vector, of a slot
    noise[:] = 0  # where no pulse is sent as well
    pulses = np.int64(0)
    for v in range(lengths.size):
        keys[v] = below(key, first + v + 1)
        if plain(law) and lengths[v] == 1:
            _mark(lines[v], spans[v, 0], spans[v, 1], marks[v])
    for i in range(low, high):
        at = row0 + i
        device = np.uint64(at * d_in)
        crosspoints(law, spec, device_key, at * d_in, table, own, step_up, step_down, numbers[4:])
        for j in range(d_in):
            weights[j] = tiles[at, j, t]
        for v in range(lengths.size):
            if spans[v, 0] + spans[v, 1] == 0:
                continue
            value = d[(first + v) // patches, i, (first + v) % patches]
            word = line_bits(row_key(keys[v]), i, threshold(value, scales[v]), lengths[v])
            b = 0
            while word:
                if word & ONE:
                    front, back, active, one = spans[v, 0], spans[v, 1], lines[v], lengths[v] == 1
                    if not one:
                        active = chosen
                        front, back = lines_of_slot(b, lines[v], words[v], front, back, active)
                    pulses += front + back
                    if wear.size:
                        _wear_out(wear[at, :, t], active, front, back)
                    _fire_slot(
                        law, spec, table, slot_key(keys[v], b), device, value, active, front, back,
                        one, marks[v if one else lengths.size], row,
                    )  # fmt: skip
                word >>= ONE
                b += 1
        for j in range(d_in):
            tiles[at, j, t] = weights[j]
        if coefficients[t] != 0:
            for j in range(d_in):
                refresh(tiles[at], coefficients, weight[at], j)
    release((numbers, levels, own, keys, chosen, marks))
    return pulses
