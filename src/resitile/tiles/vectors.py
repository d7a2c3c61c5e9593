"""The vectors of one update: what lies on the columns (x) and on the rows (d), and where.

A linear layer's batch and the patches of a convolution look alike to the kernels: vector (n, p)
has `x[n, starts[p] + offset[j]]` on column j and `d[n, i, p]` on row i. Patches are addressed in
the input that the layer already has; nothing is copied out of it.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from resitile.errors import ConfigError, UpdateError
from resitile.kernels import lines
from resitile.kernels.law import sources

_UNKNOWN = np.empty((0, 0), dtype=np.float32)


class Vectors:
    """One mini-batch for one crossbar (or for a block of its rows, in a grouped convolution).

    Args:
        x: (n, pixels) float32.
        starts: (p,) int64, pixel of each vector's first element.
        offset: (d_in,) int64, pixel of each column relative to that.
        d: (n, rows, p) float32, dL/dy.
        row0: the crossbar's row that row 0 of `d` stands for.
        window: how to find the largest |x| of each vector: None for rows, else
            (channels, offsets within a channel along the leading axes, along the last one, vectors
            per run, pixels between them).

    Attributes:
        x, d: as above, to look at: x may be the user's own data. Others may take their place
            (`v.d = 2 * v.d`), of the same shape.
        turned: (d_in,) uint8, not 0 where a column's x counts with the other sign; an algorithm
            with choppers sets it (as a whole: it is read only).
        own_x, own_d, own_turned: the same as the kernels take them, which no one else writes to.
        x_max, d_max: (n, p) float32, largest |x| and |d| of every vector; see `measure`.
        most: sum of x_max * d_max over the vectors.
        stale: whether these are still to be measured.
    """

    __slots__ = (
        "d_max", "most", "offset", "own_d", "own_turned", "own_x", "row0", "stale", "starts",
        "window", "x_max",
    )  # fmt: skip

    def __init__(
        self,
        x: np.ndarray,
        starts: np.ndarray,
        offset: np.ndarray,
        d: np.ndarray,
        row0: int = 0,
        window: tuple[int, np.ndarray, np.ndarray, int, int] | None = None,
    ) -> None:
        self.own_x, self.starts, self.offset, self.own_d = x, starts, offset, d
        self.row0, self.window = row0, window
        self.own_turned = _no_turns(offset.size)
        self.x_max = self.d_max = _UNKNOWN
        self.most, self.stale = math.nan, True

    @property
    def x(self) -> np.ndarray:
        """What lies on the columns, (n, pixels) float32; read only."""
        return _locked(self.own_x)

    @x.setter
    def x(self, values: np.ndarray) -> None:
        self.own_x, self.stale = _in_place_of(self.own_x, values, "x"), True

    @property
    def d(self) -> np.ndarray:
        """What lies on the rows, dL/dy, (n, rows, p) float32; read only."""
        return _locked(self.own_d)

    @d.setter
    def d(self, values: np.ndarray) -> None:
        self.own_d, self.stale = _in_place_of(self.own_d, values, "d"), True

    @property
    def turned(self) -> np.ndarray:
        """Where a column's x counts with the other sign, (d_in,) uint8; read only."""
        return _locked(self.own_turned)

    @turned.setter
    def turned(self, values: np.ndarray) -> None:
        found = np.ascontiguousarray(values, dtype=np.uint8)
        if found.shape != (self.offset.size,):
            raise ConfigError(
                f"turned must have an entry for each of {self.offset.size} columns, got the shape "
                f"{found.shape}"
            )
        self.own_turned = found

    def __len__(self) -> int:
        return self.own_d.shape[0] * self.own_d.shape[2]

    def measure(self) -> None:
        """Find the largest |x| and |d| of every vector, on which its pulse train depends.

        Raises:
            UpdateError: if an input or a gradient is NaN or infinite.
        """
        n, _, p = self.own_d.shape
        largest = np.empty((2, n, p), dtype=np.float32)
        if self.window is None:
            self.most = lines.measure_rows(sources(), self.own_x, self.own_d, largest)
        else:
            self.most = lines.measure_patches(
                sources(), self.own_x, self.starts, *self.window, self.own_d, largest
            )
        if not math.isfinite(self.most):
            raise UpdateError(
                "the inputs or gradients of an analog layer hold NaN or infinity; nothing was "
                "changed. Lower the learning rate or look for the operation that made them"
            )
        self.x_max, self.d_max = largest
        self.stale = False

    def part(self, begin: int, end: int) -> "Vectors":
        """Samples `begin` to `end` - 1 of a mini-batch, as views."""
        part = Vectors(
            self.own_x[begin:end], self.starts, self.offset, self.own_d[begin:end], self.row0,
            self.window,
        )  # fmt: skip
        part.own_turned = self.own_turned
        if not self.stale:
            part.stale = False
            part.x_max, part.d_max = self.x_max[begin:end], self.d_max[begin:end]
            part.most = float(np.vdot(part.x_max.astype(np.float64), part.d_max))
        return part

    def outer(self) -> np.ndarray:
        """sum_v d_v x_v^T, (rows, d_in) float32: the gradient, computed digitally.

        `turned` plays no part in it.
        """
        n, rows, p = self.own_d.shape
        x = self.own_x[:, self.starts[:, None] + self.offset].reshape(n * p, -1)
        return self.own_d.transpose(1, 0, 2).reshape(rows, n * p) @ x


