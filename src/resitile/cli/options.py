"""Options that several commands share."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from resitile.experiments.config import Config

LARGEST_SEED = 2**62 - 1
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change one setting; may be repeated."),
]
RunsDir = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the original data files; sets data.dir.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads of torch and of the engine; sets train.threads.")
]


def unset(help: str, **settings: Any) -> Any:
    """A number that may be left out; its help says what that means."""
    return typer.Option(help=help, show_default=False, **settings)


class Format(enum.StrEnum):
    """How a comparison is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    LATEX = "latex"


Form = Annotated[Format, typer.Option("--format", help="How to print the table.")]


def form_of(form: Format, as_json: bool) -> Format:
    """What --format and --json say together.

    Raises:
        ConfigError: if they differ.
    """
    from resitile.errors import ConfigError

    if as_json and form not in (Format.TEXT, Format.JSON):
        raise ConfigError(f"--json and --format {form.value} ask for two formats; give one of them")
    return Format.JSON if as_json else form


Replace = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]
Overwrite = Annotated[bool, typer.Option(help="Replace an earlier run of the same name.")]


def read_config(
    path: Path, settings: list[str] | None, data_dir: Path | None, threads: int | None
) -> "Config":
    """The configuration of a file with the options of the command line."""
    from resitile.experiments.config import load

    return load(path, overrides_of(settings, data_dir, threads))


def overrides_of(
    settings: list[str] | None, data_dir: Path | None, threads: int | None
) -> list[str]:
    """The options of the command line as changes of single settings."""
    overrides = list(settings or [])
    if data_dir is not None:
        import json

        overrides.append(f"data.dir={json.dumps(str(data_dir))}")
    if threads is not None:
        overrides.append(f"train.threads={threads}")
    return overrides


def seeds_of(text: str) -> list[int]:
    """The seeds of `0,1,2`.

    Raises:
        ConfigError: if it is not a list of whole numbers.
    """
    from resitile.errors import ConfigError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(
            f"--seeds must be whole numbers with commas between them, such as 0,1,2; got {text!r}"
        ) from None


def device_table(device_file: Path | None, states: float | None) -> dict[str, Any]:
    """The table [device] of a file, or that of soft bounds with so many states.

    Raises:
        ConfigError: if both or neither is given, or the file has no such table.
    """
    from resitile.errors import ConfigError
    from resitile.experiments import toml

    if (device_file is None) == (states is None):
        raise ConfigError("give either --states, such as --states 4, or the TOML file of a device")
    if device_file is None:
        return {"name": "soft_bounds", "states": states}
    content = toml.read(device_file)
    table = content.get("device", content)
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ConfigError(f'{device_file} needs a [device] table with name = "soft_bounds"')
    return table


def picture_beside(out: Path, overwrite: bool) -> Path:
    """The .svg beside a TOML file that is to be written.

    Raises:
        ConfigError: if one of the two is there and must not be replaced, or `out` is no .toml.
    """
    from resitile.errors import ConfigError

    if out.suffix != ".toml":
        raise ConfigError(f"--out must end in .toml, its picture ends in .svg; got {out}")
    picture = out.with_suffix(".svg")
    for path in (out, picture):
        check_free(path, overwrite)
    return picture


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a file that is there and must not be replaced, or whose folder cannot be made.

    Raises:
        ConfigError: names it and the remedy.
    """
    from resitile.errors import ConfigError
    from resitile.experiments.records import check_place

    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; write elsewhere with --out, or give --overwrite")
    check_place(path.parent)
