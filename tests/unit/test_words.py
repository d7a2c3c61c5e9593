"""32-bit arithmetic of the kernels against plain Python."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from resitile.kernels.lines import list_hits
from resitile.kernels.words import hash_word, larger_magnitude, trailing_zeros

WORDS = st.integers(0, 2**32 - 1)


@njit
def hashed(low, high, counter):
    return hash_word(np.uint32(low), np.uint32(high), np.uint32(counter))


@njit
def larger(most, value):
    return larger_magnitude(most.view(np.int32)[0], value.view(np.int32)[0])


@njit
def zeros(bits):
    return trailing_zeros(bits)


@njit
def listed(flags, out):
    return list_hits(flags, out)


@settings(deadline=None)  # the first call compiles
@given(WORDS, WORDS, WORDS)
def test_the_hash_wraps_at_32_bits(low, high, counter):
    x = (counter * 0x9E3779B9 + low) % 2**32
    x = ((x ^ x >> 16) * 0x21F0AAAD) % 2**32
    x = ((x ^ x >> 15 ^ high) * 0xD35A2D97) % 2**32
    assert hashed(low, high, counter) == x ^ x >> 15


@settings(deadline=None)
@given(st.floats(0, width=32), st.floats(width=32))
def test_the_larger_magnitude_is_that_of_numpy(most, value):
    pair = np.array([most], dtype=np.float32), np.array([value], dtype=np.float32)
    found = np.array([larger(*pair)], dtype=np.int32).view(np.float32)
    np.testing.assert_array_equal(found, np.maximum(pair[0], np.abs(pair[1])))  # NaN is largest


@settings(deadline=None)
@given(st.integers(0, 63), st.integers(0, 2**64 - 1))
def test_trailing_zeros(place, above):
    assert zeros(np.uint64(((above | 1) << place) % 2**64)) == place


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_hits_are_listed_in_order(hits):
    flags = np.zeros((len(hits) + 7) // 8, dtype=np.uint64)
    flags.view(np.uint8)[: len(hits)] = hits
    out = np.empty(len(hits), dtype=np.uint32)
    count = listed(flags, out)
    assert out[:count].tolist() == np.flatnonzero(hits).tolist()
