"""`resitile device`: the device laws there are."""

from typing import Any

import typer

from resitile.cli.options import Json

app = typer.Typer(help="Device laws.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Device laws."""


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
