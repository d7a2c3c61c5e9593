"""Live progress on stderr: bars in a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from resitile.cli.output import clock
from resitile.experiments.checkpoint import Position
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.runner import UNTIMED
from resitile.kernels.compiling import at_next_compilation

_COMPILING = "compiling kernels for this device, once: seconds to half a minute"
_EVERY_S = 0.2  # between two changes of the bars: a step may take less than a millisecond


@contextmanager
def progress() -> Iterator[Observer]:
    """An observer that shows how far the run is."""
    console = Console(stderr=True, emoji=False)
    try:
        if not console.is_terminal:
            yield PlainLines(console)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, refresh_per_second=4) as bars:
            yield Bars(bars)
    finally:
        at_next_compilation(None)


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for (done, in all) in a terminal; nothing elsewhere."""
    console = Console(stderr=True, emoji=False)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn(what), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        task = bars.add_task(what)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class PlainLines(Observer):
    """One line per epoch, for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def start(self, config: Config, epochs: int, steps_per_epoch: int, position: Position) -> None:
        """Say what begins."""
        self._title = _title(config.title, config.seed)
        self._epochs, self._done, self._first = epochs, position.steps, position.steps
        self._per_epoch, self._began = steps_per_epoch, time.monotonic()
        self._whole = False
        where = f", from step {position.steps}" if position.steps else ""
        self._say(f"{self._title}: {epochs} epochs of {steps_per_epoch} steps{where}")
        at_next_compilation(lambda: self._say(f"{self._title}: {_COMPILING}"))

    def step(self, position: Position, loss: float) -> None:
        """Start the clock after steps in which kernels are compiled or loaded."""
        if position.steps - self._first <= min(UNTIMED, self._per_epoch // 2):
            self._done, self._began = position.steps, time.monotonic()

    def epoch(self, record: dict[str, Any]) -> None:
        """Losses, accuracies and time left after an epoch."""
        now, total = time.monotonic(), self._epochs * self._per_epoch
        done = record["steps"] - self._done
        left = (now - self._began) / max(done, 1) * (total - record["steps"])
        if not self._whole:  # from here on in whole epochs, with their validation
            self._whole, self._done, self._began = True, record["steps"], now
        self._say(f"{self._title}: {_line(record, self._epochs)}, {clock(left)} left")

    def nothing_saved(self, folder: Path) -> None:
        """Say that the run begins."""
        self._say(_begins(folder))

    def finished_before(self, summary: dict[str, Any]) -> None:
        """Say that nothing was done."""
        self._say(_finished(summary))


class Bars(Observer):
    """Two bars, epochs and steps, with loss and accuracies."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._next = 0.0
        self._note = ""

    def start(self, config: Config, epochs: int, steps_per_epoch: int, position: Position) -> None:
        """New bars for a new run."""
        for task in list(self._bars.task_ids):
            self._bars.remove_task(task)
        self._note = ""
        self._title, self._epochs = _title(config.title, config.seed), epochs
        self._at, self._loss = position, float("nan")
        self._outer = self._bars.add_task(
            self._title, total=epochs * steps_per_epoch, completed=position.steps, note=self._note
        )
        self._inner = self._bars.add_task(
            f"epoch {position.epoch + 1}/{epochs}",
            total=steps_per_epoch,
            completed=position.step,
            note="",
        )
        at_next_compilation(self._tell)

    def _tell(self) -> None:
        self._note = _COMPILING
        self._bars.update(self._outer, note=self._note)

    def step(self, position: Position, loss: float) -> None:
        """Move the bars, now and then."""
        self._at, self._loss = position, loss
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._note = "" if self._note.startswith("compiling") else self._note
            self._show()

    def _show(self) -> None:
        position, loss = self._at, self._loss
        seen = max(position.seen, 1)
        mean, accuracy = position.loss_sum / seen, position.correct / seen
        self._bars.update(self._outer, completed=position.steps, note=self._note)
        self._bars.update(
            self._inner,
            description=f"epoch {position.epoch + 1}/{self._epochs}",
            completed=position.step,
            note=f"loss {loss:.3f} (mean {mean:.3f}), accuracy {accuracy:.1%}",
        )

    def evaluating(self, part: str) -> None:
        """Say so beside the bar."""
        if part == "validation":
            self._show()  # the last steps may have been too fast for the bar
        self._bars.update(self._inner, note=f"evaluating on the {part} set")

    def epoch(self, record: dict[str, Any]) -> None:
        """Keep a line per epoch above the bars."""
        self._note = f"validation {record['val_accuracy']:.1%}"
        self._bars.update(self._outer, completed=record["steps"], note=self._note)
        self._bars.console.print(
            f"{self._title}: {_line(record, self._epochs)}", highlight=False, markup=False
        )

    def nothing_saved(self, folder: Path) -> None:
        """Say that the run begins."""
        self._bars.console.print(_begins(folder), highlight=False, markup=False)

    def finished_before(self, summary: dict[str, Any]) -> None:
        """Say that nothing was done."""
        self._bars.console.print(_finished(summary), highlight=False, markup=False)


def _line(record: dict[str, Any], epochs: int) -> str:
    stage = "" if record["stage"] is None else f", fills tile {record['stage']}"
    return (
        f"epoch {record['epoch']}/{epochs}  loss {record['train_loss']:.4f}  "
        f"train {record['train_accuracy']:.1%}  val {record['val_accuracy']:.1%}{stage}  "
        f"{clock(record['wall_s'])}"
    )


def _title(label: str, seed: int) -> str:
    return f"{label}, seed {seed}" if seed else label


def _finished(summary: dict[str, Any]) -> str:
    return f"{_title(summary['label'], summary['seed'])}: finished before, nothing to do"


def _begins(folder: Path) -> str:
    return f"{folder}: no checkpoint was saved there yet, so the run begins with its first step"
