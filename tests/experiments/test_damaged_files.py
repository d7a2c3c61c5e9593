"""Files of a run that hold something else: named with the remedy, never a traceback."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from resitile.errors import CheckpointError, DataError
from resitile.experiments.config import Config, load
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.reports import table
from tests.experiments.conftest import ANALOG


class Crash(Observer):
    def step(self, position: Any, loss: float) -> None:
        if position.epoch == 1:
            raise RuntimeError("crash")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    """An analog run that crashed in its second epoch, made once, and its folder's parent."""
    parent = tmp_path_factory.mktemp("made")
    path = parent / "tiny.toml"
    path.write_text(ANALOG)
    config = load(path, ["train.epochs=2"])
    with pytest.raises(RuntimeError, match="crash"):
        run(config, parent, observer=Crash())
    return config, parent


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("fingerprint", None, "no 'fingerprint'"),
        ("config_hash", None, "no 'config_hash'"),
        ("model", [None], "'model' is None"),
        ("optimizer", [None], "'optimizer' is None"),
        ("optimizer", [{}], "does not fit"),
        ("rng", [None], "'rng' is None"),
        ("scheduler", [None], "scheduler: it is no table"),
        ("scheduler.last_epoch", [7], "scheduler: other epochs"),
        ("format", [torch.zeros(2)], "no checkpoint of a run"),
        ("position.epoch", ["two"], "'epoch' is 'two'"),
        ("position.epoch", [-1], "'epoch' is -1"),
        ("position.epoch", None, "no 'epoch'"),
        ("position.step", [10**6], "in step 1000000 after 1 epochs"),
        ("position.step", [12], "in step 12 after 1 epochs"),
        ("position.steps", [0], "made 0 steps"),
        ("position.loss_sum", [float("nan")], "'loss_sum' is nan"),
    ],
)
def test_a_spoilt_checkpoint_is_named(
    made: tuple[Config, Path], tmp_path: Path, place: str, value: list[Any] | None, words: str
) -> None:
    """A whole file with another content; `value` None takes the key away."""
    config, parent = made
    folder = RunFolder(tmp_path / "tiny")
    shutil.copytree(parent / "tiny", folder.path)
    state = torch.load(folder.checkpoint, weights_only=True)
    table, _, key = ("." + place).removeprefix(".").rpartition(".")
    inside = state[table] if table else state
    if value is None:
        del inside[key]
    else:
        inside[key] = value[0]
    torch.save(state, folder.checkpoint)
    with pytest.raises(CheckpointError, match=r"last\.pt.*--overwrite") as caught:
        run(config, tmp_path, resume=True)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metrics.jsonl", b"[]\n", "line 1 is damaged: it is no table but []"),
        ("metrics.jsonl", b"null\n", "line 1 is damaged: it is no table but None"),
        ("metrics.jsonl", b'{"kind": "epoch"}\n', "line 1 is damaged: it has no 'epoch'"),
        ("metrics.jsonl", b'{"kind": "epoch", "epoch": 1}\n', "it has no 'train_loss'"),
        ("metrics.jsonl", b"\xff\n", "line 1 is damaged"),
        ("summary.json", b"{}", "it has no 'name'; delete"),
        ("summary.json", b"[]", "it is no table but []; delete"),
        ("summary.json", b'{"config_hash": 1}', "it has no 'name'; delete"),
        ("summary.json", b"\xff", "it is no JSON"),
    ],
)
def test_spoilt_records_are_named(
    made: tuple[Config, Path], tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    config, parent = made
    path = tmp_path / "tiny" / name
    shutil.copytree(parent / "tiny", path.parent)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(name)) as caught:
        run(config, tmp_path, resume=True)
    assert words.replace("; delete", "") in str(caught.value)
    assert re.search("delete that file and resume|--overwrite", str(caught.value))
    with pytest.raises(DataError, match=re.escape(name)) as told:
        table([path.parent])
    assert words.partition(": ")[2].replace("; delete", "") in str(told.value)
    assert "resume the run" in str(told.value)


def test_a_lost_record_of_tiles_is_named(made: tuple[Config, Path], tmp_path: Path) -> None:
    config, parent = made
    shutil.copytree(parent / "tiny", tmp_path / "tiny")
    path = RunFolder(tmp_path / "tiny").metrics
    lines = path.read_text().splitlines(keepends=True)
    assert sum('"kind": "tiles"' in line for line in lines) > 0
    last = max(k for k, line in enumerate(lines) if '"kind": "tiles"' in line)
    path.write_text("".join(lines[:last] + lines[last + 1 :]))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl.*what tiles held.*--overwrite"):
        run(config, tmp_path, resume=True)


def test_a_spoilt_line_after_the_checkpoint_is_dropped(
    made: tuple[Config, Path], tmp_path: Path
) -> None:
    config, parent = made
    shutil.copytree(parent / "tiny", tmp_path / "tiny")
    with RunFolder(tmp_path / "tiny").metrics.open("ab") as file:
        file.write(b"\xff\xff\nnull\n")
    run(config, tmp_path, resume=True)
    assert table([tmp_path / "tiny"])[0]["epochs"] == 2
