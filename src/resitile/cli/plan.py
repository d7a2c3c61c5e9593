"""`resitile plan`: which method and how many tiles for a device and a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resitile.cli.options import (
    DataDir,
    Json,
    Replace,
    Threads,
    device_table,
    picture_beside,
    unset,
)

if TYPE_CHECKING:
    from resitile.experiments.pilots import Question

_OPTIONS = {
    "update_ns": "--max-latency-ns",
    "storage_bytes": "--max-storage-kb",
    "energy_nj": "--max-energy-nj",
    "area_mm2": "--max-area-mm2",
    "accuracy": "--min-accuracy",
}


def plan(
    device_file: Annotated[
        Path | None, typer.Option("--device", help="TOML file with a \\[device] table.")
    ] = None,
    states: Annotated[
        float | None, typer.Option(help="Soft-bounds devices of so many states, instead.")
    ] = None,
    model: Annotated[str, typer.Option(help="A network, or module:Class.")] = "lenet5",
    data: Annotated[str, typer.Option(help="Data set, or module:function.")] = "fashion-mnist-10k",
    batch: Annotated[int, typer.Option(min=1, help="Images of a mini-batch.")] = 16,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the written run.")] = 10,
    steps_per_epoch: Annotated[
        int | None,
        unset(
            "Mini-batches of an epoch, for stages and their cost; counted in the data if left out.",
            min=1,
        ),
    ] = None,
    digital_accuracy: Annotated[
        float | None,
        typer.Option(help="What digital training reaches on the task, such as 0.9."),
    ] = None,
    max_latency_ns: Annotated[
        float | None,
        unset("Longest update of the slowest layer per sample, ns.", min=0),
    ] = None,
    max_storage_kb: Annotated[
        float | None,
        unset("Most digital storage of all layers, kB.", min=0),
    ] = None,
    max_energy_nj: Annotated[
        float | None,
        unset("Most energy of forward, backward and update per sample, nJ.", min=0),
    ] = None,
    max_area_mm2: Annotated[float | None, unset("Largest area of all tiles, mm2.", min=0)] = None,
    min_accuracy: Annotated[
        float | None, unset("Least accuracy, measured or else predicted, 0 to 1.", min=0, max=1)
    ] = None,
    measure: Annotated[
        int,
        typer.Option(
            min=0,
            help="Runs to try on the data, in full, before one is recommended; 0 only predicts.",
        ),
    ] = 0,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run to write.")] = Path("plan.toml"),
    overwrite: Replace = False,
    runs_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds the measured runs; default runs.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Recommend a method, tiles, gamma and steps; write a run for `resitile train`.

    Accuracies are predictions from reference runs on another task: good for choosing, not for
    reporting. With --measure 6 the most promising choices are trained on the data for --epochs
    epochs, one after the other, and so is digital SGD unless --digital-accuracy is given; what they
    reach on validation images counts, and corrects the other predictions; where no other promises
    more, the best is tried with half and twice its learning rate. These runs are kept in
    RUNS_DIR/NAME-measured, NAME being that of the written run; the same command goes on where it
    was interrupted. The picture of accuracy against cost is written beside the run. Costs and
    limits take one patch for all of a convolution, as the published tables do. Exit status 1 if
    nothing keeps to the limits; the table is printed then, too, and nothing is written.
    """
    from resitile.cli.output import print_json, say
    from resitile.errors import ConfigError
    from resitile.experiments import records
    from resitile.experiments.pilots import Question
    from resitile.experiments.plan import Limits
    from resitile.reports.plan import write_plan

    for option, value in (("--threads", threads), ("--runs-dir", runs_dir)):
        if measure == 0 and value is not None:
            raise ConfigError(f"{option} is of use with --measure only; leave it out")
    device = device_table(device_file, states)
    table: dict[str, Any] = {"name": data, "batch_size": batch}
    if data_dir is not None:
        table["dir"] = str(data_dir)
    question = Question(
        device, table, model, epochs, steps_per_epoch,
        Limits(
            update_ns=max_latency_ns,
            storage_bytes=None if max_storage_kb is None else 1000 * max_storage_kb,
            energy_nj=max_energy_nj,
            area_mm2=max_area_mm2,
            accuracy=min_accuracy,
        ),
        threads,
    )  # fmt: skip
    question.run(question.digital, out.stem)  # refuses a name that a run cannot have
    # What was asked is looked at first: a file that is in the way says nothing about it.
    if measure:
        found = question.answer(digital=digital_accuracy)
    else:
        found = _predicted(question, digital_accuracy)
    picture = picture_beside(out, overwrite)
    if measure:  # for a long time
        folder = (runs_dir or Path("runs")) / f"{out.stem}-measured"
        found = _by_runs(question, measure, folder, digital_accuracy)
    chosen = found["recommended"]
    if as_json:
        print_json(found)
    else:
        _print(found, question)  # before anything is written, which may fail
    if chosen is not None:
        run = question.run(question.choice(chosen), out.stem)
        records.write_atomic(out, run.toml().encode())
        write_plan(found, picture)
        if not as_json:
            say(f"picture: {picture}")
            say(f"run: {out}")
    if chosen is None:
        which = "none of the measured methods" if measure else "no method"
        typer.echo(f"{which} keeps to the limits; the last column names those it breaks", err=True)
        raise typer.Exit(1)


