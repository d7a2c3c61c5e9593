"""When a run may use its folder: new, resumed or overwritten; and how the folder begins."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resitile.errors import ConfigError
from resitile.experiments import checkpoint, own_code, records
from resitile.experiments import config as configs
from resitile.experiments.checkpoint import Position
from resitile.experiments.config import Config
from resitile.experiments.records import RunFolder
from resitile.experiments.task import Learner


def _cut_off(folder: RunFolder) -> list[Path]:
    """What is left of the files that a run writes up to its first checkpoint."""
    files = (folder.config, folder.code, folder.checkpoint)
    return [path for file in files for path in records.left_of(file)]


def nothing_learnt(folder: RunFolder) -> bool:
    """Whether a folder has no more in it than a run writes before its first checkpoint.

    A process that was killed or found the disk full leaves that behind: beginning again loses
    nothing. Not so where there are epochs in the record (a checkpoint was lost) or other files.
    """
    try:
        inside = [path for path in folder.path.iterdir() if path != folder.checkpoint.parent]
        if folder.checkpoint.parent.is_symlink():
            return False
        if folder.checkpoint.parent.exists():
            inside += folder.checkpoint.parent.iterdir()
        if any(path.is_symlink() or not path.is_file() for path in inside):
            return False
        # The configuration is written first: without it the others are somebody else's.
        begun = folder.config in inside
        own = [folder.config, folder.code, folder.metrics] if begun else []
        epochs = begun and folder.metrics.exists() and folder.metrics.stat().st_size > 0
        return not epochs and set(inside) <= {*own, *_cut_off(folder)}
    except OSError:  # what cannot be looked into may hold anything
        return False


def check_folder(
    config: Config, folder: RunFolder, *, resume: bool, overwrite: bool, longer: bool = False
) -> dict[str, Any] | None:
    """Check that the folder allows what was asked; the summary if there is nothing left to do.

    With `longer` a run may be resumed with more epochs than it was started with. One that learnt
    nothing yet may be resumed, too, from its first step.

    Raises:
        ConfigError: if it does not.
    """
    if resume and overwrite:
        raise ConfigError("--resume and --overwrite exclude each other: give one of them")
    new = nothing_learnt(folder)
    begun = folder.config.is_file()
    if folder.exists and not begun and not new and (resume or overwrite):
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
    if new and not begun:
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
    if not new:
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


def begin(config: Config, folder: RunFolder, learner: Learner, *, resume: bool) -> Position:
    """Make the run folder; an older one goes only now, when all settings have been checked.

    With `resume` there may be one in which nothing was learnt: it is completed.
    """
    try:
        folder.path.parent.mkdir(parents=True, exist_ok=True)
        for path in records.left_of(folder.path):  # killed in `_remove`; the folder's lock is ours
            if path.is_dir():
                shutil.rmtree(path)
        if folder.path.exists() and not resume:
            _remove(folder.path)
        folder.path.mkdir(exist_ok=True)
        for path in _cut_off(folder):
            path.unlink()
    except OSError as error:
        raise records.cannot_make(folder.path, error) from error
    if folder.config.is_file():
        extend(config, folder)
    else:
        records.write_atomic(folder.config, config.toml().encode())
    own_code.keep(config, folder)
    records.append_metrics(folder.metrics, [])
    position = Position()
    checkpoint.save(folder.checkpoint, learner, position, config.hash)
    return position


def _remove(path: Path) -> None:
    """Delete a run folder; at any time all of it is there or, under this name, nothing."""
    if path.is_symlink():
        raise OSError("it is a symbolic link")
    aside = records.temporary(path)
    path.rename(aside)
    shutil.rmtree(aside)
