"""What commands print on stdout: tables and JSON. Progress and messages go to stderr."""

import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from resitile.errors import ResitileError

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
# Columns of a comparison that a narrow terminal may go without, the least important first.
_EXPENDABLE = (
    "update_ns", "digital_storage_bytes", "pulses", "wall_s", "ms_per_step", "states", "n", "tiles",
)  # fmt: skip


@contextmanager
def _stdout() -> Iterator[None]:
    """Tell in one line that stdout takes no more; a closed pipe is left to click, which is silent.

    Raises:
        ResitileError: if it cannot be written (a full disk).
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        with suppress(OSError):  # what is still buffered would fail again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ResitileError(
            f"cannot write to the standard output: {error.strerror}; send it elsewhere, or free "
            "some space. Files that the command wrote are in their place"
        ) from error


def print_json(content: Any) -> None:
    """JSON and nothing else; what is infinite or no number is null, for JSON has no word for it."""
    say(json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def say(text: str, *, end: str = "\n") -> None:
    """A line beside the table, never wrapped (paths are copied from it)."""
    with _stdout():
        typer.echo(text + end, nl=False)


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


def digits(value: float, count: int) -> str:
    """A number with `count` significant digits and no exponent, as numbers of states are read."""
    from numpy import format_float_positional

    return format_float_positional(value, precision=count, unique=False, fractional=False, trim="-")


def say_idle(summary: dict[str, Any], run: str = "") -> None:
    """Name the tiles of a run that no pulse ever reached."""
    for name, tiles in summary.get("idle_tiles", {}).items():
        say(
            f"{run}{': ' if run else ''}no pulse ever reached tile {', '.join(map(str, tiles))} of "
            f"{name}, which still holds what it began with: other steps or more epochs may move it"
        )


def say_patches(
    names: Sequence[str], where: str = "as in the published tables", command: str = ""
) -> None:
    """Tell of convolutions whose cost is that of one patch, and what (of `command`) counts all."""
    if names:
        say(
            f"one patch stands for all of {', '.join(names)}, {where}; {command}--sample 1,28,28, "
            "the input's shape, counts every patch"
        )


def print_groups(lines: list[dict[str, Any]], form: str) -> None:
    """A comparison as a table, JSON, CSV or LaTeX."""
    from resitile.reports.comparison import as_csv, as_latex, columns_to_read, shown

    if form == "json":
        print_json(lines)
    elif form == "csv":
        say(as_csv(lines), end="")
    elif form == "latex":
        say(as_latex(lines), end="")
    else:
        shown_columns = dict(columns_to_read(lines))
        rows = [[shown(line, key) for key in shown_columns] for line in lines]
        expendable = [shown_columns[key] for key in _EXPENDABLE if key in shown_columns]
        print_table(list(shown_columns.values()), rows, expendable=expendable)


def print_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: bool = True,
    expendable: Sequence[str] = (),
) -> None:
    """A table; with `numbers`, all columns but the first are set to the right.

    A narrow terminal goes without the columns `expendable`, the least important first; no number
    is ever cut.
    """
    console = Console(emoji=False)  # `my:law:x` is a name
    columns = [[title, *cells] for title, *cells in zip(titles, *rows, strict=True)]
    widths = {column[0]: max(map(len, column)) + 2 for column in columns}
    dropped: list[str] = []
    for title in expendable:
        if not console.is_terminal or sum(widths.values()) - 2 <= console.width:
            break
        if title in widths:
            del widths[title]
            dropped.append(title)
    columns = [column for column in columns if column[0] in widths]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for k, column in enumerate(columns):
        right = numbers and k > 0
        table.add_column(column[0], justify="right" if right else "left", no_wrap=right or k == 0)
    for row in zip(*(column[1:] for column in columns), strict=True):
        table.add_row(*row)
    needed = sum(widths.values()) - 2 if numbers else 0
    if not console.is_terminal:  # into a file or a pipe, it is as wide as it needs to be
        needed = max(needed, 200)
    if needed > console.width:
        console = Console(width=needed, emoji=False)
    with _stdout():
        console.print(table, highlight=False, markup=False)
    if dropped:
        say(f"(not shown for want of width: {', '.join(dropped)})")


def clock(seconds: float) -> str:
    """Seconds as people say them."""
    if round(seconds, 1) < 60:
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
    if isinstance(value, list):  # one per tile, coarsest first
        return ", ".join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
