"""`resitile device`: the device laws there are, a picture of one, a fit to a measurement."""

import enum
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resitile.cli.options import Json, Replace, check_free, device_table, picture_beside

if TYPE_CHECKING:
    from resitile.devices import Device
    from resitile.fitting import Fitted

app = typer.Typer(help="Device laws: list, plot, fit to a measurement.", no_args_is_help=True)


class Zero(enum.StrEnum):
    """Which reading is w = 0."""

    MIDDLE = "middle"
    SYMMETRIC = "symmetric"


@app.callback()
def _group() -> None:
    """Device laws: list, plot, fit to a measurement."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the device laws with their fields and defaults."""
    from resitile.cli.output import print_json, print_table

    laws = [_describe(name) for name in _names()]
    if as_json:
        print_json(laws)
        return
    print_table(
        ["device", "what it is", "fields and defaults"],
        [
            [law["name"], law["summary"], ", ".join(f"{k}={v!r}" for k, v in law["fields"].items())]
            for law in laws
        ],
        numbers=False,
    )


@app.command()
def plot(
    device_file: Annotated[
        Path | None,
        typer.Argument(metavar="[DEVICE.toml]", help="TOML file with a \\[device] table."),
    ] = None,
    states: Annotated[
        float | None, typer.Option(help="Soft-bounds devices of so many states, instead.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of spread and noise.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The picture, .svg or .png; the file's name with -device.svg, or that of the law "
            "with the states, if none.",
            show_default=False,
        ),
    ] = None,
    overwrite: Replace = False,
) -> None:
    """Draw what a pulse does: staircases of single devices, and the nominal steps."""
    from resitile import devices
    from resitile._pictures import write_figure
    from resitile.cli.output import digits, say
    from resitile.errors import ConfigError
    from resitile.experiments.device_answers import device_answers
    from resitile.experiments.plan import effective_states
    from resitile.reports.device import device_figure

    device = devices.create(**device_table(device_file, states))
    if out is None:  # NAME.svg is the picture of a fit
        plain = f"{device.name}-{device.states:g}.svg"
        out = Path(plain if device_file is None else f"{device_file.stem}-device.svg")
    if out.suffix not in (".svg", ".png"):
        raise ConfigError(f"--out must end in .svg or .png, got {out}")
    check_free(out, overwrite)
    write_figure(device_figure(device_answers(device, seed)), out)
    say(_in_words(device))
    states_of_plan = digits(effective_states(device), 4)
    say(f"dw_min {device.dw_min:.4g}; for resitile plan as {states_of_plan} states")
    say(f"picture: {out}")


@app.command()
def fit(
    measurement: Annotated[
        Path,
        typer.Argument(
            metavar="PULSES.csv",
            help="Conductances read after pulses: columns conductance and direction (up, down), "
            "perhaps device and cycle; or columns up and down, a train each.",
        ),
    ],
    law: Annotated[
        str, typer.Option(help="auto tries all; else one of them, or module:Class.")
    ] = "auto",
    zero: Annotated[
        Zero,
        typer.Option(
            help="What is w = 0: the middle of the measured range, or the point at which a pulse "
            "up and one down cancel."
        ),
    ] = Zero.MIDDLE,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The device to write; the measurement's name with .toml if none.",
            show_default=False,
        ),
    ] = None,
    overwrite: Replace = False,
    as_json: Json = False,
) -> None:
    r"""Find the device law, its states, asymmetry and noise behind a measured pulse response.

    Every law is fitted by maximum likelihood, cycle-to-cycle and read noise apart; that with the
    least BIC is written as a \[device] table for `train`, `plan` and `plot`, with a picture beside
    it: docs/devices.md.
    """
    from resitile import devices
    from resitile._pictures import write_figure
    from resitile.cli.output import print_json, say
    from resitile.cli.progress import counted
    from resitile.experiments import records, toml
    from resitile.fitting import fit as fitted_to
    from resitile.fitting import read_trains
    from resitile.reports.device import fit_figure

    out = out or Path(f"{measurement.stem}.toml")
    trains = read_trains(measurement)
    if law != "auto":
        devices.create(law)
    picture = picture_beside(out, overwrite)  # after what was asked, but before the fits
    with counted("fits") as progress:
        found = fitted_to(trains, law=law, zero=zero.value, progress=progress)
    weight = f"w = ({found.quantity} - {found.zero:.6g}) / {found.unit:.6g}"
    origin = f"# fitted to {measurement.name}: {weight}\n"
    table = _table(found.device, law)
    records.write_atomic(out, (origin + toml.write({"device": table})).encode())
    write_figure(fit_figure(found), picture)
    if as_json:
        print_json(_record(found))
        return
    _print_fit(found)
    say(f"device: {out}\npicture: {picture}\nnext: resitile plan --device {out}")


