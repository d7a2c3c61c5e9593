"""Make results/gates/evidence.json: how much of what mini-batches say a cascade of gates uses.

    python scripts/measure_evidence.py DATA_DIR

LeNet-5 is trained digitally for an epoch of full Fashion-MNIST and then left as it is. What its
layers send backward for an epoch of mini-batches of 16 is given to cascades of each setting, whose
decisions are counted and not carried out. With g the gradient over all images, in units of its root
mean square:

    rate        decisions of a device in 1,000 mini-batches, R
    certainty   mean of sign * -g over decisions, D / R: 0 where they are noise
    evidence    D**2 / R; of a sum that loses nothing, 1,000 * mean(g**2) / mean(variance of g)

One run each, one seed; about 20 minutes on one core.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

import resitile as rt
from resitile.data import load
from resitile.models.lenet5 import LeNet5
from resitile.nn import AnalogLinear
from resitile.tiles import Vectors, patches, rows

OUT = Path(__file__).parent.parent / "results" / "gates" / "evidence.json"
BATCH, LR, SEED = 16, 0.1, 0
# `cut`: parts of a mini-batch, each of which is a mini-batch to the cascade.
TWO = {"levels": [4, 4], "gradient_tiles": 3}
THREE = {"levels": [3, 3, 3], "gradient_tiles": 3}
# One gradient tile takes a block, and all are read when each has had one.
TURNS = {"levels": [4, 4], "gradient_tiles": 16, "pass_steps": 16.0, "turn_steps": 1}
SETTINGS: tuple[dict[str, Any], ...] = (
    {**TWO, "pass_steps": 5.0},
    TWO,
    {**TWO, "gradient_tiles": 8},
    {**TWO, "cut": 4, "fresh": 1.0},
    THREE,
    {**THREE, "gradient_tiles": 8},
    {**THREE, "cut": 4, "fresh": 1.0},
    {**THREE, "cut": 16, "fresh": 0.5},
    {**TURNS, "gradient_tiles": 8, "pass_steps": 8.0, "cut": 8, "fresh": 1.0},
    {**TURNS, "cut": 8, "fresh": 1.0},
    {**TURNS, "cut": 8, "fresh": 1.0, "refill": 1.0},
    {**TURNS, "cut": 16, "fresh": 1.0, "refill": 1.0},
)
LAYERS = {"second convolution": "features.3", "first linear layer": "classifier.1"}


class Signals:
    """What the layers of a network that stays as it is send backward, mini-batch by mini-batch."""

    def __init__(self, folder: Path) -> None:
        data = load("fashion-mnist", folder)
        count = len(data.train_images) // BATCH * BATCH
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
        self.images = data.train_images[order].float().div(255).unsqueeze(1)
        self.labels = data.train_labels[order].long()
        torch.default_generator.manual_seed(SEED)
        self.model = LeNet5()
        self.layers = {
            name: layer
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.Conv2d | nn.Linear)
        }

    def train(self) -> float:
        """One epoch of digital training; the mean loss of its last tenth."""
        optimizer, losses = torch.optim.SGD(self.model.parameters(), lr=LR), []
        for _ in self._backward(losses):
            optimizer.step()
            optimizer.zero_grad()
        return float(np.mean(losses[-len(losses) // 10 :]))

    def _backward(self, losses: list[float]) -> Iterator[None]:
        loss_of = nn.NLLLoss()
        for at in range(0, len(self.labels), BATCH):
            loss = loss_of(self.model(self.images[at : at + BATCH]), self.labels[at : at + BATCH])
            loss.backward()
            losses.append(loss.item())
            yield

    def __iter__(self) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
        """Input and output gradient of every layer, by name."""
        found: dict[str, tuple[Tensor, Tensor]] = {}

        def listen(name: str) -> Callable[..., None]:
            def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                x = inputs[0].detach()
                output.register_hook(lambda d: found.__setitem__(name, (x, d)))

            return note

        handles = [m.register_forward_hook(listen(n)) for n, m in self.layers.items()]
        try:
            for _ in self._backward([]):
                self.model.zero_grad()
                yield found
        finally:
            for handle in handles:
                handle.remove()


def vectors_of(layer: nn.Module, x: Tensor, d: Tensor) -> Vectors:
    """A layer's vectors, as an update takes them."""
    if isinstance(layer, nn.Linear):
        return rows(x.numpy(), d.numpy())
    assert isinstance(layer, nn.Conv2d)
    return patches(
        x.contiguous().numpy(), d.contiguous().numpy(), kernel=layer.kernel_size, stride=(1, 1),
        dilation=(1, 1),
    )[0]  # fmt: skip


