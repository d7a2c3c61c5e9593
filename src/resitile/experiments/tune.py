"""Choosing settings on validation data, with the same budget for every method."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resitile.errors import CheckpointError, ConfigError, UpdateError
from resitile.experiments import config as configs
from resitile.experiments import records, search, shapes, toml
from resitile.experiments.config import Config
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.experiments.search import Dimension, Value
from resitile.kernels.keys import stream


@dataclass(frozen=True)
class Tuning:
    """One file to be tuned: its run configuration, and what may change.

    Attributes:
        content: tables of the run, without `[search]` and without overrides.
        trial: the same with what holds for the trials only.
        space: dimensions by dotted key.
        source: the file.
    """

    content: dict[str, Any]
    trial: dict[str, Any]
    space: dict[str, Dimension]
    source: Path

    @property
    def name(self) -> str:
        """Name of the run, and of the folder of its tuning."""
        return str(self.content["name"])

    def config(self, values: dict[str, Value], name: str | None = None) -> Config:
        """The run with these values; a trial if it has a name of its own."""
        content = copy.deepcopy(self.content if name is None else self.trial)
        for key, value in values.items():
            toml.override(content, f"{key}={json.dumps(value)}")
        content["name"] = name or self.name
        return configs.parse(content, str(self.source))

    def check(self, values: dict[str, Value]) -> None:
        """Raise ConfigError if these values cannot be together, in a trial or in best.toml."""
        self.config(values, "given")
        self.config(values)


_STARTUP = 4  # results before Optuna learns from them; for any number of trials: more can be added
_SEARCHED = ("algorithm", "optimizer", "convert", "warm_start", "data")


def load(path: Path, overrides: list[str]) -> Tuning:
    """Read a file with a `[search]` table; the overrides hold for the trials only.

    Raises:
        ConfigError: if the run or the search is not a possible one, or an override has no effect.
    """
    content = toml.read(path)
    space = search.parse(content.pop("search", None), str(path))
    configs.check_name(content.setdefault("name", path.stem), str(path))
    for key in space:
        if key.split(".")[0] not in _SEARCHED:
            raise ConfigError(
                f"{path}: a tuning cannot search {key!r}, only settings of {', '.join(_SEARCHED)}: "
                "the device, the network and the seed are the task; [sweep] runs several of them"
            )
    trial = copy.deepcopy(content)
    for assignment in overrides:
        search.check_override(assignment, space, str(path))
        toml.override(trial, assignment)
    tuning = Tuning(content, trial, space, path)
    tuning.check({})
    settings = tuning.config({}, "given").settings()
    for key, dimension in space.items():
        if dimension.misses(settings.get(key)):
            raise ConfigError(
                f"{path}: {key} is {settings[key]}, but low={dimension.low} and "
                f"high={dimension.high} are a range of whole numbers; write "
                f"low={float(dimension.low or 0)} for one of real numbers"
            )
        ends = dimension.choices or [v for v in (dimension.low, dimension.high) if v is not None]
        for value in ends:  # found now rather than after hours of trials
            tuning.check({key: value})
    return tuning


def load_all(paths: Sequence[Path], overrides: list[str]) -> list[Tuning]:
    """Read several files; each needs a name, and so a folder, of its own.

    Raises:
        ConfigError: if two have the same name, and as `load`.
    """
    tunings: dict[str, Tuning] = {}
    for path in paths:
        tuning = load(path, overrides)
        if tuning.name in tunings:
            raise ConfigError(
                f"{path} and {tunings[tuning.name].source} are both called {tuning.name!r}; give "
                "each file its own name"
            )
        tunings[tuning.name] = tuning
    return list(tunings.values())


def tune(
    tuning: Tuning,
    out: Path,
    *,
    trials: int,
    seed: int = 0,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Try settings one after the other and keep the best validation accuracy.

    The first trial uses the file's own values; Optuna's tree-structured Parzen estimator proposes
    the others. Test images are not looked at. Every trial is a run with its folder, so that an
    interrupted tuning goes on where it stood, to the same proposals; more trials can be added. One
    that diverges, or whose settings exclude each other, has `failed`, with the reason. Where there
    are more trials than asked for, they are kept, but the best is that of the first ones: all
    methods have the same budget.

    Args:
        tuning: what to do.
        out: gets the folder `tuning.name` with tuning.json, best.toml and a folder per trial.
        trials: how many in all.
        seed: of the proposals.
        observer: is told about every run.

    Returns:
        The content of tuning.json: the trials, and which of the first `budget` was the best (null
        if all failed).

    Raises:
        ConfigError: if the folder holds a tuning with other settings, or another process writes it.
        Stopped: after Ctrl-C; call again to go on.
    """
    folder = out / tuning.name
    with records.writing(folder):
        return _tune(tuning, folder, trials, seed, observer)


