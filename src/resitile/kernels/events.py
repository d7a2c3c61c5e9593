"""The pulsed update for few pulses: it follows what happens, and costs what happens.

Vectors are visited in order, and only the few lines that fire are crossed. Arguments are those of
`update.py`.
"""

import numpy as np
from numba import njit

from resitile.kernels import burst
from resitile.kernels.compiling import BARE_ENTRY
from resitile.kernels.law import DW_MIN
from resitile.kernels.lines import lines_of_slot, row_key, sample_columns
from resitile.kernels.memory import allocate, merged, release
from resitile.kernels.random import below, halves
from resitile.kernels.screening import screen_block, screen_one, trains
from resitile.kernels.update import ONE, slot_key

_BLOCK = 64  # vectors screened together for rows that fire
_LIST = 1024  # devices listed before their pulses are sent
_FEW = 256  # pulses of a slot that may wait for those of others
_MARKED = 1 << 18  # devices of a tile for which marks pay


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
def _clash(busy, order, count, lines, front, back):
    """Whether a device of an outer product waits for an earlier pulse already."""
    d_in, hit = np.uint64(lines.size), np.uint8(0)
    for m in range(count):
        row = np.uint64(order[m]) * d_in
        for c in range(np.uint64(front)):
            hit |= busy[row + np.uint64(lines[c])]
        for c in range(d_in - np.uint64(back), d_in):
            hit |= busy[row + np.uint64(lines[c])]
    return hit != 0


@njit(inline="always")
def _mark(busy, order, count, lines, front, back):
    """Mark the devices of an outer product."""
    d_in = np.uint64(lines.size)
    for m in range(count):
        row = np.uint64(order[m]) * d_in
        for c in range(np.uint64(front)):
            busy[row + np.uint64(lines[c])] = 1
        for c in range(d_in - np.uint64(back), d_in):
            busy[row + np.uint64(lines[c])] = 1


@njit(inline="always")
def _free(busy, devices, first, ups, downs):
    """Take the marks off listed devices; that of number `first` is the first."""
    size = np.uint64(devices.size)
    for e in range(np.uint64(ups)):
        busy[devices[e] - first] = 0
    for e in range(size - np.uint64(downs), size):
        busy[devices[e] - first] = 0


@njit(inline="always")
def _send_slot(
    law, spec, table, device_key, slot, tiles, t, coefficients, weight, wear, lists, busy, d, row0,
    fired, count, order, lines, front, back, ups, downs,
):  # fmt: skip
    """List what one slot of one vector brings, a pulse where lines cross; returns (ups, downs).

    So many pulses then wait, at most one a device, for others to be sent with; many are sent now.
    """
    devices, slots, d_in = lists[0], lists[1], lines.size
    first, new = np.uint64(row0 * d_in), count * (front + back)
    falling = _by_sign(d, fired, count, order)
    few = new <= _FEW and busy.size > 0
    if ups + downs:
        full = not few or ups + downs + new > devices.size
        if full or _clash(busy, order, count, lines, front, back):
            burst.fire(
                law, spec, table, device_key, tiles, t, coefficients, weight, lists, ups, downs
            )
            _free(busy, devices, first, ups, downs)
            ups, downs = np.int64(0), np.int64(0)
    for m in range(count):
        if ups + downs + front + back > devices.size:
            burst.fire(
                law, spec, table, device_key, tiles, t, coefficients, weight, lists, ups, downs
            )
            ups, downs = np.int64(0), np.int64(0)
        row = np.uint64(order[m]) * np.uint64(d_in)
        ups, downs = burst.append(
            devices, slots, slot, first + row, lines, front, back, m >= falling, ups, downs
        )
        if wear.size:
            at = row0 + np.int64(order[m])
            for c in range(front):
                wear[at, lines[c], t] += 1
            for c in range(d_in - back, d_in):
                wear[at, lines[c], t] += 1
    if few:
        _mark(busy, order, count, lines, front, back)
    else:
        burst.fire(law, spec, table, device_key, tiles, t, coefficients, weight, lists, ups, downs)
        ups, downs = np.int64(0), np.int64(0)
    return ups, downs


@njit(**BARE_ENTRY, error_model="numpy")  # x / 0 in lanes that are not used
def pulse_events(
    law, spec, table, device_key, updates, step, tiles, t, coefficients, weight, wear,
    x, starts, offset, turned, d, row0, x_max, d_max, lr, bits, manage, manage_length,
    low, high,
):  # fmt: skip
    """Send a mini-batch as pulses, following the events; returns the number of pulses."""
    d_in, rows, images, patches = offset.size, high - low, d.shape[0], d.shape[2]
    key, size = below(updates, step), min(_BLOCK, patches)
    tiles, weight = merged(tiles), merged(weight)
    lines = allocate(d_in, np.uint32)  # columns that fire
    words = allocate(d_in, np.uint32)  # and in which slots
    some_lines = allocate(d_in, np.uint32)  # those of one slot
    flags, found = allocate((d_in + 7) // 8, np.uint64), allocate(d_in, np.uint32)
    flags[:] = 0
    # What belongs to each vector of a block.
    keys, length = allocate(size, np.uint64), allocate(size, np.int64)
    key_low, key_high = allocate(size, np.uint32), allocate(size, np.uint32)
    row_scale, column_scale = allocate(size, np.float32), allocate(size, np.float64)
    eights = allocate((max(size, rows if patches == 1 else 0) + 7) // 8, np.uint64)
    # Which rows fire for each of them, and in which slots: short lists, mostly empty.
    count, order = allocate(size, np.uint32), allocate(max(size, rows), np.uint32)
    fired, slots = allocate((size, rows), np.uint32), allocate((size, rows), np.uint32)
    some_rows = allocate(rows, np.uint32)  # those of one slot
    busy = allocate(rows * d_in if rows * d_in <= _MARKED else 0, np.uint8)
    busy[:] = 0
    lists = burst.lists(law, max(d_in, _LIST))
    pulses, ups, downs = np.int64(0), np.int64(0), np.int64(0)  # a literal is a type of its own
    for n in range(images):
        for p0 in range(0, patches, _BLOCK):
            size = min(_BLOCK, patches - p0)
            longest = trains(
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
                count[0] = screen_one(
                    merged(d[n])[low:high], low, keys[0], row_scale[0], length[0], eights,
                    fired[0], slots[0],
                )  # fmt: skip
            else:
                screen_block(
                    law, d[n], p0, p0 + size, low, high, np.int64(longest), keys, key_low, key_high,
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
                    pulses += on * (up + down)
                    ups, downs = _send_slot(
                        law, spec, table, device_key, slot_key(keys[r], b), tiles, t, coefficients,
                        weight, wear, lists, busy, d[n, low:high, p0 + r], row0 + low, now,
                        on, order, crossed, up, down, ups, downs,
                    )  # fmt: skip
    burst.fire(law, spec, table, device_key, tiles, t, coefficients, weight, lists, ups, downs)
    release((lines, words, some_lines, flags, found, busy, some_rows, fired, slots, count, order))
    release((keys, length, key_low, key_high, row_scale, column_scale, eights))
    release(lists)
    return pulses
