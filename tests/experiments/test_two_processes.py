"""Two processes that want one folder: the second is refused, and nothing is lost."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resitile.errors import ConfigError
from resitile.experiments.compare import compare
from resitile.experiments.config import Config, load
from resitile.experiments.records import writing
from resitile.experiments.runner import run

RUN = """
name = "small"
[data]
limit = 400
validation = 0.2
batch_size = 4
[algorithm]
name = "digital"
[train]
epochs = 200
threads = 1
"""


def start(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    (tmp_path / "small.toml").write_text(RUN)
    return subprocess.Popen(
        [sys.executable, "-m", "resitile.cli", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epoch(path: Path) -> None:
    end = time.monotonic() + 120
    while not (path.is_file() and '"epoch": 1' in path.read_text()):
        assert time.monotonic() < end, f"{path} never came to an epoch"
        time.sleep(0.02)


def config_of(tmp_path: Path, *overrides: str) -> Config:
    return load(tmp_path / "small.toml", overrides)


def test_a_folder_that_is_being_written_is_refused_until_its_process_ends(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "small"
    other = start(tmp_path, "train", "small.toml")
    try:
        wait_for_epoch(folder / "metrics.jsonl")
        for asked in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(ConfigError, match=r"another process is writing .*small; nothing"):
                run(config_of(tmp_path), tmp_path / "runs", **asked)
        with pytest.raises(ConfigError, match=r"another process is writing .*small; nothing"):
            compare([config_of(tmp_path)], tmp_path / "runs")
        assert other.poll() is None, other.communicate()
        assert (folder / "metrics.jsonl").is_file()
    finally:
        other.kill()  # kill -9: no chance to clean up
        other.communicate()
    epochs = len((folder / "metrics.jsonl").read_text().splitlines())
    assert epochs >= 1
    with writing(folder):  # the lock went with the process
        pass
    with pytest.raises(ConfigError, match=r"train\.epochs: 200 -> 1"):  # and the run is intact
        run(config_of(tmp_path, "train.epochs=1"), tmp_path / "runs", resume=True)


def test_a_comparison_is_refused_before_its_first_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = start(tmp_path, "compare", "small.toml", "--out", "out")
    try:
        wait_for_epoch(out / "small" / "metrics.jsonl")
        first = config_of(tmp_path, "name=first")
        with pytest.raises(ConfigError, match=r"another process is writing .*out; nothing"):
            compare([first, config_of(tmp_path)], out)
        assert not (out / "first").exists()
    finally:
        other.kill()
        other.communicate()


def test_of_two_that_start_together_one_wins(tmp_path: Path) -> None:
    arguments = ("train", "small.toml", "--set", "train.epochs=1", "--json")
    both = [start(tmp_path, *arguments) for _ in range(2)]
    found = [(*process.communicate(timeout=200), process.returncode) for process in both]
    won, lost = sorted(found, key=lambda each: each[2])
    assert (won[2], lost[2]) == (0, 2), found
    assert json.loads(won[0])["epochs"] == 1
    assert "small" in lost[1] and lost[1].count("\n") == 1


def test_a_request_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(RUN)
    with pytest.raises(ConfigError, match="no run to resume"):
        run(config_of(tmp_path), tmp_path / "runs", resume=True)
    with pytest.raises(ConfigError, match="no data set is called"):
        run(config_of(tmp_path, "data.name=none"), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
