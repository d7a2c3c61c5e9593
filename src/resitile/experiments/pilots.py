"""A plan for a task: the most promising choices are trained on it before one is recommended."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from resitile import devices, models
from resitile.devices import Device
from resitile.errors import ConfigError, DataError
from resitile.experiments import config as configs
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.plan import Limits, best, chance, order, plan
from resitile.experiments.plan_choices import Choice, choices, with_rates
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.experiments.task import Task, load_task, loss_of, network, steps_per_epoch

_DIGITAL = Choice("digital", "digital SGD", {"name": "digital"}, 0.1)
_LEAST_RATE = 1 / 8  # of a choice, as a share of the planner's; the highest is its inverse


@dataclass(frozen=True)
class Question:
    """My device, my network, my data: which method, and how many tiles?

    Args:
        device: the table `[device]`.
        data: the table `[data]`.
        model: name or path of the network.
        epochs: of a run.
        steps: mini-batches of an epoch; None counts them in the data.
        limits: what the answer must keep to.
        threads: of runs; None is their default.
    """

    device: dict[str, Any]
    data: dict[str, Any]
    model: str
    epochs: int
    steps: int | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int | None = None

    @cached_property
    def made_device(self) -> Device:
        """The device itself."""
        return devices.create(**self.device)

    @cached_property
    def task(self) -> Task:
        """The images.

        Raises:
            DataError: if they are not there.
        """
        return load_task(self.run(self.digital))

    @cached_property
    def network(self) -> nn.Module:
        """The network as plain torch."""
        return models.create(self.model)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Mini-batches of an epoch.

        Raises:
            DataError: if they have to be counted and the data are not there.
        """
        if self.steps is not None:
            return self.steps
        return steps_per_epoch(self.run(self.digital), self.task)

    @property
    def digital(self) -> Choice:
        """Digital training; its rate grows with the mini-batch from 16 to 64 images."""
        return dataclasses.replace(_DIGITAL, lr=_DIGITAL.lr * min(max(self.batch / 16, 1.0), 4.0))

    @property
    def batch(self) -> int:
        """Images of a mini-batch."""
        return int(self.data["batch_size"])

    @cached_property
    def choices(self) -> dict[str, Choice]:
        """What there is to choose from, by key."""
        found = choices(self.made_device, self.batch, self.steps_per_epoch)
        return {choice.key: choice for choice in found}

    def choice(self, key: str) -> Choice:
        """A choice, perhaps with another learning rate, by its key."""
        return next(c for c in with_rates(list(self.choices.values()), [key]) if c.key == key)

    def check(self) -> None:
        """Refuse what no run could train; a network's images only where the data are there.

        Raises:
            ConfigError: if the network cannot be put on such devices, or does not take the images.
        """
        first = next(iter(self.choices.values()))
        made, _ = network(self.run(first), lambda: self.steps_per_epoch)
        try:
            images = self.task.train
        except DataError:
            if self.steps is None:
                raise
        else:
            loss_of(made, images, self.model)

    def run(self, choice: Choice, name: str | None = None) -> Config:
        """The run of a choice, called `name` or by its key and what decides its result."""
        content = {
            "name": name or choice.key, "label": choice.label, "data": self.data,
            "model": {"name": self.model}, **choice.tables(self.epochs),
        }  # fmt: skip
        if choice.method != _DIGITAL.method:
            content["device"] = self.device
        if self.threads is not None:
            content["train"]["threads"] = self.threads
        made = configs.parse(content)
        return made if name else made.model_copy(update={"name": f"{choice.key}-{made.hash[:8]}"})

    def answer(
        self, measured: dict[str, float] | None = None, digital: float | None = None
    ) -> dict[str, Any]:
        """The plan, given what was measured and what digital training reaches."""
        return plan(
            self.made_device, self.network, batch=self.batch,
            steps_per_epoch=self.steps_per_epoch, digital_accuracy=digital, limits=self.limits,
            measured=measured, images=len(self.task.validation) if measured else None,
        )  # fmt: skip


