"""`resitile report`: the page about runs that are already there."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import Json


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path(
        "report.html"
    ),
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about runs, and print their table."""
    from resitile.cli.output import print_json, print_runs, say
    from resitile.errors import ConfigError
    from resitile.reports import table, write_report

    for run in runs:
        if not (run / "config.toml").is_file():
            raise ConfigError(f"{run} is not the folder of a run: it holds no config.toml")
    page = write_report(runs, out)
    if as_json:
        print_json(table(runs))
    else:
        print_runs(table(runs))
        say(f"report: {page}")
