"""One training step of LeNet-5 against the digital step, and against aihwkit where installed.

    python benchmarks/lenet_step.py [--steps 300] [--peer | --algorithms]

All contenders train the same network (batch 8, real images, 2 threads) in one process, ten steps
each in turn. The step is zero_grad, forward, backward and optimizer step.
"""

import argparse
from collections.abc import Callable

import common  # sets thread variables before torch is imported
import torch
from torch import nn

import resitile as rt
from resitile.data import load
from resitile.models.lenet5 import LeNet5

STATES, BATCH = 4, 8


def trainer(model: nn.Module, optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """A function that makes the next training step."""
    data = load("fashion-mnist-10k")
    images = data.train_images[:4096].float().div(255).unsqueeze(1)
    labels = data.train_labels[:4096].long()
    loss, state = nn.NLLLoss(), {"at": 0}

    def step() -> None:
        at = state["at"]
        state["at"] = (at + BATCH) % 4096
        optimizer.zero_grad()
        loss(model(images[at : at + BATCH]), labels[at : at + BATCH]).backward()
        optimizer.step()

    return step


def ours(tiles: int) -> Callable[[], None]:
    """resitile with `tiles` tiles, the default spread, and the same step of the gradient tile."""
    device = rt.devices.SoftBounds(states=STATES)
    rule: rt.algorithms.Algorithm = rt.algorithms.SingleTile(device)
    if tiles > 1:
        rule = rt.algorithms.ResidualLearning(device, tiles=tiles, fast_lr=0.5)
    model = rt.convert(LeNet5(), rule)
    return trainer(model, rt.AnalogSGD(model.parameters(), lr=0.5))


def algorithms() -> dict[str, Callable[[], None]]:
    """Every algorithm with the same step of the tile that takes the gradient."""
    device = rt.devices.SoftBounds(states=STATES)
    made = {}
    for name in rt.algorithms.names():
        cls = type(rt.algorithms.create(name, device))
        takes = "fast_lr" in cls.__dataclass_fields__
        rule = rt.algorithms.create(name, device, **({"fast_lr": 0.5} if takes else {}))
        model = rt.convert(LeNet5(), rule)
        lr = 0.05 if takes else 0.5
        made[name] = trainer(model, rt.AnalogSGD(model.parameters(), lr=lr))
    return made


def peer(tiles: int) -> Callable[[], None]:
    """aihwkit's residual chain: same devices, gamma, periods and steps."""
    from aihwkit.nn.conversion import convert_to_analog
    from aihwkit.optim import AnalogSGD
    from aihwkit.simulator.configs import UnitCellRPUConfig
    from aihwkit.simulator.configs.compounds import TransferCompound
    from aihwkit.simulator.configs.devices import SoftBoundsDevice

    cells = [SoftBoundsDevice(w_min=-1, w_max=1, dw_min=2 / STATES) for _ in range(tiles)]
    compound = TransferCompound(
        unit_cell_devices=cells,
        units_in_mbatch=True,
        transfer_every_vec=[2 * 5**n for n in range(tiles)],
        gamma_vec=[0.5 ** (tiles - 1 - n) for n in range(tiles)],
        transfer_lr_vec=[0.1 * 1.2**n for n in range(tiles - 1, -1, -1)],
        scale_transfer_lr=False,
        transfer_columns=True,
        fast_lr=0.5,
    )
    if hasattr(compound, "scale_fast_lr"):
        compound.scale_fast_lr = False
    config = UnitCellRPUConfig(device=compound)
    config.mapping.learn_out_scaling = False
    config.forward.is_perfect = config.backward.is_perfect = True
    config.device.transfer_forward.is_perfect = True
    model = convert_to_analog(LeNet5(), config)
    return trainer(model, AnalogSGD(model.parameters(), lr=0.05))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="steps of each contender")
    parser.add_argument("--peer", action="store_true", help="aihwkit beside us (must be installed)")
    parser.add_argument("--algorithms", action="store_true", help="every algorithm instead")
    arguments = parser.parse_args()
    common.use_threads(2)
    digital = LeNet5()
    contenders = {
        "digital (torch.optim.SGD)": trainer(
            digital, torch.optim.SGD(digital.parameters(), lr=0.05)
        )
    }
    if arguments.algorithms:
        contenders |= algorithms()
    else:
        contenders |= {f"resitile, {n} tile(s)": ours(n) for n in (1, 2, 4, 6, 8)}
    if arguments.peer:
        contenders |= {"aihwkit, 6 tiles": peer(6)}
    for step in contenders.values():
        for _ in range(30):
            step()
    times = common.alternate(contenders, rounds=max(1, arguments.steps // 10), per_round=10)
    name = "lenet_step"
    if arguments.peer or arguments.algorithms:
        name += "_peer" if arguments.peer else "_algorithms"
    common.report(name, times, "digital (torch.optim.SGD)", states=STATES, batch=BATCH)


if __name__ == "__main__":
    main()
