"""Stream keys for callers in Python; the kernels derive the rest themselves."""

import numpy as np
from numba import njit

from resitile.kernels import random
from resitile.kernels.compiling import ENTRY
from resitile.kernels.law import sources


@njit(**ENTRY)
def _update_stream(sources, seed, kind, tile):
    return random.update_stream(seed, kind, tile)


@njit(**ENTRY)
def _below(sources, key, counter):
    return random.below(key, counter)


def update_stream(seed: int, kind: int, tile: int) -> np.uint64:
    """The stream of the updates of a tile; `kind` 0 is the gradient, 1 a transfer."""
    return np.uint64(_update_stream(sources(), seed, kind, tile))


def update_key(updates: np.uint64, step: int) -> np.uint64:
    """The stream of update number `step` of the stream `updates`."""
    return np.uint64(_below(sources(), updates, step))


def stream(seed: int, *path: int) -> int:
    """A seed derived from `seed` and a path of whole numbers, 0 <= seed < 2**62."""
    for number in path:
        seed = int(update_key(update_stream(seed, 0, 0), number)) >> 2
    return seed
