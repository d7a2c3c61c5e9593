"""What a run folder tells: settings, epochs, tile contents, summary."""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resitile.errors import ConfigError, DataError
from resitile.experiments import shapes
from resitile.experiments.younger import YOUNGER

_TEN = ("fashion-mnist", "fashion-mnist-10k", "mnist")  # before their last epoch, and older, too


@dataclass(frozen=True)
class Run:
    """The records of one run.

    Attributes:
        path: its folder.
        config: the resolved settings.
        settings: the same as TOML text.
        epochs: one record per epoch.
        tiles: one record per epoch of what the tiles held; empty for digital runs.
        summary: None while the run is unfinished.
    """

    path: Path
    config: dict[str, Any]
    settings: str
    epochs: list[dict[str, Any]]
    tiles: list[dict[str, Any]]
    summary: dict[str, Any] | None

    @property
    def name(self) -> str:
        """That of its settings; a copied folder keeps it."""
        return str(self.config.get("name") or self.path.name)

    @property
    def seed(self) -> Any:
        """That of all its random numbers."""
        return self.config.get("seed")

    @property
    def label(self) -> str:
        """What people call the run."""
        return str(self.config.get("label") or self.name)

    @property
    def classes(self) -> int | None:
        """How many classes its images have; None where no record tells."""
        if self.config.get("data", {}).get("name") in _TEN:
            return 10
        return (self.summary or {}).get("classes")

    @property
    def folder(self) -> str | None:
        """That of data of one's own, which are known by it; the package's by their digests."""
        data = self.config.get("data", {})
        return data.get("dir") if ":" in str(data.get("name")) else None

    @property
    def task(self) -> str:
        """Network and data; accuracies of runs that differ in them say nothing about methods."""
        data, model = self.config.get("data", {}), self.config.get("model", {})
        task = f"{model.get('name', '?')} on {data.get('name', '?')}"
        if self.folder:
            task += f" in {self.folder}"
        if limit := data.get("limit"):
            task += f", {limit} images"
        return f"{task}, validation {data.get('validation', '?')}"

    @property
    def group(self) -> str:
        """The same for runs that differ in seed and label alone (and in what changes no result)."""
        content = {k: v for k, v in self.config.items() if k not in ("name", "seed", "label")}
        for table, key in (("data", "dir"), ("train", "threads"), ("convert", "wear")):
            content[table] = {k: v for k, v in self.config.get(table, {}).items() if k != key}
        for place, default in YOUNGER.items():
            table, key = place.split(".")
            content[table] = {
                k: v for k, v in content.get(table, {}).items() if (k, v) != (key, default)
            }
        if self.folder:
            content["folder"] = self.folder
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        DataError: if a file is missing or damaged; names it.
    """
    settings = _text(path / "config.toml")
    try:
        config = tomllib.loads(settings)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path / 'config.toml'} is damaged: {error}") from error
    for key in ("data", "model", "algorithm", "train", "convert"):
        if not isinstance(config.get(key, {}), dict):
            raise DataError(f"{path / 'config.toml'} is damaged: its {key!r} is no table")
    lines = []
    for number, line in enumerate(_bytes(path / "metrics.jsonl").splitlines(), 1):
        try:
            lines.append(json.loads(line))
            fault = shapes.metrics_fault(lines[-1])
        except (ValueError, RecursionError) as error:
            fault = str(error)
        if fault:
            # A finished run is not resumed, it is done.
            finished = (path / "summary.json").exists()
            remedy = "resume the run (it drops what follows its last checkpoint) or run it again"
            if finished:
                remedy = "put a copy of the file back, or run it again with --overwrite"
            raise DataError(
                f"line {number} of {path / 'metrics.jsonl'} is damaged: {fault}; {remedy}"
            )
    summary = None
    if (path / "summary.json").exists():
        summary, fault = _summary(path / "summary.json")
        if fault:
            raise DataError(
                f"{path / 'summary.json'} is damaged: {fault}; delete that file and resume the "
                "run: it then writes it anew from its last checkpoint"
            )
    epochs = [line for line in lines if line.get("kind") == "epoch"]
    tiles = [line for line in lines if line.get("kind") == "tiles"]
    return Run(path, config, settings, epochs, tiles, summary)


def read_runs(paths: list[Path]) -> list[Run]:
    """Read several run folders.

    Raises:
        ConfigError: if there are none.
        DataError: if a file is missing or damaged.
    """
    if not paths:
        raise ConfigError("a report needs at least one run folder")
    return [read_run(Path(path)) for path in paths]


def table(paths: list[Path]) -> list[dict[str, Any]]:
    """One row a run: its summary, or how far it has come."""
    return [row(run) for run in read_runs(paths)]


def row(run: Run) -> dict[str, Any]:
    """The row of one run: the keys of summary.json, `status`, and the pulses fired."""
    last = run.epochs[-1] if run.epochs else {}
    if run.summary is not None:
        found = {**run.summary, "status": "finished"}
    else:
        found = {
            "name": run.config.get("name", run.path.name),
            "algorithm": run.config.get("algorithm", {}).get("name"),
            "states": _states(run.config.get("device", {})),
            "tiles": run.config.get("algorithm", {}).get("tiles"),
            "val_accuracy": last.get("val_accuracy"),
            "test_accuracy": None,
            "epochs": len(run.epochs),
            "seed": run.config.get("seed"),
            "wall_s": last.get("wall_s"),
            "ms_per_step": None,
            "status": "unfinished",
        }
    found["label"] = run.label
    found["group"], found["task"] = run.group, run.task
    pulses = last.get("pulses") or {}
    found["pulses"] = sum(sum(counts) for counts in pulses.values()) if pulses else None
    return found


def _states(device: Any) -> Any:
    """Those of all tiles, or one number per tile where they differ, as in summary.json."""
    if isinstance(device, dict):
        return device.get("states")
    states = [table.get("states") for table in device]
    return states if len(set(states)) > 1 else states[0]


def _summary(path: Path) -> tuple[dict[str, Any] | None, str]:
    """The summary, and what is wrong with it."""
    try:
        content, fault = shapes.read_json(path)
    except OSError as error:
        return None, str(error.strerror)
    return content, fault or shapes.summary_fault(content)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is damaged: it is not text ({error})") from error
