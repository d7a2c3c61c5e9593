"""When a run may use its folder: new, resumed or overwritten; and how the folder begins."""

import shutil
from collections.abc import Iterator
from typing import Any

from resitile.errors import ConfigError
from resitile.experiments import checkpoint, own_code, records
from resitile.experiments import config as configs
from resitile.experiments.checkpoint import Position
from resitile.experiments.config import Config
from resitile.experiments.records import RunFolder
from resitile.experiments.task import Learner


def check_folder(
    config: Config, folder: RunFolder, *, resume: bool, overwrite: bool, longer: bool = False
) -> dict[str, Any] | None:
    """Check that the folder allows what was asked; the summary if there is nothing left to do.

    With `longer` a run may be resumed with more epochs than it was started with.

    Raises:
        ConfigError: if it does not.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite exclude each other: give one of them")
    if folder.exists and not folder.config.is_file() and (resume or overwrite):
        raise ConfigError(
            f"{folder.path} holds no run (there is no config.toml in it); choose another name"
        )
    if not resume:
        if folder.exists and not overwrite:
            raise ConfigError(
                f"a run called {config.name!r} exists in {folder.path}: go on with it by --resume, "
                'replace it by --overwrite, or choose another name: --set name="..."'
            )
        return None
    if not folder.exists:
        raise ConfigError(f"there is no run to resume in {folder.path}; leave --resume out")
    before = configs.load(folder.config)
    extended = longer and before.train.epochs < config.train.epochs
    differences = (_of(before, config.train.epochs) if extended else before).differences(config)
    if differences:
        raise ConfigError(
            f"{folder.path} was started with other settings ({'; '.join(differences)}); resume "
            f"with those ({folder.config}), or use --overwrite or another name"
        )
    own_code.check(config, folder)
    return None if extended else records.read_summary(folder)


def _of(config: Config, epochs: int) -> Config:
    """The same run with another number of epochs."""
    return config.model_copy(update={"train": config.train.model_copy(update={"epochs": epochs})})


def hashes(config: Config, folder: RunFolder) -> Iterator[str]:
    """Those under which a checkpoint of this run may have been saved, the likeliest first."""
    yield config.hash
    yield configs.load(folder.config).former_hash
    for epochs in range(1, config.train.epochs):  # before it was asked for more
        yield _of(config, epochs).hash


def extend(config: Config, folder: RunFolder) -> None:
    """Let a run have more epochs: its end, and what was written of that, is none any more."""
    if configs.load(folder.config).train.epochs != config.train.epochs:
        for path in (folder.summary, folder.report):  # first: a run without them is not finished
            path.unlink(missing_ok=True)
        records.write_atomic(folder.config, config.toml().encode())


def begin(config: Config, folder: RunFolder, learner: Learner) -> Position:
    """Make the run folder; an older one goes only now, when all settings have been checked."""
    try:
        if folder.path.exists():
            shutil.rmtree(folder.path)
        folder.path.mkdir(parents=True)
    except OSError as error:
        raise records.cannot_make(folder.path, error) from error
    records.write_atomic(folder.config, config.toml().encode())
    own_code.keep(config, folder)
    records.append_metrics(folder.metrics, [])
    position = Position()
    checkpoint.save(folder.checkpoint, learner, position, config.hash)
    return position
