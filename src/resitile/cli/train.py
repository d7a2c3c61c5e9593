"""`resitile train`: one run."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import DataDir, Json, Overwrite, RunsDir, Set, Threads, read_config


def train(
    config: Annotated[Path, typer.Argument(help="TOML file of the run.", show_default=False)],
    settings: Set = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with an unfinished run, or with more epochs than it had."
        ),
    ] = False,
    overwrite: Overwrite = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Train one network; everything about the run goes to runs/NAME."""
    from resitile.cli.output import print_json, print_runs, say, say_idle, stopped
    from resitile.cli.progress import progress
    from resitile.experiments.records import RunFolder
    from resitile.experiments.runner import run
    from resitile.experiments.stop import Stopped
    from resitile.reports import table, write_report

    wanted = read_config(config, settings, data_dir, threads)
    folder = RunFolder(runs_dir / wanted.name)
    try:
        with progress() as observer:
            summary = run(
                wanted,
                runs_dir,
                resume=resume,
                overwrite=overwrite,
                longer=resume,
                observer=observer,
            )
    except Stopped as stop:
        if stop.summary is None:
            parent = "" if runs_dir == Path("runs") else f" --runs-dir {_quoted(runs_dir)}"
            raise stopped(
                f"{stop}; go on with: resitile train {_quoted(folder.config)} --resume{parent}"
            ) from None
        summary = stop.summary  # it was too late to stop: show what was made
    write_report([folder.path], folder.report)  # also of a finished run: it may be damaged
    if as_json:
        print_json(summary)
    else:
        print_runs(table([folder.path]))
        say_idle(summary)
        say(f"report: {folder.report}")


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
