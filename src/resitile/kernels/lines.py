"""The periphery of an update: how long a pulse train is and which lines fire in it.

Per input vector, as aihwkit's `StochasticCompressed` pulses with update management (UM) and
bit-length management (BLM): reference semantics are those of Gokmen and Vlasov 2016 and Gokmen
et al. 2017.
"""

import math

import numpy as np
from numba import njit

from resitile.kernels.compiling import BARE, BARE_ENTRY
from resitile.kernels.memory import allocate, merged, release, seen_as
from resitile.kernels.random import COLUMNS, ROWS, halves, line_draw
from resitile.kernels.update import ONE
from resitile.kernels.words import larger_magnitude, trailing_zeros

_TWO32 = np.float32(4294967296.0)
_SURE = np.float32(8589934592.0)  # above every 32-bit number: the line fires for certain
_RARE = np.float32(2**29)  # a line fires with a chance below 1/8
_INFINITY = np.int32(0x7F800000)
_FASTEST = 1e100  # steps per unit of x d: squared, and times squares of x and d, still finite
MAX_BITS = 32  # a line's train is one 32-bit word
_PICKED = 16  # vectors from which the strength of a mini-batch is estimated


@njit(inline="always")
def train(lr, x_max, d_max, dw_min, bits, manage, manage_length):
    """Length and scales of the pulse train of one vector: (length, row scale, column scale).

    Row i fires with probability min(1, row_scale * |d_i|) in each slot, column j with
    min(1, column_scale * |x_j|); their product times the length is lr |x_j d_i| / dw_min.
    """
    if x_max <= 0 or d_max <= 0 or lr <= 0:
        return 0, 0.0, 0.0
    rate = min(lr / dw_min, _FASTEST)
    k = rate * x_max * d_max
    length = bits
    if manage_length:
        # In this order: beyond 2**63 a whole number from ceil would be one below 0.
        length = 1 if k <= 1 else (bits if k >= bits else math.ceil(k))
    product = rate / length
    if not (manage or manage_length):
        row = math.sqrt(product)
        return length, row, row
    if k > bits:
        d_max *= bits / k
    row = math.sqrt(product * x_max / d_max)
    return length, row, product / row


@njit(inline="always")
def threshold(value, scale):
    """The number that a 32-bit draw must stay below for the line to fire."""
    t = np.float32(abs(value) * np.float32(scale)) * _TWO32
    return _SURE if t >= _TWO32 else t


@njit(inline="always")
def line_bits(key, line, t, length):
    """The word of slots in which a line of threshold `t` fires."""
    word = np.uint32(0)
    if t > 0:
        low, high = halves(key)
        for b in range(length):
            if line_draw(low, high, line * MAX_BITS + b) < t:
                word |= np.uint32(1) << np.uint32(b)
    return word


@njit(inline="always")
def row_key(vector_key):
    """The stream of the row lines of one vector."""
    return vector_key ^ ROWS


@njit(inline="always")
def list_hits(flags, out):
    """Write the numbers of the bytes of `flags` (uint64s) that are 1 to `out`; how many there are.

    Eight lines that do not fire, the usual case with few states, cost one test.
    """
    count = np.uint64(0)
    for eight in range(flags.size):
        word = flags[eight]
        while word:
            out[count] = np.uint64(8) * np.uint64(eight) + (trailing_zeros(word) >> np.uint64(3))
            count += np.uint64(1)
            word &= word - np.uint64(1)
    return np.int64(count)


