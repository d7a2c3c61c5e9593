"""Several runs of one task, one after the other, in one folder."""

from collections.abc import Sequence
from pathlib import Path

from resitile.errors import ConfigError
from resitile.experiments.config import SEEDS, Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder, writing
from resitile.experiments.rules import check_folder
from resitile.experiments.runner import run
from resitile.experiments.stop import Stopped


def with_seeds(configs: Sequence[Config], seeds: Sequence[int]) -> list[Config]:
    """Every configuration with every seed; other seeds than its own become part of the name.

    Raises:
        ConfigError: if a seed is out of range or given twice.
    """
    if len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds are given twice: {', '.join(map(str, seeds))}")
    for seed in seeds:
        if not 0 <= seed < SEEDS:
            raise ConfigError(f"a seed must be from 0 to 2**62 - 1 = {SEEDS - 1}, got {seed}")
    return [
        config
        if seed == config.seed
        else config.model_copy(
            update={
                "seed": seed,
                "name": f"{config.name}-seed{seed}",
                "label": config.title,
            }
        )
        for config in configs
        for seed in seeds
    ]


def compare(
    configs: Sequence[Config],
    out: Path,
    *,
    overwrite: bool = False,
    observer: Observer | None = None,
) -> list[Path]:
    """Run all configurations; finished runs with the same settings are reused, others resumed.

    Args:
        configs: runs of the same data and model, each with its own name.
        out: folder that gets one folder per run.
        overwrite: do all of them anew.
        observer: is told about every run.

    Returns:
        The folders of the runs, in the order of `configs`.

    Raises:
        ConfigError: if they do not belong together, a folder holds a run with other settings, or
            another process is writing `out`; all of this is found before the first run begins.
    """
    _check(configs)
    folders = [RunFolder(out / config.name) for config in configs]
    with writing(out):
        _run_all(configs, out, folders, overwrite, observer)
    return [folder.path for folder in folders]


def _run_all(
    configs: Sequence[Config],
    out: Path,
    folders: list[RunFolder],
    overwrite: bool,
    observer: Observer | None,
) -> None:
    again = [folder.exists and not overwrite for folder in folders]
    for config, folder, resume in zip(configs, folders, again, strict=True):
        check_folder(config, folder, resume=resume, overwrite=overwrite)
    for config, folder, resume in zip(configs, folders, again, strict=True):
        anew = overwrite and folder.exists
        try:
            run(config, out, resume=resume, overwrite=anew, observer=observer)
        except Stopped as stop:
            if stop.summary is None or config is not configs[-1]:
                raise  # else all runs are there, and what is left takes a moment


def _check(configs: Sequence[Config]) -> None:
    if not configs:
        raise ConfigError("give at least one configuration to compare")
    first = configs[0]
    seen: set[str] = set()
    for config in configs:
        if config.name in seen:
            raise ConfigError(
                f"two runs are called {config.name!r}; give each configuration its own name"
            )
        seen.add(config.name)
        for key, mine, others in (
            ("data.name", config.data.name, first.data.name),
            ("data.dir", *(each.flat().get("data.dir") for each in (config, first))),
            ("data.limit", config.data.limit, first.data.limit),
            ("data.validation", config.data.validation, first.data.validation),
            ("model.name", config.model.name, first.model.name),
        ):
            if mine != others:
                raise ConfigError(
                    f"{config.name!r} has {key}={mine!r}, but {first.name!r} has {others!r}; runs "
                    "are comparable only on the same data and model"
                )
