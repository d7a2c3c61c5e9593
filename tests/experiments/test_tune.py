"""Tuning: proposals inside the space, the same after an interruption, test images unseen."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from typer.testing import CliRunner

from resitile.cli import app
from resitile.errors import CheckpointError, ConfigError, UpdateError
from resitile.experiments import config, search, tune
from resitile.experiments.observer import Observer

RUN = """
[data]
limit = 60
validation = 0.3
batch_size = 4
[algorithm]
name = "digital"
[optimizer]
lr = 0.1
[train]
epochs = 7
threads = 1
"""
SPACE = """
[search]
"optimizer.lr" = { low = 0.001, high = 1.0, log = true }
"data.batch_size" = { low = 2, high = 8 }
"optimizer.momentum" = { choices = [0.0, 0.5] }
"""
FEW = ["train.epochs=1"]
CASCADE = """
[data]
limit = 60
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "cascaded_residual_learning"
levels = [3, 3]
[train]
threads = 1
"""


def load(tmp_path: Path, text: str = RUN + SPACE, overrides: list[str] = FEW) -> tune.Tuning:
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    return tune.load(path, overrides)


class Crash(Observer):
    def __init__(self, after: int) -> None:
        self.left = after

    def epoch(self, record: dict[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("crash")


def values(result: dict[str, Any]) -> list[Any]:
    return [(t["values"], t["val_accuracy"]) for t in result["trials"]]


def test_trials_stay_in_the_space_and_the_best_becomes_a_configuration(tmp_path: Path) -> None:
    tuning = load(tmp_path)
    result = tune.tune(tuning, tmp_path / "out", trials=5)
    assert result["trials"][0]["values"] == {
        "optimizer.lr": 0.1, "data.batch_size": 4, "optimizer.momentum": 0,
    }  # fmt: skip
    for trial in result["trials"]:
        assert 0.001 <= trial["values"]["optimizer.lr"] <= 1
        assert 2 <= trial["values"]["data.batch_size"] <= 8
        assert trial["values"]["optimizer.momentum"] in (0, 0.5)
        folder = tmp_path / "out" / "tiny" / f"trial-{trial['number']:03}"
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["test_accuracy"] is None, "a tuning must not look at test images"
        assert summary["epochs"] == 1
        assert summary["val_accuracy"] == trial["val_accuracy"]
        assert config.load(folder / "config.toml").optimizer.lr == trial["values"]["optimizer.lr"]
    assert len({str(t["values"]) for t in result["trials"]}) == 5
    assert result["best"]["val_accuracy"] == max(t["val_accuracy"] for t in result["trials"])
    best = config.load(tmp_path / "out" / "tiny" / "best.toml")
    assert best.optimizer.lr == result["best"]["values"]["optimizer.lr"]
    assert best.train.epochs == 7, "overrides hold for the trials only"
    assert json.loads((tmp_path / "out" / "tiny" / "tuning.json").read_text()) == result


def test_an_interrupted_tuning_goes_on_with_the_same_proposals(tmp_path: Path) -> None:
    tuning = load(tmp_path)
    whole = tune.tune(tuning, tmp_path / "whole", trials=7)
    for after in (2, 1):  # the run in which it happens has saved its epoch
        with pytest.raises(RuntimeError, match="crash"):
            tune.tune(tuning, tmp_path / "parts", trials=7, observer=Crash(after))
    assert values(tune.tune(tuning, tmp_path / "parts", trials=7)) == values(whole)
    assert (
        tune.tune(tuning, tmp_path / "parts", trials=7, seed=0)["best"]["number"]
        == (whole["best"]["number"])
    )
    other = tune.tune(tuning, tmp_path / "other", trials=2, seed=1)
    assert values(other)[0] == values(whole)[0]
    assert values(other)[1] != values(whole)[1]


def test_more_trials_can_be_added_after_an_interruption(tmp_path: Path) -> None:
    tuning = load(tmp_path)
    with pytest.raises(RuntimeError, match="crash"):  # in trial 4, the first that looks at others
        tune.tune(tuning, tmp_path / "parts", trials=6, observer=Crash(4))
    more = tune.tune(tuning, tmp_path / "parts", trials=15)
    few = tune.tune(tuning, tmp_path / "few", trials=6)
    assert values(more)[:6] == values(few), "proposals depend on how many trials there are to be"


def test_late_proposals_depend_on_what_came_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = load(tmp_path)

    def proposed(name: str, sign: int) -> list[dict[str, Any]]:
        def found(config: Any, *_: Any, **__: Any) -> dict[str, Any]:
            return {"val_accuracy": 0.5 + sign * config.optimizer.lr / 2, "wall_s": 1.0}

        monkeypatch.setattr(tune, "run", found)
        trials = tune.tune(tuning, tmp_path / name, trials=24)["trials"]
        return [trial["values"] for trial in trials]

    small, large = proposed("small", -1), proposed("large", 1)
    assert small[:4] == large[:4], "the first ones are drawn"
    assert small[4] != large[4]
    rates = [[v["optimizer.lr"] for v in each[4:]] for each in (small, large)]
    assert sum(rates[0]) < sum(rates[1]) / 2, "Optuna looks where it went well"


def test_a_folder_of_another_tuning_is_refused(tmp_path: Path) -> None:
    tune.tune(load(tmp_path), tmp_path / "out", trials=1)
    for changed in (
        load(tmp_path, RUN.replace("lr = 0.1", "lr = 0.2") + SPACE),
        load(tmp_path, RUN + SPACE.replace("high = 8", "high = 9")),
    ):
        with pytest.raises(ConfigError, match="holds a tuning with other settings"):
            tune.tune(changed, tmp_path / "out", trials=2)


def test_defaults_of_the_file_are_told_to_optuna(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gradient_tiles` is younger than some run folders: at its default it is in no hash."""
    monkeypatch.setattr(tune, "run", lambda *_, **__: {"val_accuracy": 0.5, "wall_s": 1.0})
    told = []
    ask = optuna.Study.ask
    monkeypatch.setattr(
        optuna.Study, "ask", lambda study: (told.append(len(study.trials)), ask(study))[1]
    )
    text = CASCADE + '[search]\n"algorithm.gradient_tiles" = { low = 1, high = 2 }\n'
    result = tune.tune(load(tmp_path, text), tmp_path, trials=2)
    assert result["trials"][0]["values"] == {"algorithm.gradient_tiles": 1}
    assert told == [1]


