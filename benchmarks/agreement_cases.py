"""The small regressions of `agreement.py`: what is trained, and by whom with which settings.

Every setting is written once and translated for both simulators. aihwkit lists tiles from the
finest to the coarsest, resitile the other way round; aihwkit's chopped compounds count transfers
in vectors unless told otherwise.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

import resitile as rt
from resitile.algorithms.base import State
from resitile.tiles import Composite, Vectors

Setting = dict[str, Any]

# Two settings each: with absolute steps, and with steps scaled by the optimizer's learning rate
# (or, where an algorithm has no such choice, another size of step).
SETTINGS: dict[str, list[Setting]] = {
    "SingleTile": [{"lr": 0.05}, {"lr": 0.2}],
    "TikiTaka": [
        {"lr": 0.05, "fast_lr": 0.2, "transfer_lr": 0.3, "scaled": False, "every": 1},
        {"lr": 0.3, "transfer_lr": 1.0, "scaled": True, "every": 2, "gamma": 0.4},
    ],
    "TikiTakaV2": [
        {"lr": 0.05, "fast_lr": 0.3, "transfer_lr": 0.5, "scaled": False, "every": 1},
        {"lr": 0.3, "transfer_lr": 2.0, "scaled": True, "every": 1, "columns": 2, "gamma": 0.3,
         "momentum": 0.3, "forget_buffer": False, "threshold": 0.7},
    ],
    "ChoppedTikiTaka": [
        {"lr": 0.05, "fast_lr": 0.3, "transfer_lr": 0.7, "scaled": False, "every": 1,
         "chop_prob": 0.1, "random_chop": True},
        {"lr": 0.3, "transfer_lr": 1.0, "scaled": True, "every": 2, "batch": 1,
         "chop_prob": 0.2, "random_chop": False, "momentum": 0.2, "forget_buffer": False,
         "granularity": 1.5, "auto_granularity": 10.0, "bits": 10},
        {"lr": 0.1, "fast_lr": 0.1, "transfer_lr": 0.1, "scaled": False, "every": 1, "batch": 1,
         "auto_scale": True, "correct_gradient_magnitudes": True, "bits": 5},
    ],
    "AGAD": [
        {"lr": 0.05, "fast_lr": 0.3, "transfer_lr": 0.7, "scaled": False, "every": 1,
         "chop_prob": 0.1},
        {"lr": 0.3, "transfer_lr": 1.0, "scaled": True, "every": 1, "batch": 1,
         "chop_prob": 0.2, "tail_weightening": 2.0, "momentum": 0.2, "granularity": 0.5},
    ],
    "MixedPrecision": [{"lr": 0.05, "every": 1}, {"lr": 0.2, "every": 3}],
    "ResidualLearning": [
        {"lr": 0.05, "fast_lr": 0.2, "transfer_lr": 0.3, "growth": 1.2, "scaled": False,
         "every": 1, "tiles": 3, "ratio": 3},
        {"lr": 0.3, "transfer_lr": 0.5, "growth": 1.0, "scaled": True, "every": 2, "tiles": 4,
         "ratio": 2, "gamma": 0.3},
    ],
}  # fmt: skip
SHAPES = ((6, 8), (20, 10))
STATES = (4, 20, 200)


@dataclass(frozen=True)
class Case:
    """One regression: algorithm, its setting, (d_out, d_in), states, spread, steps."""

    algorithm: str
    number: int
    shape: tuple[int, int]
    states: int
    variation: str
    steps: int = 240
    setting: Setting = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "setting", SETTINGS[self.algorithm][self.number])

    @property
    def name(self) -> str:
        """A line for tables."""
        rows, columns = self.shape
        spread = "spread" if self.variation == "default" else "none"
        shape = f"{rows:>2}x{columns:<2}"
        return f"{self.algorithm:<17}#{self.number} {shape} {self.states:>3} {spread:<6}"

    def target(self) -> torch.Tensor:
        """W*: the same for all seeds."""
        generator = torch.Generator().manual_seed(sum(self.shape))
        return 0.8 * torch.rand(self.shape, generator=generator) - 0.4

    def data(self, seed: int) -> torch.Tensor:
        """(steps, batch, d_in) inputs."""
        generator = torch.Generator().manual_seed(seed)
        size = (self.steps, self.setting.get("batch", 4), self.shape[1])
        return torch.randn(size, generator=generator)


@dataclass(frozen=True)
class Contender:
    """A layer under training.

    Attributes:
        optimizer: steps it.
        weight: the weight, (d_out, d_in).
        fast: the tile that takes the gradient.
    """

    layer: torch.nn.Module
    optimizer: torch.optim.Optimizer
    weight: Callable[[], torch.Tensor]
    fast: Callable[[], torch.Tensor]


class LateMixedPrecision(rt.algorithms.MixedPrecision, name="late_mixed_precision"):
    """Mixed precision with aihwkit's timing (CPU): sends after a mini-batch's first vector.

    The sum that is due was complete when the mini-batch before ended, and resitile sends it
    there. With this one difference taken away, the two must agree.
    """

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """chi takes the first vector; the whole pulses in it leave; chi takes the rest."""
        (vectors,) = batch
        first = replace(vectors, starts=vectors.starts[:1], d=vectors.d[:, :, :1])
        rest = replace(vectors, starts=vectors.starts[1:], d=vectors.d[:, :, 1:])
        due = int(state["steps"][0]) > 0 and int(state["steps"][0]) % self.transfer_every == 0
        plain = replace(self, transfer_every=1 if due else 10**9)
        steps = int(state["steps"][0])
        rt.algorithms.MixedPrecision.step(plain, weight, state, [first], lr)
        state["chi"] -= lr * rest.outer()
        state["steps"][0] = steps + 1


RENAMED = {"every": "transfer_every", "growth": "transfer_lr_growth", "ratio": "transfer_ratio",
           "scaled": "scale_transfer_lr"}  # fmt: skip


def ours(
    case: Case, seed: int, device: rt.devices.Device | None = None, **changes: Any
) -> Contender:
    """resitile's layer; `device` and `changes` plant a fault."""
    device = device or rt.devices.SoftBounds(states=case.states, variation=case.variation)
    skipped = ("lr", "batch")
    own = {RENAMED.get(k, k): v for k, v in case.setting.items() if k not in skipped} | changes
    cls = getattr(rt.algorithms, case.algorithm)
    rule = (LateMixedPrecision if cls is rt.algorithms.MixedPrecision else cls)(device, **own)
    layer = rt.nn.AnalogLinear(
        case.shape[1], case.shape[0], bias=False, algorithm=rule, scale=1.0, seed=seed
    )
    layer.program(torch.zeros(case.shape))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=case.setting["lr"])
    return Contender(layer, optimizer, layer.weight.detach, lambda: layer.tiles[-1])


