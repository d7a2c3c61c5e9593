"""Costs of all algorithms side by side, and beside the figures that were printed."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from resitile import algorithms
from resitile._registry import is_own
from resitile.algorithms import Algorithm, ResidualLearning
from resitile.cost import Cost, Layer, Primitives, total_of
from resitile.cost.published import (
    FIGURES,
    MP_FORWARD_BACKWARD_NJ,
    NETWORKS,
    SAMPLES_PER_TRANSFER,
    Figure,
)
from resitile.devices import SoftBounds
from resitile.errors import ConfigError

_ORDER = (  # that of the paper's tables, then this package's own; any others follow
    "single_tile", "tiki_taka", "tiki_taka_v2", "chopped_tiki_taka", "agad", "rider",
    "mixed_precision", "residual_learning", "gated_residual_learning",
    "cascaded_residual_learning",
)  # fmt: skip


def labels() -> dict[str, str]:
    """Every algorithm of the package by name, with what a table calls it."""
    found = {}
    classes = algorithms.classes()
    for name in sorted(classes, key=lambda n: _ORDER.index(n) if n in _ORDER else len(_ORDER)):
        cls = classes[name]
        if is_own(cls):  # a user's: it may not state its cost
            continue
        rule = cls(SoftBounds())
        many = rule.count > 2 and rule.visible < rule.count  # their number is part of the method
        found[name] = cls.title + (f", {rule.count} tiles" if many else "")
    return found


def rule_of(
    name: str, *, batch: int, samples_per_transfer: int, tiles: int | None = None
) -> Algorithm:
    """An algorithm that reads a column every `samples_per_transfer` samples (n_s of the tables).

    In settings: `batch` columns every n_s mini-batches, and for residual learning a ratio of n_s
    from tile to tile; gated, which reads after every mini-batch, batch / n_s columns, rounded, and
    its usual tiles; cascaded, which counts in passes over a layer, as usual. The device has no part
    in the cost.

    Raises:
        ConfigError: if there is no such algorithm, or a number is out of range.
    """
    own = {f.name for f in dataclasses.fields(algorithms.create(name, SoftBounds()))}
    settings: dict[str, Any] = {}
    if {"transfer_every", "columns"} <= own:
        settings = {"transfer_every": samples_per_transfer, "columns": batch}
    if "transfer_ratio" in own:
        settings["transfer_ratio"] = samples_per_transfer
        if tiles is not None:
            settings["tiles"] = tiles
    elif "columns" in own and "transfer_every" not in own:
        settings["columns"] = max(round(batch / samples_per_transfer), 1)
    return algorithms.create(name, SoftBounds(), **settings)


def cost_with(
    name: str, layers: Sequence[Layer], *, samples_per_transfer: int, tiles: int | None = None
) -> Cost:
    """What an algorithm costs on layers, together.

    Args:
        name: of the algorithm.
        layers: their shapes, with the mini-batch and the constants.
        samples_per_transfer: n_s, at least 1.
        tiles: of residual learning; None is infinitely many.

    Raises:
        ConfigError: if there is no such algorithm, or a number is out of range.
    """
    if name == ResidualLearning.name and tiles is None and samples_per_transfer == 1:
        raise ConfigError(
            "with a column read for every sample (n_s = 1) every tile is as busy as the finest and "
            "infinitely many take forever; read every 2 samples or more, or give a number of tiles"
        )
    costs = []
    for layer in layers:
        rule = rule_of(
            name, batch=layer.batch, samples_per_transfer=samples_per_transfer, tiles=tiles
        )
        endless = isinstance(rule, ResidualLearning) and tiles is None
        costs.append(rule.cost_without_end(layer) if endless else rule.cost(layer))  # type: ignore[attr-defined]
    return total_of(costs)


def break_even_tiles(primitives: Primitives | None = None) -> float | None:
    """Tiles from which residual learning takes more energy than mixed precision (Table 8).

    (E_MP - update) / (forward and backward of a tile), with MP's forward and backward as printed
    and, as there, no digital energy in residual learning's update. None where products take no
    energy: there is no such number.
    """
    mp, mt = (
        _on("785-250-10", name, primitives) for name in ("mixed_precision", "residual_learning")
    )
    if mt.product_nj == 0:
        return None
    return (mp.digital_nj + MP_FORWARD_BACKWARD_NJ - mt.analog_nj) / mt.product_nj


def against_published() -> list[dict[str, Any]]:
    """Every printed figure beside what the formula gives, with the published constants.

    Returns:
        table, network, algorithm, quantity, printed; computed: by the stated formula; agrees: to
        the printed digit; as_printed: the same with the change that gives the printed figure (None
        if there is none to make); reason.
    """
    return [_compare(figure) for figure in FIGURES]


def _compare(figure: Figure) -> dict[str, Any]:
    computed = _value(figure, Primitives())
    altered = bool(figure.changed) or figure.unit != 1
    as_printed = _value(figure, Primitives().replace(**figure.changed)) / figure.unit
    return {
        "table": figure.table,
        "network": figure.network,
        "algorithm": figure.algorithm,
        "quantity": figure.quantity,
        "printed": figure.printed,
        "computed": computed,
        "agrees": _agrees(figure, computed),
        "as_printed": as_printed if altered else None,
        "as_printed_agrees": _agrees(figure, as_printed) if altered else None,
        "reason": figure.reason,
    }


def _agrees(figure: Figure, value: float) -> bool:
    return abs(value - figure.printed) <= figure.step / 2 * (1 + 1e-9)


def _value(figure: Figure, primitives: Primitives) -> float:
    cost = _on(figure.network, figure.algorithm, primitives)
    match figure.quantity:
        case "storage_kb":
            return cost.storage_bytes / 1e3
        case "published_product_nj":
            return MP_FORWARD_BACKWARD_NJ
        case "published_total_nj":
            return MP_FORWARD_BACKWARD_NJ + cost.digital_nj
        case "reads_nj":  # what remains of the update when pulses take no time
            return cost.analog_nj - _pulses_nj(figure, primitives)
        case "pulses_nj":
            return _pulses_nj(figure, primitives)
        case "worse_from_tiles":
            tiles = break_even_tiles(primitives)
            return math.inf if tiles is None else math.floor(tiles) + 1
        case quantity:
            return float(getattr(cost, quantity))


def _pulses_nj(figure: Figure, primitives: Primitives) -> float:
    """Pulses alone: the update with products that take no energy."""
    free = primitives.replace(input_pj=0, output_pj=0)
    return _on(figure.network, figure.algorithm, free).analog_nj


def _on(network: str, name: str, primitives: Primitives | None) -> Cost:
    found = NETWORKS[network]
    layers = layers_of(found.layers, found.batch, primitives or Primitives())
    return cost_with(name, layers, samples_per_transfer=SAMPLES_PER_TRANSFER)


def layers_of(shapes: Sequence[tuple[int, int]], batch: int, primitives: Primitives) -> list[Layer]:
    """Layers of shapes (d_out, d_in), the first of which passes no gradient on.

    A single layer is taken from the middle of a network: it does.
    """
    return [
        Layer(d_out, d_in, batch, backward=k > 0 or len(shapes) == 1, primitives=primitives)
        for k, (d_out, d_in) in enumerate(shapes)
    ]


def tiles_of(text: str) -> int | None:
    """The number of tiles of residual learning from "6", or None from "inf".

    Raises:
        ConfigError: if it is neither.
    """
    if text == "inf":
        return None
    if not text.isdecimal() or int(text) < 2:
        raise ConfigError(f"--tiles must be a whole number of at least 2, or inf; got {text!r}")
    return int(text)
