"""The toy problem of Figure 7 (right): error against time and number of tiles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from resitile.devices import SoftBounds
from resitile.errors import ConfigError
from resitile.theory.checks import inside, not_negative, positive, whole
from resitile.theory.copies import Copies
from resitile.theory.problems import Toy
from resitile.theory.schedules import Schedule

Say = Callable[[str], None]
# Read off Figure 7 (right) of arXiv 2510.02516v1 at epoch 1800, 1 to 6 tiles.
PUBLISHED = (8e-3, 4.5e-5, 9e-7, 6e-8, 4.5e-8, 4.3e-8)
TARGET_RATIO = 10.0


@dataclass(frozen=True)
class Protocol:
    """How the toy is trained.

    Args:
        name: in tables and pictures.
        schedule: "periods" (every 2 * 2^k updates) or "nested" (the theory's loops).
        steps: updates of the finest tile in the main phase.
        alpha: step of the finest tile.
        beta: step of the transfers in the main phase.
        warm_steps: updates in each stage of the warm start; 0 for none.
        warm_beta: step of the warm start's transfers, finest tile to tile k.
        gamma: ratio of tiles.
        loop: nested only: T_n = loop for the middle tiles, loop * gamma^(1 - N) for the finest.
        states: of the devices; the toy's are 4.
        most: largest number of tiles.
    """

    name: str
    schedule: str = "periods"
    steps: int = 120_000
    alpha: float = 0.01
    beta: float = 0.01
    warm_steps: int = 0
    warm_beta: float = 0.01
    gamma: float = 0.1
    loop: int = 10
    states: float = 4
    most: int = 6

    def __post_init__(self) -> None:
        if self.schedule not in ("periods", "nested"):
            raise ConfigError(f'schedule must be "periods" or "nested", got {self.schedule!r}')
        whole("steps", self.steps, 1)
        whole("warm_steps", self.warm_steps, 0)
        whole("loop", self.loop, 1)
        whole("most", self.most, 1)
        positive("alpha", self.alpha)
        not_negative("beta", self.beta)
        not_negative("warm_beta", self.warm_beta)
        inside("gamma", self.gamma, 0, 1, "it is the ratio of tiles")

    def timing(self, tiles: int) -> Schedule:
        """The transfers of `tiles` tiles."""
        if self.schedule == "periods":
            return Schedule.periodic(tiles)
        finest = round(self.loop * self.gamma ** (2 - tiles))
        return Schedule.nested([self.loop] * (tiles - 2) + [finest] * (tiles > 1))


# What the paper states is in the first two: dw_min 0.5, gamma 0.1, batch 1, periods 2 * 2^k,
# fast_lr 0.01, transfer_lr 0.01, no managements. It does not say whether the warm start of
# Algorithm 1 is used, nor how many samples an epoch has. 120,000 updates is what its last floor,
# 4e-8, suggests (an error e is corrected after dw_min / (2 alpha e) updates on average).
STATED = Protocol("chain as printed", steps=20_000)
WARM = Protocol("warm start, then transfer_lr x lr", warm_steps=4_000, beta=0.01 * 0.001)
# alpha = 1 / (2 L) with L = 2, as in Theorem 2; 1 would send a weight over its optimum and back.
NESTED = Protocol(
    "nested loops", schedule="nested", steps=150_000, alpha=0.25, beta=5 * 0.1**2, most=3
)
PROTOCOLS = {"stated": STATED, "warm": WARM, "nested": NESTED}


def shortened(protocol: Protocol) -> Protocol:
    """A twentieth of the steps and at most 3 tiles: for a first look."""
    return replace(
        protocol, steps=max(1, protocol.steps // 20), warm_steps=protocol.warm_steps // 4,
        most=min(protocol.most, 3),
    )  # fmt: skip


def covered(copies: Copies, b: np.ndarray[Any, Any], gamma: float) -> np.ndarray[Any, Any]:
    """Whether each tile's local optimum lies within what it and the finer tiles can hold.

    |b - sum_{m<n} gamma^m W(m)| <= gamma^n + ... + gamma^N for every n: Assumption 3 for the
    optima, which the theorems need and nothing enforces.
    """
    tiles = copies.tiles.shape[1]
    scales = gamma ** np.arange(tiles)
    reach = np.cumsum(scales[::-1])[::-1]
    left = b[:, None] - np.cumsum(scales * copies.tiles, axis=1)
    good: np.ndarray[Any, Any] = (np.abs(left[:, :-1]) <= reach[1:]).all(axis=1)
    return good


def run_toy(tiles: int, protocol: Protocol, count: int = 512, seed: int = 0) -> dict[str, Any]:
    """Train `count` scalar weights with `tiles` tiles each.

    Returns:
        mean, median, share covered, and mean and median among the covered copies, of the loss
        at the end; and `trace`: times with median losses of all and of the copies covered at the
        end (None where no copy is).
    """
    whole("tiles", tiles, 1)
    device = SoftBounds(states=protocol.states, variation="none")
    copies = Copies(device, count, tiles=tiles, gamma=protocol.gamma, seed=seed)
    problem, finest = Toy(copies.count, seed + 1), tiles - 1
    timing, warm = protocol.timing(tiles), protocol.warm_steps * finest
    marks = set(np.unique(np.geomspace(1, warm + protocol.steps, 60).astype(int)).tolist())
    losses, times = [problem.loss(copies.weight)], [0]
    for t in range(1, warm + protocol.steps + 1):
        copies.pulse(finest, problem.gradient(copies.weight), protocol.alpha)
        if t <= warm:
            if t % 2 == 0:  # T_N of the toy
                copies.transfer(finest, (t - 1) // protocol.warm_steps, protocol.warm_beta)
        else:
            for n in timing.due(t - warm):
                copies.transfer(n, n - 1, protocol.beta)
        if t in marks:
            losses.append(problem.loss(copies.weight))
            times.append(t)
    inside_reach, last = covered(copies, problem.b, protocol.gamma), losses[-1]
    some = inside_reach.any()
    return {
        "tiles": tiles,
        "mean": float(last.mean()),
        "median": float(np.median(last)),
        "covered": float(inside_reach.mean()),
        "covered_copies": int(inside_reach.sum()),
        "covered_mean": float(last[inside_reach].mean()) if some else None,
        "covered_median": float(np.median(last[inside_reach])) if some else None,
        "trace": {
            "times": times,
            "median": [float(np.median(values)) for values in losses],
            "covered_median": [
                float(np.median(values[inside_reach])) if some else None for values in losses
            ],
        },
    }


def tiles_sweep(
    protocol: Protocol, most: int | None = None, count: int = 512, seed: int = 0,
    say: Say = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """`run_toy` for 1 tile and more, with the factor that each further tile gains.

    Returns:
        settings, runs, and `ratios`: loss of the run before over loss of this one, for the mean
        of all copies, their median, and the mean of the covered ones.
    """
    runs = []
    for tiles in range(1, min(most or protocol.most, protocol.most) + 1):
        run = run_toy(tiles, protocol, count, seed)
        runs.append(run)
        say(
            f"toy, {protocol.name}: {tiles} tiles, mean {run['mean']:.3g}, median "
            f"{run['median']:.3g}, covered {run['covered']:.1%}"
        )
    ratios = {
        key: [a[key] / b[key] if a[key] and b[key] else None for a, b in pairwise(runs)]
        for key in ("mean", "median", "covered_mean")
    }
    return {"settings": vars(protocol), "runs": runs, "ratios": ratios}