def peer(case: Case, seed: int) -> Contender:
    """aihwkit's layer."""
    from aihwkit.nn import AnalogLinear
    from aihwkit.optim import AnalogSGD

    layer = AnalogLinear(
        case.shape[1], case.shape[0], bias=False, rpu_config=peer_config(case, seed)
    )
    layer.set_weights(torch.zeros(case.shape))
    tile = layer.analog_module.tile
    names = tile.get_hidden_parameter_names()

    def fast() -> torch.Tensor:
        if "hidden_weights_0" not in names:
            return layer.get_weights()[0]
        return tile.get_hidden_parameters()[names.index("hidden_weights_0")]

    optimizer = AnalogSGD(layer.parameters(), lr=case.setting["lr"])
    return Contender(layer, optimizer, lambda: layer.get_weights()[0], fast)


def peer_config(case: Case, seed: int) -> Any:
    """aihwkit's configuration of a case."""
    from aihwkit.simulator.configs import (
        DigitalRankUpdateRPUConfig,
        SingleRPUConfig,
        UnitCellRPUConfig,
    )
    from aihwkit.simulator.configs.compounds import MixedPrecisionCompound
    from aihwkit.simulator.configs.devices import SoftBoundsDevice

    cell: Setting = {"w_min": -1.0, "w_max": 1.0, "dw_min": 2 / case.states}
    if case.variation == "none":
        spread = ("dw_min_dtod", "dw_min_std", "w_min_dtod", "w_max_dtod", "up_down_dtod")
        cell |= dict.fromkeys(spread, 0.0)
    # The engine behind this seed starts alike for neighbouring seeds: scatter them.
    spread_seed = random.Random(seed).randrange(1, 2**31)
    s = case.setting
    if case.algorithm == "SingleTile":
        config = SingleRPUConfig(device=SoftBoundsDevice(**cell, construction_seed=spread_seed))
    elif case.algorithm == "MixedPrecision":
        device = MixedPrecisionCompound(
            device=SoftBoundsDevice(**cell),
            transfer_every=s["every"],
            construction_seed=spread_seed,
        )
        config = DigitalRankUpdateRPUConfig(device=device)
    else:
        cells = [SoftBoundsDevice(**cell) for _ in range(s.get("tiles", 2))]
        compound = peer_compound(case, cells)
        compound.construction_seed = spread_seed
        compound.transfer_forward.is_perfect = True
        config = UnitCellRPUConfig(device=compound)
        config.update.desired_bl = s.get("bits", 31)
    config.forward.is_perfect = config.backward.is_perfect = True
    config.mapping.digital_bias = config.mapping.learn_out_scaling = False
    return config


