"""schedule="adaptive": transfers clocked by pulses, scaled by whether successive reads agree.

First the tiles are filled from the finest, coarsest first, five passes each; then the chain begins.
Two things are measured, neither of them per weight. **Pulses received.** A soft-bounds device
forgets a share D = dw_min / reach of itself with every pulse, so a tile says something new once its
devices have met 1 / D pulses; it is read over once in that time, and a tile that nothing moves is
left alone. **Agreement.** A column that was read as r and, a pass later, as r' has a steady part
m in both, and noise that differs: rho = E[r . r'] / E[|r|^2] is about |m|^2 / |r|^2, 0 for a
target that has settled and up to 1 for one that moves. Steps grow with rho and vanish with it,
passes take up to 4 times as long. For E[r . r'] one number per column is kept, r . s with signs
s: over the columns, E[(r . s)(r' . s)] = E[r . r'].

Where it falls short of fixed schedules: docs/theory.md.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resitile.algorithms.auto_schedule import forgets
from resitile.algorithms.base import State
from resitile.devices import Device
from resitile.tiles import Composite, Vectors

# Chosen on least squares with 6 states whose target jumps, FILL also on a perceptron, with other
# seeds than those reported (docs/theory.md).
EVEN = 0.2  # agreement at which step and pace are what the settings say; assumed before a measure
BIGGEST = 2.0  # times the step, at agreement 0.4 and above
SLOWEST = 0.25  # times the pace, at agreement 0.05 and below
FILL = 5  # passes over the finest tile by which each tile but the last two is filled first
MOST = 1 / 6  # share of the finest tile's columns read after one mini-batch, at most
_WINDOW = 64  # reads that the averages reach back over, at least; two passes if those are more


def init(tiles: int, d_in: int) -> State:
    """What the schedule keeps of every source tile (tile 0 is none; its entries stay 0).

    Returns:
        due: columns owed to the tile's next reads. read: columns read so far. product, power:
        running means of (r . s)(r' . s) and |r|^2. last: r . s of the last read of each column.
        stage: tile that is filled, that of the finest when the chain has begun. filled: columns
        sent to it.
    """
    return {
        "stage": np.full(1, 0 if tiles > 2 else tiles - 1, dtype=np.int64),
        "filled": np.zeros(1, dtype=np.int64),
        "due": np.zeros(tiles, dtype=np.float64),
        "read": np.zeros(tiles, dtype=np.int64),
        "product": np.zeros(tiles, dtype=np.float64),
        "power": np.zeros(tiles, dtype=np.float64),
        "last": np.zeros((tiles, d_in), dtype=np.float64),
    }


def reset(state: State) -> None:
    """Forget what was measured: the tiles were programmed."""
    for name in ("due", "read", "product", "power", "last", "filled"):
        state[name][...] = 0
    tiles = len(state["due"])
    state["stage"][0] = 0 if tiles > 2 else tiles - 1


def run(
    weight: Composite, state: State, batch: Sequence[Vectors], alpha: float, betas: Sequence[float]
) -> None:
    """The transfers after a mini-batch that moved the finest tile by `alpha`.

    Args:
        weight: the tiles.
        state: as of `init`, and the column pointers.
        batch: the mini-batch.
        alpha: its step.
        betas: step of transfers out of tile n at agreement `EVEN`.
    """
    finest, d_in = len(weight.tiles) - 1, weight.w.shape[1]
    pulses = expected_pulses(batch, alpha, weight.tiles[finest].device, weight.w.shape[0])
    state["due"][finest] += d_in * min(_part(weight, state, finest, pulses), MOST)
    for n in range(finest, 0, -1):
        while (count := int(state["due"][n])) > 0:
            fills = n == finest and state["stage"][0] < finest
            if fills:
                count = min(count, FILL * d_in - int(state["filled"][0]))
            state["due"][n] -= count
            columns = (state["column"][n] + np.arange(count)) % d_in
            state["column"][n] = (state["column"][n] + count) % d_in
            contents = weight.read_sum(n, n + 1, columns)
            agreements = measure(state, n, columns, contents)
            if fills:
                steps = betas[n] * np.array([filling(rho) for rho in agreements])
                _fill(weight, state, columns, contents * steps[:, None])
                continue
            steps = betas[n] * np.array([gain(rho) for rho in agreements])
            weight.write_columns(n - 1, columns, contents * steps[:, None], 1.0)
            sent = steps * strengths(contents) / weight.tiles[n - 1].device.dw_min
            # Of one column, so this is in columns; never read more often than the source.
            state["due"][n - 1] += np.minimum(_part(weight, state, n - 1, sent), 1.0).sum()
    state["due"][0] = 0


def _fill(weight: Composite, state: State, columns: np.ndarray, changes: np.ndarray) -> None:
    """Send columns of the finest tile to the tile that is filled; after the last, the chain."""
    finest, stage = len(weight.tiles) - 1, int(state["stage"][0])
    weight.write_columns(stage, columns, changes, 1.0)
    state["filled"][0] += columns.size
    if state["filled"][0] == FILL * weight.w.shape[1]:
        state["filled"][0] = 0
        state["stage"][0] = stage + 1 if stage + 1 < finest - 1 else finest


def _part(weight: Composite, state: State, n: int, pulses: Any) -> Any:
    """The share of a pass over tile n that `pulses` per device are worth."""
    return pulses * forgets(weight.tiles[n].device) * pace(agreement(state, n))


def expected_pulses(batch: Sequence[Vectors], alpha: float, device: Device, rows: int) -> float:
    """Pulses that `batch` sends to a device that gets any: alpha S(x) S(d) / dw_min, summed."""
    total = 0.0
    for v in batch:  # blocks of rows
        both = [float(strengths(lines.reshape(1, -1))[0]) for lines in (v.x, v.d)]
        total += both[0] * both[1] * len(v) * v.d.shape[1] / rows
    return alpha * total / device.dw_min


def strengths(values: np.ndarray) -> np.ndarray:
    """S of every row of values: E[v^2] / E|v|, the mean of |v| over pulses, times 2 / pi.

    Images and errors are zero nearly everywhere: their mean over lines says that nothing happens.
    The factor makes S the mean of |v| for normal ones.
    """
    mean = np.abs(values).mean(1, dtype=np.float64)
    square = np.square(values).mean(1, dtype=np.float64)
    return 2 / math.pi * square / np.where(mean > 0, mean, 1.0)  # 0 of nothing but zeros


def measure(state: State, n: int, columns: np.ndarray, contents: np.ndarray) -> list[float]:
    """Take reads of tile n, one after the other, into its averages.

    In the first pass there is nothing to compare with: agreement `EVEN` is assumed, and then
    fades like any older read.

    Args:
        state: as of `init`.
        n: tile.
        columns: (k,) that were read.
        contents: (k, d_out), what they held.

    Returns:
        The agreement after each of them.
    """
    d_in = state["last"].shape[1]
    powers = np.square(contents, dtype=np.float64).sum(1)
    projections = (contents * signs(columns, contents.shape[1])).sum(1, dtype=np.float64)
    part = 1 / max(_WINDOW, 2 * d_in)
    found = []
    for column, power, projection in zip(columns, powers, projections, strict=True):
        first = state["read"][n] < d_in
        product = EVEN * power if first else projection * state["last"][n, column]
        state["product"][n] += part * (product - state["product"][n])
        state["power"][n] += part * (power - state["power"][n])
        state["last"][n, column] = projection
        state["read"][n] += 1
        found.append(agreement(state, n))
    return found


def agreement(state: State, n: int) -> float:
    """rho of tile n, at most 1 up to chance; `EVEN` as long as only zeros were read."""
    power = float(state["power"][n])
    return float(state["product"][n]) / power if power > 0 else EVEN


def gain(rho: float) -> float:
    """Factor on the step of transfers: rho / EVEN within [0, BIGGEST]."""
    return min(max(rho / EVEN, 0.0), BIGGEST)


def filling(rho: float) -> float:
    """Factor on the step while tiles are filled: (rho / EVEN - 1) / 2 within [0, BIGGEST / 2].

    What agrees no more than `EVEN` may be noise, and would stay in a coarse tile.
    """
    return min(max(rho / EVEN - 1, 0.0), BIGGEST) / 2


def pace(rho: float) -> float:
    """Factor on the rate of reads: rho / EVEN within [SLOWEST, 1]; a read too soon says less."""
    return min(max(rho / EVEN, SLOWEST), 1.0)


def signs(columns: np.ndarray, rows: int) -> np.ndarray:
    """Signs (len(columns), rows) float32: row `column` of a Walsh matrix for each column.

    Any 2^k >= rows columns in a row have signs whose cross terms cancel exactly, also where all
    columns of a tile are alike, as with inputs of one sign.
    """
    parity = np.bitwise_count(np.arange(rows) & columns[:, None]) & 1
    return (1 - 2.0 * parity).astype(np.float32)


def most_reads(devices: Sequence[Device], betas: Sequence[float], d_in: int) -> float:
    """Columns read after one mini-batch at most, if nominal devices are full and agree."""
    rate, total = MOST * d_in, 0.0
    for n in range(len(devices) - 1, 0, -1):
        total += rate
        source, target = devices[n], devices[n - 1]
        sent = BIGGEST * betas[n] * max(source.w_max, -source.w_min) / target.dw_min
        rate *= min(sent * forgets(target), 1.0)
    return total
