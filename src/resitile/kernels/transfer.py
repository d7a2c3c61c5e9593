"""Pulses that write what is known already: some columns of a tile, or a whole matrix row by row.

And the read that mostly comes before. Arguments are those of `update.py`; here the other side of
the outer product is one-hot.
"""

import numpy as np
from numba import njit

from resitile.kernels import burst
from resitile.kernels.compiling import BARE, BARE_ENTRY, ENTRY
from resitile.kernels.crosspoint import crosspoint, pulse
from resitile.kernels.law import ADDITIVE, CYCLE, DW_MIN
from resitile.kernels.lines import MAX_BITS, line_bits, list_hits, row_key, threshold, train
from resitile.kernels.memory import allocate, merged, release, seen_as
from resitile.kernels.random import COLUMNS, below, cycle_noise, halves, line_draw
from resitile.kernels.update import ONE, refresh, slot_key
from resitile.kernels.words import larger_magnitude, trailing_zeros

_BLOCK = 1 << 13  # crosspoints
_LIST = 1024  # devices listed before their pulses are sent


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


@njit(**ENTRY)
def inside(sources, columns, d_in):
    """Whether all columns exist: what follows would read and write elsewhere."""
    for column in columns:  # noqa: SIM110 (a generator does not compile)
        if not 0 <= column < d_in:
            return False
    return True


@njit(**BARE_ENTRY)
def read_columns(sources, tiles, first, last, columns, out):
    """out[k] = the sum of tiles first to last - 1 in column columns[k]; `sources`: see `law.py`."""
    for i in range(tiles.shape[0]):
        row = tiles[i]
        for k in range(columns.size):
            total = np.float32(0)
            for n in range(first, last):
                total += row[columns[k], n]
            out[k, i] = total


@njit(inline="always")
def _largest(change, scratch):
    """max_i |change[i]|; `scratch` is (1,) float32."""
    most, bits = np.int32(0), seen_as(change, np.int32)
    for i in range(bits.size):
        most = larger_magnitude(most, bits[i])
    seen_as(scratch, np.int32)[0] = most
    return scratch[0]


@njit(**BARE)  # not inlined, as what follows: it compiles faster
def _limits(change, scale, k, limits):
    """Column k of `limits`: `threshold` of each change, below 0 where the change is."""
    for i in range(np.uint64(change.size)):
        limit = threshold(change[i], scale)
        limits[i, k] = limit if change[i] > 0 else -limit


@njit(**BARE)  # a function of its own: the compiler then sees it can vectorise
def _hits(law, low, high, limits, b, now, flags):
    """Bytes of 1 in `flags` where a device of the block gets a pulse in slot b."""
    for i in range(limits.shape[0]):
        row, hit = limits[i], flags[i]
        for k in range(hit.size):
            fires = line_draw(low[k], high[k], i * MAX_BITS + b) < abs(row[k])
            hit[k] = fires & now[k]


@njit(**BARE)
def _list_devices(found, limits, columns, d_in, now, devices, slots):
    """List the devices of `found`, numbers in the block, see `burst.append`: (ups, downs).

    `now` are the keys of the slot, one for every column of the block.
    """
    inner, flat = np.uint64(limits.shape[1] - 1), merged(limits)
    shift = trailing_zeros(inner + np.uint64(1))  # the width is a power of 2
    front, back = np.uint64(0), np.uint64(0)
    last = np.uint64(devices.size - 1)
    for m in range(np.uint64(found.size)):
        place = np.uint64(found[m])
        row, k = place >> shift, place & inner
        device = row * np.uint64(d_in) + np.uint64(columns[k])
        devices[front], slots[front] = device, now[k]  # both ends are written, one of them counts
        devices[last - back], slots[last - back] = device, now[k]
        rises = flat[place] > 0
        front += np.uint64(rises)
        back += np.uint64(not rises)
    return np.int64(front), np.int64(back)


@njit(**BARE)
def _prepare(
    updates, step, changes, lr, dw_min, bits, manage, manage_length, keys, low, high, open_slots,
    limits, scratch,
):  # fmt: skip
    """Keys, slots in which the column lines fire, and limits of a block; its longest train."""
    longest = 0
    for k in range(changes.shape[0]):
        keys[k] = below(below(updates, step + k), 1)
        low[k], high[k] = halves(row_key(keys[k]))
        length, row_scale, column_scale = train(
            lr, 1.0, _largest(changes[k], scratch), dw_min, bits, manage, manage_length
        )
        # The column line draws as line 0 of its side: it is the only one that can fire.
        limit = threshold(np.float32(1), column_scale)
        open_slots[k] = line_bits(below(keys[k], 2), 0, limit, length)
        if open_slots[k]:
            _limits(changes[k], row_scale, np.uint64(k), limits)
            longest = max(longest, length)
    return longest


