"""Tables in terminals of any width: columns may go, digits never do."""

import functools

import pytest
from rich.console import Console

from resitile.cli import output

TITLES = ["method", "gamma", "update", "storage"]
ROWS = [["MT-RL, 6 tiles", "0.50", "76.6 ns", "2.13 kB"], ["MP", "-", "791.9 ns", "114.1 kB"]]
EXPENDABLE = ["gamma", "storage"]


def printed(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    terminal = functools.partial(Console, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "Console", terminal)
    output.print_table(TITLES, ROWS, expendable=EXPENDABLE)
    return capsys.readouterr().out.splitlines()


def test_a_wide_terminal_shows_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(80, monkeypatch, capsys)
    assert lines[0].split() == TITLES
    assert lines[2].split() == " ".join(ROWS[1]).split()
    assert len(lines) == 3


def test_a_narrow_one_drops_the_least_important_first_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(36, monkeypatch, capsys)
    assert lines[0].split() == ["method", "update", "storage"]
    assert lines[-1] == "(not shown for want of width: gamma)"


def test_numbers_are_never_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(12, monkeypatch, capsys)
    assert lines[0].split() == ["method", "update"]
    assert "…" not in "".join(lines)
    assert lines[1].endswith("76.6 ns")


def test_names_between_colons_stay_names(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["law"], [["my:smile:x"]])
    assert "my:smile:x" in capsys.readouterr().out


def test_a_file_gets_everything(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(TITLES, ROWS, expendable=EXPENDABLE)
    assert capsys.readouterr().out.splitlines()[0].split() == TITLES


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (119.6, "2 min 00 s"),
        (3599.7, "1 h 00 min"),
        (3725.0, "1 h 02 min"),
    ],
)
def test_times_are_rounded(seconds: float, shown: str) -> None:
    assert output.clock(seconds) == shown


@pytest.mark.parametrize(
    ("value", "count", "shown"),
    [
        (4.0, 4, "4"), (1000.0, 3, "1000"), (1234.6, 3, "1230"), (11.163, 4, "11.16"),
        (0.0456, 2, "0.046"), (999.96, 4, "1000"), (123456.0, 4, "123500"),
    ],
)  # fmt: skip
def test_numbers_of_states_have_no_exponent(value: float, count: int, shown: str) -> None:
    assert output.digits(value, count) == shown