def _table(device: Any, law: str) -> dict[str, Any]:
    """The table [device] of a device: what differs from the defaults."""
    import dataclasses

    changed = {
        f.name: getattr(device, f.name)
        for f in dataclasses.fields(device)
        if f.name == "states" or getattr(device, f.name) != f.default
    }
    return {"name": law if ":" in law else device.name, **changed}


def _record(found: "Fitted") -> dict[str, Any]:
    import dataclasses

    from resitile.fitting import warnings

    candidates = [
        {
            **{f.name: getattr(c, f.name) for f in dataclasses.fields(c)},
            "device": _table(c.device, c.device.name),
            "single": [_table(own, own.name) for own in c.single],
            "outliers": [places.tolist() for places in c.outliers],
            "step_error": None if math.isnan(c.step_error) else c.step_error,
            "doubt": c.doubt,
        }
        for c in found.candidates
    ]
    return {
        "candidates": candidates, "symmetric_point": _symmetric_point(found.device),
        "zero": found.zero, "unit": found.unit, "devices": found.devices, "pulses": found.pulses,
        "left_out": found.left_out, "warnings": warnings(found),
    }  # fmt: skip


def _symmetric_point(device: "Device") -> float | None:
    from resitile.errors import ConfigError

    try:
        return device.symmetric_point
    except ConfigError:
        return None


def _in_words(device: "Device", error: str = "") -> str:
    from resitile.cli.output import digits

    point = _symmetric_point(device)
    where = "no symmetric point" if point is None else f"symmetric point at w = {point:.3f}"
    return (
        f"{digits(device.states, 4)}{error} states, bounds {device.w_min:g} to {device.w_max:g}; "
        f"at w = 0 a step of {device.step_up * device.q_up(0.0, device.p):.3f} up and "
        f"{device.step_down * device.q_down(0.0, device.p):.3f} down; {where}"
    )


def _print_fit(found: "Fitted") -> None:
    from resitile.cli.output import digits, print_table, say
    from resitile.fitting import warnings

    best = found.best
    rows = [
        [
            c.device.name, c.device.cycle_noise, digits(c.device.states, 3),
            f"{100 * c.device.spread()['cycle']:.0f} %", f"{c.read_noise:.3f}", f"{c.error:.3f}",
            str(c.parameters), f"{c.bic - best.bic:.1f}",
            ", ".join(filter(None, ["<- written" * (c is best), c.doubt])),
        ]
        for c in found.candidates
    ]  # fmt: skip
    titles = ["law", "noise", "states", "cycle to cycle", "read noise", "error", "numbers"]
    print_table([*titles, "BIC - least", ""], rows, expendable=["numbers", "error"])
    for reason in found.left_out:
        say(f"not tried: {reason}")
    device = best.device
    error = (
        "" if math.isnan(best.step_error) else f" +- {digits(device.states * best.step_error, 2)}"
    )
    say(
        f"{found.pulses} pulses; read noise and error in weight units: w = ({found.quantity} - "
        f"{found.zero:.6g}) / {found.unit:.6g}"
    )
    if found.devices > 1:
        rows = [
            [
                name, digits(own.states, 3), f"{own.w_min:g} to {own.w_max:g}",
                f"{own.step_up:.3f}", f"{own.step_down:.3f}",
                f"{100 * own.spread()['cycle']:.0f} %", str(len(places)),
            ]
            for name, own, places in zip(found.names, best.single, best.outliers, strict=True)
        ]  # fmt: skip
        titles = ["device", "states", "bounds", "step up", "step down", "cycle to cycle"]
        print_table([*titles, "outliers"], rows)
    point = _symmetric_point(device)
    say(_in_words(device, error))
    for warning in warnings(found):
        say(f"look at the picture: {warning}")
    if point is not None and abs(point) > 0.1:
        say("--zero symmetric puts w = 0 there, as a reference device does that is programmed so")
    if found.devices == 1:
        say(
            "one device says nothing about the spread between devices: that stays at its default "
            "of 30 % (variation in the file); a column device with several measures it"
        )


def _names() -> list[str]:
    from resitile import devices

    return devices.names()


def _describe(name: str) -> dict[str, Any]:
    import dataclasses

    from resitile import devices

    device = devices.create(name)
    return {
        "name": name,
        "class": type(device).__name__,
        "summary": (type(device).__doc__ or "").strip().splitlines()[0],
        "fields": {f.name: getattr(device, f.name) for f in dataclasses.fields(device)},
        "law_fields": list(device.law_fields),
    }
