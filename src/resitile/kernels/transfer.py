"""Pulses that write what is known already: some columns of a tile, or a whole matrix row by row.

And the read that mostly comes before. Arguments are those of `update.py`; here the other side of
the outer product is one-hot.
"""

import numpy as np
from numba import njit

from resitile.kernels.crosspoint import crosspoint, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, DW_MIN
from resitile.kernels.lines import line_bits, row_key, threshold, train
from resitile.kernels.random import COLUMNS, below, cycle_noise
from resitile.kernels.update import ONE, refresh, slot_key


@njit(inline="always")
def _send(
    law, value, up, own, up_step, down_step, cycle, additive, table, vector_key, slot0, device, word
):
    """One train on one device: a pulse in each slot of `word`; returns (weight, pulses)."""
    pulses, b = 0, 0
    while word:
        if word & ONE:
            slot = slot0 if b == 0 else slot_key(vector_key, b)
            xi = cycle_noise(table, slot, device)
            value = pulse(law, value, up, own, up_step, down_step, cycle, additive, xi)
            pulses += 1
        word >>= ONE
        b += 1
    return value, pulses


@njit(cache=True, nogil=True)
def inside(sources, columns, d_in):
    """Whether all columns exist: what follows would read and write elsewhere."""
    for column in columns:  # noqa: SIM110 (a generator does not compile)
        if not 0 <= column < d_in:
            return False
    return True


@njit(cache=True, nogil=True)
def read_columns(sources, tiles, first, last, columns, out):
    """out[k] = the sum of tiles first to last - 1 in column columns[k]; `sources`: see `law.py`."""
    for i in range(tiles.shape[0]):
        row = tiles[i]
        for k in range(columns.size):
            total = np.float32(0)
            for n in range(first, last):
                total += row[columns[k], n]
            out[k, i] = total


@njit(cache=True, nogil=True)
def pulse_columns(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
    columns, changes, lr, bits, manage, manage_length,
):  # fmt: skip
    """Add about lr * changes[k] to column columns[k], one after the other, by pulses: transfers.

    Each is an update of its own: number `step`, step + 1, ... Returns the pulses fired.
    """
    d_in = tiles.shape[1]
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    pulses = 0
    for k in range(columns.size):
        column, change = columns[k], changes[k]
        d_max = np.float32(0)
        for i in range(change.size):
            d_max = max(d_max, abs(change[i]))
        length, row_scale, column_scale = train(
            lr, 1.0, d_max, spec[DW_MIN], bits, manage, manage_length
        )
        if length == 0:
            continue
        vector_key = below(below(updates, step + k), 1)
        limit = threshold(np.float32(1), column_scale)
        # The column line draws as line 0 of its side: it is the only one that can fire.
        open_slots = line_bits(below(vector_key, 2), 0, limit, length)
        if open_slots == 0:
            continue
        slot0 = slot_key(vector_key, 0)
        for i in range(change.size):
            limit = threshold(change[i], row_scale)
            word = open_slots & line_bits(row_key(vector_key), i, limit, length)
            if word == 0:
                continue
            device = i * d_in + column
            own, up_step, down_step = crosspoint(law, spec, device_key, device, table)
            tiles[i, column, t], fired_here = _send(
                law, tiles[i, column, t], change[i] > 0, own, up_step, down_step, cycle, additive,
                table, vector_key, slot0, device, word,
            )  # fmt: skip
            pulses += fired_here
            if wear.size:
                wear[i, column, t] += fired_here
            if coefficients[t] != 0:
                refresh(tiles[i], coefficients, weight[i], column)
    return pulses


@njit(cache=True, nogil=True)
def pulse_matrix(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
    change, lr, bits, manage, manage_length,
):  # fmt: skip
    """Add about lr * `change` (d_out, d_in) by pulses, row after row; returns the pulses fired."""
    d_in = tiles.shape[1]
    cycle, additive = spec[CYCLE], spec[ADDITIVE] > 0
    key = below(updates, step)
    pulses = 0
    for i in range(change.shape[0]):
        x_max = np.float32(0)
        for j in range(d_in):
            x_max = max(x_max, abs(change[i, j]))
        length, row_scale, column_scale = train(
            lr, x_max, 1.0, spec[DW_MIN], bits, manage, manage_length
        )
        if length == 0:
            continue
        vector_key = below(key, i + 1)
        # The row line draws as line 0 of its side: it is the only one that can fire.
        open_slots = line_bits(row_key(vector_key), 0, threshold(np.float32(1), row_scale), length)
        slot0 = slot_key(vector_key, 0)
        for j in range(d_in):
            if change[i, j] == 0:
                continue
            limit = threshold(change[i, j], column_scale)
            word = open_slots & line_bits(vector_key ^ COLUMNS, j, limit, length)
            if word == 0:
                continue
            device = i * d_in + j
            own, up_step, down_step = crosspoint(law, spec, device_key, device, table)
            tiles[i, j, t], fired_here = _send(
                law, tiles[i, j, t], change[i, j] > 0, own, up_step, down_step, cycle, additive,
                table, vector_key, slot0, device, word,
            )  # fmt: skip
            pulses += fired_here
            if wear.size:
                wear[i, j, t] += fired_here
            if coefficients[t] != 0:
                refresh(tiles[i], coefficients, weight[i], j)
    return pulses
