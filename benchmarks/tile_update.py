"""The pulsed update of one 512 x 512 tile, 100 vectors, against aihwkit where installed.

    python benchmarks/tile_update.py [--peer] [--rounds 40] [--block 10]

Fine devices (1200 states, many pulses) and coarse ones (4 states, few), default spread. In place
on the tile, inputs as torch tensors; 2 threads. The same law as a user would write it takes part,
which must be no slower than the built-in one. Contenders take turns after `--block` updates, as
in lenet_step.py; with 1 each finds its caches filled by the other.
"""

import argparse
from collections.abc import Callable

import common
import numpy as np
import torch

import resitile as rt
from resitile.tiles import Composite, Tile, rows

SIZE, VECTORS, LR = 512, 100, 0.01


class OwnSoftBounds(rt.Device, name="own_soft_bounds"):
    """Soft bounds, written outside of the package."""

    @staticmethod
    def q_up(w, p):  # type: ignore[no-untyped-def]
        """Response to a pulse up; `p` is (w_min, w_max)."""
        return 1 - w / p[1]

    @staticmethod
    def q_down(w, p):  # type: ignore[no-untyped-def]
        """Response to a pulse down; `p` is (w_min, w_max)."""
        return 1 - w / p[0]


def ours(x: torch.Tensor, d: torch.Tensor, device: rt.Device) -> Callable[[], None]:
    """Our update, measuring the vectors included."""
    # A single tile at scale 1 is its own composite, as in `rt.pulsed_update`.
    w = np.zeros((SIZE, SIZE, 1), dtype=np.float32)
    composite = Composite(
        [Tile(device, 1)], w, w[:, :, 0],
        gamma=1.0, scale=1.0, seed=1, counts=np.zeros((3, 1), dtype=np.int64),
    )  # fmt: skip

    def update() -> None:
        vectors = rows(x.numpy(), d.numpy())  # as AnalogLinear does
        vectors.measure()
        composite.pulse(0, [vectors], LR)

    return update


def peer(x: torch.Tensor, d: torch.Tensor, states: int) -> Callable[[], None]:
    """aihwkit's update of the same tile."""
    from aihwkit.simulator.configs import SingleRPUConfig
    from aihwkit.simulator.configs.devices import SoftBoundsDevice
    from aihwkit.simulator.tiles.analog import AnalogTile

    device = SoftBoundsDevice(w_min=-1, w_max=1, dw_min=2 / states)
    tile = AnalogTile(SIZE, SIZE, SingleRPUConfig(device=device))
    tile.tile.set_learning_rate(LR)
    return lambda: tile.update(x, d)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", action="store_true", help="aihwkit beside us (must be installed)")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--block", type=int, default=10, help="updates before the other's turn")
    arguments = parser.parse_args()
    common.use_threads(2)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(VECTORS, SIZE, generator=generator) * 2 - 1
    d = (torch.rand(VECTORS, SIZE, generator=generator) * 2 - 1) * 0.1
    for states in (1200, 4):
        contenders = {
            "resitile": ours(x, d, rt.devices.SoftBounds(states=states)),
            "resitile, a law of one's own": ours(x, d, OwnSoftBounds(states=states)),
        }
        if arguments.peer:
            contenders["aihwkit"] = peer(x, d, states)
        for update in contenders.values():
            for _ in range(5):
                update()
        times = common.alternate(contenders, arguments.rounds, arguments.block)
        single = "_in_turn" if arguments.block == 1 else ""
        name = f"tile_update_{states}_states{'_peer' if arguments.peer else ''}{single}"
        shared = {"states": states, "size": SIZE, "vectors": VECTORS, "block": arguments.block}
        common.report(name, times, "resitile", **shared)


if __name__ == "__main__":
    main()
