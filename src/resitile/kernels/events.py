"""The pulsed update for few pulses: it follows what happens, and costs what happens.

Vectors are visited in order, and only the few lines that fire are crossed. Arguments are those of
`update.py`.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels.crosspoint import crosspoint
from resitile.kernels.law import ADDITIVE, CYCLE, DW_MIN
from resitile.kernels.lines import MAX_BITS, line_bits, row_key, sample_columns, threshold, train
from resitile.kernels.random import below, halves, line_draw
from resitile.kernels.update import ONE, refresh, send, slot_key

_BLOCK = 64  # vectors screened together for rows that fire


@njit(inline="always")
def _trains(lr, x_max, d_max, dw_min, bits, manage, manage_length, lengths, rows, columns):
    """`train` of each vector of a block, into the last three; returns the longest length."""
    rate, over = lr / dw_min, 0
    for r in range(x_max.size):
        over += rate * x_max[r] * d_max[r] > 1
    longest = 0
    if manage_length and over == 0:  # usual with few states: one slot; these loops vectorise
        for r in range(x_max.size):
            live = (x_max[r] > 0) & (d_max[r] > 0)
            row = math.sqrt(rate * x_max[r] / d_max[r])
            rows[r] = row if live else 0.0
            columns[r] = rate / row if live else 0.0
            lengths[r] = live
            longest |= live
        return longest
    for r in range(x_max.size):
        lengths[r], rows[r], columns[r] = train(
            lr, x_max[r], d_max[r], dw_min, bits, manage, manage_length
        )
        longest = max(longest, lengths[r])
    return longest


@njit(inline="always")
def _screen_one(d, low, key, scale, length, eights, fired, slots):
    """Rows that fire for one vector, side by side in `d`, and in which slots; their number."""
    hit, count = eights.view(np.uint8), 0
    first, second = halves(row_key(key))
    if length == 1:  # the common case with few states; this loop vectorises
        for i in range(d.size):
            limit = threshold(d[i], scale)
            hit[i] = line_draw(first, second, (low + i) * MAX_BITS) < limit
    for eight in range(eights.size):
        if length == 1 and eights[eight] == 0:
            continue
        for i in range(8 * eight, min(8 * eight + 8, d.size)):
            word = np.uint32(hit[i])
            if length > 1:
                word = line_bits(row_key(key), low + i, threshold(d[i], scale), length)
            if word:
                fired[count], slots[count] = i, word
                count += 1
    return count


@njit(inline="always")
def _screen_row(
    d, i, line, longest, keys, key_low, key_high, scales, lengths, eights, fired, slots, count
):
    """Add row `i` to the lists of those vectors of a block for which it fires."""
    hit = eights.view(np.uint8)
    if longest == 1:  # as above
        for r in range(d.size):
            limit = threshold(d[r], scales[r])
            hit[r] = line_draw(key_low[r], key_high[r], line * MAX_BITS) < limit
    for eight in range(eights.size):
        if longest == 1 and eights[eight] == 0:
            continue
        for r in range(8 * eight, min(8 * eight + 8, d.size)):
            word = np.uint32(hit[r])
            if longest > 1:
                word = line_bits(row_key(keys[r]), line, threshold(d[r], scales[r]), lengths[r])
            if word:
                fired[r, count[r]], slots[r, count[r]] = i, word
                count[r] += ONE


@njit(cache=True, nogil=True, error_model="numpy")  # x / 0 in lanes that are not used
def pulse_events(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
    x, starts, offset, turned, d, row0, x_max, d_max, lr, bits, manage, manage_length,
    low, high,
):  # fmt: skip
    """Send a mini-batch as pulses, following the events; returns the number of pulses."""
    images, patches = d.shape[0], d.shape[2]
    d_in = offset.size
    rows = high - low
    key = below(updates, step)
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    t = np.uint64(t)  # unsigned indices: no test for negative ones
    lines = np.empty(d_in, dtype=np.uint32)
    words = np.empty(d_in, dtype=np.uint32)
    flags = np.zeros((d_in + 7) // 8, dtype=np.uint64)
    # Which rows fire for each vector of a block, and in which slots: short lists, mostly empty.
    block = min(_BLOCK, patches)
    fired = np.empty((block, rows), dtype=np.uint32)
    slots = np.empty((block, rows), dtype=np.uint32)
    count = np.zeros(block, dtype=np.uint32)
    eights = np.zeros((max(block, rows if patches == 1 else 0) + 7) // 8, dtype=np.uint64)
    keys = np.empty(block, dtype=np.uint64)
    key_low = np.empty(block, dtype=np.uint32)
    key_high = np.empty(block, dtype=np.uint32)
    row_scale = np.empty(block, dtype=np.float32)
    column_scale = np.empty(block, dtype=np.float64)
    length = np.empty(block, dtype=np.int64)
    scratch = np.empty(1, dtype=np.float32)
    pulses = 0
    for n in range(images):
        for p0 in range(0, patches, _BLOCK):
            size = min(_BLOCK, patches - p0)
            longest = _trains(
                lr, x_max[n, p0 : p0 + size], d_max[n, p0 : p0 + size], spec[DW_MIN], bits,
                manage, manage_length, length, row_scale, column_scale,
            )  # fmt: skip
            if longest == 0:
                continue
            for r in range(size):
                keys[r] = below(key, n * patches + p0 + r + 1)
                key_low[r], key_high[r] = halves(row_key(keys[r]))
                count[r] = 0
            eights[:] = 0
            if patches == 1:
                count[0] = _screen_one(
                    d[n].reshape(-1)[low:high], low, keys[0], row_scale[0], length[0], eights,
                    fired[0], slots[0],
                )  # fmt: skip
            else:
                for i in range(rows):
                    _screen_row(
                        d[n, low + i, p0 : p0 + size], i, low + i, longest, keys, key_low,
                        key_high, row_scale, length, eights, fired, slots, count,
                    )  # fmt: skip
            for r in range(size):
                if count[r] == 0:
                    continue
                front, back = sample_columns(
                    keys[r], x, n, starts[p0 + r], offset, turned, x_max[n, p0 + r],
                    column_scale[r], length[r], lines, words, flags,
                )  # fmt: skip
                if front + back == 0:
                    continue
                slot0 = slot_key(keys[r], 0)
                touched = np.float32(0)
                for m in range(count[r]):  # fetch first: loads that do not wait for one another
                    at = row0 + low + np.int64(fired[r, m])
                    row, composite = tiles[at], weight[at]
                    for c in range(front):
                        touched += row[lines[c], t] + composite[lines[c]]
                    for c in range(d_in - back, d_in):
                        touched += row[lines[c], t] + composite[lines[c]]
                scratch[0] = touched
                for m in range(count[r]):
                    line, open_slots = low + np.int64(fired[r, m]), slots[r, m]
                    at = row0 + line
                    row, composite = tiles[at], weight[at]
                    first = np.uint64(at * d_in)
                    for side in range(2):
                        begin, end = (0, front) if side == 0 else (d_in - back, d_in)
                        up = (d[n, line, p0 + r] > 0) == (side == 1)
                        for c in range(begin, end):
                            word = open_slots & words[c]
                            if word == 0:
                                continue
                            j = np.uint64(lines[c])
                            own, up_step, down_step = crosspoint(
                                law, spec, device_key, first + j, table
                            )
                            row[j, t], fired_here = send(
                                law, row[j, t], up, own, up_step, down_step, cycle, additive,
                                table, keys[r], slot0, first + j, word,
                            )  # fmt: skip
                            pulses += fired_here
                            if wear.size:
                                wear[at, j, t] += fired_here
                            refresh(row, coefficients, composite, j)
    return pulses
