"""What residual learning with hidden tiles is made of: gates, steps, and whose turn it is."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from resitile.algorithms.auto_schedule import forgets, spread_of
from resitile.algorithms.base import State
from resitile.devices import Device
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors

_MOST = 31  # pulses that one write sends to a device at most, as in a train of the gradient
_WINDOW = 100  # mini-batches over which the strength of gradients is averaged


def gate_of(devices: Sequence[Device], alarm: float, pulses: Sequence[int] | None = None) -> float:
    """How large the mean of evidence tiles must be to say more than noise, in weight units.

    Independent pulses spread a tile by `spread_of` its device and the mean of several tiles by
    less; the distribution is taken as the symmetric Beta of that variance, which for one tile of
    four states is the uniform distribution that they really have.

    Args:
        devices: of the tiles.
        alarm: share of decisions that noise alone lets pass, in (0, 1).
        pulses: how many of them come as one, per tile; None is 1.

    Raises:
        ConfigError: if noise alone fills the tiles up to their bounds.
    """
    from scipy.special import betaincinv  # takes an eighth of a second, few need it

    reach = [(device.w_max - device.w_min) / 2 for device in devices]
    counts = pulses or [1] * len(devices)
    spread = [r * spread_of(d, k) for r, d, k in zip(reach, devices, counts, strict=True)]
    total = sum(reach)
    shape = ((total**2 / sum(s**2 for s in spread)) - 1) / 2
    if shape <= 0:
        raise ConfigError(
            f"one evidence tile whose devices have {devices[0].states:g} states holds noise up "
            "to its bounds, no gate tells evidence from that: take more tiles, or more states"
        )
    quantile = float(betaincinv(shape, shape, 1 - alarm / 2))
    return total / len(devices) * (2 * quantile - 1)


def counters(pointers: int) -> State:
    """What `renewing_step` and `columns_due` keep, all 0, with a stage.

    Returns:
        steps: mini-batches seen. stage: tile of the weight that is trained. column, due, passes:
        next column, columns owed and passes made, of each of the `pointers`. strength: mean pulses
        per device of the last tile and mini-batch that a step of 1 would bring.
    """
    return {
        "steps": np.zeros(1, dtype=np.int64),
        "stage": np.zeros(1, dtype=np.int64),
        "column": np.zeros(pointers, dtype=np.int64),
        "due": np.zeros(pointers, dtype=np.float64),
        "passes": np.zeros(pointers, dtype=np.int64),
        "strength": np.zeros(1, dtype=np.float64),
    }


def mean_pulses(batch: Sequence[Vectors], device: Device, rows: int) -> float:
    """Pulses that `batch` would send to a device on average, with a step of 1: E|x| E|d| / dw_min.

    Over all lines, for all devices of a column are read with it. Those whose lines are mostly
    silent, as under images and behind pooling, are renewed less often than the mean, others more.

    Args:
        batch: measured vectors, perhaps in blocks of rows.
        device: of the tile.
        rows: of the tile.
    """
    total = 0.0
    for v in batch:
        x, d = v.own_x, v.own_d
        mean = _mean_size(x) * _mean_size(d)
        total += mean * len(v) * d.shape[1] / rows
    return total / device.dw_min


def _mean_size(values: np.ndarray) -> float:
    """E|values|, in float32 as far as that goes."""
    sizes = np.abs(values)
    with np.errstate(over="ignore"):
        mean = float(sizes.mean())
    return mean if math.isfinite(mean) else float(sizes.mean(dtype=np.float64))


def renewing_step(
    weight: Composite, state: State, batch: Sequence[Vectors], renewals: float, n: int = -1
) -> float:
    """The step with which `batch` renews a device of tile n `renewals` times.

    Args:
        weight: the tiles.
        state: `steps` mini-batches so far, this one included; `strength`, the mean pulses per
            device of the last tile and mini-batch that a step of 1 would bring, is kept here.
        batch: measured vectors; a block of a mini-batch counts as one.
        renewals: one is 1 / D pulses.
        n: a tile that takes gradients.
    """
    device, strength = weight.tiles[-1].device, state["strength"]
    now = mean_pulses(batch, device, weight.w.shape[0])
    strength[0] += (now - strength[0]) / min(int(state["steps"][0]), _WINDOW)
    if now == 0:  # nothing to send; after long silence the mean would ask for an infinite step
        return 0.0
    usual = max(float(strength[0]), now)  # after a quiet time the mean is too small
    own = weight.tiles[n].device
    usual *= device.dw_min / own.dw_min
    return renewals / forgets(own) / usual


def _whole_step(sources: Sequence[Device], target: Device) -> float:
    """The step with which reads of noise renew a device about once, with 1 / D pulses on average.

    The mean size of noise is taken as that of a uniform distribution, which one tile of 4 states
    has; the sum of several is closer to a normal one, whose mean size is 8 % smaller.
    """
    spreads = [spread_of(device) * (device.w_max - device.w_min) / 2 for device in sources]
    mean = math.sqrt(3) / 2 * math.hypot(*spreads)
    return target.dw_min / (forgets(target) * mean)


def half(device: Device) -> int:
    """Pulses that renew about half a device: 1 at 4 states, 5 at 20."""
    return min(max(round(0.5 / forgets(device)), 1), _MOST)


def remember(
    weight: Composite, n: int, columns: np.ndarray, refill: float, sources: int = 1
) -> None:
    """Read columns of the last `sources` tiles, as a sum, and pulse them onto evidence tile n.

    Reads of noise renew a device of it about `refill` times.
    """
    count = len(weight.tiles)
    devices = [tile.device for tile in weight.tiles[count - sources :]]
    step = refill * _whole_step(devices, weight.tiles[n].device)
    weight.write_columns(n, columns, weight.read_sum(count - sources, count, columns), step)


def opened(
    weight: Composite, first: int, last: int, columns: np.ndarray, gate: float
) -> np.ndarray:
    """Where the mean of tiles first to last - 1 exceeds the gate: its sign, elsewhere 0.

    Returns:
        (len(columns), d_out) float32.
    """
    mean = weight.read_sum(first, last, columns) / np.float32(last - first)
    fired: np.ndarray = (np.sign(mean) * (np.abs(mean) > gate)).astype(np.float32)
    return fired


def blocks_of(batch: Sequence[Vectors], count: int) -> list[Sequence[Vectors]]:
    """A mini-batch of a convolution in `count` blocks of samples; one vector a sample stays."""
    samples = batch[0].d.shape[0]
    count = min(count, samples) if batch[0].d.shape[2] > 1 else 1
    if count == 1:
        return [batch]
    ends = [samples * k // count for k in range(count + 1)]
    return [[v.part(a, b) for v in batch] for a, b in pairwise(ends)]


def columns_due(state: State, which: int, due: float, d_in: int) -> list[tuple[int, np.ndarray]]:
    """The columns whose turn it is, as (pass, columns): two where a pass ends on the way.

    Args:
        state: `column`, `due` and `passes`, of which entry `which` is moved on.
        which: see there.
        due: columns to be added to those owed.
        d_in: columns of a pass.
    """
    total = float(state["due"][which]) + due
    count = min(math.floor(total), d_in)
    state["due"][which] = min(total - count, 1.0)
    begin, turn = int(state["column"][which]), int(state["passes"][which])
    parts = [(turn, np.arange(begin, min(begin + count, d_in)))]
    if begin + count >= d_in:
        state["passes"][which] += 1
        parts.append((turn + 1, np.arange(begin + count - d_in)))
    state["column"][which] = (begin + count) % d_in
    return [part for part in parts if part[1].size]
