"""Stream keys for callers in Python; the kernels derive the rest themselves."""

from numba import njit

from resitile.kernels.random import update_key


@njit(cache=True)
def key_of(seed, kind, tile, step):
    """The stream of one update of one tile; `kind` 0 is the gradient, 1 a transfer."""
    return update_key(seed, kind, tile, step)


def stream(seed: int, *path: int) -> int:
    """A seed derived from `seed` and a path of whole numbers, 0 <= seed < 2**62."""
    for number in path:
        seed = key_of(seed, 0, 0, number) >> 2
    return seed
