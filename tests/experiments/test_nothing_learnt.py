"""Folders of runs that were killed, or found the disk full, before their first checkpoint."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resitile.errors import CheckpointError, ConfigError, ResitileError
from resitile.experiments import rules, tune
from resitile.experiments.compare import compare
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder, writing
from resitile.experiments.runner import run
from tests.experiments.conftest import DIGITAL

MakeConfig = Callable[..., Config]
LEFT: list[list[str]] = [
    [],
    [".config.toml.123.tmp"],
    ["config.toml"],
    ["config.toml", "code.json", "metrics.jsonl"],
    ["config.toml", "metrics.jsonl", "checkpoints/.last.pt.123.tmp"],
]


class Told(Observer):
    def __init__(self) -> None:
        self.began: list[Path] = []

    def nothing_saved(self, folder: Path) -> None:
        self.began.append(folder)


def small(make_config: MakeConfig, *overrides: str) -> Config:
    return make_config("train.epochs=1", *overrides, digital=True)


def leave(config: Config, parent: Path, names: list[str]) -> RunFolder:
    """What a killed process left."""
    folder = RunFolder(parent / config.name)
    folder.path.mkdir(parents=True)
    for name in names:
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(config.toml() if name == "config.toml" else "")
    return folder


def files(folder: RunFolder) -> set[str]:
    return {str(p.relative_to(folder.path)) for p in folder.path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("names", LEFT)
def test_it_begins_with_its_first_step(
    make_config: MakeConfig, tmp_path: Path, names: list[str]
) -> None:
    config, told = small(make_config), Told()
    folder = leave(config, tmp_path, names)
    summary = run(config, tmp_path, resume=True, observer=told)
    assert summary["steps"] == run(config, tmp_path / "whole")["steps"]
    assert told.began == [folder.path]
    assert not [name for name in files(folder) if name.endswith(".tmp")]


@pytest.mark.parametrize("names", LEFT)
def test_a_comparison_and_a_tuning_go_on(
    make_config: MakeConfig, tmp_path: Path, names: list[str]
) -> None:
    one, two = (small(make_config, f"name={name}") for name in ("one", "two"))
    compare([one], tmp_path)
    leave(two, tmp_path, names)
    told = Told()
    compare([one, two], tmp_path, observer=told)
    assert RunFolder(tmp_path / "two").summary.exists()
    assert len(told.began) == (1 if names else 0)

    path = tmp_path / "tuned.toml"
    path.write_text(DIGITAL + '[search]\n"optimizer.lr" = { low = 0.01, high = 1.0 }\n')
    tuning = tune.load(path, ["train.epochs=1"])
    leave(tuning.config({}, "trial-000"), tmp_path / "tuned", names)
    assert tune.tune(tuning, tmp_path, trials=1)["best"]["number"] == 0


def test_a_full_disk_before_the_first_checkpoint(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(make_config)

    def full(*_: Any) -> None:
        raise ResitileError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(rules.checkpoint, "save", full)
        with pytest.raises(ResitileError, match="no space"):
            run(config, tmp_path)
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        run(small(make_config, "optimizer.lr=0.7"), tmp_path, resume=True)
    longer = small(make_config, "train.epochs=2")
    assert run(longer, tmp_path, resume=True, longer=True)["epochs"] == 2
    assert "epochs = 2" in RunFolder(tmp_path / "tiny").config.read_text()


@pytest.mark.parametrize("name", ["thesis.txt", "checkpoints/last.pt.bak", ".notes.tmp"])
def test_a_folder_with_other_files_is_left_alone(
    make_config: MakeConfig, tmp_path: Path, name: str
) -> None:
    config = small(make_config)
    folder = leave(config, tmp_path, ["config.toml", name])
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        run(config, tmp_path, resume=True)
    folder.config.unlink()
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigError, match="holds no run"):
            run(config, tmp_path, **how)
    assert files(folder) == {name}


def test_a_lost_checkpoint_is_no_beginning(make_config: MakeConfig, tmp_path: Path) -> None:
    config = small(make_config)
    run(config, tmp_path)
    folder = RunFolder(tmp_path / "tiny")
    for path in (folder.checkpoint.parent, folder.tensorboard):
        shutil.rmtree(path)
    folder.summary.unlink()
    record = folder.metrics.read_text()
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        run(config, tmp_path, resume=True)
    assert folder.metrics.read_text() == record


def test_another_process_may_be_about_to_save(make_config: MakeConfig, tmp_path: Path) -> None:
    config = small(make_config)
    folder = leave(config, tmp_path, ["config.toml"])
    with writing(folder.path), pytest.raises(ConfigError, match="another process is writing"):
        run(config, tmp_path, resume=True)
    assert files(folder) == {"config.toml"}


def test_a_folder_is_overwritten_whole_or_not_at_all(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of deleting: what is left is under no run's name, and goes later."""
    config = small(make_config)
    run(config, tmp_path)

    def kill(path: Path) -> None:
        (path / "config.toml").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rules.shutil, "rmtree", kill)
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path, overwrite=True)
    assert not (tmp_path / "tiny").exists()
    assert [path for path in tmp_path.iterdir() if path.is_dir()], "what is left"
    compare([config], tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [tmp_path / "tiny"]


@pytest.mark.parametrize(
    "name", ["code.json", "metrics.jsonl", "config.toml/a", ".last.pt.1.tmp/a"]
)
def test_files_of_others_that_have_names_of_a_run_are_left_alone(
    make_config: MakeConfig, tmp_path: Path, name: str
) -> None:
    """A run writes its configuration first, and no folders under these names."""
    config = small(make_config)
    folder = leave(config, tmp_path, [name])
    for how in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(ConfigError, match="holds no run"):
            run(config, tmp_path, **how)
    with pytest.raises(ResitileError):
        compare([config], tmp_path)
    assert files(folder) == {name}


def test_only_what_this_run_left_aside_is_deleted(make_config: MakeConfig, tmp_path: Path) -> None:
    config = small(make_config)
    others = (".other.1.tmp", ".tiny.1.tmp.mine", ".tiny.mine.tmp")
    for name in (*others, ".tiny.1.tmp"):
        (tmp_path / name).mkdir(parents=True)
    run(config, tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {*others, "tiny"}
