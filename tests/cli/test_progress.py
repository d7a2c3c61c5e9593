"""What a command says of its runs where there is no terminal."""

import time
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from numba import njit
from rich.console import Console

from resitile.cli.progress import PlainLines, progress
from resitile.experiments.checkpoint import Position


@njit
def _never_before(x):
    return x + 1


@njit
def _nor_this(x):
    return x + 2


@njit
def _afterwards(x):
    return x + 3


def plain_lines(done: int = 0) -> tuple[PlainLines, Any]:
    """Lines of a run of 20 steps that goes on after `done` of them, and where they are written."""
    out = StringIO()
    lines = PlainLines(Console(file=out))
    config: Any = SimpleNamespace(title="a", seed=0)
    lines.start(config, 2, 20, Position(steps=done))
    return lines, out


def test_compiling_is_announced_once_where_it_happens() -> None:
    _, out = plain_lines()
    assert "compiling" not in out.getvalue()
    for function in (_never_before, _nor_this):
        function(1)
        assert out.getvalue().count("a: compiling kernels") == 1


def test_time_left_leaves_out_the_steps_in_which_kernels_are_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("resitile.cli.progress.time.monotonic", lambda: now[0])
    lines, out = plain_lines(done=5)
    for steps in range(6, 21):
        now[0] += 60.0 if steps == 6 else 2.0
        lines.step(Position(steps=steps), 0.1)
    record = {"epoch": 1, "steps": 20, "stage": None, "wall_s": 88.0, "train_loss": 1.0}
    lines.epoch(record | {"train_accuracy": 1.0, "val_accuracy": 1.0})
    assert out.getvalue().rstrip().endswith(", 40.0 s left")  # 20 steps of 2 s


def test_time_left_counts_validation_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("resitile.cli.progress.time.monotonic", lambda: now[0])
    out = StringIO()
    lines = PlainLines(Console(file=out))
    config: Any = SimpleNamespace(title="a", seed=0)
    lines.start(config, 6, 5, Position())
    record = {"stage": None, "wall_s": 0.0, "train_loss": 1.0, "train_accuracy": 1.0}
    for epoch in (1, 2):
        for step in range(5 * epoch - 4, 5 * epoch + 1):
            now[0] += 0.02
            lines.step(Position(steps=step), 0.1)
        now[0] += 0.5
        lines.epoch(record | {"epoch": epoch, "steps": 5 * epoch, "val_accuracy": 1.0})
    first, second = (line.rsplit(", ", 1)[1] for line in out.getvalue().splitlines()[1:])
    assert (first, second) == ("4.7 s left", "2.4 s left")  # really 3.0 and 2.4


def test_what_is_compiled_after_a_run_is_not_announced(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as observer:
        observer.start(SimpleNamespace(title="a", seed=0), 2, 20, Position())  # type: ignore[arg-type]
    _afterwards(1)
    assert "compiling" not in capsys.readouterr().err


def test_the_time_left_of_a_resumed_run_counts_only_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter((100.0, 105.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    out = StringIO()
    lines = PlainLines(Console(file=out))
    config: Any = SimpleNamespace(title="a", seed=0, devices=[])
    lines.start(config, 4, 10, Position(epoch=1, steps=10))
    lines.epoch(
        {
            "epoch": 2, "steps": 20, "stage": None, "train_loss": 1.0, "train_accuracy": 0.5,
            "val_accuracy": 0.5, "wall_s": 9.0,
        }
    )  # fmt: skip
    assert out.getvalue().splitlines()[-1].endswith(", 10.0 s left")  # 20 steps of 0.5 s


def test_names_between_colons_stay_names(capsys: pytest.CaptureFixture[str]) -> None:
    config: Any = SimpleNamespace(title="my:smile:x", seed=0, devices=[])
    with progress() as observer:
        observer.start(config, 2, 10, Position())
    assert "my:smile:x" in capsys.readouterr().err
