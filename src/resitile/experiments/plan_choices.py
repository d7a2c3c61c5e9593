"""The methods that a plan chooses from, with step sizes set from the device."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from resitile.algorithms import GatedResidualLearning
from resitile.devices import Device
from resitile.errors import ConfigError, did_you_mean

TILES = (2, 3, 4, 6, 8)
GATED = (4, 6, 8)
_DECISIONS = 10  # about a device, in an epoch: what was tuned on full data and on a sixth of them
_STAGE = 3  # epochs for which a gated tile of the weight is trained before the next
_TT_V2_STEPS = 3375  # mini-batches of an epoch for which its buffer was tuned
_RATE = "-x"  # between a method and the factor of its learning rate
_LARGEST_BUFFERED, _LARGEST_MIXED = 32, 128  # mini-batches up to which optimizers' rates grow
_CASCADE_STAGE = 2  # as `_STAGE`, of a cascade
_CASCADE_DECISIONS = 40  # as `_DECISIONS`, of a cascade


@dataclass(frozen=True)
class Choice:
    """One way to train: its key, and the tables of its configuration.

    Attributes:
        method: its key in the reference runs, such as "residual_learning-6".
        title: the method, for people.
        algorithm: the table `[algorithm]`.
        lr: the optimizer's learning rate.
        measure_first: what it gains depends on the task so much that it is recommended only where
            a run has shown it.
        factor: the learning rate, as a multiple of the one that the planner sets.
        moves: settings of the algorithm that change with the rate, and the power of its factor:
            what sets the steps of the tiles where that is not the optimizer's rate.
        most: largest factor that there is.
    """

    method: str
    title: str
    algorithm: dict[str, Any]
    lr: float
    measure_first: bool = False
    factor: float = 1.0
    moves: tuple[tuple[str, int], ...] = ()
    most: float = math.inf

    @property
    def key(self) -> str:
        """The method, and the factor of its learning rate if it is not 1."""
        return self.method if self.factor == 1 else f"{self.method}{_RATE}{self.factor:g}"

    @property
    def label(self) -> str:
        """The title, and the factor of the learning rate if it is not 1."""
        return self.title if self.factor == 1 else f"{self.title}, {self.factor:g} x rate"

    @property
    def kind(self) -> str:
        """The method without its number of tiles."""
        return self.method.rsplit("-", 1)[0]

    def at_rate(self, factor: float) -> "Choice":
        """The same with another learning rate, `factor` times the planner's.

        Raises:
            ConfigError: if it cannot be that large.
        """
        if not 0 < factor <= self.most:
            raise ConfigError(
                f"the rate of {self.method} can be at most {self.most:g} times the planner's, "
                f"got {factor:g} times"
            )
        change = factor / self.factor
        moved = {name: self.algorithm[name] * change**power for name, power in self.moves}
        return dataclasses.replace(
            self, factor=factor, lr=self.lr * change, algorithm={**self.algorithm, **moved}
        )

    def tables(self, epochs: int) -> dict[str, Any]:
        """`[algorithm]`, `[optimizer]` and `[train]`; rates are halved every `epochs` // 3 epochs.

        That is the optimizer's rate: steps that an algorithm sets itself stay as they are.
        """
        decay_every = max(1, epochs // 3)
        return {
            "algorithm": self.algorithm,
            "optimizer": {"lr": self.lr, "decay": 0.5, "decay_every": decay_every},
            "train": {"epochs": epochs},
        }


def choices(device: Device, batch: int, steps_per_epoch: int) -> list[Choice]:
    """Every method with its steps for a device and a mini-batch.

    Steps are those that were tuned at 4 states (`configs/fashion-mnist-4-states`) on devices that
    reach 1. Output scales are set by the reach, so steps are shares of it. Gradients are those of
    the mean loss, so steps of a tile grow with the mini-batch; that of a single tile also with the
    number of states, since its noise is that of its pulses. Where digital numbers hold the weight's
    change the optimizer's rate grows to some size only, TT-v2's to 32 images and MP's, by the
    root above 16, to 128: where it grew in proportion MP learnt nothing, from 32 images on with
    constant steps and from 64 on with soft bounds (docs/plan.md). What decides about a device
    after some evidence does so as often an epoch as it was tuned to: the gated method ten times, a
    cascade forty times at most, TT-v2 by the rate of its buffer, which counts in pulses: finer
    devices have smaller ones.

    Args:
        device: of every tile.
        batch: images of a mini-batch.
        steps_per_epoch: mini-batches of an epoch.
    """
    reach = max(device.w_max, -device.w_min)
    share = batch / 16 * reach
    single = Choice(
        "single_tile", "single tile", {"name": "single_tile"},
        min(0.001 * device.states, 0.1) * share,
    )  # fmt: skip
    chains = [
        Choice(
            f"residual_learning-{tiles}",
            f"MT-RL, {tiles} tiles",
            {
                "name": "residual_learning", "tiles": tiles, "gamma": "auto", "schedule": "auto",
                "fast_lr": 1.0 * share, "transfer_lr": 0.1,
            },
            0.1 * batch / 16, moves=(("fast_lr", 1),),
        )
        for tiles in TILES
    ]  # fmt: skip
    gated = [
        Choice(
            f"gated_residual_learning-{tiles}", f"gated MT-RL, {tiles} tiles",
            {
                "name": "gated_residual_learning", "tiles": tiles,
                "stage_steps": _STAGE * steps_per_epoch,
            },
            min(_DECISIONS / (GatedResidualLearning.decisions * steps_per_epoch), 1.0),
        )
        for tiles in GATED
    ]  # fmt: skip
    # A cascade moves a device by whole pulses whatever the rate; it is as fast as its passes.
    pass_steps = min(max(steps_per_epoch / (_CASCADE_DECISIONS * 4**2), 1.0), 5.0)
    cascaded = Choice(
        "cascaded_residual_learning-10", "cascaded MT-RL, 10 tiles",
        {
            "name": "cascaded_residual_learning", "weight_tiles": 3, "levels": [3, 3], "passes": 4,
            "pass_steps": pass_steps, "stage_steps": _CASCADE_STAGE * steps_per_epoch,
        },
        0.1, measure_first=True, moves=(("pass_steps", -1),), most=pass_steps,
    )  # fmt: skip
    buffered = Choice(
        "tiki_taka_v2", "TT-v2",
        {
            "name": "tiki_taka_v2", "fast_lr": 0.8 * share, "columns": 25,
            "transfer_lr": 0.2 / device.states * _TT_V2_STEPS / steps_per_epoch,
        },
        0.2 * min(batch, _LARGEST_BUFFERED) / 16,
    )  # fmt: skip
    mixed = Choice(
        "mixed_precision", "MP", {"name": "mixed_precision"},
        1.6 * min(batch / 16, math.sqrt(min(batch, _LARGEST_MIXED) / 16)) * reach,
    )  # fmt: skip
    return [single, *chains, *gated, cascaded, buffered, mixed]


def with_rates(offered: list[Choice], keys: Iterable[str]) -> list[Choice]:
    """The choices offered, and those of `keys` that differ from one of them by the learning rate.

    Raises:
        ConfigError: if a key is neither.
    """
    made = {choice.key: choice for choice in offered}
    for key in keys:
        method, _, factor = key.rpartition(_RATE)
        if key not in made:
            if method not in made or not factor.replace(".", "", 1).isdigit() or not float(factor):
                raise ConfigError(f"no choice {key!r}; {did_you_mean(key, list(made))}")
            other = made[method].at_rate(float(factor))
            if other.key != key:
                raise ConfigError(f"write the choice {key!r} as {other.key!r}")
            made[key] = other
    methods = [choice.key for choice in offered]
    return sorted(made.values(), key=lambda c: (methods.index(c.method), c.factor))
