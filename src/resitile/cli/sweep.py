"""`resitile sweep`: many runs along one axis, one picture."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import DataDir, Json, Overwrite, RunsDir, Set, Threads, overrides_of


def sweep(
    file: Annotated[
        Path, typer.Argument(help="TOML file with a \\[sweep] table.", show_default=False)
    ],
    settings: Set = None,
    overwrite: Overwrite = False,
    runs_dir: RunsDir = Path("runs"),
    data_dir: DataDir = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Run a network for every value along an axis and draw its accuracy: RUNS_DIR/NAME/sweep.svg.

    Finished runs are used again and unfinished ones continued.
    """
    from resitile.cli.output import print_json, print_table, say, stopped
    from resitile.cli.progress import progress
    from resitile.experiments import sweep as sweeping
    from resitile.experiments.compare import compare as run_all
    from resitile.experiments.records import RunFolder, read_summary, write_json
    from resitile.experiments.stop import Stopped
    from resitile.reports.sweep import write_sweep

    wanted = sweeping.load(file, overrides_of(settings, data_dir, threads))
    folder = runs_dir / wanted.name
    try:
        with progress() as observer:
            configs = [config for *_, config in wanted.runs]
            runs = run_all(configs, folder, overwrite=overwrite, observer=observer)
    except Stopped as stop:
        raise stopped(f"{stop}; go on with the same command (without --overwrite)") from None
    summaries = [read_summary(RunFolder(run)) or {} for run in runs]
    record = sweeping.collect(wanted, summaries)
    write_json(folder / "sweep.json", record)
    picture = write_sweep(record, folder)
    if as_json:
        print_json(record)
        return
    rows = []
    for line in record["series"]:
        for x, values in zip(record["x"], line["test"], strict=True):
            shown = " ".join(f"{100 * value:.2f} %" for value in values)
            rows.append([line["label"], str(x), shown])
    print_table(["series", record["axis"], "test acc of each seed"], rows)
    say(f"picture: {picture}")
