"""`resitile report`: the page about runs that are already there."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import Form, Format, Json, form_of


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path(
        "report.html"
    ),
    baseline: Annotated[
        str | None,
        typer.Option(help="Name of the run that the others are compared with; default the first."),
    ] = None,
    form: Form = Format.TEXT,
    as_json: Json = False,
) -> None:
    """Write one self-contained HTML page about runs, and print their table."""
    from resitile.cli.output import print_groups, say
    from resitile.errors import ConfigError
    from resitile.experiments.records import check_place
    from resitile.reports import groups, table, told_apart, write_report

    form = form_of(form, as_json)
    for run in runs:
        if not (run / "config.toml").is_file():
            raise ConfigError(f"{run} is not the folder of a run: it holds no config.toml")
        if [other.resolve() for other in runs].count(run.resolve()) > 1:
            raise ConfigError(f"{run} is named twice; name every run once")
    if out.is_dir():
        raise ConfigError(f"--out {out} is a folder; name the page, such as {out / 'report.html'}")
    check_place(out.parent)
    lines = told_apart(groups(table(runs), baseline))
    page = write_report(runs, out, baseline=baseline)
    print_groups(lines, form.value)
    if form is Format.TEXT:
        if len({line["task"] for line in lines}) > 1:
            say("network or data differ: these runs are not comparable, no difference is shown")
        say(f"report: {page}")