def _tune(
    tuning: Tuning, folder: Path, trials: int, seed: int, observer: Observer | None
) -> dict[str, Any]:
    """The trials, in a folder that is ours."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    done = _begin(tuning, folder, seed)
    # What the file says itself comes first, so that no tuning ends below it.
    settings = tuning.config({}, "given").settings()
    given = {key: settings[key] for key in tuning.space if key in settings}
    study = optuna.create_study(direction="maximize")
    for record in done:
        _tell(study, tuning, record)
    for number in range(len(done), trials):
        # A sampler of its own for every trial: a resumed tuning proposes the same.
        study.sampler = optuna.samplers.TPESampler(
            seed=stream(seed, number) % 2**32, n_startup_trials=_STARTUP
        )
        if number == 0:
            values: dict[str, Value] = given
        else:
            trial = study.ask()
            values = {key: dim.suggest(trial, key) for key, dim in tuning.space.items()}
            study.tell(trial, state=optuna.trial.TrialState.FAIL)  # stands in the list once only
        record = _try(tuning, folder, number, values, observer)
        done.append(record)
        _tell(study, tuning, record)
        _write(tuning, folder, seed, done, trials)
    return _write(tuning, folder, seed, done, trials)


def _try(
    tuning: Tuning,
    folder: Path,
    number: int,
    values: dict[str, Value],
    observer: Observer | None,
) -> dict[str, Any]:
    """Run one trial, or what is left of it."""
    record: dict[str, Any] = {"number": number, "values": values, "val_accuracy": 0.0}
    name = f"trial-{number:03}"
    resume = RunFolder(folder / name).exists
    try:
        tuning.check(values)
        config = tuning.config(values, name)
        summary = run(config, folder, resume=resume, observer=observer, test=False)
    except UpdateError as error:  # a step that is too large is a result, too
        return record | {"failed": str(error)}
    except ConfigError as error:
        if number == 0 or resume:  # the file itself cannot be trained, or the folder is another's
            raise
        return record | {"failed": str(error)}
    return record | {"val_accuracy": summary["val_accuracy"], "wall_s": summary["wall_s"]}


def _tell(study: Any, tuning: Tuning, record: dict[str, Any]) -> None:
    """Add a finished trial to what Optuna knows, unless it lies outside the space."""
    import optuna

    space = {key: dimension.distribution() for key, dimension in tuning.space.items()}
    values = record["values"]
    if values.keys() == space.keys() and all(
        dimension.holds(values[key]) for key, dimension in tuning.space.items()
    ):
        study.add_trial(
            optuna.trial.create_trial(
                params=values, distributions=space, value=record["val_accuracy"]
            )
        )


def _begin(tuning: Tuning, folder: Path, seed: int) -> list[dict[str, Any]]:
    """The trials that are done already.

    Raises:
        ConfigError: if they belong to another tuning.
        CheckpointError: if their record is damaged.
    """
    path = folder / "tuning.json"
    if not path.exists():
        return []
    try:
        content, fault = shapes.read_json(path)
    except OSError as error:
        content, fault = None, str(error.strerror)
    fault = fault or shapes.tuning_fault(content)
    if fault:
        raise CheckpointError(
            f"{path} is damaged ({fault}); delete that file and give the same command: it is "
            "written anew from the trials beside it, which are not trained again"
        )
    key = content["key"]
    key["run"] = configs.without_cosmetic(key["run"])  # older ones have more in it
    if key != _key(tuning, seed):
        raise ConfigError(
            f"{folder} holds a tuning with other settings, another search space or another seed; "
            "choose another folder, or delete that one"
        )
    return list(content["trials"])


def _key(tuning: Tuning, seed: int) -> dict[str, Any]:
    """What must be the same for trials to belong together, as JSON gives it back."""
    key = {
        "run": tuning.config({}, "given").flat(),
        "search": {k: d.model_dump(exclude_none=True) for k, d in tuning.space.items()},
        "seed": seed,
    }
    return dict(json.loads(json.dumps(key)))  # a tuple, as levels are, becomes a list


def _write(
    tuning: Tuning, folder: Path, seed: int, done: list[dict[str, Any]], budget: int
) -> dict[str, Any]:
    trained = [record for record in done[:budget] if "failed" not in record]
    best = max(trained, key=lambda record: record["val_accuracy"], default=None)
    content = {
        "name": tuning.name,
        "label": tuning.config({}).title,
        "best": best,
        "budget": budget,
        "trials": done,
        "key": _key(tuning, seed),
    }
    records.write_json(folder / "tuning.json", content)
    path = folder / "best.toml"
    if best is None:
        path.unlink(missing_ok=True)  # it may be there from a larger budget
    else:
        records.write_atomic(path, tuning.config(best["values"]).toml().encode())
    return content
