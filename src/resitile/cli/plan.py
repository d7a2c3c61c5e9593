"""`resitile plan`: which method and how many tiles for a device and a network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from resitile.cli.options import Json, Overwrite, unset

_OPTIONS = {
    "update_ns": "--max-latency-ns",
    "storage_bytes": "--max-storage-kb",
    "energy_nj": "--max-energy-nj",
    "area_mm2": "--max-area-mm2",
    "accuracy": "--min-accuracy",
}


def plan(
    device_file: Annotated[
        Path | None, typer.Option("--device", help="TOML file with a \\[device] table.")
    ] = None,
    states: Annotated[
        float | None, typer.Option(help="Soft-bounds devices of so many states, instead.")
    ] = None,
    model: Annotated[str, typer.Option(help="A network, or module:Class.")] = "lenet5",
    data: Annotated[str, typer.Option(help="Data set of the written run.")] = "fashion-mnist-10k",
    batch: Annotated[int, typer.Option(min=1, help="Images of a mini-batch.")] = 16,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the written run.")] = 10,
    steps_per_epoch: Annotated[
        int | None,
        unset(
            "Mini-batches of an epoch, for stages and their cost; counted in the data if left out.",
            min=1,
        ),
    ] = None,
    digital_accuracy: Annotated[
        float | None,
        typer.Option(help="What digital training reaches on the task, such as 0.9."),
    ] = None,
    max_latency_ns: Annotated[
        float | None,
        unset("Longest update of the slowest layer per sample, ns.", min=0),
    ] = None,
    max_storage_kb: Annotated[
        float | None,
        unset("Most digital storage of all layers, kB.", min=0),
    ] = None,
    max_energy_nj: Annotated[
        float | None,
        unset("Most energy of forward, backward and update per sample, nJ.", min=0),
    ] = None,
    max_area_mm2: Annotated[float | None, unset("Largest area of all tiles, mm2.", min=0)] = None,
    min_accuracy: Annotated[
        float | None, unset("Least predicted accuracy, 0 to 1.", min=0, max=1)
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run to write.")] = Path("plan.toml"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Recommend a method, tiles, gamma and steps; write a run for `resitile train`.

    Accuracies are predictions from reference runs on another task: good for choosing, not for
    reporting. The picture of accuracy against cost is written beside the run. Exit status 1 if
    nothing keeps to the limits; the table is printed then, too.
    """
    from resitile import devices, models
    from resitile.cli.output import print_json, print_table, say
    from resitile.errors import ConfigError
    from resitile.experiments import config, records, toml
    from resitile.experiments import plan as planning
    from resitile.experiments.plan_choices import choices
    from resitile.reports.plan import write_plan

    if (device_file is None) == (states is None):
        raise ConfigError("give either --states, such as --states 4, or --device FILE.toml")
    table: dict[str, Any] = {"name": "soft_bounds", "states": states}
    if device_file is not None:
        content = toml.read(device_file)
        table = content.get("device", content)
        if not isinstance(table, dict) or "name" not in table:
            raise ConfigError(f'{device_file} needs a [device] table with name = "soft_bounds"')
    device = devices.create(**table)
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists; write elsewhere with --out, or give --overwrite")
    limits = planning.Limits(
        update_ns=max_latency_ns,
        storage_bytes=None if max_storage_kb is None else 1000 * max_storage_kb,
        energy_nj=max_energy_nj,
        area_mm2=max_area_mm2,
        accuracy=min_accuracy,
    )
    if steps_per_epoch is None:
        steps_per_epoch = _steps_of(data, batch)
    found = planning.plan(
        device,
        models.create(model),
        batch=batch,
        steps_per_epoch=steps_per_epoch,
        digital_accuracy=digital_accuracy,
        limits=limits,
    )
    picture = write_plan(found, out.with_suffix(".svg"))
    chosen = found["recommended"]
    if chosen is not None:
        choice = next(c for c in choices(device, batch, steps_per_epoch) if c.key == chosen)
        run = {
            "name": out.stem,
            "label": choice.label,
            "data": {"name": data, "batch_size": batch},
            "model": {"name": model},
            "device": table,
            **choice.tables(epochs),
        }
        records.write_atomic(out, config.parse(run).toml().encode())
    if as_json:
        print_json(found)
    else:
        rows = [_shown(row, row["key"] == chosen) for row in found["choices"]]
        titles = ["method", "gamma", "predicted", "floor", "update", "storage", "energy", "area"]
        print_table([*titles, ""], rows)
        if type(device) is not devices.SoftBounds:
            say(f"accuracies are predicted as for soft bounds of {device.states:g} states")
        low, high = planning.reference_range()
        if not low <= found["effective_states"] <= high:
            say(
                f"the device counts as one of {found['effective_states']:.3g} states, outside of "
                f"the reference runs' {low:g} to {high:g}: accuracies are those of the nearest"
            )
        say(f"picture: {picture}")
        if chosen is not None:
            say(f"run: {out}")
    if chosen is None:
        typer.echo("no method keeps to the limits; the last column names those it breaks", err=True)
        raise typer.Exit(1)


def _steps_of(data: str, batch: int) -> int:
    """Mini-batches of an epoch of a data set."""
    from resitile.errors import DataError
    from resitile.experiments import config
    from resitile.experiments.task import load_task, steps_per_epoch

    tables = {"data": {"name": data, "batch_size": batch}, "algorithm": {"name": "digital"}}
    run = config.parse({"name": "plan", **tables})
    try:
        return steps_per_epoch(run, load_task(run))
    except DataError as error:
        raise DataError(f"{error}; without the data, give --steps-per-epoch") from error


def _shown(row: dict[str, Any], chosen: bool) -> list[str]:
    return [
        row["label"],
        "-" if row["gamma"] is None else f"{row['gamma']:.2f}",
        f"{100 * row['predicted_accuracy']:.1f} %",
        f"{row['floor']:.3f}",
        f"{row['update_ns']:.1f} ns",
        f"{row['storage_bytes'] / 1000:.4g} kB",
        f"{row['energy_nj']:.4g} nJ",
        f"{row['area_mm2']:.3g} mm2",
        "<- recommended" if chosen else ", ".join(_OPTIONS[name] for name in row["breaks"]),
    ]
