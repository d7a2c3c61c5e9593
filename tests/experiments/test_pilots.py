"""Plans by measuring: what is tried next, what is recommended then, what the command keeps."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import resitile as rt
from resitile.cli import app
from resitile.errors import ConfigError, UpdateError
from resitile.experiments import config, own_code, pilots
from resitile.experiments.pilots import Question, answer_by_runs
from resitile.experiments.plan import Limits, plan, promising, rule_of
from resitile.experiments.plan import best as best_of
from resitile.experiments.plan_choices import choices
from resitile.experiments.plan_next import most_promising
from resitile.models.lenet5 import LeNet5
from tests.experiments.conftest import MakeNetwork

DEVICE = rt.devices.SoftBounds(states=4)


def found(**settings: Any) -> dict[str, Any]:
    return plan(DEVICE, LeNet5(), **settings)


def row_of(result: dict[str, Any], key: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in result["choices"] if row["key"] == key)
    return row


def test_only_what_was_measured_is_recommended_then() -> None:
    free = found()
    slow = {row["key"]: row for row in free["choices"]}["cascaded_residual_learning-10"]
    assert slow["measure_first"]
    assert slow["accuracy"] > row_of(free, "residual_learning-6")["accuracy"]
    measured = found(measured={"residual_learning-6": 0.5, slow["key"]: 0.85})
    assert measured["recommended"] == slow["key"]
    row = row_of(measured, "residual_learning-6")
    assert (row["measured_accuracy"], row["accuracy"]) == (0.5, 0.5)
    assert row_of(measured, "residual_learning-4")["measured_accuracy"] is None
    near = found(measured={"residual_learning-6": 0.846, slow["key"]: 0.85})
    assert near["recommended"] == "residual_learning-6"  # half a point less, and faster
    poor = found(measured={"single_tile": 0.2})
    assert promising(poor) is not None
    assert promising(found(measured={"mixed_precision": 0.99})) is None
    label = promising(poor)
    ns = next(row["update_ns"] for row in poor["choices"] if row["label"] == label)
    limited = found(measured={"single_tile": 0.2}, limits=Limits(update_ns=0.99 * ns))
    assert limited["recommended"] == "single_tile"
    assert promising(limited) != label  # it is too slow
    limits = Limits(accuracy=0.8)
    row = row_of(found(limits=limits, measured={"mixed_precision": 0.7}), "mixed_precision")
    assert row["breaks"] == ["accuracy"]


def rows_of(*entries: tuple[str, float, float, bool], close: float = 0.005) -> dict[str, Any]:
    """A plan of choices (key, accuracy, latency, whether it was measured)."""
    made = []
    for key, accuracy, ns, tried in entries:
        method, _, factor = key.partition("-x")
        made.append(
            {
                "key": key, "method": method, "factor": float(factor or 1), "accuracy": accuracy,
                "kind": "any",
                "update_ns": ns, "area_mm2": 1.0, "most": math.inf,
                "measured_accuracy": accuracy if tried else None, "predicted_accuracy": accuracy,
                "breaks": ["accuracy"] if accuracy < 0.8 else [],
            }
        )  # fmt: skip
    return {"choices": made, "close": close}


def test_what_is_measured_next_to_reach_an_accuracy() -> None:
    least = Limits(accuracy=0.8)
    reached = rows_of(("a", 0.85, 20, True), ("b", 0.9, 30, False), ("c", 0.81, 10, False))
    assert most_promising(reached, least) == "c"  # cheaper, and said to be enough
    enough = rows_of(("a", 0.85, 20, True), ("b", 0.9, 30, False), ("c", 0.79, 10, False))
    assert most_promising(enough, least) is None
    low = rows_of(("a", 0.7, 20, True), ("b", 0.75, 30, False), ("c", 0.79, 10, False))
    assert most_promising(low, least) == "c"
    only = rows_of(("a", 0.79, 20, True), ("b", 0.805, 90, False), ("c", 0.6, 10, False))
    assert most_promising(only, least) == "b"  # slower and hardly better, but it would do
    none = rows_of(("a", 0.79, 20, True), ("c", 0.6, 10, False))
    assert most_promising(none, least) == "a-x0.5"
    level = rows_of(("a", 0.79, 20, True), ("b", 0.793, 10, False))
    assert most_promising(level, least) == "a-x0.5"  # b is no better than that


def test_what_ends_far_below_its_prediction_is_tried_at_half_its_rate() -> None:
    free, better = Limits(), ("b", 0.86, 30, False)

    def after(
        measured: float,
        predicted: float,
        *more: tuple[str, float, float, bool],
        limits: Limits = free,
    ) -> Any:
        made = rows_of(("a", measured, 20, True), better, *more)
        made["choices"][0]["predicted_accuracy"] = predicted
        return most_promising(made, limits)

    assert after(0.81, 0.93) == "a-x0.5"  # it would be the best
    assert after(0.84, 0.93) == "b"  # predictions are off by as much
    assert after(0.81, 0.93, ("a-x0.5", 0.82, 20, True)) == "b"  # that was not it
    assert after(0.81, 0.93, ("c", 0.95, 20, True)) == "c-x0.5"  # not worth it
    least = Limits(accuracy=0.8)
    assert after(0.5, 0.93, limits=least) == "a-x0.5"  # it would reach that, and be faster
    assert after(0.5, 0.79, limits=least) == "b"


def test_what_is_measured_next_to_be_the_best() -> None:
    free = Limits()
    a, worse, dearer = ("a", 0.9, 20, True), ("b", 0.89, 10, False), ("c", 0.904, 30, False)
    assert most_promising(rows_of(("d", 0.91, 30, False), a, worse), free) == "d"
    assert most_promising(rows_of(a, worse, close=0.02), free) == "b"  # as good, and faster
    assert most_promising(rows_of(a, worse, dearer), free) == "a-x0.5"  # neither would win
    half, double = ("a-x0.5", 0.88, 20, True), ("a-x2", 0.88, 20, True)
    assert most_promising(rows_of(a, half, worse), free) == "a-x2"
    assert most_promising(rows_of(a, half, double, worse), free) == "b"
    assert most_promising(rows_of(a, half, double), free) is None
    up = rows_of(a, half, ("a-x2", 0.92, 20, True), worse)
    assert most_promising(up, free) == "a-x4"  # on in the direction that was better
    least = rows_of(("a-x0.125", 0.9, 20, True), ("a-x0.25", 0.85, 20, True), worse)
    assert most_promising(least, free) == "b"  # no further than an eighth
    # What counts is the distance from the most accurate, not from the one recommended before it.
    fast = ("e", 0.885, 10, True), ("f", 0.865, 5, False), ("e-x0.5", 0.8, 10, True)
    ladder = rows_of(a, *fast, ("e-x2", 0.8, 10, True), close=0.02)
    assert most_promising(ladder, free) == "f"  # only since all rates were tried
    assert most_promising(rows_of(a, *fast, close=0.02), free) == "e-x2"
    # As fast and a little more accurate: `plan` would recommend it, so it is tried.
    assert most_promising(rows_of(("g", 0.9, 20, True), ("h", 0.901, 20, False)), free) == "h"
    level = rows_of(("g", 0.9, 20, True), ("h", 0.899, 20, False))
    assert most_promising(level, free) == "g-x0.5"
    level["choices"][1] |= {"accuracy": 0.9, "area_mm2": 0.5}  # or as accurate, and smaller
    assert most_promising(level, free) == "h"
    bounded = rows_of(a, half, worse)
    bounded["choices"][0]["most"] = 1.5
    assert most_promising(bounded, free) == "b"  # there is no rate twice as high
    broken = rows_of(("a", 0.9, 1, False))
    broken["choices"][0]["breaks"] = ["update_ns"]
    assert most_promising(broken, free) is None


def test_one_of_every_faster_kind_is_tried_before_other_rates() -> None:
    """Predictions are wrong about a kind more than about its members."""

    def after(*kinds: str, **changes: float) -> Any:
        rows = rows_of(
            ("a", 0.9, 20, True), ("b", 0.84, 10, False), ("c", 0.83, 5, False),
            ("d", 0.79, 1, False), ("e", 0.89, 21, False),
        )  # fmt: skip
        for row, kind in zip(rows["choices"], kinds, strict=True):
            row["kind"] = kind
        rows["choices"][1] |= changes
        return most_promising(rows, Limits())

    assert after(*"ABCDE") == "b"  # e is slower, and d predicted to be hopeless
    assert after(*"AACDE") == "c"  # of b's kind one was tried
    assert after(*"AAAAE") == "a-x0.5"
    assert after(*"ABCDE", accuracy=0.82) == "c"
    assert after(*"ABCDE", measured_accuracy=0.84) == "c"  # and then the next kind
    assert after(*"ABBDE", measured_accuracy=0.84) == "a-x0.5"


def test_choices_with_another_learning_rate() -> None:
    key = "mixed_precision-x0.5"
    result = found(measured={"mixed_precision": 0.7, key: 0.8, "mixed_precision-x2": 0.6})
    keys = [row["key"] for row in result["choices"]]
    assert keys[-3:] == [key, "mixed_precision", "mixed_precision-x2"]
    row = row_of(result, key)
    assert (row["predicted_accuracy"], row["accuracy"], row["factor"]) == (0.7, 0.8, 0.5)
    assert result["recommended"] == key
    # Predictions of the others rest on runs with the planner's rate alone.
    plain = found(measured={"mixed_precision": 0.7})
    other = row_of(result, "tiki_taka_v2")["predicted_accuracy"]
    assert other == row_of(plain, "tiki_taka_v2")["predicted_accuracy"]
    question = Question(
        {"name": "soft_bounds", "states": 4},
        {"name": "fashion-mnist-10k", "batch_size": 16}, "lenet5", 8, 563,
    )  # fmt: skip
    half, full = question.run(question.choice(key)), question.run(question.choice(keys[-2]))
    assert half.optimizer.lr == full.optimizer.lr / 2
    assert half.name.startswith(f"{key}-")
    slow = question.run(question.digital.at_rate(0.5))
    assert slow.name.startswith("digital-x0.5-")
    assert (slow.rule(), list(slow.devices)) == (None, [])
    assert half.hash != full.hash
    assert question.choice(key).at_rate(1.0) == question.choice("mixed_precision").at_rate(1.0)
    for same in ("mixed_precision-x1", "mixed_precision-x0.50", "mixed_precision-x.5"):
        with pytest.raises(ConfigError, match=r"write the choice .* as 'mixed_precision"):
            found(measured={same: 0.5})
    for impossible in (85.0, -0.1, math.nan):
        with pytest.raises(ConfigError, match=r"mixed_precision must lie in \[0, 1\]"):
            found(measured={"mixed_precision": impossible})
    for wrong in ("mixed_precision-xhalf", "mixed_precision-x0", "mixed-x2", "mixed_precisoin"):
        with pytest.raises(ConfigError, match="no choice"):
            found(measured={wrong: 0.5})


def test_another_rate_moves_the_tiles_otherwise() -> None:
    """Of every choice, where the tiles' steps are not the optimizer's rate as well."""
    torch.manual_seed(0)
    images, labels = torch.randn(40, 8, 12), torch.randint(3, (40, 8))
    for choice in choices(DEVICE, 16, 2000):
        made = []
        for factor in (1.0, 0.5):
            rule = rule_of(choice.at_rate(factor), DEVICE, 2000)
            layer = rt.nn.AnalogLinear(12, 3, bias=False, algorithm=rule, scale="auto", seed=1)
            optimizer = rt.AnalogSGD(layer.parameters(), lr=choice.at_rate(factor).lr)
            for x, y in zip(images, labels, strict=True):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(layer(x), y).backward()
                optimizer.step()
            made.append(layer.tiles.clone())
        if choice.kind != "gated_residual_learning":  # it decides too rarely here
            assert not torch.equal(*made), choice.key
        assert choice.at_rate(0.5).at_rate(1.0) == choice
    cascade = next(c for c in choices(DEVICE, 16, 2000) if c.measure_first)
    assert cascade.most == cascade.algorithm["pass_steps"] == 2000 / 640
    assert cascade.at_rate(0.25).algorithm["pass_steps"] == 4 * 2000 / 640
    with pytest.raises(ConfigError, match=r"at most 3\.125 times the planner's, got 4 times"):
        cascade.at_rate(4.0)


def test_a_run_that_diverges_counts_as_guessing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, float]] = []

    def run(config: Any, folder: Path, **settings: Any) -> dict[str, float]:
        tried.append((config.name.rsplit("-", 1)[0], config.optimizer.lr))
        if "mixed_precision" in tried[-1][0] or tried[-1] == ("digital", 0.1):
            raise UpdateError("the loss became nan")
        return {"val_accuracy": 0.8}

    monkeypatch.setattr(pilots, "run", run)
    out = tmp_path / "mine.toml"
    command = ["plan", "--states", "4", "--measure", "3", "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert tried[3] == ("mixed_precision-x0.5", 0.8)  # the rate is the first suspect
    assert tried[:3] == [("digital", 0.1), ("digital-x0.5", 0.05), ("mixed_precision", 1.6)]
    lines = [line for line in done.output.splitlines() if line.startswith("MP")]
    assert [line.split()[-1] for line in lines[:2]] == ["diverged"] * 2
    assert config.load(out).algorithm.path != "mixed_precision"

    def worse(config: Any, folder: Path, **settings: Any) -> dict[str, float]:
        raise UpdateError("the loss became nan")

    monkeypatch.setattr(pilots, "run", worse)
    question = Question({"name": "soft_bounds"}, {"name": "fashion-mnist-10k", "batch_size": 16},
                        "lenet5", 1)  # fmt: skip
    with pytest.raises(ConfigError, match=r"lr 0\.0125\) learns nothing .* became infinite"):
        answer_by_runs(question, 1, tmp_path)


def test_runs_of_other_code_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question({"name": "soft_bounds"}, {"name": "fashion-mnist-10k", "batch_size": 16},
                        "lenet5", 1)  # fmt: skip
    name = question.run(question.digital).name
    assert name == question.run(question.digital).name
    assert name != dataclasses.replace(question, seed=1).run(question.digital).name
    monkeypatch.setattr(own_code, "_sources", lambda: "another version")
    other = question.run(question.digital).name
    assert other != name
    monkeypatch.setattr(own_code, "digests", lambda config: {"my:Net": "edited"})
    assert question.run(question.digital).name not in (name, other)


def test_normalisations_train_at_the_rate_of_digital_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "norm_net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = {"name": "fashion-mnist-10k", "batch_size": 32}
    for model, rate in (("lenet5", None), ("norm_net:Net", 0.2)):
        question = Question({"name": "soft_bounds"}, data, model, 1)
        mixed = question.choice("mixed_precision")
        assert question.run(mixed).optimizer.digital_lr == rate
        assert question.run(mixed.at_rate(0.5)).optimizer.digital_lr == rate
        assert question.run(question.digital).optimizer.digital_lr is None


def test_what_guessing_reaches() -> None:
    question = Question({"name": "soft_bounds"}, {"name": "fashion-mnist-10k", "batch_size": 16},
                        "lenet5", 1)  # fmt: skip
    assert len(question.task.validation) == 1000
    assert question.guessing == pytest.approx(0.1 + math.sqrt(0.1 * 0.9 / 1000), abs=0.002)


def test_what_images_cannot_tell_apart_is_decided_by_cost() -> None:
    measured = {"residual_learning-6": 0.83, "mixed_precision": 0.85}
    few, many = found(measured=measured, images=200), found(measured=measured, images=5000)
    assert few["close"] == pytest.approx(math.sqrt(0.85 * 0.15 / 200))
    assert few["recommended"] == "residual_learning-6"
    assert many["recommended"] == "mixed_precision"
    limited = found(measured=measured, images=200, limits=Limits(storage_bytes=3000))
    assert limited["close"] == pytest.approx(math.sqrt(0.83 * 0.17 / 200))  # MP takes more
    assert many["close"] == pytest.approx(math.sqrt(0.85 * 0.15 / 5000))
    assert found(measured=measured, images=10**6)["close"] == 0.005
    assert found(images=200)["close"] == 0.005  # nothing measured: no error of a measurement
    assert promising(few) is None  # what could not be told apart promises no more
    assert promising({**few, "close": 0.005}) == "MP"
    # As fast and as large: the more accurate, whichever comes first.
    low, high = rows_of(("a", 0.84, 5, True), ("b", 0.85, 5, True))["choices"]
    assert best_of([low, high], Limits(), 0.1) == best_of([high, low], Limits(), 0.1) == "b"


def test_choices_are_tried_until_the_budget_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def run(config: Any, folder: Path, **settings: Any) -> dict[str, float]:
        assert folder == tmp_path
        assert settings["test"] is False
        tried.append(config.name.rsplit("-", 1)[0])
        return {"val_accuracy": 0.3 if tried[-1] == "mixed_precision" else 0.8}

    monkeypatch.setattr(pilots, "run", run)
    question = Question(
        {"name": "soft_bounds", "states": 4},
        {"name": "fashion-mnist-10k", "batch_size": 16}, "lenet5", 8, 563,
    )  # fmt: skip
    result = answer_by_runs(question, 3, tmp_path)
    assert tried[:2] == ["digital", "mixed_precision"]  # what is predicted to be the best
    assert len(tried) == 4
    assert result["digital_accuracy"] == 0.8
    assert result["recommended"] in tried[2:]
    assert result["close"] == pytest.approx(math.sqrt(0.8 * 0.2 / 1000))  # validation images
    tried.clear()
    answer_by_runs(question, 1, tmp_path, digital=0.9)
    assert tried == ["mixed_precision"]


def test_the_command_measures_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished runs are used again: a second command with another limit trains only what is new."""
    small = {"name": "fashion-mnist-10k", "batch_size": 16, "limit": 1000}
    made = Question.run
    monkeypatch.setattr(Question, "run", lambda q, *rest: made(_with(q, small), *rest))
    out, runs = tmp_path / "mine.toml", tmp_path / "runs"
    command = ["plan", "--states", "4", "--epochs", "3", "--measure", "2", "--threads", "1"]
    command += ["--runs-dir", str(runs), "-o", str(out), "--json"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    result = json.loads(first.stdout)
    done = sorted(path.name for path in (runs / "mine-measured").iterdir() if path.is_dir())
    assert len(done) == 3
    measured = {r["key"]: r["measured_accuracy"] for r in result["choices"]}
    measured = {key: value for key, value in measured.items() if value is not None}
    assert set(measured) == {name.rsplit("-", 1)[0] for name in done} - {"digital"}
    for name in done:
        summary = json.loads((runs / "mine-measured" / name / "summary.json").read_text())
        assert summary["test_accuracy"] is None
        key = name.rsplit("-", 1)[0]
        wanted = result["digital_accuracy"] if key == "digital" else measured[key]
        assert summary["val_accuracy"] == wanted
    assert config.load(out).algorithm.path in result["recommended"]
    assert all(config.load(runs / "mine-measured" / n / "config.toml").train.threads == 1
               for n in done)  # fmt: skip
    again = CliRunner().invoke(app, [*command, "--overwrite"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == result
    assert again.stderr.count("finished before") == 3


def test_the_written_run_has_the_rate_that_was_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Any, folder: Path, **settings: Any) -> dict[str, float]:
        half = config.name.startswith("mixed_precision-x0.5")
        mixed = config.name.startswith("mixed_precision")
        return {"val_accuracy": 0.9 if half else 0.8 if mixed else 0.5}

    monkeypatch.setattr(pilots, "run", run)
    out = tmp_path / "mine.toml"
    command = ["plan", "--states", "4", "--measure", "6", "--digital-accuracy", "0.8"]
    done = CliRunner().invoke(app, [*command, "-o", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["recommended"] == "mixed_precision-x0.5"
    plain = next(c for c in choices(DEVICE, 16, 563) if c.key == "mixed_precision")
    assert config.load(out).optimizer.lr == plain.lr / 2


def test_a_recommended_choice_that_learnt_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["plan", "--states", "4", "--measure", "1", "--digital-accuracy", "0.8"]
    command += ["-o", str(tmp_path / "mine.toml"), "--overwrite"]
    for accuracy, told in ((0.1, True), (0.3, False)):
        monkeypatch.setattr(pilots, "run", lambda *_, a=accuracy, **__: {"val_accuracy": a})
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert ("MP learnt nothing" in done.output) is told
        assert "only with --measure" not in done.output
        assert "a larger --measure would try it" in done.output


def test_a_task_that_digital_training_does_not_learn_is_told(tmp_path: Path) -> None:
    few = {"name": "fashion-mnist-10k", "batch_size": 16, "limit": 20}
    question = Question({"name": "soft_bounds", "states": 4}, few, "lenet5", 1, 2)
    with pytest.raises(ConfigError, match=r"digital SGD .* learns nothing in 1 epochs"):
        answer_by_runs(question, 1, tmp_path)


def test_a_network_that_the_devices_cannot_hold_is_refused_before_any_run(
    tmp_path: Path, make_network: MakeNetwork
) -> None:
    large = make_network(
        "net_of_test_pilots", "nn.Flatten(), nn.Linear(784, 10)",
        "nn.init.constant_(self[1].weight, 9.0)",
    )  # fmt: skip
    few = {"name": "fashion-mnist-10k", "batch_size": 16, "limit": 100}
    device = {"name": "soft_bounds", "states": 4}
    with pytest.raises(ConfigError, match="outside what the tiles can hold"):
        answer_by_runs(Question(device, few, large, 1, 6), 1, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def _with(question: Question, data: dict[str, Any]) -> Question:
    return dataclasses.replace(question, data=data)
