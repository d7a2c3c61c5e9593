"""Stop and resume equals an uninterrupted run, to the bit."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resitile.errors import ConfigError
from resitile.experiments.compare import compare
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.experiments.stop import Stopped

MakeConfig = Callable[..., Config]
TIMES = ("wall_s", "ms_per_step", "timed_s", "timed_steps")


class Crash(RuntimeError):
    """What the test breaks a run with."""


class At(Observer):
    """Does something after a given number of steps, and in given evaluations."""

    def __init__(self, steps: int | str, what: Callable[[], None]) -> None:
        self._steps, self._what = steps, what

    def step(self, position: Any, loss: float) -> None:
        if position.steps == self._steps:
            self._what()

    def evaluating(self, part: str) -> None:
        if part == self._steps:
            self._steps = -1
            self._what()


def crash() -> None:
    raise Crash


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def contents(folder: Path) -> dict[str, Any]:
    """Everything a run recorded and saved, without times; tensors as bytes."""
    files = RunFolder(folder)
    lines = [json.loads(line) for line in files.metrics.read_text().splitlines()]
    return {
        "metrics": _plain(lines),
        "summary": _plain(json.loads(files.summary.read_text())),
        "checkpoint": _plain(torch.load(files.checkpoint, weights_only=True)),
    }


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return {k: _plain(v) for k, v in item.items() if k not in TIMES}
    if isinstance(item, list):
        return [_plain(v) for v in item]
    if isinstance(item, torch.Tensor):
        return (str(item.dtype), tuple(item.shape), item.numpy().tobytes())
    return item


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of uninterrupted runs, by kind; made once."""
    del tmp_path_factory
    return {}


@pytest.mark.parametrize(
    ("break_at", "how"),
    [
        (5, ctrl_c),  # in the middle of the first epoch (11 steps)
        (11, ctrl_c),  # after its last step
        (19, ctrl_c),
        ("validation", ctrl_c),
        (5, crash),  # before any epoch was saved
        (30, crash),
        ("validation", crash),
        ("test", crash),  # all trained, only the summary is missing
    ],
)
def test_resume_equals_an_uninterrupted_run(
    make_config: MakeConfig,
    tmp_path: Path,
    whole: dict[str, Any],
    break_at: int | str,
    how: Callable[[], None],
) -> None:
    config = make_config()
    if not whole:
        run(config, tmp_path / "whole")
        whole.update(contents(tmp_path / "whole" / "tiny"))
    with pytest.raises((Crash, Stopped)):
        run(config, tmp_path, observer=At(break_at, how))
    assert not RunFolder(tmp_path / "tiny").summary.exists()
    run(config, tmp_path, resume=True)
    assert contents(tmp_path / "tiny") == whole


@pytest.mark.parametrize("digital", [False, True])
def test_many_interruptions_and_rare_checkpoints_change_nothing(
    make_config: MakeConfig, tmp_path: Path, digital: bool
) -> None:
    config = make_config("train.checkpoint_every=2", "train.epochs=3", digital=digital)
    run(config, tmp_path / "whole")
    for steps, how in ((3, ctrl_c), (8, crash), (16, ctrl_c), (25, crash), (30, ctrl_c)):
        begun = (tmp_path / "tiny").exists()
        with pytest.raises((Crash, Stopped)):
            run(config, tmp_path, resume=begun, observer=At(steps, how))
    run(config, tmp_path, resume=True)
    assert contents(tmp_path / "tiny") == contents(tmp_path / "whole" / "tiny")


