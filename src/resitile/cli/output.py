"""What commands print on stdout: tables and JSON. Progress and messages go to stderr."""

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

_COLUMNS = (
    ("run", "label"),
    ("states", "states"),
    ("tiles", "tiles"),
    ("val acc", "val_accuracy"),
    ("test acc", "test_accuracy"),
    ("epochs", "epochs"),
    ("ms/step", "ms_per_step"),
    ("wall", "wall_s"),
)


def print_json(content: Any) -> None:
    """JSON and nothing else."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """A line beside the table, never wrapped (paths are copied from it)."""
    typer.echo(text)


def stopped(text: str) -> typer.Exit:
    """Say on stderr how to go on after Ctrl-C, and what to raise then."""
    typer.echo(text, err=True)
    return typer.Exit(130)


def print_runs(rows: list[dict[str, Any]]) -> None:
    """One line per run."""
    print_table(
        [title for title, _ in _COLUMNS],
        [[_shown(key, row.get(key)) for _, key in _COLUMNS] for row in rows],
    )


def print_groups(lines: list[dict[str, Any]], form: str) -> None:
    """A comparison as a table, JSON, CSV or LaTeX."""
    from resitile.reports.comparison import as_csv, as_latex, columns, shown

    if form == "json":
        print_json(lines)
    elif form == "csv":
        typer.echo(as_csv(lines), nl=False)
    elif form == "latex":
        typer.echo(as_latex(lines), nl=False)
    else:
        chosen = columns(lines)
        print_table(
            [title for _, title in chosen],
            [[shown(line, key) for key, _ in chosen] for line in lines],
        )


def print_table(titles: list[str], rows: list[list[str]], *, numbers: bool = True) -> None:
    """A table; with `numbers`, all columns but the first are set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for k, title in enumerate(titles):
        right = numbers and k > 0
        table.add_column(title, justify="right" if right else "left", no_wrap=right or k == 0)
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:  # into a file or a pipe, it is as wide as it needs to be
        console = Console(width=200)
    console.print(table, highlight=False, markup=False)


def clock(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _shown(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.endswith("accuracy"):
        return f"{100 * value:.2f} %"
    if key == "ms_per_step":
        return f"{value:.2f}"
    if key == "wall_s":
        return clock(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
