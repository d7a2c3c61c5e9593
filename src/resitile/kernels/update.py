"""What the two paths of a pulsed update share, and the composite that follows the tiles.

`events.py` and `dense.py` send a mini-batch, vector after vector, to one tile. Both draw the same
numbers for the same slots, and a device sees its pulses in the same order, so that the results are
equal to the bit.

Arguments that all share:
    law, spec, table: the device law, its numbers (see `law.py`), the table of normals.
    device_key: stream of the devices.
    updates, step: stream of the tile's updates, and the number of this one in it; `key` is both.
    tiles: (d_out, d_in, tiles) float32, of which tile `t` is pulsed; what one weight is made
        of lies together, so that refreshing it touches one place in memory.
    coefficients: (tiles,) float64, so that weight = sum_n coefficients[n] * tiles[:, :, n].
    weight: (d_out, d_in) float32, the composite; kept in step where a device moves, but for hidden
        tiles, whose coefficient is 0.
    wear: as `tiles`, int32: pulses that each device has received; empty if they are not counted.
    x: (n, pixels) float32; column j of vector (n, p) is x[n, starts[p] + offset[j]].
    turned: (d_in,) uint8; not 0 where a column takes its x with the other sign (choppers).
    d: (n, rows, p) float32; its row i is row `row0 + i` of the tile.
    x_max, d_max: (n, p) float32, largest magnitudes of each vector.
    lr: step; bits: longest train; manage, manage_length: update and bit-length management.
    low, high: the rows of d that this call works on (calls on other rows may run beside it).
"""

import numpy as np
from numba import njit

from resitile.kernels.compiling import ENTRY
from resitile.kernels.random import NOISE, mix

ONE = np.uint32(1)


@njit(inline="always")
def refresh(tiles, coefficients, weight, j):
    """Recompute column j of one row: `tiles` is (d_in, tiles), `weight` (d_in,)."""
    total = 0.0
    for n in range(coefficients.size):
        total += coefficients[n] * tiles[j, n]
    weight[j] = total


@njit(inline="always")
def slot_key(vector_key, b):
    return mix((vector_key ^ NOISE) + np.uint64(b))


@njit(**ENTRY)
def compose(tiles, coefficients, weight):
    """weight = sum_n coefficients[n] * tiles[:, :, n], everywhere."""
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            refresh(tiles[i], coefficients, weight[i], j)