def _locked(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _in_place_of(old: np.ndarray, values: Any, name: str) -> np.ndarray:
    """`values` in the form of `old`.

    Raises:
        ConfigError: if the shape is another one.
    """
    found = np.array(values, dtype=np.float32, order="C")
    if found.shape != old.shape:
        raise ConfigError(
            f"{name} of vectors can only be replaced by an array of its shape, {old.shape}, got "
            f"{found.shape}"
        )
    return found


@lru_cache(maxsize=64)
def _no_turns(d_in: int) -> np.ndarray:
    return np.zeros(d_in, dtype=np.uint8)


@lru_cache(maxsize=64)
def _row_addresses(d_in: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(1, dtype=np.int64), np.arange(d_in, dtype=np.int64)


def rows(x: np.ndarray, d: np.ndarray) -> Vectors:
    """The vectors of a linear layer.

    Args:
        x: (batch, d_in) float32, contiguous.
        d: (batch, d_out) float32, contiguous.
    """
    return Vectors(x, *_row_addresses(x.shape[1]), d[:, :, None])


@lru_cache(maxsize=64)
def _patch_addresses(
    channels: int,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray, tuple[int, np.ndarray, np.ndarray, int, int]]:
    """(starts, offset of every column, `Vectors.window`) of a convolution."""

    def grid(counts: Sequence[int], steps: Sequence[int]) -> np.ndarray:
        total = np.zeros((), dtype=np.int64)
        for axis, (count, step) in enumerate(zip(counts, steps, strict=True)):
            pixels = int(np.prod(size[axis + 1 :], dtype=np.int64))
            total = total[..., None] + np.arange(count, dtype=np.int64) * step * pixels
        return total.reshape(-1)

    out = [
        (s - dl * (k - 1) - 1) // st + 1
        for s, k, st, dl in zip(size, kernel, stride, dilation, strict=True)
    ]
    last = np.arange(kernel[-1], dtype=np.int64) * dilation[-1]
    lead = grid((*kernel[:-1], 1), dilation)
    window = (lead[:, None] + last).reshape(-1)
    plane = int(np.prod(size, dtype=np.int64))
    offset = (np.arange(channels, dtype=np.int64)[:, None] * plane + window).reshape(-1)
    return grid(out, stride), offset, (channels, lead, last, out[-1], stride[-1])


def patches(
    x: np.ndarray,
    d: np.ndarray,
    *,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int = 1,
) -> list[Vectors]:
    """The vectors of a convolution, one block of them per group.

    Args:
        x: (n, channels, *size) float32, contiguous and already padded.
        d: (n, d_out, *out) float32, contiguous.
        kernel, stride, dilation: one number per spatial axis.
        groups: as in torch: block g sees its own part of the channels and of the rows.
    """
    n, d_out = d.shape[:2]
    channels = x.shape[1] // groups
    starts, offset, window = _patch_addresses(
        channels, tuple(x.shape[2:]), kernel, stride, dilation
    )
    d = d.reshape(n, d_out, -1)
    if groups == 1:
        return [Vectors(x.reshape(n, -1), starts, offset, d, 0, window)]
    blocks, rows = [], d_out // groups
    for g in range(groups):
        own_x = np.ascontiguousarray(x[:, g * channels : (g + 1) * channels]).reshape(n, -1)
        own_d = np.ascontiguousarray(d[:, g * rows : (g + 1) * rows])
        blocks.append(Vectors(own_x, starts, offset, own_d, g * rows, window))
    return blocks
