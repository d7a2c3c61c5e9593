"""`resitile compare` stopped by Ctrl-C and by kill -9 in the middle, and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

RUN = """
name = "small"
[data]
limit = 400
validation = 0.2
batch_size = 4
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "residual_learning"
tiles = 3
[train]
epochs = 3
threads = 1
"""
CLOCKS = ("wall_s", "ms_per_step", "environment")


def start(tmp_path: Path, out: str) -> subprocess.Popen[bytes]:
    (tmp_path / "small.toml").write_text(RUN)
    command = [
        sys.executable, "-m", "resitile.cli", "compare", "small.toml", "--seeds", "0,1",
        "--out", out, "--json",
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip


def table(tmp_path: Path, out: str) -> list[dict[str, Any]]:
    process = start(tmp_path, out)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr.decode()
    lines: list[dict[str, Any]] = json.loads(stdout)
    assert lines == json.loads((tmp_path / out / "comparison.json").read_text())
    return [{k: v for k, v in line.items() if k not in CLOCKS} for line in lines]


def wait_for_epoch(path: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if path.is_file() and '"epoch": 1' in path.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never came to an epoch")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The table of a comparison that nothing interrupted."""
    return table(tmp_path_factory.mktemp("uninterrupted"), "whole")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_table_is_that_of_an_uninterrupted_comparison(
    tmp_path: Path, whole: list[dict[str, Any]], how: int
) -> None:
    process = start(tmp_path, "parts")
    wait_for_epoch(tmp_path / "parts" / "small" / "metrics.jsonl")
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    if how == signal.SIGINT:
        assert "go on with the same command" in stderr.decode()
    assert not (tmp_path / "parts" / "comparison.json").exists()
    (line,) = table(tmp_path, "parts")
    assert (line["n"], line["seeds"]) == (2, [0, 1])
    assert [line] == whole
