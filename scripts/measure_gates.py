"""Make results/gates/gates.json: what passes a gate, and gates in a row, fed with noise and drifts.

    python scripts/measure_gates.py

Layers of 40 x 40 devices of 4 states meet vectors of independent normal numbers, whose products
have a mean of `drift` times their spread. Decisions are counted, up (with the drift) and down; the
weight that they move does not act back on the vectors. One seed each; about 10 minutes on one core.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import resitile as rt
from resitile.nn import AnalogLinear

OUT = Path(__file__).parent.parent / "results" / "gates" / "gates.json"
SIZE, BATCH, SETTLING = 40, 4, 20
CASCADES: tuple[dict[str, Any], ...] = (
    {"levels": [3, 3], "alarm": 0.1},
    {"levels": [3, 3], "alarm": 0.05},
    {"levels": [3, 3], "alarm": 0.01},
    {"levels": [3, 3], "alarm": 0.1, "gradient_tiles": 3},
    {"levels": [3, 3], "alarm": 0.05, "gradient_tiles": 3},
    {"levels": [4, 4], "alarm": 0.1, "gradient_tiles": 3},
    {"levels": [4, 4], "alarm": 0.05, "gradient_tiles": 3},
    {"levels": [3, 3], "alarm": 0.1, "pass_steps": 1.0},
    {"levels": [4, 4], "alarm": 0.1, "gradient_tiles": 3, "pass_steps": 1.0},
    {"levels": [3, 3, 3], "alarm": 0.1, "gradient_tiles": 3, "pass_steps": 1.0},
    {"levels": [2, 3], "alarm": 0.1},
    {"levels": [5], "alarm": 0.02, "passes": 16},
    {"levels": [5], "alarm": 0.002, "passes": 16},
    {"levels": [2, 3], "alarm": 0.1, "variation": "none"},
    {"levels": [5], "alarm": 0.002, "passes": 16, "variation": "none"},
)
GATED: tuple[dict[str, Any], ...] = ({}, {"fresh": 1.0, "refill": 0.5})


@dataclass
class Decisions:
    """What the weight's tile got while a layer was fed.

    Attributes:
        ups, downs: pulses with and against the drift, (d_out, d_in).
        shares: of the decisions at each gate, those that it let pass, first gate first.
        passes: over the columns.
        held: contents of the weight's tile at the end.
    """

    ups: np.ndarray
    downs: np.ndarray
    shares: list[float]
    passes: int
    held: np.ndarray


def feed(
    rule: rt.algorithms.Algorithm, steps: int, drift: float, seed: int = 1, *, hold: bool = False
) -> Decisions:
    """Feed a fresh layer, and after some mini-batches count what it decides.

    The weight's tile is emptied after every mini-batch, so that each pulse is seen, or may `hold`.
    """
    layer = AnalogLinear(SIZE, SIZE, bias=False, algorithm=rule, seed=0, scale=1.0)
    layer.program(torch.zeros(SIZE, SIZE))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    random = torch.Generator().manual_seed(seed)
    ups, downs = np.zeros((2, SIZE, SIZE), dtype=np.int64)
    start = 0
    for step in range(-SETTLING, steps):
        if step == 0:
            layer.counts.zero_()
            start = int(layer.state["passes"][0])
        # A gradient against the drift: what descends it goes up.
        x, d = (torch.randn(BATCH, SIZE, generator=random) + drift**0.5 for _ in range(2))
        (layer(x) * -d).sum().backward()
        optimizer.step()
        if hold:
            continue
        pulses = layer.tiles[0].numpy()
        if pulses.any():
            ups += (pulses > 0) & (step >= 0)
            downs += (pulses < 0) & (step >= 0)
            layer.tiles[0].zero_()
    passes = int(layer.state["passes"][0]) - start
    return Decisions(ups, downs, _shares(layer), passes, layer.tiles[0].numpy().copy())


def _shares(layer: AnalogLinear) -> list[float]:
    """The share of its decisions that each gate lets pass, from pulses and reads."""
    rule, pulses, reads = layer.algorithm, layer.pulses.tolist(), layer.transfers.tolist()
    if isinstance(rule, rt.algorithms.CascadedResidualLearning):
        shares: list[float] = []
        passed = pulses[0]  # one pulse at 4 states, and one back to each tile of the level
        for level in range(len(rule.levels) - 1, -1, -1):
            first, last = rule.span(level)
            shares.insert(0, passed / (reads[last - 1] * SIZE))
            passed = sum(pulses[first:last]) - (last - first) * passed
        return shares
    return [pulses[0] / (reads[-2] * SIZE)]


def cascade(
    settings: dict[str, Any], device: rt.devices.Device
) -> rt.algorithms.CascadedResidualLearning:
    """One weight tile, trained all along."""
    return rt.algorithms.CascadedResidualLearning(
        device, weight_tiles=1, stage_steps=10**9, **settings
    )


def per_thousand(decisions: Decisions) -> list[float]:
    """Pulses up and down of a device in 1,000 passes."""
    scale = 1000 / decisions.passes / SIZE**2
    return [float(decisions.ups.sum() * scale), float(decisions.downs.sum() * scale)]


def rest(settings: dict[str, Any], device: rt.devices.Device, steps: int) -> dict[str, float]:
    """At which drift the decisions of single devices balance, as a spread over devices.

    Two halves of the run have independent noise, so the mean product of a device's two imbalances
    is the square of what belongs to the device.
    """
    halves = [feed(cascade(settings, device), steps, 0.0, seed) for seed in (1, 2)]
    pushed = feed(cascade(settings, device), steps, 0.03)
    first, second = ((h.ups - h.downs) / h.passes for h in halves)
    own = float(np.mean((first - first.mean()) * (second - second.mean())))
    slope = float(np.mean(pushed.ups - pushed.downs) / pushed.passes / 0.03)
    return {"spread": float(np.sqrt(max(own, 0.0)) / slope), "square": own / slope**2}


def main() -> None:
    """Measure all and write the record."""
    device = rt.devices.SoftBounds(states=4)
    uneven = rt.devices.SoftBounds(states=4, variation="none", up_down=0.3)
    record: dict[str, list[Any]] = {"cascades": [], "gated": [], "biased": [], "rest": []}

    def add(part: str, entry: dict[str, Any]) -> None:
        record[part].append(entry)
        print(part, json.dumps(entry), file=sys.stderr)

    for settings in CASCADES:
        own = dict(settings)
        rule = cascade(
            own, rt.devices.SoftBounds(states=4, variation=own.pop("variation", "default"))
        )
        steps = 12_000 if len(rule.levels) > 2 else round(3_000 * rule.pass_steps)
        entry: dict[str, Any] = dict(settings)
        for name, drift in (("noise", 0.0), ("drift", 0.03)):
            found = feed(rule, steps, drift)
            entry[name] = {"shares": found.shares, "per_1000_passes": per_thousand(found)}
        add("cascades", entry)
    for settings in GATED:
        gated = rt.algorithms.GatedResidualLearning(
            device, tiles=5, weight_tiles=1, alarm=0.01, columns=SIZE // 5, decisions=0.2,
            **settings,
        )  # fmt: skip
        add("gated", {**settings, "alarm": 0.01, "shares": feed(gated, 15_000, 0.0).shares})
    for chop in (0, 8):
        rule = cascade({"levels": [3, 3], "alarm": 0.1, "pass_steps": 1.0, "chop": chop}, uneven)
        found = feed(rule, 3_000, 0.0)
        held = float(feed(rule, 3_000, 0.0, hold=True).held.mean())
        add("biased", {"chop": chop, "per_1000_passes": per_thousand(found), "held": held})
    for levels in ([4, 4], [3, 3, 3]):
        for chop in (0, 16):
            own = {"levels": levels, "gradient_tiles": 3, "alarm": 0.1, "chop": chop}
            add("rest", {**own, **rest({**own, "pass_steps": 1.0}, device, 12_000)})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