@pytest.mark.parametrize("digital", [False, True])
@pytest.mark.parametrize("crashes", [False, True])
def test_more_epochs_equal_a_run_that_had_them_from_the_start(
    make_config: MakeConfig, tmp_path: Path, digital: bool, crashes: bool
) -> None:
    short, whole = (make_config(f"train.epochs={n}", digital=digital) for n in (2, 4))
    run(whole, tmp_path / "at once")
    parent = tmp_path / "longer"
    run(short, parent)
    folder = RunFolder(parent / short.name)
    folder.report.write_text("of two epochs")
    with pytest.raises(ConfigError, match=r"other settings \(train\.epochs: 2 -> 4\)"):
        run(whole, parent, resume=True)  # only where it was asked for, as by `train`
    assert folder.summary.exists()
    if crashes:  # before anything is saved under the new number
        with pytest.raises(Crash):
            run(whole, parent, resume=True, longer=True, observer=At(2 * 11 + 1, crash))
        assert not folder.summary.exists()
    run(whole, parent, resume=True, longer=True)
    assert not folder.report.exists()
    assert contents(folder.path) == contents(tmp_path / "at once" / short.name)
    assert run(whole, parent, resume=True, longer=True)["epochs"] == 4
    other = make_config("train.epochs=9", "optimizer.lr=0.5", digital=digital)
    for config in (short, other):
        with pytest.raises(ConfigError, match="other settings"):
            run(config, parent, resume=True, longer=True)


def test_what_was_written_after_the_checkpoint_is_cut_off(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config("train.epochs=2", digital=True)
    run(config, tmp_path / "whole")
    with pytest.raises(Crash):
        run(config, tmp_path, observer=At(15, crash))
    metrics = RunFolder(tmp_path / "tiny").metrics
    with metrics.open("a") as file:
        file.write('{"kind": "epoch", "epoch": 2, "train_loss": 9.9}\n{"kind": "epo')
    run(config, tmp_path, resume=True)
    assert contents(tmp_path / "tiny") == contents(tmp_path / "whole" / "tiny")


def test_what_a_killed_process_left_of_a_checkpoint_goes(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config("train.epochs=1", digital=True)
    with pytest.raises(Crash):
        run(config, tmp_path, observer=At(3, crash))
    place = RunFolder(tmp_path / "tiny").checkpoint.parent
    (place / ".last.pt.12345.tmp").write_bytes(b"cut off")
    run(config, tmp_path, resume=True)
    assert [path.name for path in place.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_where_it_stands(
    make_config: MakeConfig, tmp_path: Path, number: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match="after step 4 of epoch 1 of 2, saved in"):
        run(
            make_config("train.epochs=2", digital=True),
            tmp_path,
            observer=At(4, lambda: os.kill(os.getpid(), number)),
        )
    assert signal.getsignal(number) is before
    state = torch.load(RunFolder(tmp_path / "tiny").checkpoint, weights_only=True)
    assert (state["position"]["epoch"], state["position"]["step"]) == (0, 4)


def test_a_stop_at_the_very_end_is_heard_and_the_run_is_whole(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config("train.epochs=1", digital=True)
    run(config, tmp_path / "whole")
    with pytest.raises(Stopped, match="after the last epoch, saved in") as caught:
        run(config, tmp_path, observer=At("test", ctrl_c))
    assert caught.value.summary == json.loads(RunFolder(tmp_path / "tiny").summary.read_text())
    assert contents(tmp_path / "tiny") == contents(tmp_path / "whole" / "tiny")


def test_a_comparison_stops_before_its_next_run_and_not_after_its_last(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    configs = [make_config("train.epochs=1", f"name={n}", digital=True) for n in ("one", "two")]
    with pytest.raises(Stopped):
        compare(configs, tmp_path / "both", observer=At("test", ctrl_c))
    assert RunFolder(tmp_path / "both" / "one").summary.exists()
    assert not (tmp_path / "both" / "two").exists()
    compare(configs, tmp_path / "both", observer=At("test", ctrl_c))  # its last run
    assert RunFolder(tmp_path / "both" / "two").summary.exists()


def test_the_wall_time_counts_all_sessions(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("train.epochs=2", digital=True)
    with pytest.raises(Stopped):
        run(config, tmp_path, observer=At(15, ctrl_c))
    path = RunFolder(tmp_path / "tiny").checkpoint
    first = torch.load(path, weights_only=True)["position"]
    state = torch.load(path, weights_only=True)
    state["position"]["wall_s"] += 1000
    torch.save(state, path)
    assert first["timed_steps"] == 5  # ten of the session's fifteen are left out
    assert run(config, tmp_path, resume=True)["wall_s"] > 1000
