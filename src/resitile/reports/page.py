"""One self-contained HTML page about one or several runs."""

import io
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from resitile._pictures import save_figure
from resitile.experiments.records import cannot_make, swap_in
from resitile.reports import comparison, figures
from resitile.reports.lines import lines_of
from resitile.reports.records import Run, read_runs, row


def write_report(
    run_dirs: list[Path], out: Path, title: str | None = None, baseline: str | None = None
) -> Path:
    """Write the page about runs; it needs nothing beside it and no network.

    Args:
        run_dirs: run folders, in the order of the table.
        out: the file to write.
        title: headline; None makes one from the data.
        baseline: name or label of the run that the others are compared with; None is the first.

    Returns:
        `out`.

    Raises:
        ConfigError: if there are no runs, or the file cannot be written.
        DataError: if a record is missing or damaged.
    """
    runs = read_runs(run_dirs)
    rows = [row(run) for run in runs]
    found = comparison.groups(rows, baseline)
    lines = comparison.told_apart(found)
    compared = comparison.baseline_of(found, baseline)
    columns = comparison.columns_to_read(lines)
    first = next((run.summary for run in runs if run.summary), None)
    tasks = list(dict.fromkeys(run.task for run in runs))
    one_task = len(tasks) == 1
    data = runs[0].config.get("data", {}).get("name", "?")
    model = runs[0].config.get("model", {}).get("name", "?")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = resources.files("resitile.reports").joinpath("report.html.j2").read_text("utf-8")
    environment.filters |= {"percent": _percent, "clock": _clock, "count": _count}
    page = environment.from_string(template).render(
        title=title or (f"{model} on {data}" if one_task else "Runs of several tasks"),
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        rows=rows,
        columns=columns,
        lines=[[comparison.shown(line, key) for key, _ in columns] for line in lines],
        unfinished=[line["status"] != "finished" for line in lines],
        several=len(lines) < len(rows),
        compared=f"“{lines[compared]['label']}”" if compared else "the first line",
        differences=_differences(runs),
        statement=_statement(lines) if one_task else _several(tasks),
        sizes=first if one_task else None,
        environment=(first or {}).get("environment", {}),
        curves=_svg(figures.learning_curves(runs)) if any(r.epochs for r in runs) else None,
        pulses=_svg(figures.pulses_per_tile(runs)) if any(r["pulses"] for r in rows) else None,
        # One seed of each setting: the others look alike.
        analog=[
            _analog(k, label, line[0])
            for k, (label, line) in enumerate(lines_of(runs))
            if line[0].tiles
        ],
        runs=[{"label": run.label, "settings": run.settings} for run in runs],
        seeds=sorted({r["seed"] for r in rows if r.get("seed") is not None}),
    )
    try:
        if out.exists() and not out.is_file():  # /dev/stdout must not be replaced by a file
            out.write_text(page, encoding="utf-8")
        else:
            swap_in(out.resolve(), page.encode())
    except OSError as error:
        raise cannot_make(out, error) from error
    return out


def _differences(runs: list[Run]) -> list[tuple[str, list[str]]]:
    """The settings in which the lines differ, by dotted key; values in the order of the lines."""
    flat = [_flat(run.config) for _, (run, *_) in lines_of(runs)]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    return [
        (key, [str(settings.get(key, "–")) for settings in flat])
        for key in keys
        if key not in ("name", "label", "seed", "data.dir")
        and len({str(settings.get(key)) for settings in flat}) > 1
    ]


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, list) and value and isinstance(value[0], dict):  # [[device]]
            value = {str(k): part for k, part in enumerate(value)}
        found |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def _analog(number: int, label: str, run: Run) -> dict[str, Any]:
    colour = figures.COLOURS[number % len(figures.COLOURS)]
    several = max(len(layer["std"]) for layer in run.tiles[-1]["layers"].values()) > 1
    transfers = run.epochs[-1].get("transfers") or {}
    return {
        "label": label,
        "epoch": run.tiles[-1]["epoch"],
        "history": [_svg(figures.tile_history(run, name)) for name in run.tiles[-1]["layers"]]
        if len(run.tiles) > 1
        else [],
        "histograms": _svg(figures.tile_histograms(run, run.tiles[-1], colour)),
        "evolution": _svg(figures.tile_evolution(run)) if several else None,
        "wear": _wear(run),
        "idle": (run.summary or {}).get("idle_tiles") or {},
        "transfers": transfers if any(any(counts) for counts in transfers.values()) else None,
    }


def _wear(run: Run) -> list[tuple[str, list[str]]]:
    """By layer, the most and the median pulses of a device of each tile; empty if not counted."""
    found = (run.summary or {}).get("wear") or {}
    return [
        (
            name,
            [
                f"{_count(worst)} / {_count(median)}"
                for worst, median in zip(layer["worst"], layer["median"], strict=True)
            ],
        )
        for name, layer in found.items()
    ]


def _several(tasks: list[str]) -> str:
    return f"Not comparable, for network or data differ: {'; '.join(tasks)}."


def _statement(lines: list[dict[str, Any]]) -> str:
    """One sentence that follows from the table, or nothing."""
    done = [r for r in lines if r.get("test_accuracy") is not None]
    several = [r for r in done if (r.get("tiles") or 0) > 1]
    single = [r for r in done if r.get("tiles") == 1]
    digital = [r for r in done if not r.get("tiles")]

    def best(group: list[dict[str, Any]]) -> dict[str, Any]:
        # Chosen on validation data; the test accuracy is only reported.
        return max(group, key=lambda r: r["val_accuracy"])

    def reached(line: dict[str, Any]) -> str:
        seeds = len(line["test_by_seed"])
        return f"{100 * line['test_accuracy']:.2f} %" + f" (mean of {seeds} seeds)" * (seeds > 1)

    if not several or not single:
        return ""
    many, one = best(several), best(single)
    text = (
        f"{many['label']} reaches {reached(many)} test accuracy with devices of "
        f"{comparison.shown(many, 'states')} states, the best single tile {reached(one)}"
    )
    if digital:
        text += f", digital training {reached(best(digital))}"
    return text + "."


def _svg(figure: Figure) -> Markup:
    stream = io.StringIO()
    save_figure(figure, stream, "svg")
    text = stream.getvalue()
    # Only matplotlib's own markup; it escapes labels. The page draws all to one scale.
    style = f'<svg style="--inches: {figure.get_figwidth():g}" '
    return Markup(text[text.index("<svg ") :].replace("<svg ", style, 1))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
