"""Pieces that several algorithms share: cyclic reading, and buffers that release pulses."""

from collections.abc import Iterator

import numpy as np

from resitile.algorithms.base import State
from resitile.tiles import Composite, PulseTrain

# Of one transfer: far more than layers have, few enough that a step ends (Ctrl-C waits for it).
MOST_COLUMNS = 100_000


def next_columns(state: State, d_in: int, columns: int) -> Iterator[int]:
    """The columns whose turn it is, all of them for `columns` 0; moves the pointer `column`."""
    for _ in range(columns or d_in):
        column = int(state["column"][0])
        state["column"][0] = (column + 1) % d_in
        yield column


def release(buffer: np.ndarray, momentum: float, forget: bool) -> np.ndarray:
    """The pulses that a digital buffer, counted in pulses, lets go: -1, 0 or 1 each.

    Where a pulse leaves, the buffer keeps the part `momentum` of itself (`forget`), or of that
    pulse.

    Args:
        buffer: (d_out,) float32, changed in place.
        momentum: what is kept, in [0, 1].
        forget: see above.
    """
    fired = np.clip(np.trunc(buffer), -1, 1).astype(np.float32)
    if forget:
        buffer[fired != 0] *= momentum
    else:
        buffer -= (1 - momentum) * fired
    return fired


def send_pulses(
    weight: Composite, n: int, columns: np.ndarray, pulses: np.ndarray, count: int = 1
) -> None:
    """Certain pulses, `count` per device, on tile n where `pulses` is not 0, by its sign.

    Args:
        weight: the tiles.
        n: which one.
        columns: (k,) int64.
        pulses: (k, d_out) float32.
        count: in [1, 32].
    """
    if pulses.any():
        # Rounding must not make them uncertain.
        sure = count * weight.tiles[n].device.dw_min * (1 + 1e-6)
        train = PulseTrain(count, update_management=False, bit_length_management=False)
        weight.write_columns(n, columns, pulses, sure, train)
