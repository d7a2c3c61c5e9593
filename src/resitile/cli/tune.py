"""`resitile tune`: choose settings on validation data."""

from pathlib import Path
from typing import Annotated

import typer

from resitile.cli.options import LARGEST_SEED, DataDir, Json, Set, Threads, overrides_of


def tune(
    configs: Annotated[
        list[Path], typer.Argument(help="TOML files with a \\[search] table.", show_default=False)
    ],
    trials: Annotated[int, typer.Option(min=1, help="Trials per file.")] = 12,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of every trial; default: the file's.")
    ] = None,
    settings: Set = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Of the proposals.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the tunings.")] = Path("runs/tune"),
    data_dir: DataDir = None,
    as_json: Json = False,
    threads: Threads = None,
) -> None:
    """Try settings and keep those with the best validation accuracy: OUT/NAME/best.toml.

    Every file gets the same number of trials, and where there are more from before, the first ones
    count; one that diverges, or whose settings exclude each other, counts as failed. --epochs and
    --set hold for the trials only, not for best.toml, and cannot change what is searched. An
    interrupted tuning goes on with the same command.
    """
    from resitile.cli.output import print_json, print_table, say, stopped
    from resitile.cli.progress import progress
    from resitile.experiments import tune as tuning
    from resitile.experiments.stop import Stopped

    overrides = overrides_of(settings, data_dir, threads)
    if epochs is not None:
        overrides.append(f"train.epochs={epochs}")
    files = tuning.load_all(configs, overrides)
    try:
        with progress() as observer:
            found = [
                tuning.tune(file, out, trials=trials, seed=seed, observer=observer)
                for file in files
            ]
    except Stopped as stop:
        raise stopped(f"{stop}; go on with the same command") from None
    if as_json:
        print_json(found)
        return
    rows, failures = [], []
    for result in found:
        best, done = result["best"], result["trials"][:trials]
        failed = [trial for trial in done if "failed" in trial]
        row = [result["label"], "-", "-", str(len(failed)), "-"]
        if best is not None:
            values = ", ".join(f"{key}={value}" for key, value in best["values"].items())
            accuracy = f"{100 * best['val_accuracy']:.2f} %"
            place = f"{best['number'] + 1}/{len(done)}"
            top = best["val_accuracy"]
            level = sum("failed" not in t and t["val_accuracy"] == top for t in done)
            if level > 1:
                place += f", {level - 1} as good"
            row = [result["label"], accuracy, place, str(len(failed)), values]
        rows.append(row)
        failures += [
            f"{result['label']}, trial {trial['number'] + 1} failed: {trial['failed']}"
            for trial in failed
        ]
    print_table(["run", "best val acc", "trial", "failed", "values"], rows, numbers=False)
    for line in failures:
        say(line)
