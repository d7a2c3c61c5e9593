"""What `ResidualLearning` chooses itself: gamma from states and tiles, a warm start from the data.

Pulses that are mostly noise spread a soft-bounds weight by sqrt(D / (2 - D)) of its reach, D =
dw_min / reach, however rare they are, and a tile keeps that spread when it is frozen. Finer tiles,
which together reach gamma / (1 - gamma), must be able to take it out again; the finest of them,
which is noise to the end, must weigh little; and a tile must have been read often enough to hold
what the gradient says, but not so often that it is noise only.
"""

import math

from resitile.devices import Device

PASSES = 11  # of a stage over all columns of a layer; chosen on validation images, docs/results.md
_COARSE = math.sqrt(0.5 / 1.5)  # spread of 4 states, for which the step was chosen
_QUIET = 0.02  # noise that the finest tile may leave in a weight, as a share of its reach
_COVER = math.sqrt(3)  # spreads that the finer tiles reach: all of a uniform distribution


def forgets(device: Device) -> float:
    """D: one pulse as a share of the device's reach, at most 1."""
    return float(min(2 * device.dw_min / (device.w_max - device.w_min), 1.0))


def spread_of(device: Device, pulses: int = 1) -> float:
    """Standard deviation that rare pulses of random direction give, as a share of the reach.

    With `pulses` of them always coming as one, 1 - (1 - D)**pulses takes the place of D.
    """
    pulse = forgets(device)
    if pulses > 1:
        pulse = 1 - (1 - pulse) ** pulses
    return math.sqrt(pulse / (2 - pulse))


def gamma_for(coarsest: Device, finest: Device, tiles: int) -> float:
    """The ratio of `tiles` tiles: large enough to correct tile 0, small enough to be quiet.

    gamma / (1 - gamma) = sqrt(3) spreads of the coarsest tile, so that finer tiles can take out
    all that noise makes of it: 0.5 at 4 states, 0.37 at 10. The finest tile keeps its noise to the
    end, and with few tiles there is much of it: where it would be more than 2 % of the reach of
    tile 0, gamma**(tiles - 1) is lowered to that, and the range falls short instead: at 4 states
    0.19 with 3 tiles, 0.03 with 2.
    """
    ratio = _COVER * spread_of(coarsest)
    return min(ratio / (1 + ratio), (_QUIET / spread_of(finest)) ** (1 / (tiles - 1)))


def gain_for(source: Device) -> float:
    """Factor on the step of transfers out of a tile: 1 at 4 states, more for finer devices.

    Noise reads less from a fine device, by its spread; without the factor a tile that is filled
    from one would hardly move in its epoch.
    """
    return _COARSE / spread_of(source)


def stage_at(step: int, steps_per_epoch: int, finest: int) -> int:
    """The tile that is filled in mini-batch `step` (from 1): one epoch each, coarsest first."""
    return min((step - 1) // steps_per_epoch, finest)


def columns_due(step: int, steps_per_epoch: int, d_in: int) -> int:
    """Columns to transfer in this mini-batch, so that an epoch passes `PASSES` times over d_in."""
    total = PASSES * d_in
    return step * total // steps_per_epoch - (step - 1) * total // steps_per_epoch
