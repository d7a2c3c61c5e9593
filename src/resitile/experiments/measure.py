"""What is recorded about the tiles, and TensorBoard."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from resitile._registry import described
from resitile.algorithms import Algorithm
from resitile.errors import ConfigError, ResitileError
from resitile.nn import analog_layers, counted_cost, estimate_cost

_BINS = 40


def counts(model: nn.Module) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Pulses received by and transfers out of each tile so far, by layer."""
    layers = analog_layers(model)
    return (
        {name: layer.pulses.tolist() for name, layer in layers.items()},
        {name: layer.transfers.tolist() for name, layer in layers.items()},
    )


def idle(model: nn.Module) -> dict[str, list[int]]:
    """By layer, the tiles that no pulse ever reached; layers without such tiles are left out."""
    found = {
        name: [n for n, pulses in enumerate(layer.pulses.tolist()) if not pulses]
        for name, layer in analog_layers(model).items()
    }
    return {name: tiles for name, tiles in found.items() if tiles}


def stage(model: nn.Module) -> int | None:
    """The coarsest tile that is being filled in any layer (a warm start, gates), or None."""
    found = [
        int(layer.state["stage"][0])
        for layer in analog_layers(model).values()
        if "stage" in layer.state and layer.state["stage"][0] < layer.algorithm.count - 1
    ]
    return min(found, default=None)


def costs(model: nn.Module, batch: int, samples: int, lr: float) -> dict[str, float]:
    """What the run's updates cost on hardware, with the published constants and one vector a layer.

    Args:
        model: the trained one.
        batch: samples of a mini-batch.
        samples: images it was trained with; the last mini-batch of an epoch may be short.
        lr: its first learning rate, for the formula.

    Returns:
        By the algorithm's formula `digital_storage_bytes` and `update_ns` per sample; with the
        transfers that were counted instead of the settings' periods, `counted_update_ns` and
        `counted_update_nj` per sample. Empty for a digital model, and for an algorithm that does
        not state its cost.
    """
    layers = analog_layers(model).values()
    if not layers or any(type(layer.algorithm).work is Algorithm.work for layer in layers):
        return {}
    try:
        formula = estimate_cost(model, batch=batch, lr=lr).total
        counted = counted_cost(model, samples=samples, batch=batch).total
    except ResitileError:
        raise
    except Exception as error:  # of an algorithm of the user's own
        rule = type(next(iter(layers)).algorithm)
        raise ConfigError(
            f"reads or work of {rule.__name__} fails at "
            f"{described(error, inspect.getsourcefile(rule))}"
        ) from error
    return {
        "digital_storage_bytes": formula.storage_bytes,
        "update_ns": formula.update_ns,
        "counted_update_ns": counted.update_ns,
        "counted_update_nj": counted.update_nj,
    }


def wear(model: nn.Module) -> dict[str, dict[str, list[float]]] | None:
    """Pulses per device, by layer and for each tile: the most, the median and the mean.

    None if they are not counted.
    """
    found = {}
    for name, layer in analog_layers(model).items():
        if layer.wear is not None:
            devices = layer.wear.numpy().reshape(-1, layer.algorithm.count)
            found[name] = {
                "worst": devices.max(axis=0).tolist(),
                "median": np.median(devices, axis=0).tolist(),
                "mean": devices.mean(axis=0).tolist(),
            }
    return found or None


def tiles(model: nn.Module) -> dict[str, dict[str, Any]]:
    """By layer, how the contents of each tile are distributed, coarsest tile first.

    The edges are the same in every epoch: the nominal bounds, widened by two standard deviations
    of their spread between devices; what lies beyond counts into the outermost bins.
    """
    found = {}
    for name, layer in analog_layers(model).items():
        contents = layer.tiles.numpy()
        rule = layer.algorithm
        low = min(d.w_min * (1 + 2 * d.spread()["w_min"]) for d in rule.devices())
        high = max(d.w_max * (1 + 2 * d.spread()["w_max"]) for d in rule.devices())
        edges = np.linspace(low, high, _BINS + 1)
        # Clipped to within the outer bins in double precision, as the edges are.
        inside = np.clip(contents.astype(np.float64), low, high)
        found[name] = {
            "edges": edges.tolist(),
            "counts": [np.histogram(tile, edges)[0].tolist() for tile in inside],
            "mean": contents.mean(axis=(1, 2), dtype=np.float64).tolist(),
            "std": contents.std(axis=(1, 2), dtype=np.float64).tolist(),
            "scale": float(layer.scale.detach()),
            "gamma": [rule.ratio**n if n < rule.visible else 0.0 for n in range(rule.count)],
        }
    return found


@contextmanager
def board(folder: Path, done: int) -> Iterator[Any]:
    """A TensorBoard writer; what an earlier session wrote after epoch `done` is hidden."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)
    try:
        yield writer
    finally:
        writer.close()


def to_board(writer: Any, found: list[dict[str, Any]]) -> None:
    """Show the records of an epoch in TensorBoard."""
    for record in found:
        epoch = record["epoch"]
        if record["kind"] == "epoch":
            for part in ("train", "val"):
                writer.add_scalar(f"loss/{part}", record[f"{part}_loss"], epoch)
                writer.add_scalar(f"accuracy/{part}", record[f"{part}_accuracy"], epoch)
            writer.add_scalar("lr", record["lr"], epoch)
        else:
            for name, layer in record["layers"].items():
                for n, std in enumerate(layer["std"]):
                    writer.add_scalar(f"tile_std/{name}/{n}", std, epoch)
    writer.flush()
