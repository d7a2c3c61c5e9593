"""Networks of the user's own: what they take and give is checked before anything is trained."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from resitile.errors import ConfigError
from resitile.experiments.config import Config, parse
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run

CODE = """
import threading
import torch
from torch import nn

class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def forward(self, images):
        return self.layers(images)

class LogProbabilities(Scores):
    def forward(self, images):
        return super().forward(images).log_softmax(1)

class Probabilities(Scores):
    def forward(self, images):
        return super().forward(images).softmax(1)

class Narrow(Scores):
    def forward(self, images):
        return super().forward(images[..., :20])

class Few(Scores):
    def forward(self, images):
        return super().forward(images)[:, :7]

class Pair(Scores):
    def forward(self, images):
        return super().forward(images), images

class Raising(Scores):
    def forward(self, images):
        return super().forward(images)["scores"]

class Detached(Scores):
    def forward(self, images):
        return super().forward(images).detach()

class Frozen(Scores):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)

class OnlyInTraining(Scores):
    def forward(self, images):
        assert not self.training
        return super().forward(images)

class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10), nn.Dropout(0.2), nn.Linear(10, 10)
        )

class Held(Normed):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Config]]:
    """A tiny run of a network of this module."""
    (tmp_path / "networks_of_mine.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)

    def config(name: str, **tables: object) -> Config:
        content = {
            "name": name,
            "data": {"name": "fashion-mnist-10k", "limit": 200, "validation": 0.3},
            "model": {"name": f"networks_of_mine:{name}"},
            "algorithm": {"name": "digital"},
            "train": {"epochs": 2, "threads": 1},
            **tables,
        }
        return parse(content)

    yield config
    sys.modules.pop("networks_of_mine", None)


@pytest.mark.parametrize("analog", [False, True])
def test_scores_are_trained_as_log_probabilities_are(
    made: Callable[..., Config], tmp_path: Path, analog: bool
) -> None:
    tables: dict[str, object] = {}
    if analog:
        tables["device"] = {"name": "soft_bounds", "states": 4}
        tables["algorithm"] = {"name": "single_tile"}
    found = [
        run(made(name, **tables), tmp_path / "runs") for name in ("Scores", "LogProbabilities")
    ]
    losses = [(tmp_path / "runs" / f["name"] / "metrics.jsonl").read_text() for f in found]
    assert "Infinity" not in losses[0]
    assert found[0]["val_accuracy"] == pytest.approx(found[1]["val_accuracy"], abs=0.02)
    assert found[0]["test_accuracy"] == pytest.approx(found[1]["test_accuracy"], abs=0.02)
    assert found[0]["val_accuracy"] > 0.3


def test_probabilities_are_told(
    made: Callable[..., Config], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with pytest.warns(UserWarning, match="leave the softmax out, or use LogSoftmax"):
        run(made("Probabilities"), tmp_path / "runs")
    recwarn.clear()
    run(made("Scores"), tmp_path / "runs")
    assert not [w for w in recwarn if "softmax" in str(w.message)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Narrow", r"does not take images of shape \(batch, 1, 28, 28\)"),
        ("Few", r"at least 10 classes, .*; for 2 images it returned \(2, 7\)"),
        ("Pair", "it returned tuple"),
        ("Raising", r"take images of shape \(batch, 1, 28, 28\): .*mine\.py:\d+: IndexError: "),
        ("Detached", "cannot be trained: no gradient flows back from what it returns in training"),
        ("Frozen", "cannot be trained: .* leave requires_grad of its parameters on"),
        ("OnlyInTraining", r"in training on a mini-batch of 4 images \(.*:\d+: AssertionError\)"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    made: Callable[..., Config], tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(made(name), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("analog", [False, True])
def test_batch_norm_of_a_single_image_is_refused(
    made: Callable[..., Config], tmp_path: Path, analog: bool
) -> None:
    tables: dict[str, object] = {"data": {"limit": 200, "validation": 0.1, "batch_size": 179}}
    if analog:
        tables["device"] = {"name": "soft_bounds", "states": 4}
        tables["algorithm"] = {"name": "single_tile"}
    with pytest.raises(
        ConfigError, match=r"mini-batch of 1 images \(.*; if the last 1 of 180 are too few, set"
    ):
        run(made("Normed", **tables), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    tables["data"] = {"limit": 200, "validation": 0.1, "batch_size": 178}
    assert run(made("Normed", **tables), tmp_path / "runs")["val_accuracy"] is not None


def test_the_trial_changes_nothing_of_the_run(
    made: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Means of batch norm and draws of dropout are those of a run that was not tried."""
    tables: dict[str, object] = {
        "data": {"limit": 200, "validation": 0.1, "batch_size": 32},
        "device": {"name": "soft_bounds", "states": 4},
        "algorithm": {"name": "residual_learning", "tiles": 2},
    }
    config = made("Normed", **tables)
    run(config, tmp_path / "tried")
    monkeypatch.setattr("resitile.experiments.task.check_training", lambda *_: None)
    run(config, tmp_path / "untried")
    ours, theirs = (
        torch.load(RunFolder(tmp_path / part / config.name).checkpoint, weights_only=False)
        for part in ("tried", "untried")
    )
    assert ours["model"].keys() == theirs["model"].keys()
    assert any("running_mean" in name for name in ours["model"])
    for name, value in ours["model"].items():
        assert torch.equal(value, theirs["model"][name]), name


def test_a_network_that_cannot_be_copied_trains(
    made: Callable[..., Config], tmp_path: Path
) -> None:
    assert run(made("Held"), tmp_path / "runs")["val_accuracy"] is not None
