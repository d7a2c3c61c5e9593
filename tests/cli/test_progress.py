"""What a command says of its runs where there is no terminal."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from resitile.cli.progress import PlainLines, progress
from resitile.experiments.checkpoint import Position


def test_a_law_of_ones_own_is_announced_once() -> None:
    out = StringIO()
    lines = PlainLines(Console(file=out))
    for device in ("mine:Cubic", "soft_bounds", "mine:Cubic", "mine:Other"):
        config: Any = SimpleNamespace(title="a", seed=0, devices=[SimpleNamespace(name=device)])
        lines.start(config, 2, 10, Position())
    said = [line for line in out.getvalue().splitlines() if "compiled" in line]
    assert [line.split(":")[1] for line in said] == ["Cubic", "Other"]


def test_names_between_colons_stay_names(capsys: pytest.CaptureFixture[str]) -> None:
    config: Any = SimpleNamespace(title="my:smile:x", seed=0, devices=[])
    with progress() as observer:
        observer.start(config, 2, 10, Position())
    assert "my:smile:x" in capsys.readouterr().err
