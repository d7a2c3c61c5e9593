"""Which runs a table puts on one line."""

from pathlib import Path
from typing import Any

import pytest

from resitile.reports import groups, told_apart
from resitile.reports.comparison import shown
from resitile.reports.lines import lines_of
from resitile.reports.records import Run


def run_of(seed: int = 0, **algorithm: Any) -> Run:
    config = {"name": f"s{seed}", "seed": seed, "algorithm": {"name": "a", **algorithm}}
    return Run(Path(), config, "", [], [], None)


def test_seeds_share_a_line_and_settings_do_not() -> None:
    assert run_of(0).group == run_of(1).group
    assert run_of(tiles=2).group != run_of(tiles=3).group


def test_runs_without_a_label_share_a_line_too() -> None:
    """The resolved settings give the name as the label."""

    def labelled(seed: int, label: str | None) -> Run:
        run = run_of(seed)
        run.config["label"] = label or run.config["name"]
        return run

    def lines(*runs: tuple[int, str | None]) -> int:
        return len(lines_of([labelled(*run) for run in runs]))

    assert lines((0, None), (1, None)) == 1
    assert lines((0, "a"), (1, "a")) == 1
    assert lines((0, "a"), (1, "b")) == 2
    assert lines((0, "a"), (1, None)) == 2
    assert lines((0, None), (1, "s0")) == 1  # as compare calls the seeds of s0
    assert lines((0, None), (1, "s0"), (2, None)) == 2


def test_a_line_of_several_seeds_has_nothing_of_the_first_alone() -> None:
    rows = [
        {
            "name": f"a{seed}", "label": "a", "group": "g", "seed": seed, "status": "finished",
            "config_hash": str(seed), "val_accuracy": best, "test_accuracy": best,
            "best_val_accuracy": best,
        }
        for seed, best in ((0, 0.4), (1, 0.2))
    ]  # fmt: skip
    (line,) = groups(rows)
    assert line["best_val_accuracy"] == line["val_accuracy"] == pytest.approx(0.3)
    assert (line["seed"], line["config_hash"], line["seeds"]) == (None, None, [0, 1])
    (line,) = groups(rows[:1])
    assert (line["seed"], line["config_hash"], line["best_val_accuracy"]) == (0, "0", 0.4)


def test_lines_of_one_label_are_told_apart_by_name() -> None:
    lines = [
        {"label": label, "name": name} for label, name in (("MP", "a"), ("MP", "b"), ("c", "c"))
    ]
    assert [line["label"] for line in told_apart(lines)] == ["MP (a)", "MP (b)", "c"]
    same = [{"label": "a", "name": "a"}] * 2
    assert [line["label"] for line in told_apart(same)] == ["a #1", "a #2"]
    copies = [{"label": "MP", "name": name} for name in "aba"]
    assert [line["label"] for line in told_apart(copies)] == ["MP (a) #1", "MP (b)", "MP (a) #2"]


def test_epochs_of_an_unfinished_line_are_marked() -> None:
    assert shown({"epochs": 10, "status": "unfinished"}, "epochs") == "10, unfinished"
    assert shown({"epochs": 10, "status": "finished"}, "epochs") == "10"


def test_a_setting_that_older_records_lack_means_its_default() -> None:
    assert run_of(gradient_tiles=1).group == run_of(1).group
    assert run_of(gradient_tiles=3).group != run_of().group