@njit(inline="always")
def _columns_once(key, pixels, first, offset, turned, x_max, scale, lines, flags, found):
    """`sample_columns` for a train of one slot, without branches on what was drawn."""
    d_in, hits = offset.size, seen_as(flags, np.uint8)
    low, high = halves(key)
    most = threshold(x_max, scale)
    rare = most < _RARE
    if rare:  # draws that could fire on the largest x: no input is read for the others
        for j in range(d_in):
            hits[j] = line_draw(low, high, j * MAX_BITS) < most
    else:
        values = seen_as(found, np.float32)  # apart: loads from here and there, then arithmetic
        for j in range(d_in):
            values[j] = pixels[first + np.uint64(offset[j])]
        for j in range(d_in):
            hits[j] = line_draw(low, high, j * MAX_BITS) < threshold(values[j], scale)
    front, back = np.uint64(0), np.uint64(0)
    last = np.uint64(d_in - 1)
    for k in range(list_hits(flags, found)):
        j = found[k]
        value = pixels[first + np.uint64(offset[j])]
        fires = not rare or line_draw(low, high, j * MAX_BITS) < threshold(value, scale)
        positive = (value > 0) != (turned[j] != 0)
        lines[front] = j  # both ends are written, one of them counts
        lines[last - back] = j
        front += np.uint64(fires & positive)
        back += np.uint64(fires & (not positive))
    return np.int64(front), np.int64(back)


@njit(**BARE)
def sample_columns(
    vector_key, x, n, start, offset, turned, x_max, scale, length, lines, words, flags, found
):
    """Which columns fire for one vector, and when.

    Columns of positive x fill `lines`/`words` from the front, negative ones from the back (what
    a device does depends on the sign, and lists of one sign need no branch); where `turned` is
    not 0, the other way round. `words` is left alone where the train has one slot. `flags`, one
    uint64 for eight columns, and `found`, (d_in,) uint32, are scratch space.

    Returns:
        The numbers of positive and of negative columns that fire.
    """
    key = vector_key ^ COLUMNS
    pixels, first = x[n], np.uint64(start)  # unsigned: no test for a negative index
    if length == 1:
        return _columns_once(key, pixels, first, offset, turned, x_max, scale, lines, flags, found)
    d_in = offset.size
    front, back = 0, 0
    for j in range(d_in):
        value = pixels[first + np.uint64(offset[j])]
        word = line_bits(key, j, threshold(value, scale), length)
        if word == 0:
            continue
        if (value > 0) != (turned[j] != 0):
            lines[front], words[front] = j, word
            front += 1
        else:
            back += 1
            lines[d_in - back], words[d_in - back] = j, word
    return front, back


@njit(inline="always")
def lines_of_slot(b, lines, words, front, back, picked):
    """The columns that fire in slot b, as `lines` into `picked`: (at its front, at its back)."""
    left, right = np.uint64(0), np.uint64(0)
    for c in range(np.uint64(front)):
        picked[left] = lines[c]  # written anyhow, counted where the slot is its own
        left += np.uint64((words[c] >> np.uint32(b)) & ONE)
    last = np.uint64(lines.size - 1)
    for c in range(np.uint64(back)):
        picked[last - right] = lines[last - c]
        right += np.uint64((words[last - c] >> np.uint32(b)) & ONE)
    return np.int64(left), np.int64(right)


@njit(inline="always")
def _max_lines(bits, out):
    """max_i |d[n, i, p]| into `out` (n, p); `bits` is d seen as int32."""
    for n in range(bits.shape[0]):
        largest = out[n]
        largest[:] = 0
        for i in range(bits.shape[1]):
            row = bits[n, i]
            for p in range(row.size):
                largest[p] = larger_magnitude(largest[p], row[p])


@njit(fastmath={"reassoc"}, **BARE)  # an estimate: in whatever order is quick
def _product(x_max, d_max):
    total = 0.0
    for k in range(x_max.size):
        total += np.float64(x_max[k]) * np.float64(d_max[k])
    return total


@njit(inline="always")
def _summary(largest):
    """The sum of x_max * d_max; infinite if one of them is infinity or NaN."""
    bits, top = merged(merged(seen_as(largest, np.int32))), np.int32(0)
    for k in range(bits.size):
        top = larger_magnitude(top, bits[k])
    if top >= _INFINITY:
        return np.inf
    total = 0.0
    for n in range(largest.shape[1]):
        total += _product(largest[0, n], largest[1, n])
    return total


