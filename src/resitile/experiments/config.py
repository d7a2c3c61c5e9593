"""The configuration of a run: read from TOML, checked as a whole, written back in full."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from resitile import algorithms, devices
from resitile.algorithms import Algorithm
from resitile.errors import ConfigError, did_you_mean
from resitile.experiments import tables, toml
from resitile.experiments.younger import YOUNGER
from resitile.kernels import threads

DIGITAL = "digital"
SEEDS = 2**62  # seeds are below
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST = 200  # of a name: a seed and the ending of a lock file must still fit into 255 bytes
_OF_COMMANDS = {"search": "tune", "sweep": "sweep"}  # tables that other commands take away
# What changes no result: not part of the hash, so not a reason to refuse a resume.
_COSMETIC = ("name", "label", "data.dir", "train.threads")


def _all_default(table: type[tables.Table]) -> Any:
    return table.model_validate({})


class Config(tables.Table):
    """One training run, as its TOML file says."""

    name: str = Field(
        description="of the run and of its folder; a file without it gives its own name"
    )
    label: str | None = Field(
        None, description="what tables and pictures call it; the name unless given"
    )
    seed: int = Field(
        0,
        ge=0,
        lt=SEEDS,
        description="of everything that is drawn: split, initial weights, order of images, "
        "devices, pulses",
    )
    data: tables.Data = _all_default(tables.Data)
    model: tables.Model = _all_default(tables.Model)
    device: tables.Devices | None = None
    algorithm: tables.Algorithm
    convert: tables.Convert | None = None
    optimizer: tables.Optimizer = _all_default(tables.Optimizer)
    warm_start: tables.WarmStart | None = None
    train: tables.Train = _all_default(tables.Train)

    @property
    def digital(self) -> bool:
        """Whether this is plain torch training."""
        return self.algorithm.name == DIGITAL

    @property
    def title(self) -> str:
        """The label, or the name."""
        return self.label or self.name

    def rule(self) -> Algorithm | None:
        """The algorithm with its device; None for digital training.

        Raises:
            ConfigError: if a field of device or algorithm is unknown or out of range, or a table
                has no meaning for this algorithm.
        """
        if self.digital:
            for table in ("device", "convert", "warm_start"):
                if getattr(self, table) is not None:
                    raise ConfigError(f'algorithm "digital" has no use for [{table}]; remove it')
            if self.algorithm.fields:
                keys = ", ".join(self.algorithm.fields)
                raise ConfigError(f'algorithm "digital" has no settings, got {keys}; remove them')
            if self.optimizer.digital_lr is not None:
                raise ConfigError(
                    'algorithm "digital" has digital parameters only: give lr, remove digital_lr'
                )
            return None
        path, known = self.algorithm.path, [DIGITAL, *algorithms.names()]
        if ":" not in path and path not in known:
            hint = f'{did_you_mean(path, known)}, or your own: class = "module:Class"'
            raise ConfigError(f"no algorithm is called {path!r}; {hint}")
        if self.device is None:
            raise ConfigError(
                f"algorithm {self.algorithm.path!r} needs a [device] table, such as "
                '[device] name = "soft_bounds" states = 4'
            )
        made = [devices.create(table.name, **table.fields) for table in self.devices]
        several = isinstance(self.device, list)
        rule = algorithms.create(
            self.algorithm.path, made if several else made[0], **self.algorithm.fields
        )
        # The same device for every tile is the same setting as [device].
        return rule if len(set(made)) > 1 else dataclasses.replace(rule, device=made[0])

    @property
    def devices(self) -> list[tables.Device]:
        """The device tables: none, that of every tile, or one per tile, coarsest first."""
        if self.device is None:
            return []
        return self.device if isinstance(self.device, list) else [self.device]

    def resolved(self) -> dict[str, Any]:
        """Every setting with its default filled in; what is None is left out."""
        rule = self.rule()
        filled: dict[str, Any] = self.model_dump(exclude={"device", "algorithm"})
        filled["label"] = self.title
        filled["algorithm"] = {"class" if self.algorithm.class_ else "name": self.algorithm.path}
        if rule is not None and self.device is not None:
            filled["algorithm"] |= {k: v for k, v in _fields(rule).items() if k != "device"}
            made = rule.device if isinstance(rule.device, tuple) else (rule.device,)
            parts = [
                {"name": table.name, **_fields(device)}
                for table, device in zip(self.devices, made, strict=False)
            ]
            filled["device"] = parts if len(parts) > 1 else parts[0]
            filled["convert"] = (self.convert or _all_default(tables.Convert)).model_dump()
        order = ["name", "label", "seed", *Config.model_fields]
        return {k: _without_none(filled[k]) for k in dict.fromkeys(order) if _given(filled, k)}

    def settings(self) -> dict[str, Any]:
        """Every setting of `resolved`, by dotted key."""
        return _flatten(self.resolved())

    def flat(self) -> dict[str, Any]:
        """The settings that decide the result, by dotted key."""
        return without_cosmetic(self.settings())

    @property
    def hash(self) -> str:
        """sha256 of what decides the result: see `without_cosmetic`."""
        return _hash(self.flat())

    @property
    def former_hash(self) -> str:
        """The hash by which older checkpoints know their run: it had train.threads in it."""
        return _hash(self.flat() | {"train.threads": self.train.threads})

    def differences(self, other: "Config") -> list[str]:
        """The settings in which another configuration differs, as `key: mine -> other`."""
        mine, others = self.flat(), other.flat()
        return [
            f"{key}: {_show(mine.get(key))} -> {_show(others.get(key))}"
            for key in sorted({*mine, *others})
            if mine.get(key) != others.get(key)
        ]

    def toml(self) -> str:
        """The resolved configuration as a file."""
        return toml.write(self.resolved())


def load(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration file and change single settings (`"algorithm.tiles=6"`).

    Raises:
        ConfigError: if anything in it is unknown, of the wrong type or out of range.
    """
    content = toml.read(path)
    for assignment in overrides:
        toml.override(content, assignment)
    content.setdefault("name", path.stem)
    return parse(content, str(path))


