"""The pulsed update for many pulses: row after row, each row's devices at hand.

It pays when a device meets several pulses. Arguments are those of `update.py`.
"""

import numpy as np
from numba import njit

from resitile.kernels.crosspoint import crosspoint, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, as_parameters
from resitile.kernels.lines import line_bits, row_key, sample_columns, threshold, train
from resitile.kernels.random import below, cycle_levels
from resitile.kernels.update import ONE, refresh, slot_key


@njit(cache=True, nogil=True, error_model="numpy")
def list_columns(
    law, key, first, x, starts, offset, turned, x_max, d_max, lr, dw_min, bits, manage,
    manage_length, lines, words, spans, scales, lengths,
):  # fmt: skip
    """The columns that fire for each of a chunk of vectors, for `pulse_rows`.

    Vector v of the chunk (number `first + v`) gets its columns in lines[v] and words[v], as
    `sample_columns` orders them, and spans[v] = (positive, negative) counts.
    """
    flags = np.zeros((offset.size + 7) // 8, dtype=np.uint64)
    found = np.empty(offset.size, dtype=np.uint32)
    patches = starts.size
    for v in range(lengths.size):
        n, p = (first + v) // patches, (first + v) % patches
        length, row, column = train(
            lr, x_max[n, p], d_max[n, p], dw_min, bits, manage, manage_length
        )
        lengths[v], scales[v] = length, row
        spans[v, 0], spans[v, 1] = 0, 0
        if length:
            spans[v] = sample_columns(
                below(key, first + v + 1), x, n, starts[p], offset, turned, x_max[n, p], column,
                length, lines[v], words[v], flags, found,
            )  # fmt: skip


@njit(inline="always")
def _in_slot(lines, words, begin, end, bit, chosen):
    """Copy the lines begin to end whose word has `bit`; returns how many. No branch to guess."""
    count = np.uint64(0)
    for c in range(begin, end):
        chosen[count] = lines[c]
        count += np.uint64((words[c] & bit) != 0)
    return count


@njit(inline="always")
def _cross_row(
    law, up, lines, begin, end, levels, row, own, step, cycle, additive, table
):  # fmt: skip
    """A pulse for each device of one row on lines begin to end, noise as numbered in `levels`."""
    for c in range(begin, end):
        j = np.uint64(lines[c])
        p = as_parameters(law, own, j)
        xi = table[np.uint64(levels[c])]
        row[j] = pulse(law, row[j], up, p, step[j], step[j], cycle, additive, xi)


@njit(cache=True, nogil=True, error_model="numpy")
def pulse_rows(
    law, spec, table, device_key, key, first, tiles, t, coefficients, weight, wear,
    lines, words, spans, scales, lengths, d, row0, low, high,
):  # fmt: skip
    """Send a chunk of vectors as pulses, row after row; returns the number of pulses."""
    patches, d_in = d.shape[2], lines.shape[1]
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    first_own, _, _ = crosspoint(law, spec, device_key, 0, table)
    own = np.empty((len(first_own), d_in), dtype=np.float32)
    step_up = np.empty(d_in, dtype=np.float32)
    step_down = np.empty(d_in, dtype=np.float32)
    chosen = np.empty(d_in, dtype=np.uint32)
    levels = np.empty(d_in, dtype=np.uint16)
    row = np.empty(d_in, dtype=np.float32)  # side by side, not a tile's stack apart
    pulses = np.int64(0)
    keys = np.empty(lengths.size, dtype=np.uint64)
    for v in range(lengths.size):
        keys[v] = below(key, first + v + 1)
    for i in range(low, high):
        at = row0 + i
        device = np.uint64(at * d_in)
        for j in range(d_in):
            row[j] = tiles[at, j, t]
            p, step_up[j], step_down[j] = crosspoint(law, spec, device_key, at * d_in + j, table)
            for k in range(len(p)):
                own[k, j] = p[k]
        for v in range(lengths.size):
            if spans[v, 0] + spans[v, 1] == 0:
                continue
            value = d[(first + v) // patches, i, (first + v) % patches]
            word = line_bits(row_key(keys[v]), i, threshold(value, scales[v]), lengths[v])
            b = 0
            while word:
                if word & ONE:
                    slot = slot_key(keys[v], b)
                    bit = ONE << np.uint32(b)
                    for side in range(2):
                        # unsigned, as every index here: no test for a negative one
                        begin, end = np.uint64(0), np.uint64(spans[v, 0])
                        if side == 1:
                            begin, end = np.uint64(d_in - spans[v, 1]), np.uint64(d_in)
                        active = lines[v]
                        if lengths[v] > 1:
                            end = _in_slot(active, words[v], begin, end, bit, chosen)
                            begin, active = np.uint64(0), chosen
                        cycle_levels(slot, device, active, begin, end, levels)
                        pulses += np.int64(end - begin)
                        if wear.size:
                            for c in range(begin, end):
                                wear[at, active[c], t] += 1
                        if (value > 0) == (side == 1):  # apart, so that no loop asks for the sign
                            _cross_row(
                                law, True, active, begin, end, levels, row, own, step_up,
                                cycle, additive, table,
                            )  # fmt: skip
                        else:
                            _cross_row(
                                law, False, active, begin, end, levels, row, own, step_down,
                                cycle, additive, table,
                            )  # fmt: skip
                word >>= ONE
                b += 1
        for j in range(d_in):
            tiles[at, j, t] = row[j]
        if coefficients[t] != 0:
            for j in range(d_in):
                refresh(tiles[at], coefficients, weight[at], j)
    return pulses
