"""Comparisons: one task, finished runs reused, unfinished ones continued."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resitile.errors import ConfigError
from resitile.experiments.compare import compare, with_seeds
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.reports import groups, table

MakeConfig = Callable[..., Config]


class Log(Observer):
    """What happened, run by run; may crash after some steps of a run."""

    def __init__(self, crash_in: str | None = None) -> None:
        self.events: list[tuple[str, str, int]] = []
        self._crash_in, self._name = crash_in, ""

    def start(self, config: Config, epochs: int, steps_per_epoch: int, position: Any) -> None:
        self._name = config.name
        self.events.append(("start", config.name, position.steps))

    def step(self, position: Any, loss: float) -> None:
        if self._name == self._crash_in and position.steps == 15:
            raise RuntimeError("crash")

    def finished_before(self, summary: dict[str, Any]) -> None:
        self.events.append(("reused", summary["name"], summary["steps"]))


def test_finished_runs_are_reused_and_others_continued(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    both = [make_config(f"name={name}", digital=True) for name in ("one", "two")]
    with pytest.raises(RuntimeError, match="crash"):
        compare(both, tmp_path / "out", observer=Log(crash_in="two"))
    log = Log()
    folders = compare(both, tmp_path / "out", observer=log)
    assert folders == [tmp_path / "out" / "one", tmp_path / "out" / "two"]
    assert log.events == [("reused", "one", 22), ("start", "two", 11)]
    log = Log()
    compare(both, tmp_path / "out", overwrite=True, observer=log)
    assert log.events == [("start", "one", 0), ("start", "two", 0)]


def test_the_number_of_threads_is_no_other_setting(make_config: MakeConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    one, two = (make_config("name=one", f"train.threads={n}", digital=True) for n in (1, 2))
    other = make_config("name=other", "seed=1", "label=one", "train.threads=2", digital=True)
    compare([one], out)
    log = Log()
    folders = compare([two, other], out, observer=log)
    assert log.events == [("reused", "one", 22), ("start", "other", 0)]
    (line,) = groups(table(folders))  # one setting with two seeds
    assert line["seeds"] == [0, 1]


def test_an_older_checkpoint_that_counts_threads_is_continued(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config("name=one", "train.threads=1", digital=True)
    with pytest.raises(RuntimeError, match="crash"):
        compare([config], tmp_path, observer=Log(crash_in="one"))
    path = RunFolder(tmp_path / "one").checkpoint
    state = torch.load(path, weights_only=True)
    state["config_hash"] = config.former_hash
    torch.save(state, path)
    log = Log()
    compare([make_config("name=one", "train.threads=2", digital=True)], tmp_path, observer=log)
    assert log.events == [("start", "one", 11)]
    assert torch.load(path, weights_only=True)["config_hash"] == config.hash


def test_a_folder_with_other_settings_stops_it_before_the_first_run(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    compare([make_config("name=two", "train.epochs=1", digital=True)], out)
    wanted = [make_config(f"name={name}", digital=True) for name in ("one", "two")]
    with pytest.raises(ConfigError, match=r"train\.epochs: 1 -> 2"):
        compare(wanted, out)
    assert not (out / "one").exists()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("name=tiny", "two runs are called 'tiny'"),
        ("data.limit=61", "data.limit=61, but 'tiny' has 60"),
        ("data.validation=0.5", "data.validation"),
        ("model.name=other", "model.name"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    make_config: MakeConfig, tmp_path: Path, setting: str, words: str
) -> None:
    name = () if setting.startswith("name") else ("name=other",)
    with pytest.raises(ConfigError, match=words):
        compare([make_config(), make_config(setting, *name)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [-1, 2**62, 10**23])
def test_seeds_out_of_range_are_refused_before_any_run(make_config: MakeConfig, seed: int) -> None:
    config = make_config(digital=True)
    assert with_seeds([config], [2**62 - 1])[0].seed == 2**62 - 1
    mine = make_config("seed=3", digital=True)
    own, other = with_seeds([mine], [3, 0])
    assert own is mine
    assert (other.seed, other.name, other.title) == (0, f"{mine.name}-seed0", mine.title)
    with pytest.raises(ConfigError, match="seeds are given twice: 1, 2, 1"):
        with_seeds([config], [1, 2, 1])
    with pytest.raises(ConfigError, match=rf"from 0 to 2\*\*62 - 1 .*got {seed}"):
        with_seeds([config], [0, seed])
