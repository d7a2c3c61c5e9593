"""Fit devices that are known: does `resitile device fit` find law, states and noise again?

    python scripts/check_fit.py [SEEDS]

Single devices of six kinds are simulated pulse by pulse (20 % cycle-to-cycle noise, read noise of
0.02 of the half range, ramps of 1.5 times the states up and down, eight times), with ten seeds
each. Writes results/fitting/check.json and prints a line per kind.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from resitile.devices import ConstantStep, Device, LinearStep, PiecewiseStep, SoftBounds
from resitile.fitting import Train, fit
from resitile.tiles import Tile

READ, RAMPS = 0.02, 8
_ALIKE = {"dw_min": 0, "w_min": 0, "w_max": 0, "up_down": 0, "cycle": 0.2}
_SHAPE = {"up_min": 2.0, "up_low": 1.7, "up_high": 0.4, "up_max": 0.2, "down_min": 0.2,
          "down_low": 0.4, "down_high": 1.6, "down_max": 2.0}  # fmt: skip
DEVICES = {
    "soft bounds, 4 states": SoftBounds(states=4, variation=_ALIKE),
    "soft bounds, 20 states": SoftBounds(states=20, variation=_ALIKE),
    "soft bounds, 20 states, up-down 0.3": SoftBounds(states=20, up_down=0.3, variation=_ALIKE),
    "linear step, 10 states": LinearStep(states=10, variation=_ALIKE),
    "constant step, 10 states": ConstantStep(states=10, variation=_ALIKE),
    "piecewise step, 20 states": PiecewiseStep(states=20, variation=_ALIKE, **_SHAPE),
}


def measured(device: Device, seed: int) -> Train:
    """Readings of one simulated device."""
    count = math.ceil(1.5 * device.states)
    ups = np.array(([True] * count + [False] * count) * RAMPS)
    w = Tile(device, 0).staircases(ups, seed=seed)[0]
    return Train("", w + np.random.default_rng(seed).normal(0, READ, w.size), ups)


def scores(device: Device, seed: int) -> dict[str, Any]:
    """What the fit made of one measurement."""
    train = measured(device, seed)
    found = fit([train])
    best, spread, zero = found.best, found.device.spread(), found.zero
    # States count steps at w = 0, which is where the fit has put it.
    step = max(device.step_up * device.q_up(zero, device.p),
               device.step_down * device.q_down(zero, device.p))  # fmt: skip
    return {
        "true_states": (device.w_max - device.w_min) / step,
        "states": found.device.states,
        "states_error": best.step_error * found.device.states,
        "pulses": found.pulses,
        "law": found.device.name,
        "noise": found.device.cycle_noise,
        "cycle": spread["cycle"],
        "read": best.read_noise * found.unit,
    }


def main() -> None:
    """Fit everything and write the record."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    record = {}
    for name, device in DEVICES.items():
        rows = [scores(device, seed) for seed in range(seeds)]
        right = sum(row["law"] == device.name for row in rows)
        states = np.array([row["states"] for row in rows])
        errors = np.array([row["states_error"] for row in rows])
        off = states - [row["true_states"] for row in rows]
        z = float(np.sqrt(np.mean((off / errors) ** 2)))
        record[name] = {"law_found": right, "seeds": seeds, "z": z, "rows": rows}
        print(
            f"{name}: {rows[0]['pulses']} pulses, law found {right}/{seeds}, states off by "
            f"{off.mean():.2f} +- {off.std(ddof=1):.2f} (told +- {errors.mean():.2f}, z {z:.2f}), "
            f"cycle {np.mean([r['cycle'] for r in rows]):.3f}, "
            f"read {np.mean([r['read'] for r in rows]):.4f}",
            flush=True,
        )
    out = Path(__file__).parent.parent / "results" / "fitting" / "check.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
