"""Counter-based random numbers: a number is a hash of where and when it is used.

Nothing is drawn in sequence, so the same update gives the same pulses on any number of threads,
after any resume and in whatever order the crosspoints are visited. The hash is the finaliser of
SplitMix64 over a Weyl sequence (Steele, Lea, Flood 2014); normals are read from a table of 65,536
equally likely levels, which is exact in every bit on every machine (largest level 4.3 sigma).
"""

import functools
from statistics import NormalDist

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_S32, _S48 = np.uint64(32), np.uint64(48)
_LOW16 = np.uint64(0xFFFF)

# What a stream of numbers is for; part of its key, so that no two uses share numbers.
ROWS, COLUMNS, NOISE = np.uint64(0x1D), np.uint64(0x2E), np.uint64(0x3F)


@functools.cache
def normal_table() -> np.ndarray:
    """65,536 float32 levels with the quantiles of N(0, 1), of mean 0 and variance 1."""
    inverse = NormalDist().inv_cdf
    half = np.array([inverse((k + 0.5) / 65536) for k in range(32768, 65536)])
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
def update_key(seed, kind, tile, step):
    """The key of one update: `kind` tells gradient pulses (0) from transfers (1)."""
    key = mix(np.uint64(seed) + GOLDEN)
    key = below(key, np.uint64(tile) * np.uint64(2) + np.uint64(kind) + np.uint64(1))
    return below(key, np.uint64(step))


@njit(inline="always")
def top32(h):
    """The upper 32 bits as float32, uniform on [0, 2**32]."""
    return np.float32(np.uint32(h >> _S32))


@njit(inline="always")
def cycle_noise(table, slot_key, crosspoint):
    """The normal deviate of one pulse: two rounds of mixing of (slot, crosspoint)."""
    x = (np.uint64(crosspoint) * GOLDEN) ^ slot_key
    x ^= x >> _S32
    x *= _M1
    x ^= x >> _S31
    x *= _M2
    return table[np.int64(x >> _S48)]


@njit(inline="always")
def normal16(table, h, lane):
    """The normal deviate in the 16 bits number `lane` (0 to 3) of a hash."""
    return table[np.int64((h >> np.uint64(16 * lane)) & _LOW16)]