@njit(**BARE_ENTRY)
def measure_rows(sources, x, d, largest):
    """Measure a linear layer's vectors.

    Args:
        sources: see `law.py`.
        x: (n, d_in) float32.
        d: (n, rows, 1) float32.
        largest: (2, n, 1) float32, filled: largest |x|, largest |d| of each vector.

    Returns:
        The sum of their products; infinity if a number is not finite.
    """
    x_bits, d_bits, bits = seen_as(x, np.int32), seen_as(d, np.int32), seen_as(largest, np.int32)
    for n in range(x.shape[0]):
        m = np.int32(0)
        for j in range(x.shape[1]):
            m = larger_magnitude(m, x_bits[n, j])
        bits[0, n, 0] = m
        m = np.int32(0)
        for i in range(d.shape[1]):
            m = larger_magnitude(m, d_bits[n, i, 0])
        bits[1, n, 0] = m
    return _summary(largest)


@njit(inline="always")
def _widen(source, target, shifts):
    """target[q] = max_k source[q + shifts[k]] as far as both go; the first shift is 0."""
    for q in range(target.size):
        target[q] = source[q]
    for k in range(1, shifts.size):
        moved = source[shifts[k] :]  # an index q + shift would be tested for being negative
        for q in range(moved.size):
            target[q] = larger_magnitude(target[q], moved[q])


@njit(**BARE_ENTRY)
def measure_patches(sources, x, starts, channels, lead, last, run, stride, d, largest):
    """Measure a convolution's vectors.

    The largest |x| of overlapping patches is found without visiting a pixel once per channel, nor
    once per patch: first over channels, then along the last axis of the window, then over the rest.

    Args:
        sources: see `law.py`.
        x: (n, channels * pixels) float32.
        starts: pixel of each patch's first element, (p,); patches come in rows of `run`, the
            neighbours in a row being `stride` pixels apart.
        channels: see `x`.
        lead: pixel offsets of the window's leading axes.
        last: those of its last axis.
        run, stride: see `starts`.
        d: (n, rows, p) float32.
        largest: (2, n, p) float32, filled: largest |x|, largest |d| of each vector.

    Returns:
        The sum of their products; infinity if a number is not finite.
    """
    pixels = x.shape[1] // channels
    plane, wide = allocate(pixels, np.int32), allocate(pixels, np.int32)
    x_bits, bits = seen_as(x, np.int32), seen_as(largest, np.int32)
    for n in range(x.shape[0]):
        plane[:] = 0
        for c in range(channels):
            channel = x_bits[n, c * pixels : (c + 1) * pixels]
            for q in range(pixels):
                plane[q] = larger_magnitude(plane[q], channel[q])
        _widen(plane, wide, last)
        _widen(wide, plane, lead)
        for first in range(0, starts.size, run):
            row = bits[0, n, first : first + run]
            if stride == 1:  # side by side
                source = plane[starts[first] :]
                for r in range(run):
                    row[r] = source[r]
            else:
                for r in range(run):
                    row[r] = plane[starts[first] + r * stride]
    _max_lines(seen_as(d, np.int32), bits[1])
    release((plane, wide))
    return _summary(largest)


@njit(**BARE_ENTRY)
def mean_product(sources, x, starts, offset, d):
    """The mean of mean |x| times mean |d| over some of the vectors; arguments as above."""
    vectors, patches = d.shape[0] * d.shape[2], d.shape[2]
    picked = min(_PICKED, vectors)
    total = 0.0
    for k in range(picked):
        v = k * (vectors - 1) // max(picked - 1, 1)
        n, p = v // patches, v % patches
        x_sum, d_sum = 0.0, 0.0
        for j in range(offset.size):
            x_sum += abs(x[n, starts[p] + offset[j]])
        for i in range(d.shape[1]):
            d_sum += abs(d[n, i, p])
        total += x_sum / offset.size * (d_sum / d.shape[1])
    return total / picked
