"""Make results/adaptive/*.json: schedule="adaptive" against a grid of fixed schedules.

    python scripts/compare_adaptive.py [least-squares] [networks]

Same gradient steps, devices, data and seeds for every schedule; the best of the grid is chosen in
hindsight for each problem (least squares: by the reported error itself; networks: by validation
accuracy). The constants of the adaptive schedule were chosen on the problem called "tuned-on" and,
with other seeds, the perceptron. Runs that a file already holds are used again: delete it after a
change. One thread, about 25 minutes on a shared core.
"""

import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import plan_task
import torch

import resitile as rt
from resitile.algorithms import ResidualLearning
from resitile.experiments import config as configs
from resitile.experiments.task import evaluate, load_task
from resitile.nn import AnalogLinear, analog_layers

OUT = Path(__file__).parent.parent / "results" / "adaptive"
SEEDS = (11, 12, 13)
STEPS = (0.03, 0.1, 0.3)  # transfer_lr
Settings = dict[str, Any]
Run = Callable[[Settings, int], dict[str, float]]


@dataclass(frozen=True)
class Problem:
    """Least squares: y = W* x + noise, x normal, W* uniform on +-0.6, 4 tiles, scale 1.

    Args:
        name: in the record.
        states: of the devices, default spread.
        d_in, d_out: shape of W*.
        target: "still"; "jump" takes a new W* half way; "turn" then turns to it and on, half a
            circle in all.
        noise: standard deviation of the label noise.
        steps: mini-batches of 4 at lr 0.1.
    """

    name: str
    states: int
    d_in: int
    d_out: int
    target: str
    noise: float = 0.5
    steps: int = 3000

    def run(self, settings: Settings, seed: int) -> dict[str, float]:
        """Mean of |W - W*|^2 / |W*|^2 over the last quarter, of a moving target the last half."""
        g = torch.Generator().manual_seed(seed)
        first, second = (
            1.2 * torch.rand(self.d_out, self.d_in, generator=g) - 0.6 for _ in range(2)
        )
        rule = ResidualLearning(rt.devices.SoftBounds(states=self.states), tiles=4, **settings)
        layer = AnalogLinear(self.d_in, self.d_out, bias=False, algorithm=rule, scale=1, seed=seed)
        layer.program(torch.zeros(self.d_out, self.d_in))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
        kept: list[float] = []
        start = self.steps * (3 if self.target == "still" else 2) // 4
        for t in range(self.steps):
            share = max(0.0, t / self.steps - 0.5)
            goal = first if share == 0 else second
            if self.target == "still":
                goal = first
            elif self.target == "turn":
                angle = 2 * math.pi * share
                goal = first * math.cos(angle) + second * math.sin(angle)
            x = torch.randn(4, self.d_in, generator=g)
            y = x @ goal.T + self.noise * torch.randn(4, self.d_out, generator=g)
            ((layer(x) - y).square().sum() / 8).backward()
            optimizer.step()
            if t >= start and t % 5 == 0:
                error = (layer.weight.detach() - goal).square().mean() / goal.square().mean()
                kept.append(float(error))
        return {"error": float(np.mean(kept)), "reads": float(layer.transfers.sum()) / self.steps}


PROBLEMS = (
    Problem("tuned-on", 6, 24, 12, "jump"),
    Problem("still, 4 states", 4, 16, 10, "still"),
    Problem("still, 10 states", 10, 32, 16, "still"),
    Problem("still, 20 states", 20, 20, 20, "still"),
    Problem("jump, 4 states", 4, 16, 10, "jump"),
    Problem("turn, 10 states", 10, 20, 8, "turn"),
)


