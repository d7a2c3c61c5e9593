"""`resitile compare`: several runs of one task, one table, one report."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import DataDir, Json, Overwrite, RunsDir, Set, Threads, read_config


def compare(
    configs: Annotated[list[Path], typer.Argument(help="TOML files.", show_default=False)],
    settings: Set = None,
    name: Annotated[str, typer.Option(help="Name of the comparison.")] = "compare",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; default RUNS_DIR/NAME.")
    ] = None,
    overwrite: Overwrite = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Run several configurations of one task and put them side by side.

    Finished runs are used again and unfinished ones continued, if their settings are the same.
    """
    from resitile.cli.output import print_json, print_runs, say, stopped
    from resitile.cli.progress import progress
    from resitile.experiments.compare import compare as run_all
    from resitile.experiments.records import write_json
    from resitile.experiments.stop import Stopped
    from resitile.reports import table, write_report

    wanted = [read_config(path, settings, data_dir, threads) for path in configs]
    folder = out or runs_dir / name
    try:
        with progress() as observer:
            runs = run_all(wanted, folder, overwrite=overwrite, observer=observer)
    except Stopped as stop:
        raise stopped(f"{stop}; go on with the same command (without --overwrite)") from None
    rows = table(runs)
    write_json(folder / "comparison.json", rows)
    page = write_report(runs, folder / "report.html")
    if as_json:
        print_json(rows)
    else:
        print_runs(rows)
        say(f"report: {page}")
