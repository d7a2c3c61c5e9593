"""Test the planner on networks and devices that its reference runs did not have.

    python scripts/check_plan.py RUNS_DIR

Two tasks: a perceptron, 5,000 images, devices of 7 states with cycle noise 0.5; and a convolution
with one linear layer, 4,000 images in mini-batches of 8, narrow devices of 15 states that are
steeper up than down. For each 20 runs and more, every method of the planner with its steps and
variants with half and double the learning rate. Compares the recommendation, predicted and after
three choices were measured, with the best run, without limits and with 4 kB of digital storage.
Writes results/plan/check.json.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from resitile.experiments.pilots import DIGITAL, Question, answer_by_runs
from resitile.experiments.plan import Limits
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run

MEASURED = 3
TASKS = {
    "perceptron": Question(
        {"name": "soft_bounds", "states": 7, "variation": {"cycle": 0.5, "dw_min": 0.3}},
        {"name": "fashion-mnist-10k", "batch_size": 16, "limit": 5000},
        "plan_task:Perceptron", epochs=10, threads=1,
    ),
    "convolution": Question(
        {"name": "soft_bounds", "states": 15, "w_min": -0.6, "w_max": 0.6, "up_down": 0.1},
        {"name": "fashion-mnist-10k", "batch_size": 8, "limit": 4000},
        "plan_task:OneConvolution", epochs=8, threads=1,
    ),
}  # fmt: skip
LIMITS = {"no limits": Limits(), "4 kB": Limits(storage_bytes=4000.0)}
_HALF = ("single_tile", "mixed_precision", "residual_learning-2", "residual_learning-3")
_HALF_AND_DOUBLE = ("residual_learning-4", "residual_learning-6", "residual_learning-8")


def factors(key: str) -> tuple[float, ...]:
    """Learning rates of a choice in the grid, as shares of the planner's."""
    if key in (*_HALF_AND_DOUBLE, "tiki_taka_v2"):
        return (1.0, 0.5, 2.0)
    return (1.0, 0.5) if key in _HALF else (1.0,)


def grid_of(question: Question, runs: Path) -> list[dict[str, Any]]:
    """Accuracies of all runs, digital training first."""
    found = []
    for choice in (DIGITAL, *question.choices.values()):
        for factor in factors(choice.key):
            scaled = dataclasses.replace(choice, lr=choice.lr * factor)
            digital = choice is DIGITAL
            config = question.run(choice if digital else scaled, f"{choice.key}-lr{factor:g}")
            done = run(config, runs, resume=RunFolder(runs / config.name).exists)
            scores = {"validation": done["val_accuracy"], "test": done["test_accuracy"]}
            found.append({"key": choice.key, "factor": factor, **scores})
            print(config.name, scores, flush=True)
    return found


def compared(found: dict[str, Any], grid: list[dict[str, Any]]) -> dict[str, Any]:
    """The recommended choice beside the best run of those that keep to the limits."""
    allowed = {row["key"]: row for row in found["choices"] if not row["breaks"]}
    chosen = allowed[found["recommended"]]
    mine = next(g for g in grid if g["key"] == chosen["key"] and g["factor"] == 1)
    best = max((g for g in grid if g["key"] in allowed), key=lambda g: g["validation"])
    return {
        "recommended": mine,
        "predicted": chosen["predicted_accuracy"],
        "update_ns": chosen["update_ns"],
        "best": best,
        "best_update_ns": allowed[best["key"]]["update_ns"],
        "predictions": {k: r["predicted_accuracy"] for k, r in allowed.items()},
        "measured": {
            k: r["measured_accuracy"]
            for k, r in allowed.items()
            if r["measured_accuracy"] is not None
        },
    }


def main() -> None:
    """Run the grids and compare."""
    record = {}
    for name, question in TASKS.items():
        runs = Path(sys.argv[1]) / name
        grid = grid_of(question, runs)
        digital = grid.pop(0)
        cases = {}
        for case, limits in LIMITS.items():
            asked = dataclasses.replace(question, limits=limits)
            top = digital["validation"]
            cases[case] = {
                "predicted": compared(asked.answer(digital=top), grid),
                "measured": compared(answer_by_runs(asked, MEASURED, runs / "measured"), grid),
            }
        record[name] = {"digital": digital, "runs": len(grid), "grid": grid, "cases": cases}
        print(name, json.dumps(cases, indent=1), flush=True)
    out = Path(__file__).parent.parent / "results" / "plan" / "check.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
