"""The tables of a configuration file: which keys there are, their types, ranges and defaults."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from resitile.errors import did_you_mean

PLATEAU = "plateau"


class Table(BaseModel):
    """A table with fixed keys: others are refused, and so are values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(Table):
    """`[data]`: the images, what is held back of them, and the mini-batch."""

    name: str = Field(
        "fashion-mnist-10k",
        description="a data set of `resitile.data`, or `module:function` of your own, which is "
        "called with `dir` and returns a `resitile.data.Dataset`",
    )
    dir: str | None = Field(
        None,
        description="folder with its original files; absent means RESITILE_DATA, or a download",
    )
    validation: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="part of the training images that is cut off for validation, every class in "
        "its share, drawn by seed",
    )
    batch_size: int = Field(
        8, ge=1, description="images per training step; the last one of an epoch may have fewer"
    )
    limit: int | None = Field(
        None,
        ge=2,
        description="use only that many training images, of which `validation` is then cut off, "
        "and at most as many test images, drawn by seed",
    )

    @field_validator("dir")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return None if path is None else str(Path(path).expanduser().absolute())


class Model(Table):
    """`[model]`: a network of `resitile.models`."""

    name: str = Field(
        "lenet5",
        description="one of `resitile.models`, or `module:Class` of your own: made without "
        "arguments, takes images (batch, channels, height, width) in [0, 1], returns a score for "
        "every class, log-probabilities or not",
    )


class Free(BaseModel):
    """A table whose further keys belong to the device or algorithm that it names."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)

    @property
    def fields(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class Device(Free):
    """`[device]`: the device of every tile; or one `[[device]]` per tile, coarsest first."""

    name: str = Field(description="a device law, or `module:Class`; the other keys are its fields")


def _shape(device: Any) -> str:
    return "array" if isinstance(device, list) else "table"


_SHAPES = ("table", "array")  # pydantic puts them into paths; no key is called so
Devices = Annotated[  # [device] is that of every tile, [[device]] has one per tile, coarsest first
    Annotated[Device, Tag("table")] | Annotated[list[Device], Field(min_length=1), Tag("array")],
    Discriminator(_shape),
]


class Algorithm(Free):
    """`[algorithm]`: how the tiles learn; either `name` or `class`, and its settings."""

    name: str | None = Field(
        None,
        description="an algorithm, whose settings the other keys are; `digital` stands for plain "
        "torch training without tiles, and has no settings",
    )
    class_: str | None = Field(
        None, alias="class", description="`module:Class` of your own instead"
    )

    @model_validator(mode="after")
    def _one(self) -> "Algorithm":
        if (self.name is None) == (self.class_ is None):
            raise ValueError('give either name="residual_learning" or class="module:Class"')
        return self

    @property
    def path(self) -> str:
        """What `resitile.algorithms.create` takes."""
        return self.name or self.class_ or ""


class Convert(Table):
    """`[convert]`: which layers go onto tiles, and their output scale."""

    scale: float | str = Field(
        "auto",
        description='output scale of every layer: a number above 0, "auto" (3 / sqrt(fan-in) over '
        'the device\'s reach), "fit" (the same, or what the largest weight at the start needs) or '
        '"learnable" (starts at auto)',
    )
    include: list[str] | None = Field(
        None,
        description="glob patterns on the names of modules that go onto tiles; absent means all "
        "linear and convolution layers",
    )
    exclude: list[str] | None = Field(
        None, description="glob patterns of those that stay digital all the same"
    )
    wear: bool = Field(
        False,
        description="count the pulses of every device; summary and report then tell the most worn",
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _scale(cls, scale: Any) -> Any:
        number = isinstance(scale, int | float) and not isinstance(scale, bool)
        if scale in ("auto", "fit", "learnable") or (number and 0 < scale < math.inf):
            return float(scale) if number else scale
        raise ValueError('must be a number above 0, "auto", "fit" or "learnable"')


class Optimizer(Table):
    """`[optimizer]`: the learning rate, multiplied by `decay` every `decay_every` epochs."""

    lr: float = Field(0.05, ge=0, le=1e30, description="learning rate; 0 sends no pulses")
    digital_lr: float | None = Field(
        None,
        ge=0,
        le=1e30,
        description="that of digital parameters: biases, normalisations, learnt output scales, "
        "layers left digital; absent means lr",
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="of digital parameters; tiles have none")
    decay: float = Field(
        1.0,
        gt=0,
        le=1e3,
        description="what the learning rate is multiplied by; other than 1 with the next",
    )
    decay_every: int = Field(0, ge=0, description="epochs between two of these; 0 is never")

    @model_validator(mode="after")
    def _used(self) -> "Optimizer":
        if self.decay != 1 and self.decay_every == 0:
            raise ValueError(f"decay={self.decay} has no effect with decay_every=0; give both")
        return self


class WarmStart(Table):
    """`[warm_start]`: coarse tiles first, see `resitile.WarmStart`; no table, no warm start."""

    stage: int | str = Field(
        PLATEAU,
        description='epochs for each tile, at least 1, or "plateau": until the loss stops falling',
    )
    transfer_every: int = Field(1, ge=1, description="mini-batches between transfers meanwhile")
    transfer_lr: float | None = Field(
        None, ge=0, description="their step; absent means that of transfers out of the finest tile"
    )

    @field_validator("stage", mode="before")
    @classmethod
    def _stage(cls, stage: Any) -> Any:
        whole = isinstance(stage, int) and not isinstance(stage, bool)
        if stage == PLATEAU or (whole and stage >= 1):
            return stage
        raise ValueError('must be "plateau" or a whole number of at least 1')


def _threads() -> int:
    """2, or what OMP_NUM_THREADS says: on a machine that is shared, one is often faster."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else 2


class Train(Table):
    """`[train]`: how long, on how many threads, and how often the run is saved."""

    epochs: int = Field(10, ge=1, description="passes over the training images")
    threads: int = Field(
        default_factory=_threads, ge=1, description="of torch and of the engine, at most 1024"
    )
    checkpoint_every: int = Field(
        1, ge=1, description="epochs between checkpoints; the last epoch has one in any case"
    )


def explain(error: ValidationError, table: type[BaseModel], prefix: str = "") -> str:
    """The problems that pydantic found in a table, as sentences; `prefix` stands before keys."""
    found = [_sentence(problem, table, prefix) for problem in error.errors()]
    return "; ".join(dict.fromkeys(found))


def _sentence(problem: Any, table: type[BaseModel], prefix: str) -> str:
    path = [str(part) for part in problem["loc"] if part not in _SHAPES]
    where = (prefix + ".".join(path)).removesuffix(".")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where}; {did_you_mean(path[-1], _keys(table, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{where} is missing"
    if problem["type"] == "model_type":
        return f"{where} must be a table, got {problem['input']!r}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(problem["input"], dict):  # of the table as a whole
        return f"{where}: {message}"
    got = f", got {problem['input']!r}"
    return f"{where} {message[:1].lower()}{message[1:]}{got}"


def _keys(table: type[BaseModel], path: list[str]) -> list[str]:
    """The keys of the table at a path; numbers in it count the tables of an array."""
    for part in path:
        if part.isdigit():
            continue
        kind = table.model_fields[part].annotation
        table = next(
            k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, BaseModel)
        )
    return list(table.model_fields)
