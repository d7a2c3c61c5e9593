"""Test the planner on a network and a device that its reference runs did not have.

    python scripts/check_plan.py RUNS_DIR

A perceptron, 5,000 images of `fashion-mnist-10k`, devices of 7 states with cycle noise 0.5: 20
runs, every method of the planner with its steps and variants with half and double the learning
rate. Compares the recommendation with the best run, without limits and with 4 kB of digital
storage. Writes results/plan/check.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

from resitile import devices, models
from resitile.experiments import config as configs
from resitile.experiments.plan import Limits, plan
from resitile.experiments.plan_choices import choices
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run

EPOCHS, BATCH, NETWORK = 10, 16, "plan_task:Perceptron"
STEPS = 282  # mini-batches of an epoch
DEVICE = {"name": "soft_bounds", "states": 7, "variation": {"cycle": 0.5, "dw_min": 0.3}}
VARIED = ("residual_learning-4", "residual_learning-6", "residual_learning-8", "tiki_taka_v2")
STORAGE = 4000.0


def accuracy(runs: Path, name: str, tables: dict[str, Any]) -> tuple[float, float]:
    """Validation and test accuracy of a run."""
    data = {"name": "fashion-mnist-10k", "batch_size": BATCH, "limit": 5000}
    content = {"name": name, "data": data, "model": {"name": NETWORK}, **tables}
    content["train"] = {"epochs": EPOCHS, "threads": 1}
    found = run(configs.parse(content), runs, resume=RunFolder(runs / name).exists)
    print(name, found["val_accuracy"], found["test_accuracy"], flush=True)
    return found["val_accuracy"], found["test_accuracy"]


def main() -> None:
    """Run the grid and compare."""
    runs = Path(sys.argv[1])
    digital = {"algorithm": {"name": "digital"}, "optimizer": {"lr": 0.1}}
    top = accuracy(runs, "digital", digital)
    device = devices.create(**DEVICE)
    grid = []
    for choice in choices(device, BATCH, STEPS):
        factors = (0.5, 1.0, 2.0) if choice.key in VARIED else (1.0,)
        if choice.key in (
            "single_tile",
            "mixed_precision",
            "residual_learning-2",
            "residual_learning-3",
        ):
            factors = (0.5, 1.0)
        for factor in factors:
            tables = choice.tables(EPOCHS)
            tables["optimizer"] = {**tables["optimizer"], "lr": choice.lr * factor}
            name = f"{choice.key}-lr{factor:g}"
            val, test = accuracy(runs, name, {"device": DEVICE, **tables})
            grid.append({"key": choice.key, "factor": factor, "validation": val, "test": test})
    cases = {}
    for case, limits in (("no limits", Limits()), ("4 kB", Limits(storage_bytes=STORAGE))):
        found = plan(
            device, models.create(NETWORK), batch=BATCH, digital_accuracy=top[1], limits=limits,
            steps_per_epoch=STEPS,
        )  # fmt: skip
        allowed = {row["key"]: row for row in found["choices"] if not row["breaks"]}
        chosen = found["recommended"]
        mine = next(g for g in grid if g["key"] == chosen and g["factor"] == 1)
        best = max((g for g in grid if g["key"] in allowed), key=lambda g: g["validation"])
        cases[case] = {
            "recommended": mine,
            "predicted": allowed[chosen]["predicted_accuracy"],
            "update_ns": allowed[chosen]["update_ns"],
            "best": best,
            "best_update_ns": allowed[best["key"]]["update_ns"],
            "predictions": {k: r["predicted_accuracy"] for k, r in allowed.items()},
        }
        print(case, json.dumps(cases[case], indent=1))
    out = Path(__file__).parent.parent / "results" / "plan" / "check.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"digital": top, "runs": len(grid), "grid": grid, "cases": cases}
    out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