@dataclass(frozen=True)
class Network:
    """A classifier of `fashion-mnist-10k`, 3 epochs, batch 16, default spread.

    Args:
        name: in the record.
        model: name of its class in plan_task.py.
        states: of the devices.
        tiles: number of tiles.
        lr: of the optimizer.
    """

    name: str
    model: str
    states: int
    tiles: int
    lr: float = 0.2

    def run(self, settings: Settings, seed: int) -> dict[str, float]:
        """Accuracies, and columns read per mini-batch in all layers."""
        data = {"name": "fashion-mnist-10k", "batch_size": 16}
        # The task is that of any algorithm.
        run = {"name": "adaptive", "seed": seed, "data": data, "algorithm": {"name": "digital"}}
        task = load_task(configs.parse(run))
        nll = torch.nn.functional.nll_loss
        images, labels = task.train.images, task.train.labels
        if settings.get("schedule") == "auto":
            settings = {**settings, "steps_per_epoch": -(-len(labels) // 16)}
        device = rt.devices.SoftBounds(states=self.states)
        algorithm = ResidualLearning(device, tiles=self.tiles, **settings)
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(seed)  # of the initial weights
            model = rt.convert(getattr(plan_task, self.model)(), algorithm, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        optimizer = rt.AnalogSGD(model.parameters(), lr=self.lr)
        count = 0
        for _ in range(3):
            for part in torch.randperm(len(labels), generator=generator).split(16):
                loss = nll(model(images[part]), labels[part])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                count += 1
        reads = sum(int(layer.transfers.sum()) for layer in analog_layers(model).values())
        return {
            "val_accuracy": evaluate(model, task.validation, nll)[1],
            "test_accuracy": evaluate(model, task.test, nll)[1],
            "reads": reads / count,
        }


NETWORKS = (
    Network("perceptron", "Perceptron", 4, 6),
    Network("convolution", "OneConvolution", 10, 4),
)


def fixed(paces: tuple[tuple[int, int], ...], ratios: tuple[int, ...]) -> list[Settings]:
    """The grid: (columns, mini-batches) of the finest tile's transfers, ratio and step."""
    return [
        {"transfer_every": every, "columns": columns, "transfer_ratio": ratio, "transfer_lr": beta}
        for (columns, every), ratio, beta in itertools.product(paces, ratios, STEPS)
    ]


def summary(settings: Settings, run: Run, old: dict[str, Any]) -> dict[str, Any]:
    """Mean and standard error over the seeds of everything that a run reports."""
    for row in (*old.get("grid", ()), *old.get("also", ()), old.get("adaptive", {})):
        if row.get("settings") == settings:
            return dict(row)
    found = [run(settings, seed) for seed in SEEDS]
    row: dict[str, Any] = {"settings": settings}
    for key in found[0]:
        values = np.array([f[key] for f in found])
        row[key] = float(values.mean())
        row[key + "_se"] = float(values.std(ddof=1) / math.sqrt(len(values)))
        row[key + "_seeds"] = values.tolist()
    return row


def compare(
    run: Run, grid: list[Settings], key: str, sign: int, old: dict[str, Any],
    also: tuple[Settings, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """All schedules on one problem; `sign` is 1 where more of `key` is better, else -1."""
    adaptive = summary({"schedule": "adaptive"}, run, old)
    rows = [summary(settings, run, old) for settings in grid]
    best = max(rows, key=lambda row: sign * row[key])
    # Seeds give both schedules the same problem, so their differences are what counts.
    gain = sign * (np.array(adaptive[key + "_seeds"]) - np.array(best[key + "_seeds"]))
    return {
        "adaptive": adaptive, "best": best, "gain": float(gain.mean()),
        "gain_se": float(gain.std(ddof=1) / math.sqrt(len(gain))),
        "reached": bool(gain.mean() >= 0), "also": [summary(s, run, old) for s in also],
        "grid": rows,
    }  # fmt: skip


def read(name: str) -> dict[str, Any]:
    """The problems of a file of the same seeds, if there is one."""
    path = OUT / f"{name}.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return dict(record["problems"]) if record.get("seeds") == list(SEEDS) else {}


def write(name: str, records: dict[str, Any]) -> None:
    """One file, with what it was made by."""
    OUT.mkdir(parents=True, exist_ok=True)
    record = {"version": rt.__version__, "seeds": SEEDS, "problems": records}
    (OUT / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def show(name: str, found: dict[str, Any], key: str) -> None:
    """One line for people."""
    a, b = found["adaptive"], found["best"]
    print(
        f"{name}: adaptive {a[key]:.4g} +- {a[key + '_se']:.2g} ({a['reads']:.2f} reads), best "
        f"{b[key]:.4g} +- {b[key + '_se']:.2g} ({b['reads']:.2f} reads) {b['settings']}, gain "
        f"{found['gain']:.3g} +- {found['gain_se']:.2g}, reached: {found['reached']}",
        flush=True,
    )


def main() -> None:
    """Run the named parts, both without names."""
    torch.set_num_threads(1)
    rt.set_num_threads(1)
    parts = sys.argv[1:] or ["least-squares", "networks"]
    if "least-squares" in parts:
        grid = fixed(((4, 1), (1, 1), (1, 4)), (2, 5, 20))
        compare_all("least-squares", PROBLEMS, grid, "error", -1, ({"transfer_lr": 0.0},))
    if "networks" in parts:
        grid = fixed(((16, 1), (2, 1)), (2, 5))
        compare_all("networks", NETWORKS, grid, "val_accuracy", 1, ({"schedule": "auto"},))


def compare_all(
    part: str, problems: Sequence[Problem | Network], grid: list[Settings], key: str, sign: int,
    also: tuple[Settings, ...],
) -> None:  # fmt: skip
    """All problems of a part, each written as soon as it is done."""
    records = read(part)
    for problem in problems:
        old = records.get(problem.name, {})
        if old.get("problem") != asdict(problem):
            old = {}
        found = compare(problem.run, grid, key, sign, old, also)
        records[problem.name] = {"problem": asdict(problem), **found}
        show(problem.name, found, key)
        write(part, records)


if __name__ == "__main__":
    main()
