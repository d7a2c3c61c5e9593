"""The rank-one pulsed update of a mini-batch, vector after vector, on one tile.

Two orders of the same work. `pulse_events` visits vectors and crosses the few lines that fire; it
costs what happens. `pulse_rows` visits rows and keeps each row's devices at hand; it pays when a
device meets several pulses. Both draw the same numbers for the same slots, and a device sees its
pulses in the same order, so that the results are equal to the bit.

Arguments that all share:
    law, spec, table: the device law, its numbers (see `law.py`), the table of normals.
    device_key, key: streams of the devices and of this update.
    tiles: (d_out, d_in, tiles) float32, of which tile `t` is pulsed; what one weight is made
        of lies together, so that refreshing it touches one place in memory.
    coefficients: (tiles,) float64, so that weight = sum_n coefficients[n] * tiles[:, :, n].
    weight: (d_out, d_in) float32, the composite; kept in step where a device moves.
    x: (n, pixels) float32; column j of vector (n, p) is x[n, starts[p] + offset[j]].
    turned: (d_in,) uint8; not 0 where a column takes its x with the other sign (choppers).
    d: (n, rows, p) float32; its row i is row `row0 + i` of the tile.
    x_max, d_max: (n, p) float32, largest magnitudes of each vector.
    lr: step; bits: longest train; manage, manage_length: update and bit-length management.
    low, high: the rows of d that this call works on (calls on other rows may run beside it).
"""

import numpy as np
from numba import njit

from resitile.kernels.crosspoint import crosspoint, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, DW_MIN, as_parameters
from resitile.kernels.lines import (
    MAX_BITS,
    line_bits,
    row_key,
    sample_columns,
    threshold,
    train,
)
from resitile.kernels.random import NOISE, below, cycle_noise, halves, line_draw, mix

_BLOCK = 64  # patches screened together for rows that fire
_ONE = np.uint32(1)


@njit(inline="always")
def refresh(tiles, coefficients, weight, j):
    """Recompute column j of one row: `tiles` is (d_in, tiles), `weight` (d_in,)."""
    total = 0.0
    for n in range(coefficients.size):
        total += coefficients[n] * tiles[j, n]
    weight[j] = total


@njit(inline="always")
def slot_key(vector_key, b):
    return mix((vector_key ^ NOISE) + np.uint64(b))


@njit(inline="always")
def send(
    law, value, up, own, up_step, down_step, cycle, additive, table, vector_key, slot0, device, word
):
    """One vector on one device: a pulse in each slot of `word`; returns (weight, pulses)."""
    pulses, b = 0, 0
    while word:
        if word & _ONE:
            slot = slot0 if b == 0 else slot_key(vector_key, b)
            xi = cycle_noise(table, slot, device)
            value = pulse(law, value, up, own, up_step, down_step, cycle, additive, xi)
            pulses += 1
        word >>= _ONE
        b += 1
    return value, pulses


