"""Test the planner on networks and devices that its reference runs did not have.

    python scripts/check_plan.py RUNS_DIR [TASK ...]

Five tasks: a perceptron, 5,000 images, devices of 7 states with cycle noise 0.5; a convolution
with one linear layer, 4,000 images in mini-batches of 8, narrow devices of 15 states that are
steeper up than down; three linear layers, 8,000 images in mini-batches of 10 (a quarter of them for
validation), devices of 20 states with linear steps; a convolution with strides and two linear
layers, 8,000 images in mini-batches of 20, devices of 12 states whose steps no formula tells; and
two convolutions, 6,000 images in mini-batches of 12, devices of 5 states, uneven and noisy. The
last was first run when the planner was finished. For each, with three seeds, 24 runs: every method
of the planner with its steps, and variants with half and double the learning rate. Compares the
recommendation, predicted and after three and six runs, with the best run, without limits and with
4 kB of digital storage. Finished runs of the same code in RUNS_DIR are used again.
Writes results/plan/check.json; with tasks named, their part of it only.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from resitile.experiments.pilots import Question, answer_by_runs
from resitile.experiments.plan import Limits
from resitile.experiments.plan_choices import Choice
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run

MEASURED = (3, 6)
SEEDS = (0, 1, 2)  # of training and of the images held back
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
    "three layers": Question(
        {"name": "linear_step", "states": 20, "variation": {"cycle": 0.2}},
        {"name": "fashion-mnist-10k", "batch_size": 10, "limit": 8000, "validation": 0.25},
        "plan_layers:ThreeLayers", epochs=6, threads=1,
    ),
    "strided": Question(
        {"name": "piecewise_step", "states": 12, "up_min": 1.8, "up_low": 1.5, "up_high": 0.6,
         "up_max": 0.1, "down_min": 0.1, "down_low": 0.4, "down_high": 1.3, "down_max": 1.5},
        {"name": "fashion-mnist-10k", "batch_size": 20, "limit": 8000, "validation": 0.25},
        "plan_strided:Strided", epochs=8, threads=1,
    ),
    "two convolutions": Question(
        {"name": "soft_bounds", "states": 5, "w_min": -0.8, "w_max": 0.8, "up_down": 0.2,
         "cycle_noise": "additive", "variation": {"cycle": 0.4}},
        {"name": "fashion-mnist-10k", "batch_size": 12, "limit": 6000, "validation": 0.2},
        "plan_two:TwoConvolutions", epochs=7, threads=1,
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


def scores(question: Question, choice: Choice, runs: Path) -> dict[str, Any]:
    """What a run reaches on validation and test images."""
    config = question.run(choice)
    done = run(config, runs, resume=RunFolder(runs / config.name).exists)
    found = {"key": choice.method, "factor": choice.factor, "run": config.name}
    found |= {"validation": done["val_accuracy"], "test": done["test_accuracy"]}
    print(config.name, found, flush=True)
    return found


def grid_of(question: Question, runs: Path) -> list[dict[str, Any]]:
    """Accuracies of all runs."""
    return [
        scores(question, choice.at_rate(factor), runs)
        for choice in question.choices.values()
        for factor in factors(choice.key)
    ]


def compared(
    found: dict[str, Any], grid: list[dict[str, Any]], question: Question, runs: Path
) -> dict[str, Any]:
    """The recommended choice beside the best run of those that keep to the limits."""
    allowed = {row["key"]: row for row in found["choices"] if not row["breaks"]}
    chosen = allowed[found["recommended"]]
    best = max((g for g in grid if g["key"] in allowed), key=lambda g: g["validation"])
    return {
        "recommended": scores(question, question.choice(chosen["key"]), runs),
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


def checked(question: Question, runs: Path) -> dict[str, Any]:
    """The grid and all recommendations of one task with one seed."""
    grid, digital = grid_of(question, runs), scores(question, question.digital, runs)
    cases = {}
    for case, limits in LIMITS.items():
        asked = dataclasses.replace(question, limits=limits)
        plans = {"predicted": asked.answer(digital=digital["validation"])}
        for count in MEASURED:
            plans[f"measured {count}"] = answer_by_runs(asked, count, runs / "measured")
        cases[case] = {key: compared(plan, grid, asked, runs) for key, plan in plans.items()}
    return {"digital": digital, "grid": grid, "cases": cases}


def main() -> None:
    """Run the grids and compare."""
    out = Path(__file__).parent.parent / "results" / "plan" / "check.json"
    only = sys.argv[2:] or list(TASKS)
    if unknown := set(only) - set(TASKS):
        sys.exit(f"unknown tasks {sorted(unknown)}; there are: {', '.join(TASKS)}")
    record: dict[str, Any] = json.loads(out.read_text()) if len(only) < len(TASKS) else {}
    for name, question in ((name, TASKS[name]) for name in only):
        runs = Path(sys.argv[1]) / name.replace(" ", "-")
        for seed in SEEDS:
            found = checked(dataclasses.replace(question, seed=seed), runs)
            record.setdefault(name, {})[f"seed {seed}"] = found
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    for name, seeds in record.items():
        for case in LIMITS:
            for plan in ("predicted", *(f"measured {count}" for count in MEASURED)):
                print(name, case, plan, summary([s["cases"][case][plan] for s in seeds.values()]))


def summary(cases: list[dict[str, Any]]) -> str:
    """Points below the grid's best on validation and test images, and the ratio of latencies."""
    parts = []
    for case in cases:
        lost = [100 * (case["best"][k] - case["recommended"][k]) for k in ("validation", "test")]
        ratio = case["update_ns"] / case["best_update_ns"]
        parts.append(f"{case['recommended']['key']} x{case['recommended']['factor']:g}: "
                     f"{lost[0]:.1f} ({lost[1]:.1f}) points, {ratio:.2f} x latency")  # fmt: skip
    return "; ".join(parts)


if __name__ == "__main__":
    main()
