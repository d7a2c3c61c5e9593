"""Tuning: proposals inside the space, the same after an interruption, test images unseen."""

import json
from pathlib import Path
from typing import Any

import pytest

from resitile.errors import ConfigError, UpdateError
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


def test_a_folder_of_another_tuning_is_refused(tmp_path: Path) -> None:
    tune.tune(load(tmp_path), tmp_path / "out", trials=1)
    for changed in (
        load(tmp_path, RUN.replace("lr = 0.1", "lr = 0.2") + SPACE),
        load(tmp_path, RUN + SPACE.replace("high = 8", "high = 9")),
    ):
        with pytest.raises(ConfigError, match="holds a tuning with other settings"):
            tune.tune(changed, tmp_path / "out", trials=2)


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


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("", "has no .search. table"),
        ("[search]\n[search.optimizer]\nlr = 3\n", 'unknown key search."optimizer".lr; allowed'),
        ('[search]\n"optimizer.lr" = 3\n', "low and high, or choices; got 3"),
        ('[search]\n"optimizer.lr" = { low = 1 }\n', "give either low and high, or choices"),
        ('[search]\n"optimizer.lr" = { low = 2, high = 1 }\n', "low must be below high"),
        ('[search]\n"optimizer.lr" = { low = 0, high = 1, log = true }\n', "above 0"),
        ('[search]\n"optimizer.lr" = { low = -1.0, high = 1.0 }\n', "greater than or equal to 0"),
        ('[search]\n"optimizer.lrr" = { low = 0.1, high = 1.0 }\n', "unknown key optimizer.lrr"),
        ('[search]\n"optimizer.lr" = { hig = 1.0 }\n', "unknown key .*hig; did you mean .high."),
        ('[search]\n"train.epochs" = { low = 1, high = 3 }\n', "not a setting that a tuning"),
    ],
)
def test_bad_spaces_are_refused_before_any_trial(tmp_path: Path, space: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, RUN + space)


def test_numbers_are_proposed_with_four_digits() -> None:
    import optuna

    dimension = search.Dimension(low=0.001, high=1.0, log=True)
    trial = optuna.create_study().ask()
    found = dimension.suggest(trial, "x")
    assert found == float(f"{found:.4g}")
    assert dimension.holds(found)
    assert not dimension.holds(1.5)
