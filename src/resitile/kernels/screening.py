"""What an update with few pulses looks at before anything is pulsed: trains, and rows that fire.

Vectors are screened in blocks, row after row. Arguments are those of `update.py`.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels.compiling import BARE
from resitile.kernels.lines import MAX_BITS, line_bits, list_hits, row_key, threshold, train
from resitile.kernels.memory import seen_as
from resitile.kernels.random import halves, line_draw
from resitile.kernels.update import ONE


@njit(inline="always")
def trains(lr, x_max, d_max, dw_min, bits, manage, manage_length, lengths, rows, columns):
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


@njit(**BARE)  # not inlined: it compiles faster
def screen_one(d, low, key, scale, length, eights, fired, slots):
    """Rows of `d` that fire for one vector, into `fired`, and in which slots; their number.

    `slots` is left alone where the train has one slot.
    """
    if length == 1:  # the common case with few states; this loop vectorises
        hit = seen_as(eights, np.uint8)
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


@njit(**BARE)  # not inlined: the compiler sees that it can vectorise
def screen_block(
    law, d, begin, end, low, high, longest, keys, key_low, key_high, scales, lengths, eights, found,
    fired, slots, count,
):  # fmt: skip
    """Rows low to high of `d` (rows, vectors) that fire for vectors begin to end, into lists."""
    hit = seen_as(eights, np.uint8)
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
