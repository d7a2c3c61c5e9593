"""Plans: costs are the cost model's, limits hold, the written run can be trained."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import resitile as rt
from resitile.cli import app
from resitile.errors import ConfigError
from resitile.experiments import config
from resitile.experiments.pilots import Question
from resitile.experiments.plan import (
    CLOSE,
    Limits,
    _resolution,
    corrected,
    effective_states,
    kept_share,
    left_out,
    plan,
    rule_of,
    tuned_for_fewer,
)
from resitile.experiments.plan_choices import choices
from resitile.models.lenet5 import LeNet5
from resitile.reports.plan import front
from tests.experiments.conftest import MakeNetwork

DEVICE = rt.devices.SoftBounds(states=4)


def found(**settings: Any) -> dict[str, Any]:
    return plan(DEVICE, LeNet5(), **settings)


def row_of(result: dict[str, Any], key: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in result["choices"] if row["key"] == key)
    return row


def test_costs_are_those_of_the_cost_model() -> None:
    result = found(batch=8, steps_per_epoch=500)
    for choice in choices(DEVICE, 8, 500):
        rule = rule_of(choice, DEVICE, 500)
        total = rt.estimate_cost(LeNet5(), algorithm=rule, batch=8, lr=choice.lr).total
        row = row_of(result, choice.key)
        assert row["update_ns"] == total.update_ns
        assert row["storage_bytes"] == total.storage_bytes
        assert row["area_mm2"] == total.area_mm2
        assert row["energy_nj"] == total.energy_nj
        shown = (
            rule.ratio if choice.kind.endswith("residual_learning") and rule.visible > 1 else None
        )
        assert row["gamma"] == shown
    coarse = found(primitives={"cell_pitch_um": 0.8}, batch=8, steps_per_epoch=500)
    for row, other in zip(result["choices"], coarse["choices"], strict=True):
        assert other["area_mm2"] == pytest.approx(4 * row["area_mm2"])


def test_predictions_meet_the_reference_and_scale_with_the_task() -> None:
    result = found(digital_accuracy=0.6)
    for row in result["choices"]:
        share = kept_share(row["key"], 4)
        assert row["predicted_accuracy"] == pytest.approx(0.1 + share * 0.5)
    low, high = kept_share("single_tile", 4), kept_share("single_tile", 10)
    middle = kept_share("single_tile", math.sqrt(40))
    assert middle == pytest.approx((low + high) / 2)
    assert kept_share("single_tile", 2) == low
    with pytest.raises(ConfigError, match="no reference runs of 'mine'"):
        kept_share("mine", 4)


def test_noise_and_bounds_count_as_fewer_states() -> None:
    assert effective_states(DEVICE) == pytest.approx(4)
    quiet = DEVICE.replace(variation="none")
    assert effective_states(quiet) == pytest.approx(4 * 1.09)
    loud = DEVICE.replace(variation={"cycle": 1.0})
    assert effective_states(loud) == pytest.approx(4 * 1.09 / 2)
    wide = DEVICE.replace(w_min=-2.0, w_max=2.0)
    assert effective_states(wide) == pytest.approx(4)


def test_a_device_beyond_the_reference_runs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for states, told in (("2", True), ("4", False), ("400", True)):
        done = CliRunner().invoke(app, ["plan", "--states", states, "-o", f"{states}.toml"])
        assert done.exit_code == 0, done.output
        assert ("outside of the reference runs'" in " ".join(done.output.split())) == told


def test_asymmetry_and_spread_of_a_device_are_said_to_play_no_part() -> None:
    assert left_out(DEVICE) == []
    assert left_out(DEVICE.replace(variation={"cycle": 0.6})) == []  # that counts
    uneven = DEVICE.replace(up_down=0.9, variation={"dw_min": 0.9})
    assert left_out(uneven) == ["up_down=0.9", "variation dw_min=0.9 (there 0.3)"]
    assert effective_states(uneven) == effective_states(DEVICE)


def test_a_method_that_kept_more_with_coarser_devices_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not tuned_for_fewer("cascaded_residual_learning-10", 10)  # 95.4, then 97.2 %
    assert tuned_for_fewer("cascaded_residual_learning-10", 40)  # 92.2 %
    assert not tuned_for_fewer("single_tile", 40)
    for states, told in (("4", False), ("40", True)):
        done = CliRunner().invoke(app, ["plan", "--states", states, "-o", f"{states}.toml"])
        assert ("predicted below what coarser devices reach" in done.output) == told


def test_floors() -> None:
    spread = rt.theory.stationary_spread(0.5)
    floors = {c.key: rule_of(c, DEVICE, 100).floor() for c in choices(DEVICE, 16, 100)}
    assert floors["single_tile"] == pytest.approx(spread)
    assert floors["residual_learning-6"] == pytest.approx(spread * 0.5**4)
    assert floors["gated_residual_learning-4"] == pytest.approx(0.5 / math.sqrt(12))
    assert floors["gated_residual_learning-6"] == pytest.approx(0.5 / math.sqrt(12) * 0.5)
    assert floors["mixed_precision"] == pytest.approx(0.5 / math.sqrt(12))


def test_the_floor_of_hidden_tiles_is_that_of_the_weight() -> None:
    rules = rt.algorithms.CascadedResidualLearning, rt.algorithms.GatedResidualLearning
    gated, cascaded = (rule(DEVICE, weight_tiles=3).floor() for rule in rules)
    assert gated == cascaded


def test_floors_look_at_the_devices_of_their_tile() -> None:
    fine = rt.devices.SoftBounds(states=100)
    gated = rt.algorithms.GatedResidualLearning([DEVICE, *[fine] * 5], tiles=6, weight_tiles=2)
    assert gated.floor() == pytest.approx(0.02 / math.sqrt(12) * 0.5)
    chain = rt.algorithms.ResidualLearning([DEVICE, fine, DEVICE], tiles=3, gamma=0.5)
    assert chain.floor() == pytest.approx(rt.theory.stationary_spread(0.02) * 0.5)
    for rule in (rt.algorithms.ChoppedTikiTaka, rt.algorithms.AGAD):
        assert rule(DEVICE).floor() == pytest.approx(0.5 / math.sqrt(12))


def test_limits_are_kept_and_named() -> None:
    free = found()
    assert free["recommended"] is not None
    best = max(row["accuracy"] for row in free["choices"] if not row["measure_first"])
    assert row_of(free, free["recommended"])["predicted_accuracy"] >= best - 0.005
    tight = found(limits=Limits(storage_bytes=3000))
    assert tight["recommended"].startswith(("single", "residual", "gated"))
    assert row_of(tight, "mixed_precision")["breaks"] == ["storage_bytes"]
    possible = [
        r["predicted_accuracy"]
        for r in tight["choices"]
        if not r["breaks"] and not r["measure_first"]
    ]
    chosen = row_of(tight, tight["recommended"])
    assert chosen["predicted_accuracy"] >= max(possible) - 0.005
    assert found(limits=Limits(update_ns=1e-3))["recommended"] is None
    modest = found(limits=Limits(accuracy=0.2))
    reach = [
        r for r in modest["choices"] if r["predicted_accuracy"] >= 0.2 and not r["measure_first"]
    ]
    assert row_of(modest, modest["recommended"])["update_ns"] == min(r["update_ns"] for r in reach)


@pytest.mark.parametrize("name", ["update_ns", "storage_bytes", "energy_nj", "area_mm2"])
def test_every_limit_counts_and_may_be_met_exactly(name: str) -> None:
    values = sorted(row[name] for row in found()["choices"])
    most = values[len(values) // 2]
    broken = [row["breaks"] for row in found(limits=Limits(**{name: most}))["choices"]]
    assert sorted(broken) == sorted([name] if value > most else [] for value in values)
    assert [name] in broken


def test_measured_losses_correct_the_predicted_ones() -> None:
    kinds = {"a-1": "a", "a-2": "a", "b": "b"}
    predicted = {"a-1": 0.4, "a-2": 0.2, "b": 0.3}
    assert corrected(predicted, {}, kinds) == pytest.approx(predicted)
    # By hand: the ratio of a-1 is (0.1 + 0.2) / (0.4 + 0.2) = 0.5, the mean of all 0.5**(1 / 2),
    # and that of a-2's kind (0.5 * 0.5**(1 / 2))**(1 / 2).
    found = corrected(predicted, {"a-1": 0.1}, kinds)
    by_hand = {"a-1": 0.4, "a-2": 0.4 * 0.5**0.75 - 0.2, "b": 0.5 * 0.5**0.5 - 0.2}
    assert found == pytest.approx(by_hand)
    right = corrected(predicted, {"a-1": 0.1, "b": 0.3}, kinds)
    assert right["a-1"] == pytest.approx(
        0.4
    )  # b was predicted rightly, and a-1 is not its own judge
    assert right["b"] == pytest.approx(by_hand["b"])
    failed = corrected(predicted, {"b": 5.0}, kinds)
    assert failed["a-1"] == 1.0  # no prediction below chance
    better = corrected({**predicted, "b": -0.02}, {"a-1": -3.0}, kinds)
    assert (better["a-2"], better["b"]) == (0.0, -0.02)  # none above digital that was not before


def test_steps_follow_the_mini_batch_and_the_epoch() -> None:
    """Twice the images a mini-batch, half the mini-batches an epoch."""
    for small, large in zip(choices(DEVICE, 8, 3000), choices(DEVICE, 16, 1500), strict=True):
        assert small.key == large.key
        one, two = small.algorithm, large.algorithm
        for key in ("fast_lr", "stage_steps", "pass_steps"):
            if key in one:
                assert two[key] == one[key] * (2 if key == "fast_lr" else 0.5)
        if small.kind in ("single_tile", "mixed_precision", "residual_learning"):
            assert large.lr == pytest.approx(2 * small.lr)
    # What was tuned at 4 states, by number: a step nobody meant to change is seen here.
    device = rt.devices.SoftBounds(states=8)
    made = {c.key: c for c in choices(device, 16, 1125)}
    assert {key: round(c.lr, 6) for key, c in made.items()} == {
        "single_tile": 0.008, **{f"residual_learning-{n}": 0.1 for n in (2, 3, 4, 6, 8)},
        **{f"gated_residual_learning-{n}": round(10 / (0.03 * 1125), 6) for n in (4, 6, 8)},
        "cascaded_residual_learning-10": 0.1, "tiki_taka_v2": 0.2, "mixed_precision": 1.6,
    }  # fmt: skip
    assert made["tiki_taka_v2"].algorithm["transfer_lr"] == pytest.approx(0.2 / 8 * 3375 / 1125)
    assert made["tiki_taka_v2"].algorithm["fast_lr"] == 0.8
    assert made["residual_learning-6"].algorithm["fast_lr"] == 1.0
    assert made["cascaded_residual_learning-10"].algorithm["pass_steps"] == 1125 / 640
    assert made["mixed_precision"].tables(10)["optimizer"] == {
        "lr": 1.6, "decay": 0.5, "decay_every": 3,
    }  # fmt: skip
    digital = {8: 0.1, 16: 0.1, 48: 0.3, 64: 0.4, 128: 0.4}  # 0.8 learns nothing, at any size
    for batch, rate in digital.items():
        question = Question({"name": "soft_bounds"}, {"batch_size": batch}, "lenet5", 1)
        assert question.digital.lr == pytest.approx(rate)
    sizes = (16, 32, 64, 128, 512)
    rates = {
        kind: [next(c.lr for c in choices(DEVICE, n, 100) if c.kind == kind) for n in sizes]
        for kind in ("mixed_precision", "tiki_taka_v2", "single_tile")
    }
    assert rates["mixed_precision"] == pytest.approx(  # larger ones diverge
        [rates["mixed_precision"][0] * 2**k for k in (0, 0.5, 1, 1.5, 1.5)]
    )
    assert rates["tiki_taka_v2"] == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.4])
    assert rates["single_tile"][-1] == pytest.approx(32 * rates["single_tile"][0])
    short = {c.kind: c for c in choices(DEVICE, 16, 100)}  # a rule decides at every step at most
    assert short["gated_residual_learning"].lr == 1.0
    assert short["cascaded_residual_learning"].algorithm["pass_steps"] == 1.0
    long = {c.kind: c for c in choices(rt.devices.SoftBounds(states=400), 16, 10**5)}
    assert long["cascaded_residual_learning"].algorithm["pass_steps"] == 5.0
    assert long["single_tile"].lr == 0.1
    wide, lower = DEVICE.replace(w_min=-2.0, w_max=2.0), DEVICE.replace(w_min=-2.0)
    larger = [choices(device, 16, 1000)[0].lr for device in (wide, lower)]
    assert larger[0] == pytest.approx(larger[1])  # of unequal bounds the larger one counts
    staged = {c.kind: c.algorithm["stage_steps"] for c in choices(DEVICE, 16, 1000)[6:10]}
    assert staged == {"gated_residual_learning": 3000, "cascaded_residual_learning": 2000}


def test_steps_are_shares_of_a_devices_reach() -> None:
    """On devices twice as wide every choice learns the same weights, up to float32 rounding."""
    torch.manual_seed(0)
    images, labels = torch.randn(60, 8, 12), torch.randint(3, (60, 8))
    wide = DEVICE.replace(w_min=-2.0, w_max=2.0)
    moved = set()
    for near, far in zip(choices(DEVICE, 8, 40), choices(wide, 8, 40), strict=True):
        made = []
        for choice, device in ((near, DEVICE), (far, wide)):
            torch.manual_seed(1)
            rule = rule_of(choice, device, 40)
            layer = rt.nn.AnalogLinear(12, 3, bias=False, algorithm=rule, scale="auto", seed=1)
            start = layer.weight.detach().clone()
            optimizer = rt.AnalogSGD(layer.parameters(), lr=choice.lr)
            for x, y in zip(images, labels, strict=True):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(layer(x), y).backward()
                optimizer.step()
            made.append(layer.weight.detach())
        assert near.key == far.key
        assert torch.allclose(made[0], made[1], rtol=1e-5, atol=1e-6), near.key
        if not torch.equal(start, made[1]):
            moved.add(near.kind)
    assert moved >= {"single_tile", "residual_learning", "tiki_taka_v2", "mixed_precision"}


def test_the_front_holds_what_nothing_beats() -> None:
    rows = [
        {"update_ns": ns, "accuracy": acc}
        for ns, acc in ((3, 0.9), (1, 0.5), (2, 0.4), (2, 0.7), (4, 0.9))
    ]
    assert [(r["update_ns"], r["accuracy"]) for r in front(rows, "update_ns")] == [
        (1, 0.5), (2, 0.7), (3, 0.9),
    ]  # fmt: skip


def test_the_command_writes_a_run_that_train_takes(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    arguments = ["plan", "--states", "4", "-o", str(out), "--max-storage-kb", "3", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    written = config.load(out)
    rule = written.rule()
    assert rule is not None
    choice = next(c for c in choices(DEVICE, 16, 563) if c.key == result["recommended"])
    assert rule.name == choice.algorithm["name"]
    assert written.optimizer.lr == choice.lr
    table = written.algorithm.model_dump()
    assert choice.algorithm == {key: table[key] for key in choice.algorithm}
    assert out.with_suffix(".svg").is_file()
    small = ["--set", "data.limit=60", "--set", "train.epochs=1", "--threads", "1"]
    trained = CliRunner().invoke(
        app, ["train", str(out), *small, "--runs-dir", str(tmp_path / "runs")]
    )
    assert trained.exit_code == 0, trained.output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "give either --states"),
        (["--states", "4", "--threads", "1"], 2, "--threads is of use with --measure only"),
        (["--states", "4", "-o", "my plan.toml"], 2, "name='my plan' cannot be a folder name"),
        (["--states", "4", "--runs-dir", "r"], 2, "--runs-dir is of use with --measure only"),
        (["--states", "4", "--measure", "-1"], 2, "Invalid value for '--measure'"),
        (["--states", "1"], 2, "states must be at least 2"),
        (["--states", "4", "--min-accuracy", "1.5"], 2, "Invalid value for '--min-accuracy'"),
        (["--states", "4", "--max-latency-ns", "-1"], 2, "Invalid value for '--max-latency-ns'"),
        (["--states", "4", "--digital-accuracy", "0.05"], 2, "digital_accuracy must lie in"),
        (["--states", "4", "--max-latency-ns", "0.001"], 1, "no method keeps to the limits"),
    ],
)
def test_bad_requests(
    tmp_path: Path, arguments: list[str], status: int, message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from resitile.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["plan", *arguments])
    assert stopped.value.code == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "plan.toml").exists()
    assert status == 1 or not list(tmp_path.iterdir())


def test_a_broken_limit_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from resitile.cli import main

    monkeypatch.chdir(tmp_path)
    limits = ["--max-storage-kb", "4", "--max-latency-ns", "100"]
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--states", "4", "--steps-per-epoch", "500", *limits])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    mixed = next(line for line in lines if line.startswith("MP"))
    assert mixed.endswith("--max-latency-ns, --max-storage-kb")


def test_limits_of_storage_are_thousands_of_bytes(tmp_path: Path) -> None:
    """LeNet-5 takes 2,130 bytes with MT-RL: more than 2.1 kB, less than 2.1 times 1,024 bytes."""
    for limit, allowed in (("2.1", False), ("2.14", True)):
        command = ["plan", "--states", "4", "--steps-per-epoch", "500", "--max-storage-kb", limit]
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / f"a{limit}.toml"), "--json"])
        row = row_of(json.loads(done.stdout), "residual_learning-6")
        assert (row["breaks"] == []) is allowed


def test_a_network_that_does_not_take_the_images_is_refused(
    tmp_path: Path, make_network: MakeNetwork
) -> None:
    small = make_network("net_of_test_plan", "nn.Flatten(), nn.Linear(400, 10)")
    out = tmp_path / "mine.toml"
    command = ["plan", "--states", "4", "--model", small, "-o", str(out)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2 or isinstance(done.exception, ConfigError)
    assert not out.exists()
    # With their number given, the images are not looked for: they may not be there yet.
    command += ["--data", "mnist", "--data-dir", str(tmp_path / "none")]
    assert CliRunner().invoke(app, command).exit_code != 0
    assert CliRunner().invoke(app, [*command, "--steps-per-epoch", "100"]).exit_code == 0
    assert str(tmp_path / "none") in out.read_text()


def test_what_predictions_leave_out_is_said(tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    for name, told in (("soft_bounds", False), ("constant_step", True)):
        file.write_text(f'[device]\nname = "{name}"\nstates = 8\n')
        done = CliRunner().invoke(
            app, ["plan", "--device", str(file), "-o", str(tmp_path / f"{name}.toml")]
        )
        assert ("what q_up and q_down look like does not enter" in done.output) is told
        assert "only with --measure" in done.output


def test_where_nothing_keeps_to_the_limits_nothing_is_written(tmp_path: Path) -> None:
    """A picture alone would stand in the way of the next attempt."""
    out = tmp_path / "a.toml"
    command = ["plan", "--states", "4", "--steps-per-epoch", "500", "-o", str(out)]
    done = CliRunner().invoke(app, [*command, "--max-storage-kb", "0.1"])
    assert done.exit_code == 1
    assert "MT-RL, 6 tiles" in done.stdout and "picture:" not in done.stdout
    assert not list(tmp_path.iterdir())
    assert CliRunner().invoke(app, [*command, "--max-storage-kb", "3"]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.toml", "a.svg"}


def test_one_patch_for_all_of_a_convolution_is_said(tmp_path: Path) -> None:
    command = ["plan", "--steps-per-epoch", "500", "-o", str(tmp_path / "a.toml"), "--overwrite"]
    told = CliRunner().invoke(app, [*command, "--states", "4"]).stdout
    assert "one patch stands for all of features.0, features.3, in costs and limits" in told


def test_no_prediction_is_above_one(tmp_path: Path) -> None:
    command = ["plan", "--states", "1000", "--steps-per-epoch", "500", "--json"]
    command += ["--digital-accuracy", "1.0", "-o", str(tmp_path / "a.toml")]
    rows = json.loads(CliRunner().invoke(app, command).stdout)["choices"]
    assert max(row["predicted_accuracy"] for row in rows) == 1.0


def test_a_device_with_one_near_bound_has_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "device.toml"
    file.write_text('[device]\nname = "soft_bounds"\nstates = 10\nw_min = -0.2\nw_max = 2.0\n')
    done = CliRunner().invoke(app, ["plan", "--device", str(file), "-o", str(tmp_path / "a.toml")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.toml").exists()


def test_a_file_that_is_there_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from resitile.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--states", "4"])
    assert stopped.value.code == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "plan.toml").read_text() == "mine"


@pytest.mark.parametrize(
    ("accuracy", "images", "expected"), [(0.5, 100, 0.05), (0.9, 400, 0.015), (0.9, 10**6, CLOSE)]
)
def test_accuracies_are_told_apart_by_a_standard_error(
    accuracy: float, images: int, expected: float
) -> None:
    rows = [{"accuracy": accuracy, "breaks": []}, {"accuracy": 0.99, "breaks": ["latency"]}]
    assert _resolution(rows, images) == pytest.approx(expected)