def parse(content: Mapping[str, Any], source: str = "configuration") -> Config:
    """Check tables that were read from `source`, the device and the algorithm among them.

    Raises:
        ConfigError: as `load`.
    """
    for table, command in _OF_COMMANDS.items():
        if table in content:
            raise ConfigError(
                f"{source}: [{table}] belongs to `resitile {command}`: give it the file, or remove "
                "that table"
            )
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {tables.explain(error, Config)}") from None
    check_name(config.name, source)
    if config.train.threads > threads.MOST:
        raise ConfigError(
            f"{source}: train.threads (or OMP_NUM_THREADS, where nothing else says it) must be at "
            f"most {threads.MOST}, got {config.train.threads}; give at most as many as there are "
            "cores"
        )
    try:
        config.resolved()
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error
    return config


def check_name(name: object, source: str) -> str:
    """The name, if it can be that of a folder.

    Raises:
        ConfigError: if it is no text, leads elsewhere or is too long.
    """
    if not isinstance(name, str) or not _RUN_NAME.fullmatch(name):
        raise ConfigError(
            f"{source}: name={name!r} cannot be a folder name: use letters, digits, "
            "'.', '_' and '-', and start with a letter or digit"
        )
    if len(name) > _LONGEST:
        raise ConfigError(
            f"{source}: a name has at most {_LONGEST} letters, got {len(name)}: {name[:20]}...; "
            "shorten it, the label may be longer"
        )
    return name


def without_cosmetic(flat: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings by dotted key that decide the result.

    Of data of one's own the folder is one: other files may lie there. Those of the package are
    known by their digests.
    """
    own = ":" in str(flat.get("data.name"))
    return {
        k: v
        for k, v in flat.items()
        if (k not in _COSMETIC or (own and k == "data.dir"))
        and (k not in YOUNGER or v != YOUNGER[k])
    }


def _hash(flat: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()


def _fields(item: Any) -> dict[str, Any]:
    return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}


def _given(filled: dict[str, Any], key: str) -> bool:
    return filled.get(key) is not None


def _without_none(item: Any) -> Any:
    if isinstance(item, dict):
        return {k: _without_none(v) for k, v in item.items() if v is not None}
    if isinstance(item, list):
        return [_without_none(part) for part in item]
    return item


def _flatten(item: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(item, list) and item and all(isinstance(part, dict) for part in item):
        item = {str(k): part for k, part in enumerate(item)}
    if not isinstance(item, dict):
        # 4 and 4.0 are the same setting.
        whole = isinstance(item, float) and item.is_integer()
        return {prefix: int(item) if whole else item}
    flat: dict[str, Any] = {}
    for key, value in item.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _show(value: Any) -> str:
    return "absent" if value is None else repr(value)