def moments(signals: Signals) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """For every layer the mean gradient of a mini-batch, and what it is beside its noise."""
    sums: dict[str, list[np.ndarray]] = {}
    batches = 0
    for found in signals:
        batches += 1
        for name, (x, d) in found.items():
            vectors = vectors_of(signals.layers[name], x, d)
            whole = vectors.outer().astype(np.float64)
            sizes = vectors_of(signals.layers[name], x.abs(), d.abs()).outer()
            parts = (whole, whole**2, sizes)
            before = sums.get(name, [0.0 * part for part in parts])
            sums[name] = [total + part for total, part in zip(before, parts, strict=True)]
    means, told = {}, {}
    for name, (total, squares, sizes) in sums.items():
        mean = total / batches
        variance = squares / batches - mean**2
        means[name] = mean
        told[name] = {
            "mean_over_size": float(np.median(np.abs(total[sizes > 0]) / sizes[sizes > 0])),
            "integrator": float(1000 * np.mean(mean**2) / np.mean(variance)),
        }
    return means, told


def measure(
    signals: Signals, means: dict[str, np.ndarray], settings: dict[str, Any]
) -> dict[str, Any]:
    """Rate, certainty and evidence of one setting in each layer."""
    own = {"pass_steps": 1.0, "alarm": 0.1, **settings}
    cut = own.pop("cut", 1)
    rule = rt.algorithms.CascadedResidualLearning(
        rt.devices.SoftBounds(states=4), weight_tiles=1, stage_steps=10**9, **own
    )
    held = {}
    for name, path in LAYERS.items():
        d_out, d_in = means[path].shape
        held[name] = AnalogLinear(d_in, d_out, bias=False, algorithm=rule, seed=SEED)
        held[name].program(torch.zeros(d_out, d_in))
    number = dict.fromkeys(LAYERS, 0)
    along = dict.fromkeys(LAYERS, 0.0)
    batches = 0
    for found in signals:
        batches += 1
        for name, path in LAYERS.items():
            x, d = found[path]
            layer, mean = held[name], means[path]
            for first in range(0, BATCH, BATCH // cut):
                part = slice(first, first + BATCH // cut)
                vectors = vectors_of(signals.layers[path], x[part], d[part])
                vectors.measure()
                layer.learn([[vectors]], LR)
                signs = np.sign(layer.tiles[0].numpy())
                if signs.any():
                    number[name] += int(np.abs(signs).sum())
                    along[name] -= float((signs * mean).sum() / np.sqrt(np.mean(mean**2)))
                    layer.tiles[0].zero_()  # counted, not carried out
    out: dict[str, Any] = {"settings": settings}
    for name, path in LAYERS.items():
        scale = 1000 / batches / means[path].size
        certainty = along[name] / max(number[name], 1)
        out[name] = {
            "rate": number[name] * scale,
            "certainty": certainty,
            "evidence": certainty**2 * number[name] * scale,
        }
    return out


def main() -> None:
    """Measure what the record lacks."""
    signals = Signals(Path(sys.argv[1]))
    loss = signals.train()
    means, told = moments(signals)
    record: dict[str, Any] = {"training_loss": loss, "layers": told, "settings": []}
    print(json.dumps(record), file=sys.stderr)
    if OUT.exists():
        record["settings"] = json.loads(OUT.read_text())["settings"]
    done = [entry["settings"] for entry in record["settings"]]
    for settings in SETTINGS:
        if settings not in done:
            record["settings"].append(measure(signals, means, settings))
            print(json.dumps(record["settings"][-1]), file=sys.stderr)
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
