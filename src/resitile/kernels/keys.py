"""Stream keys for callers in Python; the kernels derive the rest themselves."""

import numpy as np
from numba import njit

from resitile.kernels.random import update_key


@njit(cache=True)
def key_of(seed, kind, tile, step):
    """The stream of one update of one tile; `kind` 0 is the gradient, 1 a transfer."""
    return update_key(seed, kind, tile, step)


def stream(seed: int, *path: int) -> int:
    """A seed derived from `seed` and a path of whole numbers, 0 <= seed < 2**62."""
    key = np.uint64(seed)
    for number in path:
        key = key_of(np.int64(int(key) >> 2), 0, 0, number)
    return int(key) >> 2
