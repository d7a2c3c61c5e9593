"""A family of runs along one axis: the ablations, and any other `resitile sweep` file."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from resitile.errors import ConfigError
from resitile.experiments import config as configs
from resitile.experiments import toml
from resitile.experiments.config import Config
from resitile.experiments.search import Value
from resitile.experiments.tables import Table, explain

_ONLY = "resitile"  # label of the line of a sweep without series
_Setting = Value | list[Value] | dict[str, Any]  # levels are a list, variation may be a table


def _check_set(settings: dict[str, Any]) -> None:
    """Refuse to set what a sweep writes into each of its runs itself."""
    for key in settings:
        if key.strip() in ("name", "label"):
            raise ValueError(
                f"set cannot change {key!r}: a run is named by its place in the sweep; remove it, "
                "or give the series a label"
            )


class Series(Table):
    """One line of the picture: its name and the settings that all its runs share."""

    label: str
    set: dict[str, _Setting] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _allowed(self) -> "Series":
        _check_set(self.set)
        return self


class Published(Table):
    """A line to stand beside: its accuracies in percent, and where they come from."""

    label: str
    source: str
    x: list[int | float | str]
    y: list[float]

    @model_validator(mode="after")
    def _equal(self) -> "Published":
        if len(self.x) != len(self.y):
            raise ValueError(f"x and y need equal lengths, got {len(self.x)} and {len(self.y)}")
        return self


class Axis(Table):
    """`[sweep]`: the values along the axis, and what they set in the run.

    Args:
        axis: name of the axis.
        x: its values, numbers or names.
        set: for every dotted key, its value at each x.
        series: lines of the picture; without, one.
        seeds: seeds of every point; without, the seed of the run.
        log: draw the axis in the logarithm.
        published: lines to stand beside.
    """

    axis: str
    x: list[int | float | str] = Field(min_length=1)
    set: dict[str, list[_Setting]]
    series: list[Series] = Field(default_factory=list)
    seeds: list[int] | None = Field(None, min_length=1)
    log: bool = False
    published: list[Published] = Field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The dotted keys that the sweep sets."""
        own = [*self.set, *(key for series in self.series for key in series.set)]
        return [key.strip() for key in own]

    @model_validator(mode="after")
    def _equal(self) -> "Axis":
        _check_set(self.set)
        for key, values in self.set.items():
            if len(values) != len(self.x):
                raise ValueError(f"set {key!r} needs {len(self.x)} values, got {len(values)}")
        for series in self.series:
            for key in self.set.keys() & series.set.keys():
                raise ValueError(
                    f"{key!r} is set along the axis and by the series {series.label!r}; remove one"
                )
        named = any(isinstance(x, str) for x in self.x)
        for x in (*self.x, *(x for line in self.published for x in line.x)):
            if isinstance(x, str) and not named:
                raise ValueError(f"the published point {x!r} has no place among numbers: {self.x}")
            if self.log and (isinstance(x, str) or x <= 0):
                raise ValueError(f"log needs an axis of numbers above 0, got {x!r}")
        if self.seeds and "seed" in self.keys:
            raise ValueError('seeds and a set of "seed" exclude each other: give one of them')
        if self.seeds and len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds are given twice: {self.seeds}")
        return self


@dataclass(frozen=True)
class Sweep:
    """A sweep as its file says.

    Attributes:
        name: of its folder.
        title: of its picture.
        axis: the axis and the lines.
        runs: (series, position on the axis, seed, configuration) of every run.
    """

    name: str
    title: str
    axis: Axis
    runs: list[tuple[int, int, int, Config]]


def load(path: Path, overrides: list[str]) -> Sweep:
    """Read a sweep file and expand it; every run is checked before the first one starts.

    Raises:
        ConfigError: if the sweep or one of its runs is not possible.
    """
    content = toml.read(path)
    table = content.pop("sweep", None)
    if not isinstance(table, dict):
        raise ConfigError(
            f"{path} has no [sweep] table; add one with axis, x and set, such as "
            'axis = "gamma" x = [0.3, 0.5] set = { "algorithm.gamma" = [0.3, 0.5] }'
        )
    try:
        axis = Axis.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, Axis, 'sweep.')}") from None
    content.setdefault("name", path.stem)
    for assignment in overrides:
        key = assignment.partition("=")[0].strip()
        if key in axis.keys:
            raise ConfigError(
                f"{path}: {key!r} has another value at each point or series of the sweep, so "
                f"{assignment!r} has no effect; leave it out, or change the file's [sweep]"
            )
        toml.override(content, assignment)
    if axis.seeds and "seed" in content:
        raise ConfigError(
            f"{path}: seed={content['seed']!r} has no effect beside sweep.seeds={axis.seeds}; "
            "remove one of them"
        )
    name = configs.check_name(content["name"], str(path))
    title = content.get("label", name)
    if not isinstance(title, str):
        raise ConfigError(f"{path}: label must be text, got {title!r}")
    seeds: Sequence[int | None] = axis.seeds or [None]  # None: as the run says
    runs = []
    for s, series in enumerate(axis.series or [Series(label=_ONLY)]):
        for k in range(len(axis.x)):
            for seed in seeds:
                config = _run(content, axis, series, s, k, seed, path)
                runs.append((s, k, config.seed, config))
    return Sweep(name, title, axis, runs)


def _run(
    content: dict[str, Any],
    axis: Axis,
    series: Series,
    s: int,
    k: int,
    seed: int | None,
    path: Path,
) -> Config:
    own = copy.deepcopy(content)
    settings = {**series.set, **{key: values[k] for key, values in axis.set.items()}}
    for key, value in settings.items():
        toml.put(own, key, copy.deepcopy(value))
    if seed is not None:
        own["seed"] = seed
    own["name"] = f"{s}-{k}-seed{own.get('seed', 0)}"
    line = f"{series.label}, " if axis.series else ""
    own["label"] = f"{line}{axis.axis} {axis.x[k]}"
    return configs.parse(own, str(path))


def _common(summaries: list[dict[str, Any]], key: str) -> Any:
    values = {summary[key] for summary in summaries}
    return values.pop() if len(values) == 1 else None


def collect(sweep: Sweep, summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """The records of a finished sweep, as the picture and the table take them.

    Args:
        sweep: the sweep.
        summaries: of its runs, in the order of `sweep.runs`.

    Returns:
        name, title, axis, x, log, published, and for every series its label and, per x, the test
        and validation accuracies of all seeds. data, train_size and epochs are null where the runs
        differ in them.
    """
    labels = [series.label for series in sweep.axis.series] or [_ONLY]
    lines: list[dict[str, Any]] = [
        {
            "label": label,
            "test": [[] for _ in sweep.axis.x],
            "validation": [[] for _ in sweep.axis.x],
        }
        for label in labels
    ]
    for (s, k, _, _), summary in zip(sweep.runs, summaries, strict=True):
        lines[s]["test"][k].append(summary["test_accuracy"])
        lines[s]["validation"][k].append(summary["val_accuracy"])
    return {
        "name": sweep.name,
        "title": sweep.title,
        "axis": sweep.axis.axis,
        "log": sweep.axis.log,
        "x": sweep.axis.x,
        "series": lines,
        "published": [line.model_dump() for line in sweep.axis.published],
        **{key: _common(summaries, key) for key in ("data", "train_size", "epochs")},
        "seeds": list(dict.fromkeys(seed for _, _, seed, _ in sweep.runs)),
    }