@njit(cache=True, nogil=True)
def pulse_events(
    law, spec, table, device_key, key, tiles, t, coefficients, weight,
    x, starts, offset, turned, d, row0, x_max, d_max, lr, bits, manage, manage_length,
    low, high,
):  # fmt: skip
    """Send a mini-batch as pulses, following the events; returns the number of pulses."""
    images, patches = d.shape[0], d.shape[2]
    d_in = offset.size
    rows = high - low
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    t = np.uint64(t)  # unsigned indices: no test for negative ones
    lines = np.empty(d_in, dtype=np.uint32)
    words = np.empty(d_in, dtype=np.uint32)
    flags = np.zeros((d_in + 7) // 8, dtype=np.uint64)
    # Which rows fire for each vector of a block, and in which slots: short lists, mostly empty.
    fired = np.empty((_BLOCK, rows), dtype=np.uint32)
    slots = np.empty((_BLOCK, rows), dtype=np.uint32)
    count = np.zeros(_BLOCK, dtype=np.uint32)
    eights = np.zeros(_BLOCK // 8, dtype=np.uint64)
    hit = eights.view(np.uint8)
    keys = np.empty(_BLOCK, dtype=np.uint64)
    key_low = np.empty(_BLOCK, dtype=np.uint32)
    key_high = np.empty(_BLOCK, dtype=np.uint32)
    row_scale = np.empty(_BLOCK, dtype=np.float32)
    column_scale = np.empty(_BLOCK, dtype=np.float64)
    length = np.empty(_BLOCK, dtype=np.int64)
    scratch = np.empty(1, dtype=np.float32)
    pulses = 0
    for n in range(images):
        for p0 in range(0, patches, _BLOCK):
            size = min(_BLOCK, patches - p0)
            longest = 0
            for r in range(size):
                p = p0 + r
                length[r], a, b = train(
                    lr, x_max[n, p], d_max[n, p], spec[DW_MIN], bits, manage, manage_length
                )
                row_scale[r], column_scale[r] = a, b
                longest = max(longest, length[r])
                keys[r] = below(key, n * patches + p + 1)
                key_low[r], key_high[r] = halves(row_key(keys[r]))
                count[r] = 0
            if longest == 0:
                continue
            eights[:] = 0
            for i in range(rows):
                row, line = d[n, low + i, p0 : p0 + size], (low + i) * MAX_BITS
                if longest == 1:  # the common case with few states; this loop vectorises
                    for r in range(size):
                        limit = threshold(row[r], row_scale[r])
                        hit[r] = line_draw(key_low[r], key_high[r], line) < limit
                for eight in range(eights.size):
                    if longest == 1 and eights[eight] == 0:
                        continue
                    for r in range(8 * eight, min(8 * eight + 8, size)):
                        word = np.uint32(hit[r])
                        if longest > 1:
                            limit = threshold(row[r], row_scale[r])
                            word = line_bits(row_key(keys[r]), low + i, limit, length[r])
                        if word:
                            fired[r, count[r]], slots[r, count[r]] = i, word
                            count[r] += _ONE
            for r in range(size):
                if count[r] == 0:
                    continue
                front, back = sample_columns(
                    keys[r], x, n, starts[p0 + r], offset, turned, column_scale[r], length[r],
                    lines, words, flags,
                )  # fmt: skip
                if front + back == 0:
                    continue
                slot0 = slot_key(keys[r], 0)
                for m in range(count[r]):
                    line, open_slots = low + np.int64(fired[r, m]), slots[r, m]
                    at = row0 + line
                    row, composite = tiles[at], weight[at]
                    first = np.uint64(at * d_in)
                    touched = np.float32(0)
                    for c in range(front):  # loads that do not wait for one another
                        touched += row[lines[c], t] + composite[lines[c]]
                    for c in range(d_in - back, d_in):
                        touched += row[lines[c], t] + composite[lines[c]]
                    scratch[0] = touched
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
                            refresh(row, coefficients, composite, j)
    return pulses


@njit(cache=True, nogil=True)
def list_columns(
    key, first, x, starts, offset, turned, x_max, d_max, lr, dw_min, bits, manage,
    manage_length, lines, words, spans, scales, lengths,
):  # fmt: skip
    """The columns that fire for each of a chunk of vectors, for `pulse_rows`.

    Vector v of the chunk (number `first + v`) gets its columns in lines[v] and words[v], as
    `sample_columns` orders them, and spans[v] = (positive, negative) counts.
    """
    flags = np.zeros((offset.size + 7) // 8, dtype=np.uint64)
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
                below(key, first + v + 1), x, n, starts[p], offset, turned, column, length,
                lines[v], words[v], flags,
            )  # fmt: skip


@njit(inline="always")
def _cross_row(
    law, up, bit, lines, words, row, own, step_up, step_down, cycle, additive, table, slot, first
):
    """One slot on one row: pulse the devices of the columns whose word has `bit`."""
    pulses = 0
    for c in range(lines.size):
        if words[c] & bit:
            j = np.uint64(lines[c])
            p = as_parameters(law, own, j)
            xi = cycle_noise(table, slot, first + j)
            row[j] = pulse(law, row[j], up, p, step_up[j], step_down[j], cycle, additive, xi)
            pulses += 1
    return pulses


@njit(cache=True, nogil=True)
def pulse_rows(
    law, spec, table, device_key, key, first, tiles, t, coefficients, weight,
    lines, words, spans, scales, lengths, d, row0, low, high,
):  # fmt: skip
    """Send a chunk of vectors as pulses, row after row; returns the number of pulses."""
    patches, d_in = d.shape[2], lines.shape[1]
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    first_own, _, _ = crosspoint(law, spec, device_key, 0, table)
    own = np.empty((d_in, len(first_own)), dtype=np.float32)
    step_up = np.empty(d_in, dtype=np.float32)
    step_down = np.empty(d_in, dtype=np.float32)
    pulses = 0
    keys = np.empty(lengths.size, dtype=np.uint64)
    for v in range(lengths.size):
        keys[v] = below(key, first + v + 1)
    for i in range(low, high):
        at = row0 + i
        row = tiles[at, :, t]
        for j in range(d_in):
            p, step_up[j], step_down[j] = crosspoint(law, spec, device_key, at * d_in + j, table)
            for k in range(len(p)):
                own[j, k] = p[k]
        for v in range(lengths.size):
            if spans[v, 0] + spans[v, 1] == 0:
                continue
            value = d[(first + v) // patches, i, (first + v) % patches]
            word = line_bits(row_key(keys[v]), i, threshold(value, scales[v]), lengths[v])
            b = 0
            while word:
                if word & _ONE:
                    slot = slot_key(keys[v], b)
                    bit = _ONE << np.uint32(b)
                    for side in range(2):
                        begin, end = (0, spans[v, 0]) if side == 0 else (d_in - spans[v, 1], d_in)
                        up = (value > 0) == (side == 1)
                        pulses += _cross_row(
                            law, up, bit, lines[v, begin:end], words[v, begin:end], row,
                            own, step_up, step_down, cycle, additive, table, slot,
                            np.uint64(at * d_in),
                        )  # fmt: skip
                word >>= _ONE
                b += 1
        for j in range(d_in):
            refresh(tiles[at], coefficients, weight[at], j)
    return pulses


@njit(cache=True, nogil=True)
def compose(tiles, coefficients, weight):
    """weight = sum_n coefficients[n] * tiles[:, :, n], everywhere."""
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            refresh(tiles[i], coefficients, weight[i], j)
