"""Many independent copies of a scalar weight, on the real crossbar engine."""

import math
from typing import Any

import numpy as np

from resitile.devices import Device
from resitile.errors import UpdateError
from resitile.kernels.threads import uninterrupted
from resitile.theory.checks import whole
from resitile.tiles import Composite, PulseTrain, Tile, Vectors

PLAIN = PulseTrain(bits=31, update_management=False, bit_length_management=False)


class Copies:
    """`count` problems of one weight each, as crosspoints of one array.

    Copy v has a vector of its own that drives one row and one column, so its pulse train is that
    of a 1 x 1 array: nothing (bits, length, scales) is shared between copies. A transfer is the
    same with the source's content as the signal, as a column read of a 1 x 1 array would be.

    Args:
        device: the device of every tile.
        count: number of copies; rounded up to a full grid.
        tiles: tiles per weight.
        gamma: ratio of neighbouring tiles.
        seed: of the pulses.
        train: pulse train of gradients and transfers; default is without managements.
    """

    def __init__(
        self,
        device: Device,
        count: int,
        *,
        tiles: int = 1,
        gamma: float = 1.0,
        seed: int = 0,
        train: PulseTrain = PLAIN,
    ) -> None:
        whole("count", count, 1)
        whole("tiles", tiles, 1)
        # A few rows and more columns: screening costs rows * count, a hit costs columns.
        rows = max(1, round(math.sqrt(count) / 2))
        columns = -(-count // rows)
        self.count, self.train = rows * columns, train
        w = np.zeros((rows, columns, tiles), dtype=np.float32)
        self.composite = Composite(
            [Tile(device, 0)] * tiles, w, np.zeros((rows, columns), dtype=np.float32),
            gamma=gamma, scale=1.0, seed=seed, counts=np.zeros((3, tiles), dtype=np.int64),
        )  # fmt: skip
        self.tiles: np.ndarray[Any, Any] = w.reshape(self.count, tiles)
        self.weight: np.ndarray[Any, Any] = self.composite.weight.reshape(-1)
        # One 1 in a row of zeros: where a vector starts in it decides which column is driven.
        x = np.zeros((1, 2 * columns - 1), dtype=np.float32)
        x[0, columns - 1] = 1
        self._row, column = np.divmod(np.arange(self.count), columns)
        signal = np.zeros((1, rows, self.count), dtype=np.float32)
        starts = (columns - 1 - column).astype(np.int64)
        self._vectors = Vectors(x, starts, np.arange(columns, dtype=np.int64), signal)
        self._vectors.x_max = np.ones((1, self.count), dtype=np.float32)
        self._vectors.stale = False

    def vectors(self, gradient: np.ndarray[Any, Any]) -> Vectors:
        """The measured vectors that carry one signal for each copy, (count,)."""
        if not np.isfinite(gradient).all():
            raise UpdateError("the gradient of a copy is NaN or infinite; use a smaller step")
        self._vectors.own_d[0, self._row, np.arange(self.count)] = gradient
        self._vectors.d_max = np.abs(gradient, dtype=np.float32)[None]
        self._vectors.most = float(self._vectors.d_max.sum())
        return self._vectors

    def pulse(self, n: int, gradient: np.ndarray[Any, Any], lr: float) -> None:
        """tiles[:, n] -= lr * gradient, as pulses."""
        with uninterrupted():
            self.composite.pulse(n, [self.vectors(gradient)], lr, self.train)

    def transfer(self, source: int, target: int, beta: float) -> None:
        """tiles[:, target] += beta * tiles[:, source], as pulses; the source stays [Eq. 7]."""
        self.pulse(target, -self.tiles[:, source], beta)

    def refresh(self) -> None:
        """Make the composite weight agree with tiles that were written to."""
        self.composite.refresh()
