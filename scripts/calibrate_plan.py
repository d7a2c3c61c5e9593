"""Make src/resitile/experiments/plan_reference.json: the runs that `resitile plan` predicts from.

    python scripts/calibrate_plan.py RUNS_DIR

Every method at every reference number of states: LeNet-5, `fashion-mnist-10k`, batch 16, 8 epochs,
default spread, one seed; validation accuracy. Finished runs of the same code in RUNS_DIR are used
again.
"""

import json
import sys
from pathlib import Path

from resitile.devices import SoftBounds
from resitile.experiments import config as configs
from resitile.experiments import own_code
from resitile.experiments.plan_choices import choices
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run

STATES, EPOCHS, BATCH, CHANCE = (4, 10, 40), 8, 16, 0.1
STEPS = 563  # mini-batches of an epoch
TARGET = Path(__file__).parent.parent / "src/resitile/experiments/plan_reference.json"


def main() -> None:
    """Run what is missing and write the file."""
    runs = Path(sys.argv[1])
    common = {"data": {"name": "fashion-mnist-10k", "batch_size": BATCH}}
    digital = {
        "algorithm": {"name": "digital"},
        "optimizer": {"lr": 0.1, "decay": 0.5, "decay_every": EPOCHS // 3},
        "train": {"epochs": EPOCHS},
    }

    def accuracy(name: str, tables: dict) -> float:  # type: ignore[type-arg]
        content = {"name": name, **common, **tables}
        content["train"] = {**content["train"], "threads": 1}
        config = configs.parse(content)
        config = config.model_copy(update={"name": f"{name}-{own_code.stamp(config)}"})
        found = run(config, runs, resume=RunFolder(runs / config.name).exists, test=False)
        print(name, found["val_accuracy"], flush=True)
        return float(found["val_accuracy"])

    top = accuracy("digital", digital)
    kept: dict[str, list[float]] = {}
    for states in STATES:
        for choice in choices(SoftBounds(states=states), BATCH, STEPS):
            device = {"name": "soft_bounds", "states": states}
            tables = {"device": device, **choice.tables(EPOCHS)}
            share = (accuracy(f"{choice.key}-{states}", tables) - CHANCE) / (top - CHANCE)
            kept.setdefault(choice.key, []).append(round(share, 4))
    record = {
        "task": f"LeNet-5, fashion-mnist-10k, {EPOCHS} epochs, batch {BATCH}, validation, 1 seed",
        "states": list(STATES), "digital": top, "chance": CHANCE, "kept": kept,
    }  # fmt: skip
    TARGET.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
