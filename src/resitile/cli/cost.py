"""`resitile cost`: latency, storage, energy and area of every algorithm."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resitile.cli.options import Json, unset

if TYPE_CHECKING:
    from torch import Tensor

    from resitile.cost import Layer, Primitives

_COLUMNS = (
    ("storage kB", "storage_bytes", 1e-3),
    ("memory bit", "memory_bits", 1),
    ("FLOP", "flops", 1),
    ("analog ns", "analog_ns", 1),
    ("digital ns", "digital_ns", 1),
    ("update ns", "update_ns", 1),
    ("fwd+bwd ns", "product_ns", 1),
    ("update nJ", "update_nj", 1),
    ("fwd+bwd nJ/tile", "product_nj", 1),
    ("array mm2", "array_mm2", 1),
    ("area mm2", "area_mm2", 1),
)
_LARGEST_SAMPLE = 10**8  # numbers of an input; activations take several times as much
_DIGITS = {"ns": 1, "nj": 2, "bits": 0, "flops": 0}


def cost(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="TOML files of runs: the cost of their networks with their algorithms' settings.",
            show_default=False,
        ),
    ] = None,
    dim: Annotated[
        int | None, typer.Option(min=1, help="One layer of DIM x DIM weights (512 if none).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Layers of a network instead, such as lenet5.")
    ] = None,
    batch: Annotated[int | None, unset("Samples of a mini-batch; 100 if none.")] = None,
    tiles: Annotated[
        str | None,
        unset("Tiles of MT-RL: a number, or inf (if none); gated has 6, cascaded 10."),
    ] = None,
    samples_per_transfer: Annotated[
        int | None,
        unset("Samples between two column reads (n_s); 2 if none.", min=1),
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Only this one; may be repeated.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="SHAPE",
            help="Input of the network, such as 1,28,28: counts all patches of convolutions.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Replace a primitive, or a setting of the configuration, such as "
            "device.states=4; may be repeated.",
        ),
    ] = None,
    published: Annotated[bool, typer.Option(help="Add the printed figures of papers.")] = False,
    as_json: Json = False,
) -> None:
    """Compare what training costs, from named primitives (docs/cost.md).

    Without CONFIGS, all algorithms on one layer or network; with one, every layer of its run; with
    several, one line a run.
    """
    from resitile.cli.output import print_json, say, say_patches
    from resitile.cost import Primitives, describe
    from resitile.errors import ConfigError
    from resitile.experiments import cost_tables

    of_run = [text for text in settings or [] if _of_run(text.partition("=")[0].strip())]
    primitives = Primitives().with_settings(text for text in settings or [] if text not in of_run)
    if any(text.partition("=")[0].strip() == "device_pulse_pj" for text in settings or []):
        raise ConfigError(
            "device_pulse_pj is the energy of a counted pulse, and formulas count no pulses: take "
            "rt.nn.counted_cost(model, samples=..., primitives={'device_pulse_pj': ...}) after "
            "training"
        )
    if configs:
        for option, given, instead in (
            ("--dim", dim, ""),
            ("--model", model, ": --set model.name=..."),
            ("--batch", batch, ": --set data.batch_size=..."),
            ("--tiles", tiles, ": --set algorithm.tiles=..."),
            (
                "--samples-per-transfer",
                samples_per_transfer,
                ": --set algorithm.transfer_every=... or algorithm.columns=...",
            ),
            ("--algorithm", algorithm, ": --set algorithm.name=..."),
            ("--published", published, ""),
        ):
            if given:
                raise ConfigError(f"{option} does not go with a configuration{instead}")
        _cost_of_runs(configs, of_run, sample, primitives, as_json)
        return
    if of_run:
        raise ConfigError(
            f"{of_run[0]!r} is a setting of a configuration: name its file, or a primitive, such "
            "as read_ns=20"
        )
    labels = cost_tables.labels()
    names = list(dict.fromkeys(algorithm or labels))
    if tiles is not None and "residual_learning" not in names:
        raise ConfigError(
            "--tiles is for residual_learning, which is not among the algorithms; a configuration "
            "has algorithm.tiles"
        )
    batch, tiles = 100 if batch is None else batch, tiles or "inf"
    samples_per_transfer = samples_per_transfer or 2
    layers, one_patch = _layers(dim, model, batch, sample, primitives)
    costs = {
        name: cost_tables.cost_with(
            name,
            list(layers.values()),
            samples_per_transfer=samples_per_transfer,
            tiles=cost_tables.tiles_of(tiles),
        )
        for name in names
    }
    found = {
        name: {"label": labels.get(name, name), **each.figures()} for name, each in costs.items()
    }
    if not as_json:
        _print("algorithm", [(figures["label"], figures) for figures in found.values()])
        if "residual_learning" in names and tiles == "inf":
            say("infinitely many tiles of MT-RL, as in the published tables; --tiles 6 counts six")
        say_patches(one_patch)
        if published:
            _print_published(cost_tables.against_published(), labels)
        return
    print_json(
        {
            "settings": {
                "layers": {
                    name: [layer.groups * layer.d_out, layer.d_in] for name, layer in layers.items()
                },
                "vectors": {name: layer.vectors for name, layer in layers.items()},
                "batch": batch,
                "samples_per_transfer": samples_per_transfer,
                "tiles": tiles,
            },
            "primitives": describe(primitives),
            "algorithms": found,
            "break_even_tiles": cost_tables.break_even_tiles(primitives),
            "published": cost_tables.against_published(),
        }
    )


def _of_run(key: str) -> bool:
    """Whether this names a setting of a configuration, or a whole table of it."""
    from resitile.experiments.config import Config

    return "." in key or key in Config.model_fields


def _cost_of_runs(
    configs: list[Path],
    settings: list[str],
    sample: str | None,
    primitives: "Primitives",
    as_json: bool,
) -> None:
    from resitile.cli.output import print_json, say, say_patches
    from resitile.cost import describe
    from resitile.experiments.config import load
    from resitile.experiments.run_cost import run_cost

    inputs = _inputs(sample)
    wanted = [load(path, settings) for path in configs]
    digital = [config.title for config in wanted if config.digital]
    if len(digital) < len(wanted):  # of digital runs alone, `run_cost` says why there is nothing
        wanted = [config for config in wanted if not config.digital]
    runs = [run_cost(config, primitives, inputs) for config in wanted]
    if as_json:
        print_json({"runs": runs, "left_out": digital, "primitives": describe(primitives)})
    elif len(runs) > 1:
        _print("run", [(run["label"], run["total"]) for run in runs])
        say_patches(list(dict.fromkeys(name for run in runs for name in run["one_patch_only"])))
    else:
        (run,) = runs
        tiles = f"{run['tiles']} tile{'s' if run['tiles'] > 1 else ''}"
        say(f"{run['label']}: {run['algorithm']}, {tiles}, batch {run['batch']}")
        layers = [
            (f"{name}, {' x '.join(map(str, layer['shape']))}", layer)
            for name, layer in run["layers"].items()
        ]
        _print("layer", [*layers, ("total", run["total"])])
        say_patches(run["one_patch_only"])
    if digital and not as_json:
        say(f"left out, trains without tiles: {', '.join(digital)}")


def _layers(
    dim: int | None, model: str | None, batch: int, sample: str | None, primitives: "Primitives"
) -> "tuple[dict[str, Layer], list[str]]":
    from resitile.errors import ConfigError
    from resitile.experiments.cost_tables import layers_of

    if model is None:
        if sample is not None:
            raise ConfigError(
                "--sample is the input of a network; name one with --model, or a file"
            )
        dim = dim or 512
        return {f"{dim} x {dim}": layers_of([(dim, dim)], batch, primitives)[0]}, []
    if dim is not None:
        raise ConfigError("--dim is one layer and --model is a network; give one of them")
    from resitile import models
    from resitile.nn.cost import crossbars, one_patch_only

    inputs = _inputs(sample)
    found = crossbars(models.create(model), batch, primitives, inputs, digital=True)
    layers = {name: layer for name, (_, layer) in found.items()}
    return layers, one_patch_only(found, inputs)


def _inputs(sample: str | None) -> "Tensor | None":
    """One input of a network, of the shape that --sample names."""
    import torch

    from resitile.errors import ConfigError

    if sample is None:
        return None
    parts = [part.strip() for part in sample.split(",")]
    digits = all(re.fullmatch("[0-9]{1,18}", part) for part in parts)
    shape = [int(part) for part in parts] if digits else [0]
    if not all(shape):
        raise ConfigError(
            f"--sample must be a shape such as 1,28,28, of whole numbers above 0; got {sample!r}"
        )
    if math.prod(shape) > _LARGEST_SAMPLE:
        raise ConfigError(
            f"--sample {sample} is an input of {math.prod(shape):.3g} numbers, which is run through"
            f" the network; give one of at most {_LARGEST_SAMPLE:g}"
        )
    return torch.zeros(1, *shape)


def _print(title: str, lines: list[tuple[str, dict[str, Any]]]) -> None:
    from resitile.cli.output import print_table

    rows = []
    for label, figures in lines:
        figures = {**figures, "product_ns": figures["forward_ns"] + figures["backward_ns"]}
        cells = [_shown(figures[key], key, factor) for _, key, factor in _COLUMNS]
        rows.append([label, *cells])
    print_table([title, *(column for column, _, _ in _COLUMNS)], rows)


def _shown(value: float | None, key: str, factor: float) -> str:
    if value is None:
        return "inf"
    digits = _DIGITS.get(key.rpartition("_")[2])
    return f"{value * factor:.3g}" if digits is None else f"{value * factor:,.{digits}f}"


def _print_published(rows: list[dict[str, Any]], labels: dict[str, str]) -> None:
    from resitile.cli.output import print_table, say

    say("")
    print_table(
        ["published", "for", "algorithm", "figure", "printed", "formula", "note"],
        [
            [
                row["table"], row["network"], labels[row["algorithm"]], row["quantity"],
                f"{row['printed']:g}", f"{row['computed']:.6g}", _note(row),
            ]
            for row in rows
        ],
        numbers=False,
    )  # fmt: skip


def _note(row: dict[str, Any]) -> str:
    if row["as_printed"] is None:
        return row["reason"] or ("agrees" if row["agrees"] else "DISAGREES")
    return f"differs: {row['reason']}; so made {row['as_printed']:.6g}"
