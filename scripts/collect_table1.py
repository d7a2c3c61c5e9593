"""Collect finished runs of the Fashion-MNIST row of Table 1 and write the table into the docs.

    python scripts/collect_table1.py [RUNS_DIR [TUNE_DIR]]

With folders, first copies the records of finished runs (config, metrics, summary; no checkpoints)
and tunings to results/fashion-mnist-4-states. Then rewrites the marked block of docs/results.md
from what lies there, the published figures beside ours.
"""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import resitile as rt
from resitile.experiments.config import load
from resitile.models.lenet5 import LeNet5
from resitile.reports import groups, table
from resitile.reports.comparison import shown

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "fashion-mnist-4-states"
# Li et al. 2025 (arXiv 2510.02516), Table 1: LeNet-5, Fashion-MNIST, 4 states, 100 epochs.
PUBLISHED = {
    "TT-v1": "10.01 ± 0.07",
    "TT-v2": "47.51 ± 0.91",
    "MP": "75.61 ± 0.69",
    "MT-RL, 3 tiles": "68.09 ± 0.49",
    "MT-RL, 4 tiles": "73.35 ± 0.13",
    "MT-RL, 6 tiles": "75.11 ± 0.07",
}
PUBLISHED |= {f"{name}, as printed": PUBLISHED[name] for name in ("TT-v2", "MP", "MT-RL, 6 tiles")}
ORDER = (
    "Digital SGD", "Single tile", "TT-v1", "TT-v2", "c-TTv2", "AGAD", "MP",
    "MT-RL, 3 tiles", "MT-RL, 4 tiles", "MT-RL, 6 tiles",
    "Gated MT-RL, 3 tiles", "Gated MT-RL, 4 tiles", "Gated MT-RL, 6 tiles", "Gated MT-RL, 8 tiles",
    "Cascaded MT-RL, 10 tiles", "Cascaded MT-RL, 12 tiles", "Cascaded MT-RL, 16 tiles",
    "Cascaded MT-RL, 15 tiles", "Cascaded MT-RL, 16 tiles, three levels",
    "Cascaded MT-RL, 21 tiles, three levels", "Cascaded MT-RL, 20 tiles",
    "Cascaded MT-RL, 28 tiles",
    "TT-v2, as printed", "MP, as printed", "MT-RL, 6 tiles, as printed",
)  # fmt: skip
BEGIN, END = "<!-- table1:start -->", "<!-- table1:end -->"


def collect(runs: Path, tunings: Path | None) -> None:
    """Copy the records of finished runs, and tunings."""
    for summary in sorted(runs.glob("*/summary.json")):
        target = RESULTS / summary.parent.name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(summary, target)
        lines = (summary.parent / "metrics.jsonl").read_text().splitlines(keepends=True)
        # Histograms of every epoch weigh more than all else: the last one stays.
        tiles = [line for line in lines if '"kind": "tiles"' in line]
        kept = [line for line in lines if line not in tiles[:-1]]
        (target / "metrics.jsonl").write_text("".join(kept))
        text = (summary.parent / "config.toml").read_text()
        own = [line for line in text.splitlines(keepends=True) if not line.startswith("dir = ")]
        (target / "config.toml").write_text("".join(own))
    for tuning in sorted(tunings.glob("*/tuning.json")) if tunings else []:
        content = json.loads(tuning.read_text())
        content["key"]["run"].pop("data.dir", None)
        target = RESULTS / "tuning" / f"{content['name']}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content, indent=1) + "\n")


def cost_of(run: Path) -> dict[str, float]:
    """Digital storage and update latency by the formulas, from the run's settings.

    Where the settings only bound the reads, or a convolution has its columns read more often than
    one vector a layer would say, the latency is that of the counted ones.
    """
    config = load(run / "config.toml")
    rule = config.rule()
    if rule is None:
        return {}
    if isinstance(rule, rt.algorithms.GatedResidualLearning) or getattr(rule, "blocks", 1) > 1:
        summary = json.loads((run / "summary.json").read_text())
        return {
            "digital_storage_bytes": summary["digital_storage_bytes"],
            "update_ns": summary["counted_update_ns"],
        }
    if getattr(rule, "schedule", None) == "auto":
        summary = json.loads((run / "summary.json").read_text())
        per_epoch = -(-summary["train_size"] // config.data.batch_size)
        rule = dataclasses.replace(rule, steps_per_epoch=per_epoch)
    total = rt.estimate_cost(LeNet5(), algorithm=rule, batch=config.data.batch_size).total
    return {"digital_storage_bytes": total.storage_bytes, "update_ns": total.update_ns}


def block() -> str:
    """The table as Markdown."""
    runs = sorted(path.parent for path in RESULTS.glob("*/summary.json"))
    rows = [row | cost_of(run) for run, row in zip(runs, table(runs), strict=True)]
    lines = groups(rows)
    lines.sort(key=lambda line: (ORDER.index(line["label"]), line["epochs"]))
    text = [
        "| method | seeds | epochs | validation | test | published (100 epochs) | "
        "digital storage | update |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        cells = [shown(line, key) for key in ("val_accuracy", "test_accuracy")]
        cost = [shown(line, key) for key in ("digital_storage_bytes", "update_ns")]
        published = PUBLISHED.get(line["label"], "–")
        start = [line["label"], str(line["n"]), str(line["epochs"])]
        text.append("| " + " | ".join([*start, *cells, published, *cost]) + " |")
    return "\n".join(text)


def main() -> None:
    """Collect, if folders are given, and write the table."""
    folders = [Path(argument) for argument in sys.argv[1:]]
    if folders:
        collect(folders[0], folders[1] if len(folders) > 1 else None)
    page = ROOT / "docs" / "results.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{block()}\n{END}{after}")
    print(block())


if __name__ == "__main__":
    main()
