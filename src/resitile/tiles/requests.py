"""What the verbs of a composite refuse: kernels check nothing, and would write past the arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from resitile.errors import ConfigError, UpdateError
from resitile.kernels import transfer
from resitile.kernels.law import sources
from resitile.tiles.vectors import Vectors


def check_tile(n: int, count: int) -> None:
    """Refuse a tile that does not exist; they do not count from the end.

    Raises:
        ConfigError: says which there are.
    """
    if not isinstance(n, int | np.integer) or not 0 <= n < count:
        raise ConfigError(f"there is no tile {n!r}: the {count} tiles are 0 to {count - 1}")


def check_request(n: int, count: int, lr: float) -> None:
    """Refuse pulses on a tile that does not exist, or with a step that is no number of at least 0.

    Raises:
        ConfigError: names it.
    """
    check_tile(n, count)
    if not isinstance(lr, int | float | np.floating) or not 0 <= lr < np.inf:
        raise ConfigError(f"lr must be a number of at least 0, got {lr!r}; turn the change's sign")


def check_path(path: str) -> None:
    """Refuse a word that is no path of an update.

    Raises:
        ConfigError: says which there are.
    """
    if path not in ("auto", "event", "dense"):
        raise ConfigError(f'path must be "auto", "event" or "dense", got {path!r}')


def check_vectors(batch: Sequence[Vectors], shape: tuple[int, ...]) -> None:
    """Refuse vectors beyond the rows or columns of tiles of a shape; measure new ones.

    Raises:
        ConfigError: says what was given and what fits.
        UpdateError: if what an algorithm put into them is not finite.
    """
    if isinstance(batch, Vectors):
        raise ConfigError("pulse takes a list of vectors, as `step` is given; write [vectors]")
    for v in batch:
        x, d = v.own_x, v.own_d
        rows = d.shape[1]
        if v.offset.size != shape[1] or not 0 <= v.row0 <= shape[0] - rows or len(x) != len(d):
            raise ConfigError(
                f"vectors of {len(x)} x {v.offset.size} on columns and {len(d)} x {rows} on "
                f"rows from {v.row0} do not fit tiles of (d_out, d_in) = {tuple(shape[:2])}"
            )
        if v.stale:  # an algorithm gave them another x or d
            v.measure()


def share_above(batch: Sequence[Vectors], lr: float, most: float) -> float:
    """Share of measured vectors whose largest wanted change is above `most`."""
    least = most / lr if lr > 0 else np.inf
    above = sum(int(np.count_nonzero(v.x_max.astype(float) * v.d_max > least)) for v in batch)
    return above / max(1, sum(map(len, batch)))


def lines_above(changes: np.ndarray, lr: float, most: float) -> float:
    """Share of lines that ask a device for more than `most`, of those that ask for anything.

    Args:
        changes: (lines, devices), what is to be written, before `lr`.
        lr: step.
        most: in weight units.
    """
    largest = np.abs(changes).max(axis=1, initial=0) * lr
    # A whole number of pulses may come out a few roundings above it.
    above = int(np.count_nonzero(largest > most * (1 + 1e-5)))
    return above / max(1, int(np.count_nonzero(largest)))


def check_tiles(first: int, last: int, count: int) -> None:
    """Refuse tiles first to last - 1 if they do not exist.

    Raises:
        ConfigError: says what can be given.
    """
    if not 0 <= first < last <= count:
        raise ConfigError(
            f"tiles {first} to {last} - 1 were to be read, of {count} tiles: give "
            f"0 <= first < last <= {count}"
        )


def column_numbers(columns: Any, d_in: int) -> np.ndarray:
    """`columns` as int64.

    Raises:
        ConfigError: if they are no whole numbers from 0 to d_in - 1.
    """
    found = np.asarray(columns)
    if found.dtype != np.int64:
        if found.size and found.dtype.kind not in "iu":
            raise ConfigError(f"columns must be whole numbers, got an array of {found.dtype}")
        found = found.astype(np.int64)
    if found.ndim != 1:
        raise ConfigError(f"columns must be a list of numbers, got an array of {found.ndim} axes")
    if not transfer.inside(sources(), found, d_in):
        wrong = found[(found < 0) | (found >= d_in)]
        raise ConfigError(f"columns must lie in 0 to {d_in - 1}, got {wrong.tolist()}")
    return found


def change_of(change: Any, shape: tuple[int, ...], meaning: str) -> np.ndarray:
    """`change` as contiguous float32, which is what the kernels look at.

    Args:
        change: an array.
        shape: what it must have.
        meaning: of that shape, such as "(columns, d_out)".

    Raises:
        ConfigError: if the shape is another one.
        UpdateError: if a number is NaN or infinite.
    """
    found = np.ascontiguousarray(change, dtype=np.float32)
    if found.shape != shape:
        raise ConfigError(f"a change must have the shape {meaning} = {shape}, got {found.shape}")
    if not np.isfinite(found).all():
        raise UpdateError("a change holds NaN or infinity; nothing was written")
    return found
