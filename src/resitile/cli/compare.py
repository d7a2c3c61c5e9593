"""`resitile compare`: several runs of one task, one table, one report."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import (
    DataDir,
    Form,
    Format,
    Json,
    Overwrite,
    RunsDir,
    Set,
    Threads,
    form_of,
    read_config,
    seeds_of,
)


def compare(
    configs: Annotated[list[Path], typer.Argument(help="TOML files.", show_default=False)],
    settings: Set = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Run every file with each of these seeds, such as 0,1,2."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Name of the run that the others are compared with; default the first."),
    ] = None,
    form: Form = Format.TEXT,
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
    The table gives means over seeds with 95 % intervals (Student's t), and the difference of the
    test accuracies to the baseline, paired by seed. It is also written to comparison.json, .csv
    and .tex (LaTeX, booktabs).
    """
    from resitile.cli.output import print_groups, say, say_idle, stopped
    from resitile.cli.progress import progress
    from resitile.errors import ConfigError, did_you_mean
    from resitile.experiments.compare import compare as run_all
    from resitile.experiments.compare import with_seeds
    from resitile.experiments.config import check_name
    from resitile.experiments.records import RunFolder, read_summary, write_atomic, write_json
    from resitile.experiments.stop import Stopped
    from resitile.reports import as_csv, as_latex, groups, table, told_apart, write_report

    form = form_of(form, as_json)
    wanted = [read_config(path, settings, data_dir, threads) for path in configs]
    if seeds is not None:
        wanted = with_seeds(wanted, seeds_of(seeds))
    names = {config.name for config in wanted} | {config.title for config in wanted}
    if baseline is not None and baseline not in names:  # now, not after hours of training
        raise ConfigError(f"no run is called {baseline!r}; {did_you_mean(baseline, sorted(names))}")
    folder = out or runs_dir / check_name(name, "--name")
    try:
        with progress() as observer:
            runs = run_all(wanted, folder, overwrite=overwrite, observer=observer)
    except Stopped as stop:
        raise stopped(f"{stop}; go on with the same command (without --overwrite)") from None
    lines = told_apart(groups(table(runs), baseline))
    write_json(folder / "comparison.json", lines)
    write_atomic(folder / "comparison.csv", as_csv(lines).encode())
    write_atomic(folder / "comparison.tex", as_latex(lines).encode())
    page = write_report(runs, folder / "report.html", baseline=baseline)
    print_groups(lines, form.value)
    if form is Format.TEXT:
        for run in runs:
            say_idle(read_summary(RunFolder(run)) or {}, run.name)
        say(f"report: {page}")
