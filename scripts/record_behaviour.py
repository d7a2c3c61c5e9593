"""Make results/behaviour.json: pulses and reads of every recorded algorithm's first mini-batches.

    python scripts/record_behaviour.py

The settings are those of the runs in results/fashion-mnist-4-states/, which take hours; here they
meet a few hundred images of the embedded set. `make test` compares: a change of an algorithm that
moves these numbers makes records on the pages those of another program. Then write this file anew
and run again what the change concerns.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from resitile.experiments.config import load
from resitile.experiments.runner import run

ROOT = Path(__file__).parent.parent
OUT = ROOT / "results" / "behaviour.json"
IMAGES = 640  # of them 576 for training: 36 mini-batches of 16


def configs() -> list[Path]:
    """The settings of all recorded analog runs."""
    found = sorted((ROOT / "configs").glob("*/*.toml"))
    return [p for p in found if p.parts[-2] in ("fashion-mnist-4-states", "published")]


def measure(path: Path, seed: int = 0) -> dict[str, Any]:
    """By layer, the pulses received by and columns read from each tile in a short epoch."""
    overrides = [
        "data.name=fashion-mnist-10k", f"data.limit={IMAGES}", "train.epochs=1", "train.threads=1",
        f"seed={seed}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = load(path, overrides)
        run(config, Path(folder), test=False)
        lines = (Path(folder) / config.name / "metrics.jsonl").read_text().splitlines()
    epoch = next(line for line in map(json.loads, lines) if line["kind"] == "epoch")
    return {key: epoch[key] for key in ("pulses", "transfers")}


def name(path: Path) -> str:
    """Folder and file of a configuration, without its ending."""
    return f"{path.parts[-2]}/{path.stem}"


def main() -> None:
    """Measure all and write the file."""
    found = {}
    for path in configs():
        record = measure(path)
        if record["pulses"]:  # digital training has none
            found[name(path)] = record
            print(name(path), flush=True)
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items())
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