def test_a_tuning_with_a_list_among_its_settings_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`levels` are a tuple in the run and a list in tuning.json."""
    monkeypatch.setattr(tune, "run", lambda *_, **__: {"val_accuracy": 0.5, "wall_s": 1.0})
    tuning = load(tmp_path, CASCADE + '[search]\n"optimizer.lr" = { low = 0.1, high = 1.0 }\n')
    tune.tune(tuning, tmp_path / "out", trials=1)
    assert len(tune.tune(tuning, tmp_path / "out", trials=2)["trials"]) == 2


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"name": "t", "key": {}, "trials": []}', "\xff",
                '{"name": "t", "key": {"run": {}}, "trials": [{"number": 0}]}'],
)  # fmt: skip
def test_a_spoilt_record_is_named_and_made_again(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out" / "tiny" / "tuning.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"tuning\.json is damaged .*delete that file"):
        tune.tune(load(tmp_path), tmp_path / "out", trials=2)


def test_without_its_record_a_tuning_uses_its_trials_again(tmp_path: Path) -> None:
    whole = tune.tune(load(tmp_path), tmp_path / "out", trials=3)
    (tmp_path / "out" / "tiny" / "tuning.json").unlink()
    # An observer that would crash at the first epoch: nothing is trained.
    again = tune.tune(load(tmp_path), tmp_path / "out", trials=3, observer=Crash(0))
    assert again == whole


def test_a_run_that_diverges_counts_as_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tune.run

    def diverge(config: Any, *args: Any, **kwargs: Any) -> Any:
        if config.name == "trial-001":
            raise UpdateError("the loss became nan")
        return ran(config, *args, **kwargs)

    monkeypatch.setattr(tune, "run", diverge)
    result = tune.tune(load(tmp_path), tmp_path, trials=3)
    assert result["trials"][1]["val_accuracy"] == 0
    assert result["trials"][1]["failed"] == "the loss became nan"
    assert result["best"]["number"] in (0, 2)


JOINT = """
[data]
limit = 60
validation = 0.3
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "residual_learning"
tiles = 3
[train]
epochs = 1
threads = 1
[search]
"algorithm.schedule" = { choices = ["periods", "auto"] }
"algorithm.transfer_every" = { low = 3, high = 9 }
"""


def test_settings_that_exclude_each_other_fail_and_the_tuning_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "joint.toml"
    path.write_text(JOINT)
    arguments = ["tune", str(path), "--trials", "4", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    trials = json.loads((tmp_path / "out" / "joint" / "tuning.json").read_text())["trials"]
    failed = [t for t in trials if "failed" in t]
    assert len(trials) == 4
    assert failed, "the seed is to propose what this test is about"
    for trial in trials:
        assert ("failed" in trial) == (
            trial["number"] > 0 and trial["values"]["algorithm.schedule"] == "auto"
        )
    assert done.stdout.splitlines()[1].split()[:5] == [
        "joint", f"{100 * max(t['val_accuracy'] for t in trials):.2f}", "%",
        done.stdout.splitlines()[1].split()[3], str(len(failed)),
    ]  # fmt: skip
    assert f"trial {failed[0]['number'] + 1} failed: " in done.stdout
    assert done.stdout.count("transfer_every has no meaning with schedule") == len(failed)


def test_a_trial_is_also_tried_without_the_overrides(tmp_path: Path) -> None:
    overrides = ["optimizer.decay_every=1"]
    text = RUN + '[search]\n"optimizer.decay" = { choices = [1.0, 0.5] }\n'
    with pytest.raises(ConfigError, match="has no effect with decay_every=0"):
        load(tmp_path, text, overrides)


def test_a_tuning_of_failures_alone_has_no_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*args: Any, **kwargs: Any) -> Any:
        raise UpdateError("the loss became nan")

    monkeypatch.setattr(tune, "run", diverge)
    path = tmp_path / "tiny.toml"
    path.write_text(RUN + SPACE)
    arguments = ["tune", str(path), "--trials", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("failed: the loss became nan") == 2
    assert not (tmp_path / "out" / "tiny" / "best.toml").exists()


def test_trials_as_good_as_the_best_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([0.1, 0.3, 0.3, 0.2, 0.3])
    monkeypatch.setattr(tune, "run", lambda *_, **__: {"val_accuracy": next(found), "wall_s": 1.0})
    path = tmp_path / "tiny.toml"
    path.write_text(RUN + SPACE)
    arguments = ["tune", str(path), "--trials", "5", "--out", str(tmp_path / "out")]
    assert "2/5, 2 as good" in CliRunner().invoke(app, arguments).stdout


def test_trials_beyond_the_budget_are_kept_and_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float | None] = [None, 0.2, 0.3, 0.4]

    def fake(config: Any, *_: Any, **__: Any) -> dict[str, Any]:
        accuracy = found[int(config.name[-1])]
        if accuracy is None:
            raise UpdateError("the loss became nan")
        return {"val_accuracy": accuracy, "wall_s": 1.0}

    monkeypatch.setattr(tune, "run", fake)
    path, folder = tmp_path / "tiny.toml", tmp_path / "out" / "tiny"
    path.write_text(RUN + SPACE)
    for trials, place in ((4, "4/4"), (2, "2/2"), (1, "-"), (4, "4/4")):
        arguments = ["tune", str(path), "--trials", str(trials), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert place in done.stdout.splitlines()[1].split(), "of the budget, as for other files"
        content = json.loads((folder / "tuning.json").read_text())
        assert len(content["trials"]) == 4
        assert content["budget"] == trials
        best = content["best"]
        assert (best is not None) == (folder / "best.toml").exists()
        if best is not None:
            assert best["number"] == trials - 1
            best_lr = config.load(folder / "best.toml").optimizer.lr
            assert best_lr == best["values"]["optimizer.lr"]


def test_a_file_that_cannot_be_trained_is_no_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ConfigError("no such data set")

    monkeypatch.setattr(tune, "run", refuse)
    with pytest.raises(ConfigError, match="no such data set"):
        tune.tune(load(tmp_path), tmp_path, trials=2)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer.lr=0.5"], "changes what is searched, 'optimizer.lr'"),
        (["optimizer={lr=0.5}"], "changes what is searched, 'optimizer.lr'"),
        (["data.batch_size=8"], "changes what is searched, 'data.batch_size'"),
        (["name=other"], "'name=other' has no effect"),
    ],
)
def test_an_override_of_what_is_searched_is_refused(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, RUN + SPACE, overrides)


def test_names_that_lead_elsewhere_or_are_taken_are_refused(tmp_path: Path) -> None:
    for name, message in (('"../evil"', "cannot be a folder name"), ("3", "name=3 cannot be")):
        with pytest.raises(ConfigError, match=message):
            load(tmp_path, f"name = {name}\n" + RUN + SPACE)
    files = [tmp_path / "a.toml", tmp_path / "b.toml"]
    for file in files:
        file.write_text('name = "same"\n' + RUN + SPACE)
    arguments = ["tune", *map(str, files), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConfigError)
    assert "are both called 'same'" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("", "has no .search. table"),
        ("[search]\n[search.optimizer]\nlr = 3\n", 'unknown key search."optimizer".lr; allowed'),
        ('[search]\n"optimizer.lr" = 3\n', "low and high, or choices; got 3"),
        ('[search]\n"optimizer.lr" = { low = 1 }\n', "give either low and high, or choices"),
        ('[search]\n"optimizer.lr" = { low = 2, high = 1 }\n', "low must be below high"),
        ('[search]\n"optimizer.lr" = { low = 0, high = 1, log = true }\n', "above 0"),
        (
            '[search]\n"optimizer.lr" = { low = 0, high = 1 }\n',
            r"optimizer\.lr is 0\.1, but low=0 and high=1 are .* whole numbers; write low=0\.0 for",
        ),
        ('[search]\n"optimizer.lr" = { low = -1.0, high = 1.0 }\n', "greater than or equal to 0"),
        ('[search]\n"optimizer.lrr" = { low = 0.1, high = 1.0 }\n', "unknown key optimizer.lrr"),
        ('[search]\n"optimizer.lr" = { hig = 1.0 }\n', "unknown key .*hig; did you mean .high."),
        (
            '[search]\n"train.epochs" = { low = 1, high = 3 }\n',
            "a tuning cannot search 'train.epochs', only settings of algorithm, ",
        ),
    ],
)
def test_bad_spaces_are_refused_before_any_trial(tmp_path: Path, space: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, RUN + space)


def test_numbers_are_proposed_with_four_digits() -> None:
    dimension = search.Dimension(low=0.001, high=1.0, log=True)
    trial = optuna.create_study().ask()
    found = dimension.suggest(trial, "x")
    assert found == float(f"{found:.4g}")
    assert dimension.holds(found)
    assert not dimension.holds(1.5)
    assert search.Dimension(low=0, high=2).holds(1.0)
    assert not search.Dimension(low=0, high=2).holds(0.5), "a range of whole numbers"


@pytest.mark.parametrize(
    ("low", "high", "found", "short"),
    [
        (0.001, 1.0, 0.123456, 0.1235),
        (0.9999, 0.99999, 0.99998765, 0.99998765),  # 0.9999 and 1 with four digits: outside
        (100.0, 105.0, 102.34567, 102.346),
        (0.12344, 0.9, 0.123441, 0.12344),
    ],
)
def test_short_numbers_lie_in_the_range(
    low: float, high: float, found: float, short: float
) -> None:
    written = search.Dimension(low=low, high=high)._written(found)
    assert low <= written <= high
    assert written == pytest.approx(short, abs=(high - low) / 1000)
    assert len(repr(written)) <= len(repr(found))
