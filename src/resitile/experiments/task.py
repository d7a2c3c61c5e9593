"""From a configuration to what a run works with: images in memory, model, optimizer."""

import copy
import dataclasses
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR

import resitile
from resitile import data, models
from resitile._registry import described, own_file
from resitile.algorithms import Algorithm
from resitile.errors import ConfigError
from resitile.experiments.config import Config
from resitile.nn import AnalogWeight

_EVAL_BATCH = 500
_NORMAL = 1e-4  # log-probabilities: exponentials that add up to 1 up to rounding
Loss = Callable[..., Tensor]  # as torch.nn.functional's: (scores, labels, reduction=...)


@dataclass(frozen=True)
class Part:
    """Images (N, channels, height, width) in [0, 1] and their labels."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """The three parts of the data."""

    train: Part
    validation: Part
    test: Part


@dataclass
class Learner:
    """A model and what trains it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: StepLR | None
    warm: "resitile.WarmStart | None"
    fingerprint: str
    loss: Loss


def generator(*parts: object) -> torch.Generator:
    """Random numbers that depend on nothing but `parts`."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def _shuffled(count: int, seed: int, k: int) -> Tensor:
    return torch.randperm(count, generator=generator(seed, "limit", k))


def load_task(config: Config) -> Task:
    """Load the data and cut the validation set off the training set.

    Raises:
        DataError: if files are missing or damaged.
        ConfigError: if the data set is unknown or `limit` is larger than it.
    """
    settings = config.data
    found = data.load(settings.name, data_dir=settings.dir)
    train = torch.arange(len(found.train_labels))
    test = torch.arange(len(found.test_labels))
    if settings.limit is not None:
        if settings.limit > len(train):
            raise ConfigError(
                f"data.limit must be at most {len(train)}, the training images of "
                f"{settings.name}, got {settings.limit}"
            )
        train, test = (
            _shuffled(len(part), config.seed, k)[: settings.limit]
            for k, part in enumerate((train, test))
        )
    kept, held_back = data.split(found.train_labels[train], settings.validation, config.seed)
    if not len(kept) or not len(held_back):
        raise ConfigError(
            f"data.validation={settings.validation} of {len(train)} images leaves {len(kept)} for "
            f"training and {len(held_back)} for validation; both need some"
        )

    def part(images: Tensor, labels: Tensor, chosen: Tensor) -> Part:
        own = images[chosen].to(torch.float32)
        if images.dtype == torch.uint8:
            own.div_(255)
        return Part(own if own.dim() == 4 else own.unsqueeze(1), labels[chosen])

    return Task(
        part(found.train_images, found.train_labels, train[kept]),
        part(found.train_images, found.train_labels, train[held_back]),
        part(found.test_images, found.test_labels, test),
    )


def steps_per_epoch(config: Config, task: Task) -> int:
    """Mini-batches of an epoch, the last one perhaps smaller."""
    return -(-len(task.train) // config.data.batch_size)


def network(config: Config, steps: Callable[[], int]) -> tuple[nn.Module, Algorithm | None]:
    """The model before the first step, on tiles unless the run is digital, and its algorithm.

    Args:
        config: of the run.
        steps: mini-batches of an epoch; called only if the algorithm's schedule needs them.

    Raises:
        ConfigError: if the model is unknown or a setting does not fit it.
    """
    model = models.create(config.model.name)
    rule = config.rule()
    if rule is None:
        return model, None
    if rule.counts_epochs:
        rule = dataclasses.replace(rule, steps_per_epoch=steps())  # type: ignore[call-arg]
    converting = config.resolved()["convert"]
    return resitile.convert(model, rule, seed=config.seed, **converting), rule


def build(config: Config, task: Task) -> Learner:
    """Model and optimizer as they are before the first step; draws from torch's global generator.

    Raises:
        ConfigError: if the model is unknown, or a setting or the data do not fit it.
    """
    model, rule = network(config, lambda: steps_per_epoch(config, task))
    loss = loss_of(model, task, config.model.name)
    check_training(model, task.train, config)
    optimizer_type: type[torch.optim.Optimizer] = torch.optim.SGD
    warm = None
    if rule is not None:
        optimizer_type = resitile.AnalogSGD
        if config.warm_start is not None:
            warm = resitile.WarmStart(model, **config.warm_start.model_dump())
    optimizer = optimizer_type(
        _parameters(model, config.optimizer.digital_lr),
        lr=config.optimizer.lr,
        momentum=config.optimizer.momentum,  # type: ignore[call-arg]
    )
    scheduler = None
    if config.optimizer.decay_every:
        scheduler = StepLR(optimizer, config.optimizer.decay_every, config.optimizer.decay)
    fingerprint = "Digital()" if rule is None else repr(rule)
    return Learner(model, optimizer, scheduler, warm, fingerprint, loss)


def _parameters(model: nn.Module, digital_lr: float | None) -> Any:
    """The parameters, or groups of them where digital ones have a rate of their own."""
    if digital_lr is None:
        return model.parameters()
    analog = [p for p in model.parameters() if isinstance(p, AnalogWeight)]
    digital = [p for p in model.parameters() if not isinstance(p, AnalogWeight)]
    if not digital:
        raise ConfigError(
            f"digital_lr={digital_lr} has no use: every parameter of the network is analog; "
            "leave it out"
        )
    return [{"params": analog}, {"params": digital, "lr": digital_lr}]


@torch.no_grad()
def loss_of(model: nn.Module, task: Task, name: str) -> Loss:
    """Cross entropy of what the model returns: log-probabilities, or scores of any size.

    Warns:
        UserWarning: if it returns probabilities.

    Raises:
        ConfigError: if the model does not take these images, or has not a score for every class.
    """
    images, parts = task.train.images[:2], (task.train, task.validation, task.test)
    classes = 1 + max(int(part.labels.max()) for part in parts)
    model.eval()
    try:
        out = model(images)
    except Exception as error:  # whatever a network of the user's own may raise
        shape = ", ".join(map(str, images.shape[1:]))
        reason = described(error, own_file(name))
        raise ConfigError(
            f"model {name!r} does not take images of shape (batch, {shape}): {reason}"
        ) from error
    finally:
        model.train()
    found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if not isinstance(out, Tensor) or out.ndim != 2 or out.shape[1] < classes:
        raise ConfigError(
            f"model {name!r} must return scores of shape (batch, classes) with at least {classes} "
            f"classes, for the largest label of all images is {classes - 1}; for {len(images)} "
            f"images it returned {found}"
        )
    if bool((out >= 0).all() and ((out.sum(1) - 1).abs() < _NORMAL).all()):
        warnings.warn(
            f"what model {name!r} returns adds up to 1, as the probabilities of a softmax do; the "
            "loss takes scores or log-probabilities, and such a model learns slowly and stays "
            "unsure: leave the softmax out, or use LogSoftmax",
            stacklevel=2,
        )
    normal = bool((out.logsumexp(1).abs() < _NORMAL).all())
    return F.nll_loss if normal else F.cross_entropy


def check_training(model: nn.Module, part: Part, config: Config) -> None:
    """Try a copy of the model on a last mini-batch of an epoch; the run's own model sees nothing.

    Raises:
        ConfigError: if it fails in training, as batch norm does on a single image, or if the
            gradient of the loss does not reach its output.
    """
    size, name = config.data.batch_size, config.model.name
    last = len(part) % size or size
    try:
        model = copy.deepcopy(model)
    except Exception:  # noqa: BLE001
        return  # a network that holds, say, an open file trains all the same, untried
    model.train()
    try:
        with torch.random.fork_rng(devices=[]):  # dropout draws from it
            out = model(part.images[:last])
    except Exception as error:  # whatever a network of the user's own may raise
        smaller = f"; if the last {last} of {len(part)} are too few, set another data.batch_size"
        raise ConfigError(
            f"model {name!r} fails in training on a mini-batch of {last} images "
            f"({described(error, own_file(name))}){smaller if last < size else ''}"
        ) from error
    if not isinstance(out, Tensor) or not out.requires_grad:
        raise ConfigError(
            f"model {name!r} cannot be trained: no gradient flows back from what it returns in "
            "training; return scores that are not detached, and leave requires_grad of its "
            "parameters on"
        )


@torch.no_grad()
def evaluate(model: nn.Module, part: Part, loss_of_scores: Loss) -> tuple[float, float]:
    """Mean loss and accuracy of a model."""
    model.eval()
    loss, correct = 0.0, 0
    for start in range(0, len(part), _EVAL_BATCH):
        labels = part.labels[start : start + _EVAL_BATCH]
        out = model(part.images[start : start + _EVAL_BATCH])
        loss += loss_of_scores(out, labels, reduction="sum").item()
        correct += int((out.argmax(1) == labels).sum())
    model.train()
    return loss / len(part), correct / len(part)