@njit(**BARE)
def _pulse_column(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear, column,
    change, lr, bits, manage, manage_length,
):  # fmt: skip
    """One column, without the lists that several need."""
    d_max = np.float32(0)
    for i in range(change.size):
        d_max = max(d_max, abs(change[i]))
    length, row_scale, column_scale = train(
        lr, 1.0, d_max, spec[DW_MIN], bits, manage, manage_length
    )
    key = below(below(updates, step), 1)
    # The column line draws as line 0 of its side: it is the only one that can fire.
    limit = threshold(np.float32(1), column_scale)
    open_slots = line_bits(below(key, 2), 0, limit, length)
    pulses = 0
    if open_slots == 0:
        return pulses
    slot0 = slot_key(key, 0)
    for i in range(change.size):
        limit = threshold(change[i], row_scale)
        word = open_slots & line_bits(row_key(key), i, limit, length)
        if word == 0:
            continue
        device = i * tiles.shape[1] + column
        own, up_step, down_step = crosspoint(law, spec, device_key, np.uint64(device), table)
        tiles[i, column, t], fired_here = _send(
            law, tiles[i, column, t], change[i] > 0, own, up_step, down_step, spec[CYCLE],
            spec[ADDITIVE] > 0, table, key, slot0, device, word,
        )  # fmt: skip
        pulses += fired_here
        if wear.size:
            wear[i, column, t] += fired_here
        if coefficients[t] != 0:
            refresh(tiles[i], coefficients, weight[i], column)
    return pulses


@njit(**BARE_ENTRY, error_model="numpy")
def pulse_columns(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
    columns, changes, lr, bits, manage, manage_length,
):  # fmt: skip
    """Add about lr * changes[k] to column columns[k], one after the other, by pulses: transfers.

    Each is an update of its own: number `step`, step + 1, ... Returns the pulses fired.

    A block of columns is worked on together, row by row, for the devices of one column lie far
    apart in memory. No device is in two of them, so their order does not matter.
    """
    if columns.size == 1:
        return _pulse_column(
            law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
            columns[0], changes[0], lr, bits, manage, manage_length,
        )  # fmt: skip
    d_out, d_in, _ = tiles.shape
    flat, flat_weight = merged(tiles), merged(weight)
    width = 8
    while width < columns.size and 2 * width * d_out <= _BLOCK:
        width *= 2
    keys, slot_keys = allocate(width, np.uint64), allocate(width, np.uint64)
    low, high = allocate(width, np.uint32), allocate(width, np.uint32)
    open_slots, now = allocate(width, np.uint32), allocate(width, np.uint8)
    limits, flags = allocate((d_out, width), np.float32), allocate((d_out, width), np.uint8)
    eights, found = seen_as(merged(flags), np.uint64), allocate(d_out * width, np.uint32)
    scratch, lists = allocate(1, np.float32), burst.lists(law, _LIST)
    limits[:] = 0
    pulses, begin = 0, 0
    while begin < columns.size:
        size = 1  # until a column comes that may be in the block already
        while size < min(width, columns.size - begin) and (
            columns[begin + size] > columns[begin + size - 1]
        ):
            size += 1
        block = columns[begin : begin + size]
        longest = _prepare(
            updates, step + begin, changes[begin : begin + size], lr, spec[DW_MIN], bits, manage,
            manage_length, keys, low, high, open_slots, limits, scratch,
        )  # fmt: skip
        flags[:, size:] = 0
        for b in range(longest):
            for k in range(size):
                now[k] = (open_slots[k] >> np.uint32(b)) & ONE
                slot_keys[k] = slot_key(keys[k], b)
            _hits(law, low, high, limits, b, now, flags[:, :size])
            count = list_hits(eights, found)
            for first in range(0, count, _LIST):
                some = found[first : min(first + _LIST, count)]
                ups, downs = _list_devices(some, limits, block, d_in, slot_keys, lists[0], lists[1])
                burst.fire(
                    law, spec, table, device_key, flat, t, coefficients, flat_weight, lists, ups,
                    downs,
                )  # fmt: skip
                if wear.size:
                    for place in some:
                        wear[place // width, block[place % width], t] += 1
            pulses += count
        begin += size
    release((keys, slot_keys, low, high, open_slots, now, limits, flags, found, scratch))
    release(lists)
    return pulses


@njit(**ENTRY)
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
            own, up_step, down_step = crosspoint(law, spec, device_key, np.uint64(device), table)
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
