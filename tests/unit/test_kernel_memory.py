"""What kernels allocate they give back, and arrays seen in another way are the same memory."""

import numpy as np
import pytest
import torch
from numba import njit
from numba.core.errors import TypingError
from numba.core.runtime import _nrt_python, rtsys

import resitile as rt
from resitile.algorithms import ResidualLearning
from resitile.kernels.memory import allocate, merged, release, seen_as


@pytest.fixture
def balance():
    """A function that says how much was allocated, and how much of it not given back, so far."""
    before = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    start = rtsys.get_allocation_stats()

    def so_far():
        now = rtsys.get_allocation_stats()
        return now.alloc - start.alloc, (now.alloc - start.alloc) - (now.free - start.free)

    yield so_far
    if not before:
        _nrt_python.memsys_disable_stats()


@pytest.mark.parametrize("path", ["event", "dense"])
@pytest.mark.parametrize("columns", [1, 3, 40])
def test_updates_and_transfers_give_back_what_they_allocate(path, columns, balance):
    device = rt.devices.SoftBounds(states=8)
    layer = rt.nn.AnalogLinear(40, 9, algorithm=ResidualLearning(device, tiles=2))
    composite = layer.composite()
    rng = np.random.default_rng(0)
    for _ in range(3):
        x, d = rng.normal(size=(2, 40)), rng.normal(size=(2, 9, 1))
        vectors = rt.tiles.Vectors(
            x.astype(np.float32), np.zeros(1, np.int64), np.arange(40), d.astype(np.float32)
        )
        composite.pulse(1, [vectors], 0.3, path=path)
        changes = rng.normal(size=(columns, 9)).astype(np.float32)
        composite.write_columns(0, np.arange(columns), changes, 0.3)
    assert composite.pulses.min() > 0
    allocated, kept = balance()
    assert allocated >= 15
    assert kept == 0


def test_convolutions_give_back_what_they_allocate(balance):
    rule = ResidualLearning(rt.devices.SoftBounds(states=8), tiles=2)
    layer = rt.nn.AnalogConv2d(2, 3, 3, algorithm=rule)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
    for _ in range(3):
        layer(torch.randn(2, 2, 8, 8)).square().sum().backward()
        optimizer.step()
    allocated, kept = balance()
    assert allocated >= 15
    assert kept == 0


@njit(_nrt=False)
def filled(rows, columns):
    """What an allocated array and its bytes hold, as one number."""
    table, bytes_ = allocate((rows, columns), np.uint32), allocate(8, np.uint8)
    for i in range(rows):
        for j in range(columns):
            table[i, j] = i * columns + j
    flat = merged(table)
    total = 0
    for k in range(flat.size):
        total += k * flat[k]
    for k in range(8):
        bytes_[k] = k
    word = seen_as(bytes_, np.uint64)
    total += word[0] != 0x0706050403020100
    total += 1000000 * (word.size != 1 or seen_as(word, np.uint8).size != 8)
    release((table, bytes_))
    return total


@pytest.mark.parametrize("shape", [(3, 5), (1, 1), (0, 4)])
def test_shapes_and_other_ways_to_see_an_array(shape, balance):
    count = shape[0] * shape[1]
    assert filled(*shape) == sum(k * k for k in range(count))
    assert balance() == (2, 0)


@njit
def bits(array):
    return seen_as(array, np.int32)


@njit
def flat(array):
    return merged(array)


def test_what_is_seen_shares_its_memory_and_keeps_it_alive():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(bits(array[:, 1:, ::2]), array.view(np.int32)[:, 1:, ::2])
    rows = flat(array)
    assert rows.shape == (6, 4)
    assert np.shares_memory(rows, array)
    del array
    assert rows[5, 3] == 23
    with pytest.raises(TypingError, match="C order"):
        flat(np.zeros((4, 6), np.float32)[:, ::2])