def _predicted(question: "Question", digital: float | None) -> dict[str, Any]:
    from resitile.errors import DataError

    try:
        found = question.answer(digital=digital)
        question.check()
        return found
    except DataError as error:
        raise DataError(f"{error}; without the data, give --steps-per-epoch") from error


def _by_runs(
    question: "Question", count: int, folder: Path, digital: float | None
) -> dict[str, Any]:
    from resitile.cli.output import stopped
    from resitile.cli.progress import progress
    from resitile.experiments.pilots import answer_by_runs
    from resitile.experiments.stop import Stopped

    try:
        with progress() as observer:
            return answer_by_runs(question, count, folder, digital=digital, observer=observer)
    except Stopped as stop:
        raise stopped(f"{stop}; go on with the same command") from None


def _print(found: dict[str, Any], question: "Question") -> None:
    """The table and what to know about it."""
    from resitile import devices
    from resitile.cli.output import digits, print_table, say, say_patches
    from resitile.experiments.plan import promising, reference_range

    titles = ["method", "gamma", "predicted", "measured", "floor", "update", "storage", "energy"]
    titles += ["area", ""]
    expendable = ["floor", "area", "energy", "gamma", "storage"]
    some = any(row["measured_accuracy"] is not None for row in found["choices"])
    rows = [_shown(row, _remark(row, found, some)) for row in found["choices"]]
    if not some:
        k = titles.index("measured")
        titles, *rows = (line[:k] + line[k + 1 :] for line in (titles, *rows))
    print_table(titles, rows, expendable=expendable)
    if some:
        say(
            f"measured: {len(question.task.validation)} validation images, one seed; digital "
            f"{found['digital_accuracy']:.1%}; {100 * found['close']:.1f} points count as equal"
        )
        chosen = next((r for r in found["choices"] if r["key"] == found["recommended"]), None)
        if chosen is not None and chosen["accuracy"] <= found["guessing"]:
            say(
                f"{chosen['label']} learnt nothing ({chosen['accuracy']:.1%}): give a larger "
                "--measure or more --epochs before you use the run"
            )
        more = promising(found)
        if more is not None and question.limits.accuracy is None:
            say(
                f"{more} is predicted to do better than what was measured: a larger --measure "
                "would try it"
            )
    device, states = question.made_device, digits(found["effective_states"], 4)
    if type(device) is not devices.SoftBounds:
        say(
            f"predicted as for soft bounds of {states} states: what q_up "
            "and q_down look like does not enter predictions, only runs (--measure 6)"
        )
    if found["left_out"]:
        say(
            "of this device, not in the predictions, only in runs (--measure 6): "
            + ", ".join(found["left_out"])
        )
    finer = [r["label"] for r in found["choices"] if r["tuned_for_fewer"] and r["factor"] == 1]
    if finer:
        say(
            f"{'; '.join(finer)}: predicted below what coarser devices reach, for which the steps "
            "were tuned; resitile tune finds those for this device"
        )
    say_patches(found["one_patch_only"], "in costs and limits", "resitile cost RUN.toml ")
    low, high = reference_range()
    if not low <= found["effective_states"] <= high:
        say(
            f"the device counts as one of {states} states, outside of "
            f"the reference runs' {low:g} to {high:g}: accuracies are those of the nearest"
        )


def _shown(row: dict[str, Any], remark: str) -> list[str]:
    return [
        row["label"],
        "-" if row["gamma"] is None else f"{row['gamma']:.2f}",
        f"{100 * row['predicted_accuracy']:.1f} %",
        "-" if row["measured_accuracy"] is None else f"{100 * row['measured_accuracy']:.1f} %",
        f"{row['floor']:.3f}",
        f"{row['update_ns']:.1f} ns",
        f"{row['storage_bytes'] / 1000:.4g} kB",
        f"{row['energy_nj']:.4g} nJ",
        f"{row['area_mm2']:.3g} mm2",
        remark,
    ]


def _remark(row: dict[str, Any], found: dict[str, Any], some: bool) -> str:
    """Why a choice is recommended or not.

    Whether it has to be measured first is said where nothing was: else it holds for all.
    """
    if row["key"] == found["recommended"]:
        return "<- recommended"
    broken = ", ".join(_OPTIONS[name] for name in row["breaks"])
    if row["key"] in found.get("diverged", ()):
        return ", ".join(filter(None, ["diverged", broken]))
    return broken or ("only with --measure" if row["measure_first"] and not some else "")