def peer_compound(case: Case, cells: list[Any]) -> Any:
    """aihwkit's compound of tiles for a case."""
    from aihwkit.simulator.configs.compounds import (
        BufferedTransferCompound,
        ChoppedTransferCompound,
        DynamicTransferCompound,
        TransferCompound,
    )

    s = case.setting
    common: Setting = {
        "unit_cell_devices": cells,
        "units_in_mbatch": True,
        "fast_lr": s.get("fast_lr", 1.0),
        "scale_fast_lr": s["scaled"],
        "scale_transfer_lr": s["scaled"],
        "transfer_lr": s["transfer_lr"],
        "transfer_every": s["every"],
        "n_reads_per_transfer": s.get("columns", 1),
    }
    if case.algorithm == "ResidualLearning":
        last = len(cells) - 1
        return TransferCompound(
            **common,
            gamma_vec=[s.get("gamma", 0.5) ** (last - k) for k in range(last + 1)],
            transfer_every_vec=[s["every"] * s["ratio"] ** k for k in range(last + 1)],
            transfer_lr_vec=[s["transfer_lr"] * s["growth"] ** (last - k) for k in range(last + 1)],
        )
    if case.algorithm == "TikiTaka":
        return TransferCompound(**common, gamma=s.get("gamma", 0.0))
    if case.algorithm == "TikiTakaV2":
        return BufferedTransferCompound(
            **common,
            gamma=s.get("gamma", 0.0),
            thres_scale=s.get("threshold", 1.0),
            momentum=s.get("momentum", 0.1),
            forget_buffer=s.get("forget_buffer", True),
        )
    chopped: Setting = common | {
        "in_chop_prob": s.get("chop_prob", 0.1),
        "momentum": s.get("momentum", 0.0),
        "forget_buffer": s.get("forget_buffer", True),
        "buffer_granularity": s.get("granularity", 1.0),
        "auto_granularity": s.get("auto_granularity", 0.0),
        "auto_scale": s.get("auto_scale", False),
        "correct_gradient_magnitudes": s.get("correct_gradient_magnitudes", False),
    }
    if case.algorithm == "AGAD":
        return DynamicTransferCompound(
            **chopped, in_chop_random=False, tail_weightening=s.get("tail_weightening", 5.0)
        )
    return ChoppedTransferCompound(**chopped, in_chop_random=s.get("random_chop", True))
