"""A plan for a task: the most promising choices are trained on it before one is recommended."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from resitile import devices, models
from resitile.devices import Device
from resitile.errors import ConfigError, UpdateError
from resitile.experiments import config as configs
from resitile.experiments import own_code
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.plan import Limits, plan
from resitile.experiments.plan_choices import Choice, choices, with_rates
from resitile.experiments.plan_next import most_promising
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.experiments.task import Task, load_task, loss_of, network, steps_per_epoch
from resitile.nn.cost import KINDS

_DIGITAL = Choice("digital", "digital SGD", {"name": "digital"}, 0.1)


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
        seed: of runs and of what they hold back for validation.
    """

    device: dict[str, Any]
    data: dict[str, Any]
    model: str
    epochs: int
    steps: int | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int | None = None
    seed: int = 0

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

    @cached_property
    def normalises(self) -> bool:
        """Whether the network has digital parameters beside biases, as BatchNorm's are.

        The rate of the tiles, which may be ten times that of digital training, is none for them.
        """
        others = (m for m in self.network.modules() if not isinstance(m, KINDS))
        return any(list(module.parameters(recurse=False)) for module in others)

    @cached_property
    def guessing(self) -> float:
        """What naming the most frequent class reaches on the validation images, and an error more.

        Accuracies up to that show that nothing was learnt.
        """
        labels = self.task.validation.labels
        share = int(labels.bincount().max()) / len(labels)
        return share + math.sqrt(share * (1 - share) / len(labels))

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
        """Refuse what no run could train; the images are looked at unless `steps` spares them.

        Raises:
            ConfigError: if the network cannot be put on such devices, or does not take the images.
            DataError: if the images are not there.
        """
        first = next(iter(self.choices.values()))
        made, _ = network(self.run(first), lambda: self.steps_per_epoch)
        if self.steps is None:
            loss_of(made, self.task, self.model)

    def run(self, choice: Choice, name: str | None = None) -> Config:
        """The run of a choice, called `name` or by its key and what decides its result.

        That is the configuration and all code, the user's own and this package's.
        """
        content = {
            "name": name or choice.key, "label": choice.label, "seed": self.seed, "data": self.data,
            "model": {"name": self.model}, **choice.tables(self.epochs),
        }  # fmt: skip
        if choice.method != _DIGITAL.method:
            content["device"] = self.device
            if self.normalises:
                content["optimizer"]["digital_lr"] = self.digital.lr
        if self.threads is not None:
            content["train"]["threads"] = self.threads
        made = configs.parse(content)
        # Runs of another version of the package, or of changed code of the user's, are others.
        stamp = own_code.stamp(made)
        return made if name else made.model_copy(update={"name": f"{choice.key}-{stamp}"})

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
    Accuracies are those on validation images after the last epoch, one seed each; that of a run
    whose loss became infinite is that of guessing. Finished runs with the same settings and code
    are used again and unfinished ones continued.

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
    diverged: list[str] = []

    def accuracy(choice: Choice) -> float | None:
        """What a run reaches; None if its loss became infinite."""
        config = question.run(choice)
        resume = RunFolder(folder / config.name).exists
        try:
            done = run(config, folder, resume=resume, observer=observer, test=False)
        except UpdateError:
            diverged.append(choice.key)
            return None
        return float(done["val_accuracy"])

    # What is wrong is refused before anything is trained.
    measured: dict[str, float] = {}
    found = question.answer(measured, digital)
    question.check()
    if digital is None:
        digital = _digital(question, accuracy)
        found = question.answer(measured, digital)
    while len(measured) < count and (key := most_promising(found, question.limits)) is not None:
        got = accuracy(question.choice(key))
        measured[key] = question.guessing if got is None else got
        found = question.answer(measured, digital)
    return {**found, "guessing": question.guessing, "diverged": diverged}


def _digital(question: Question, accuracy: Callable[[Choice], float | None]) -> float:
    """What digital training reaches, at a lower rate if it diverges at the usual one.

    Raises:
        ConfigError: if it learns nothing.
    """
    for factor in (1.0, 0.5, 0.25, 0.125):
        choice = question.digital.at_rate(factor)
        if (found := accuracy(choice)) is not None:
            break
    if found is None or found <= question.guessing:
        shown = "its loss became infinite" if found is None else f"{found:.1%} on validation images"
        raise ConfigError(
            f"digital SGD (lr {choice.lr:g}) learns nothing in {question.epochs} epochs of "
            f"{question.steps_per_epoch} steps: {shown}, and {question.guessing:.1%} may be by "
            "guessing; give it more epochs, or say what digital training reaches "
            "(--digital-accuracy)"
        )
    return found
