"""The pulsed update for few pulses: it follows what happens, and costs what happens.

Vectors are visited in order, and only the few lines that fire are crossed. Arguments are those of
`update.py`.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels import burst
from resitile.kernels.law import DW_MIN
from resitile.kernels.lines import (
    MAX_BITS,
    line_bits,
    lines_of_slot,
    list_hits,
    row_key,
    sample_columns,
    threshold,
    train,
)
from resitile.kernels.random import below, halves, line_draw
from resitile.kernels.update import ONE, slot_key

_BLOCK = 64  # vectors screened together for rows that fire
_LIST = 1024  # devices listed before their pulses are sent


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


@njit(nogil=True, error_model="numpy")  # not inlined: small functions compile faster
def _screen_one(d, low, key, scale, length, eights, fired, slots):
    """Rows of `d` that fire for one vector, into `fired`, and in which slots; their number.

    `slots` is left alone where the train has one slot.
    """
    if length == 1:  # the common case with few states; this loop vectorises
        hit = eights.view(np.uint8)
        first, second = halves(row_key(key))
        for i in range(d.size):
            limit = threshold(d[i], scale)
            hit[i] = line_draw(first, second, (low + i) * MAX_BITS) < limit
        return list_hits(eights, fired)
    count = 0
    for i in range(d.size):
        word = line_bits(row_key(key), low + i, threshold(d[i], scale), length)
        if word:
            fired[count], slots[count] = i, word
            count += 1
    return count


@njit(cache=True, nogil=True)  # not inlined: the compiler then sees that it can vectorise
def _screen_block(
    law, d, begin, end, low, high, longest, keys, key_low, key_high, scales, lengths, eights, found,
    fired, slots, count,
):  # fmt: skip
    """Rows low to high of `d` (rows, vectors) that fire for vectors begin to end, into lists."""
    hit = eights.view(np.uint8)
    eights[:] = 0
    for i in range(high - low):
        line = low + i
        row = d[line, begin:end]
        if longest == 1:  # as above
            for r in range(row.size):
                limit = threshold(row[r], scales[r])
                hit[r] = line_draw(key_low[r], key_high[r], line * MAX_BITS) < limit
            for k in range(list_hits(eights, found)):
                r = found[k]
                fired[r, count[r]] = i
                count[r] += ONE
            continue
        for r in range(row.size):
            word = line_bits(row_key(keys[r]), line, threshold(row[r], scales[r]), lengths[r])
            if word:
                fired[r, count[r]], slots[r, count[r]] = i, word
                count[r] += ONE


@njit(inline="always")
def _by_sign(d, fired, count, order):
    """Sort rows by the sign of their d: first those above 0, their number is returned."""
    front, back = np.uint64(0), np.uint64(0)
    for m in range(count):
        order[front] = fired[m]  # both ends are written, one of them counts
        order[np.uint64(count - 1) - back] = fired[m]
        front += np.uint64(d[fired[m]] > 0)
        back += np.uint64(not d[fired[m]] > 0)
    return np.int64(front)


@njit(inline="always")
def _rows_of_slot(b, fired, slots, count, picked):
    """The rows that fire in slot b, into `picked`; how many there are."""
    found = np.uint64(0)
    for m in range(count):
        picked[found] = fired[m]  # written anyhow, counted where the slot is theirs
        found += np.uint64((slots[m] >> np.uint32(b)) & ONE)
    return np.int64(found)


@njit(inline="always")
def _fire_slot(
    law, spec, table, device_key, slot, tiles, t, coefficients, weight, wear, lists, d, row0, fired,
    count, order, lines, front, back,
):  # fmt: skip
    """Send what one slot of one vector brings, a pulse where lines cross; returns the pulses."""
    d_in = lines.size
    falling = _by_sign(d, fired, count, order)
    ups, downs = 0, 0
    for m in range(count):
        if ups + downs + d_in > lists[0].size:
            burst.fire(
                law, spec, table, device_key, slot, False, tiles, t, coefficients, weight, lists,
                ups, downs,
            )  # fmt: skip
            ups, downs = 0, 0
        at = row0 + np.int64(order[m])
        ups, downs = burst.append(
            lists[0], np.uint64(at * d_in), lines, front, back, m >= falling, ups, downs
        )
        if wear.size:
            for c in range(front):
                wear[at, lines[c], t] += 1
            for c in range(d_in - back, d_in):
                wear[at, lines[c], t] += 1
    burst.fire(
        law, spec, table, device_key, slot, False, tiles, t, coefficients, weight, lists, ups, downs
    )
    return count * (front + back)


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
    t = np.uint64(t)  # unsigned indices: no test for negative ones
    lines = np.empty(d_in, dtype=np.uint32)
    words = np.empty(d_in, dtype=np.uint32)
    flags = np.zeros((d_in + 7) // 8, dtype=np.uint64)
    found = np.empty(d_in, dtype=np.uint32)
    # Which rows fire for each vector of a block, and in which slots: short lists, mostly empty.
    block = min(_BLOCK, patches)
    fired = np.empty((block, rows), dtype=np.uint32)
    slots = np.empty((block, rows), dtype=np.uint32)
    count = np.zeros(block, dtype=np.uint32)
    order = np.empty(max(block, rows), dtype=np.uint32)
    some_rows = np.empty(rows, dtype=np.uint32)  # those of one slot
    some_lines = np.empty(d_in, dtype=np.uint32)
    eights = np.zeros((max(block, rows if patches == 1 else 0) + 7) // 8, dtype=np.uint64)
    keys = np.empty(block, dtype=np.uint64)
    key_low = np.empty(block, dtype=np.uint32)
    key_high = np.empty(block, dtype=np.uint32)
    row_scale = np.empty(block, dtype=np.float32)
    column_scale = np.empty(block, dtype=np.float64)
    length = np.empty(block, dtype=np.int64)
    lists = burst.scratch(law, max(d_in, _LIST))
    flat = tiles.reshape(tiles.shape[0] * d_in, tiles.shape[2])
    flat_weight = weight.reshape(-1)
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
                _screen_block(
                    law, d[n], p0, p0 + size, low, high, longest, keys, key_low, key_high,
                    row_scale, length, eights, order, fired, slots, count,
                )  # fmt: skip
            for r in range(size):
                if count[r] == 0:
                    continue
                front, back = sample_columns(
                    keys[r], x, n, starts[p0 + r], offset, turned, x_max[n, p0 + r],
                    column_scale[r], length[r], lines, words, flags, found,
                )  # fmt: skip
                if front + back == 0:
                    continue
                for b in range(length[r]):  # what fires in one slot is an outer product
                    now, on, up, down = fired[r], np.int64(count[r]), front, back
                    crossed = lines
                    if length[r] > 1:
                        now, crossed = some_rows, some_lines
                        on = _rows_of_slot(b, fired[r], slots[r], count[r], now)
                        up, down = lines_of_slot(b, lines, words, front, back, crossed)
                    if on == 0 or up + down == 0:
                        continue
                    pulses += _fire_slot(
                        law, spec, table, device_key, slot_key(keys[r], b), flat, t, coefficients,
                        flat_weight, wear, lists, d[n, low:high, p0 + r], row0 + low, now, on,
                        order, crossed, up, down,
                    )  # fmt: skip
    return pulses
