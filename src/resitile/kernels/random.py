"""Counter-based random numbers: a number is a hash of where and when it is used.

Nothing is drawn in sequence, so the same update gives the same pulses on any number of threads,
after any resume and in whatever order the crosspoints are visited. The hash is the finaliser of
SplitMix64 over a Weyl sequence (Steele, Lea, Flood 2014), in 32 bits for the lines, of which there
are most; normals are read from a table of 4,096 equally likely levels, which is exact in every bit
on every machine, stays in the fastest cache and differs from the normal distribution function by
at most 1/8192 (largest level 3.7 sigma).
"""

import functools
from statistics import NormalDist

import numpy as np
from numba import njit

from resitile.kernels.words import hash_word

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_S32 = np.uint64(32)
_BITS = 12  # of an index into the table of normals
_TOP, _LOW = np.uint64(64 - _BITS), np.uint64(2**_BITS - 1)

# What a stream of numbers is for; part of its key, so that no two uses share numbers.
ROWS, COLUMNS, NOISE = np.uint64(0x1D), np.uint64(0x2E), np.uint64(0x3F)


@functools.cache
def normal_table() -> np.ndarray:
    """4,096 float32 levels at the quantiles of N(0, 1), of mean 0 and variance 1."""
    inverse, levels = NormalDist().inv_cdf, 2**_BITS
    half = np.array([inverse((k + 0.5) / levels) for k in range(levels // 2, levels)])
    half /= np.sqrt(np.mean(half**2))
    return np.concatenate([-half[::-1], half]).astype(np.float32)


@njit(inline="always")
def mix(x):
    """A well mixed 64-bit hash of a 64-bit number."""
    x ^= x >> _S30
    x *= _M1
    x ^= x >> _S27
    x *= _M2
    return x ^ (x >> _S31)


@njit(inline="always")
def below(key, counter):
    """The hash number `counter` of the stream `key`."""
    return mix(key + np.uint64(counter) * GOLDEN)


@njit(inline="always")
def update_stream(seed, kind, tile):
    """The stream of the updates of a tile: `kind` tells gradient pulses (0) from transfers (1)."""
    key = mix(np.uint64(seed) + GOLDEN)
    return below(key, np.uint64(tile) * np.uint64(2) + np.uint64(kind) + np.uint64(1))


@njit(inline="always")
def line_draw(low, high, counter):
    """A number uniform on [0, 2**32] as float32: draw `counter` of the stream (low, high)."""
    return np.float32(hash_word(low, high, np.uint32(counter)))


@njit(inline="always")
def halves(key):
    """A 64-bit key as the two words that `line_draw` takes."""
    return np.uint32(key & np.uint64(0xFFFFFFFF)), np.uint32(key >> _S32)


@njit(inline="always")
def cycle_noise(table, slot_key, crosspoint):
    """The normal deviate of one pulse: two rounds of mixing of (slot, crosspoint)."""
    return table[noise_level(slot_key, np.uint64(crosspoint))]


@njit(inline="always")
def noise_level(slot_key, crosspoint):
    """Where `cycle_noise` of a crosspoint stands in the table."""
    x = (crosspoint * GOLDEN) ^ slot_key
    x ^= x >> _S32
    x *= _M1
    x ^= x >> _S31
    x *= _M2
    return x >> _TOP  # unsigned, as every index here: no test for a negative one


@njit(inline="always")
def cycle_levels(slot_key, first, lines, begin, end, levels):
    """Where `cycle_noise` of the crosspoints first + lines[c] stands in the table.

    Apart from the look-up, so that the hashes are computed several at a time.
    """
    for c in range(begin, end):
        levels[c] = noise_level(slot_key, first + np.uint64(lines[c]))


@njit(inline="always")
def normal(table, h, lane):
    """The normal deviate in the 12 bits number `lane` (0 to 4) of a hash."""
    return table[(h >> np.uint64(_BITS * lane)) & _LOW]
