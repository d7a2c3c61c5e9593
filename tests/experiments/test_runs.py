"""What a run leaves behind, and the rules for names that exist."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resitile.errors import CheckpointError, ConfigError, ResitileError, UpdateError
from resitile.experiments import checkpoint, task
from resitile.experiments.config import Config, load
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder, read_metrics
from resitile.experiments.runner import run
from resitile.nn import analog_layers, counted_cost
from resitile.reports import write_report

MakeConfig = Callable[..., Config]


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_analog_run_leaves_its_folder(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("label=three tiles")
    summary = run(config, tmp_path)
    folder = RunFolder(tmp_path / "tiny")
    assert load(folder.config).hash == config.hash
    assert json.loads(folder.summary.read_text()) == summary
    assert folder.checkpoint.is_file()
    assert any(folder.tensorboard.iterdir())
    assert not list(folder.path.rglob("*.tmp"))

    expected = {
        "schema": 1, "name": "tiny", "label": "three tiles", "algorithm": "ResidualLearning",
        "device": "SoftBounds(states=4)", "states": 4, "tiles": 3, "epochs": 3, "seed": 0,
        "steps": 33, "train_size": 42, "val_size": 18, "test_size": 60,
        "classes": 10, "data": "fashion-mnist-10k", "config_hash": config.hash,
    }  # fmt: skip
    assert {key: summary[key] for key in expected} == expected
    for key in ("val_accuracy", "test_accuracy", "best_val_accuracy"):
        assert 0 <= summary[key] <= 1
    assert summary["ms_per_step"] > 0
    assert summary["wall_s"] > 33 * summary["ms_per_step"] / 2000
    assert set(summary["environment"]) >= {"resitile", "torch", "numba", "python", "threads"}

    records = read_metrics(folder.metrics)
    assert [(r["kind"], r["epoch"]) for r in records] == [
        (kind, epoch) for epoch in (1, 2, 3) for kind in ("epoch", "tiles")
    ]
    epochs = [r for r in records if r["kind"] == "epoch"]
    assert [r["lr"] for r in epochs] == [0.1, 0.05, 0.025]
    assert [r["stage"] for r in epochs] == [0, 1, None]
    assert [r["steps"] for r in epochs] == [11, 22, 33]
    assert summary["idle_tiles"] == {
        name: [n for n, p in enumerate(pulses) if not p]
        for name, pulses in epochs[-1]["pulses"].items()
        if not all(pulses)
    }
    assert max(r["val_accuracy"] for r in epochs) == summary["best_val_accuracy"]
    assert epochs[-1]["val_accuracy"] == summary["val_accuracy"]
    learner = task.build(config, task.load_task(config))
    checkpoint.load(folder.checkpoint, learner, config.hash)
    held = analog_layers(learner.model)
    assert set(held) == set(records[-1]["layers"])
    for name, layer in records[-1]["layers"].items():
        tiles = held[name].tiles.detach()
        assert len(layer["edges"]) == 41
        assert [len(c) for c in layer["counts"]] == [40] * 3
        assert [sum(c) for c in layer["counts"]] == [tiles[0].numel()] * 3
        assert layer["gamma"] == [1, 0.5, 0.25]
        assert layer["mean"] == pytest.approx(tiles.double().mean((1, 2)).tolist(), abs=1e-7)
        assert layer["std"] == pytest.approx(
            tiles.double().std((1, 2), correction=0).tolist(), abs=1e-7
        )
        assert epochs[-1]["pulses"][name] == held[name].pulses.tolist()
        assert epochs[-1]["transfers"][name] == held[name].transfers.tolist()


def test_a_digital_run_learns(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("data.limit=500", "train.epochs=3", digital=True)
    summary = run(config, tmp_path)
    assert summary["algorithm"] == "Digital"
    assert summary["device"] is summary["states"] is summary["tiles"] is None
    assert summary["test_accuracy"] > 0.3  # ten classes
    records = read_metrics(RunFolder(tmp_path / "tiny").metrics)
    assert {r["kind"] for r in records} == {"epoch"}
    assert records[-1]["train_loss"] < records[0]["train_loss"]


def test_parts_of_the_data_share_no_image(make_config: MakeConfig) -> None:
    parts = task.load_task(make_config("data.limit=300"))
    seen = {image.numpy().tobytes() for image in parts.train.images}
    assert len(parts.train) + len(parts.validation) == 300
    assert len(parts.validation) == 90
    assert not seen & {image.numpy().tobytes() for image in parts.validation.images}
    assert parts.train.images.shape[1:] == (1, 28, 28)
    assert 0 <= parts.train.images.min() < parts.train.images.max() <= 1


def test_every_epoch_has_an_order_of_its_own(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []
    shuffle = torch.randperm

    def watched(n: int, **options: object) -> torch.Tensor:
        order = shuffle(n, **options)  # type: ignore[call-overload]
        orders.append(order.tolist())
        return order

    monkeypatch.setattr(torch, "randperm", watched)
    run(make_config(digital=True), tmp_path)  # two epochs
    epochs = [order for order in orders if len(order) == 42]
    assert len(epochs) == 2
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(42))


def test_counted_costs_are_per_image_that_was_trained_on(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    """42 images in mini-batches of 4: the last one of an epoch has 2."""
    config = make_config("train.epochs=2")
    summary = run(config, tmp_path)
    learner = task.build(config, task.load_task(config))
    checkpoint.load(RunFolder(tmp_path / "tiny").checkpoint, learner, config.hash)
    assert summary["steps"] == 22
    batch = config.data.batch_size
    counted = counted_cost(learner.model, samples=84, batch=batch).total
    assert summary["counted_update_ns"] == pytest.approx(counted.update_ns)
    assert summary["counted_update_nj"] == pytest.approx(counted.update_nj)


def test_a_limit_above_the_data_is_refused(make_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.limit must be at most"):
        run(make_config("data.limit=1000000"), tmp_path)
    assert not (tmp_path / "tiny").exists()


def test_the_same_configuration_gives_the_same_bits(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    torch.rand(3)  # the caller's random numbers play no part, and are left alone
    before = torch.get_rng_state()
    for parent in ("a", "b"):
        run(make_config("train.epochs=1"), tmp_path / parent)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(1)
        before = torch.get_rng_state()
    first, second = (
        torch.load(tmp_path / p / "tiny" / "checkpoints" / "last.pt", weights_only=True)["model"]
        for p in ("a", "b")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_name_that_exists_is_left_alone(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("train.epochs=1")
    run(config, tmp_path)
    before = snapshot(tmp_path / "tiny")
    with pytest.raises(ConfigError, match=r"exists.*--resume.*--overwrite"):
        run(config, tmp_path)
    with pytest.raises(ConfigError, match=r"exclude each other"):
        run(config, tmp_path, resume=True, overwrite=True)
    with pytest.raises(ConfigError, match=r"train\.epochs: 1 -> 2"):
        run(make_config("train.epochs=2"), tmp_path, resume=True)
    # A wrong request does not delete what it would have replaced.
    with pytest.raises(ConfigError, match=r"matches no module"):
        run(make_config('convert.include=["nothing"]'), tmp_path, overwrite=True)
    assert snapshot(tmp_path / "tiny") == before


def test_resuming_a_finished_run_says_so(make_config: MakeConfig, tmp_path: Path) -> None:
    class Told(Observer):
        summary: dict[str, Any] | None = None

        def finished_before(self, summary: dict[str, Any]) -> None:
            self.summary = summary

    config = make_config("train.epochs=1")
    summary = run(config, tmp_path)
    before = snapshot(tmp_path / "tiny")
    told = Told()
    assert run(config, tmp_path, resume=True, observer=told) == summary == told.summary
    assert snapshot(tmp_path / "tiny") == before


def test_overwrite_starts_anew(make_config: MakeConfig, tmp_path: Path) -> None:
    run(make_config("train.epochs=2"), tmp_path)
    summary = run(make_config("train.epochs=1", "seed=1"), tmp_path, overwrite=True)
    folder = RunFolder(tmp_path / "tiny")
    assert (summary["epochs"], summary["seed"]) == (1, 1)
    assert {r["epoch"] for r in read_metrics(folder.metrics)} == {1}


def test_only_run_folders_are_overwritten_or_resumed(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no run to resume"):
        run(make_config(), tmp_path, resume=True)
    treasure = tmp_path / "tiny" / "thesis.txt"
    treasure.parent.mkdir()
    treasure.write_text("years of work")
    for how in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(ConfigError, match="holds no run"):
            run(make_config(), tmp_path, **how)
    assert treasure.read_text() == "years of work"


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    class Poison(Observer):
        def step(self, position: Any, loss: float) -> None:
            if position.steps == 25:
                for parameter in models[0].parameters():
                    parameter.data.fill_(float("nan"))

    models: list[torch.nn.Module] = []
    build = task.build

    def remember(config: Config, images: task.Task) -> task.Learner:
        learner = build(config, images)
        models.append(learner.model)
        return learner

    config = make_config("train.epochs=5", digital=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resitile.experiments.runner.build", remember)
        with pytest.raises(UpdateError, match=r"nan in epoch 3 after 3 steps.*optimizer\.lr"):
            run(config, tmp_path, observer=Poison())
    summary = run(config, tmp_path, resume=True)  # the poison was the test's, not the run's
    assert summary == {**run(config, tmp_path / "whole"), **_timing(summary)}


def _timing(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("wall_s", "ms_per_step")}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some of your quota"),
        (errno.EFBIG, r"raise the limit on the size of files \(ulimit -f\)"),
    ],
)
def test_a_full_disk_keeps_the_old_checkpoint(
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    remedy: str,
) -> None:
    class FillDisk(Observer):
        def epoch(self, record: dict[str, Any]) -> None:
            if record["epoch"] == 1:
                monkeypatch.setattr(os, "fsync", full)

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    config = make_config()
    said = rf"cannot write .*{os.strerror(number)}.*intact: {remedy} and .*--resume"
    with pytest.raises(ResitileError, match=said):
        run(config, tmp_path, observer=FillDisk())
    monkeypatch.undo()
    folder = RunFolder(tmp_path / "tiny")
    assert torch.load(folder.checkpoint, weights_only=True)["position"]["epoch"] == 1
    assert not list(folder.path.rglob("*.tmp"))
    summary = run(config, tmp_path, resume=True)
    assert summary == {**run(config, tmp_path / "whole"), **_timing(summary)}


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "empty", "missing", "list"])
def test_a_damaged_checkpoint_is_named_and_kept(
    make_config: MakeConfig, tmp_path: Path, damage: str
) -> None:
    folder = _interrupted(make_config("train.epochs=2", digital=True), tmp_path)
    whole = folder.checkpoint.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 255])
    content = {
        "cut": whole[:middle],
        "garbage": b"not a checkpoint at all" * 9,
        "flipped": whole[:middle] + flipped + whole[middle + 1 :],
        "empty": b"",
        "missing": None,
        "list": _saved([1, 2]),
    }[damage]
    if content is None:
        folder.checkpoint.unlink()
    else:
        folder.checkpoint.write_bytes(content)
    before = snapshot(folder.path)
    with pytest.raises(CheckpointError, match=r"last\.pt.*--overwrite"):
        run(make_config("train.epochs=2", digital=True), tmp_path, resume=True)
    assert snapshot(folder.path) == before


def _saved(content: object) -> bytes:
    import io

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _interrupted(config: Config, parent: Path) -> RunFolder:
    """A run that crashed in its second epoch."""

    class Crash(Observer):
        def step(self, position: Any, loss: float) -> None:
            if position.epoch == 1:
                raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        run(config, parent, observer=Crash())
    return RunFolder(parent / config.name)


def test_the_checkpoint_of_other_devices_is_refused(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    four = _interrupted(make_config("train.epochs=2"), tmp_path / "four")
    ten = _interrupted(make_config("train.epochs=2", "device.states=10"), tmp_path / "ten")
    with pytest.raises(ConfigError, match=r"device\.states: 4 -> 10"):
        run(make_config("train.epochs=2", "device.states=10"), tmp_path / "four", resume=True)
    ten.checkpoint.write_bytes(four.checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match=r"states=4.*states=10"):
        run(make_config("train.epochs=2", "device.states=10"), tmp_path / "ten", resume=True)


def test_the_checkpoint_of_other_settings_is_refused(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    one = _interrupted(make_config("seed=1", digital=True), tmp_path / "one")
    two = _interrupted(make_config("seed=2", digital=True), tmp_path / "two")
    two.checkpoint.write_bytes(one.checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match=r"other settings.*--overwrite"):
        run(make_config("seed=2", digital=True), tmp_path / "two", resume=True)


def test_missing_metrics_are_noticed(make_config: MakeConfig, tmp_path: Path) -> None:
    folder = _interrupted(make_config("train.epochs=2", digital=True), tmp_path)
    folder.metrics.unlink()
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl.*after epoch 1"):
        run(make_config("train.epochs=2", digital=True), tmp_path, resume=True)


def test_wear_is_told_where_it_is_counted(make_config: MakeConfig, tmp_path: Path) -> None:
    plain, counted = make_config(), make_config("name=worn", "convert.wear=true")
    assert "convert.wear" not in plain.flat()  # runs made before the setting keep their key
    assert plain.hash != counted.hash
    assert run(plain, tmp_path)["wear"] is None
    summary = run(counted, tmp_path)
    folder = RunFolder(tmp_path / "worn")
    pulses = read_metrics(folder.metrics)[-2]["pulses"]
    state = torch.load(folder.checkpoint, weights_only=True)["model"]
    assert set(summary["wear"]) == set(pulses)
    for name, wear in summary["wear"].items():
        devices = state[f"{name}.wear"].double().reshape(-1, 3)
        assert devices.sum(0).tolist() == pulses[name]
        assert wear["worst"] == devices.max(0).values.tolist()
        assert wear["mean"] == pytest.approx(devices.mean(0).tolist())
        for n, median in enumerate(wear["median"]):
            ordered = devices[:, n].sort().values
            half = len(ordered) // 2
            assert ordered[(len(ordered) - 1) // 2] <= median <= ordered[half]
    page = write_report([tmp_path / "tiny", tmp_path / "worn"], tmp_path / "report.html")
    assert page.read_text().count("most / median") == 1