def answer_by_runs(
    question: Question,
    count: int,
    folder: Path,
    *,
    digital: float | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """The plan after the choices that promise most were trained, one after the other.

    What a run shows corrects the predictions of the others, and so decides what is tried next.
    Accuracies are those on validation images after the last epoch, one seed each. Finished runs
    with the same settings are used again and unfinished ones continued.

    Args:
        question: what is asked.
        count: choices to train, at least 1; fewer if no other can still be recommended.
        folder: parent of the run folders.
        digital: what digital training reaches; None trains it, too.
        observer: is told about every run.

    Raises:
        ConfigError: if the network cannot be put on such devices, or digital training learns
            nothing, so that there is nothing to compare with.
        Stopped: after Ctrl-C; the same call goes on.
    """

    def accuracy(choice: Choice) -> float:
        config = question.run(choice)
        resume = RunFolder(folder / config.name).exists
        return float(
            run(config, folder, resume=resume, observer=observer, test=False)["val_accuracy"]
        )

    measured: dict[str, float] = {}
    # What is wrong is refused before anything is trained.
    found = question.answer(measured, digital)
    question.check()
    if digital is None:
        digital = accuracy(question.digital)
        if digital <= chance():
            raise ConfigError(
                f"digital SGD (lr {question.digital.lr:g}) learns nothing in {question.epochs} "
                f"epochs of {question.steps_per_epoch} steps: {digital:.1%} on validation images; "
                "give it more epochs, or say what digital training reaches (digital_accuracy)"
            )
        found = question.answer(measured, digital)
    while len(measured) < count and (key := most_promising(found, question.limits)) is not None:
        measured[key] = accuracy(question.choice(key))
        found = question.answer(measured, digital)
    return found


def most_promising(found: dict[str, Any], limits: Limits) -> str | None:
    """What to measure next; None if nothing else can become the recommended choice.

    It is the best by the rule of `plan` of those that would be recommended if their predictions
    came true. If there are none, the recommended choice is tried with half and twice its learning
    rate, as long as that leads to something better; then, since predictions are good to some
    points, what is predicted to be the best of the others.
    Where a least accuracy was reached, only faster choices come into question.
    """
    rows = [row for row in found["choices"] if row["breaks"] in ([], ["accuracy"])]
    new = [row for row in rows if row["measured_accuracy"] is None]
    tried = [row for row in rows if row["measured_accuracy"] is not None]
    reached = [row for row in tried if not row["breaks"]]
    if limits.accuracy is not None and reached:
        fastest = min(row["update_ns"] for row in reached)
        return best([row for row in new if row["update_ns"] < fastest], limits)
    if tried:
        most = max(row["accuracy"] for row in tried)
        free = [row for row in tried if row["accuracy"] >= most - found["close"]]
        top = min(free, key=order)
        better = [row for row in new if _wins(row, top, most, found["close"])]
        if better:
            return _best_of(better, limits)
        if (rate := _another_rate(top, tried)) is not None:
            return rate
    return _best_of(new, limits)


def _wins(row: dict[str, Any], top: dict[str, Any], most: float, close: float) -> bool:
    """Whether a choice would be recommended instead of `top` if its prediction came true."""
    faster = row["update_ns"] < top["update_ns"] and row["accuracy"] >= most - close
    return bool(faster or row["accuracy"] > top["accuracy"] + close)


def _best_of(rows: list[dict[str, Any]], limits: Limits) -> str | None:
    """The best by the rule of `plan`; if none reaches the least accuracy, the most accurate."""
    if (key := best(rows, limits)) is None and rows:
        key = str(max(rows, key=lambda row: row["accuracy"])["key"])
    return key


def _another_rate(row: dict[str, Any], tried: list[dict[str, Any]]) -> str | None:
    """The key of a measured choice with half or twice its rate; None if both were measured."""
    known = {other["factor"] for other in tried if other["method"] == row["method"]}
    for factor in (row["factor"] / 2, row["factor"] * 2):
        if factor not in known and _LEAST_RATE <= factor <= 1 / _LEAST_RATE:
            return f"{row['method']}-x{factor:g}"
    return None
