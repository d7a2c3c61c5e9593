"""The run folder: where everything lies, and the two record files. Needs no torch.

`metrics.jsonl` has one JSON object a line. Kind "epoch": `epoch` (from 1), `train_loss`,
`train_accuracy`, `val_loss`, `val_accuracy`, `lr`, `wall_s` and `steps` (both since the start of
the run), `stage` (tile that is being filled, or null), `pulses` and `transfers` (per layer, per
tile, since the start). Kind "tiles", analog runs only: what every tile holds, see `measure`.
`summary.json` is written at the very end; a run without it is unfinished.
"""

import errno
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import resitile
from resitile.errors import CheckpointError, ConfigError, ResitileError
from resitile.experiments import shapes

SCHEMA = 1


@dataclass(frozen=True)
class RunFolder:
    """The files of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def code(self) -> Path:
        """Digests of code of the user's own; exists if the run has some."""
        return self.path / "code.json"

    @property
    def metrics(self) -> Path:
        """One line per epoch and kind."""
        return self.path / "metrics.jsonl"

    @property
    def summary(self) -> Path:
        """What came out; exists when the run is finished."""
        return self.path / "summary.json"

    @property
    def checkpoint(self) -> Path:
        """The last saved state."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def tensorboard(self) -> Path:
        """Event files of TensorBoard."""
        return self.path / "tensorboard"

    @property
    def report(self) -> Path:
        """The page about this run."""
        return self.path / "report.html"

    @property
    def exists(self) -> bool:
        """Whether there is anything in the folder.

        Raises:
            ConfigError: if nobody can tell (its name is too long, or it may not be read).
        """
        try:
            return self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir()))
        except OSError as error:
            raise ConfigError(
                f"cannot look into {self.path}: {error.strerror}; name another folder"
            ) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other processes (and this one) from writing a folder at the same time.

    The lock is one of the operating system's, on a hidden file beside the folder: it goes when the
    process ends, however it ends. The file stays; it means nothing by itself.

    Raises:
        ConfigError: if another process has it, or the folder cannot be made.
        ResitileError: if the file cannot be made.
    """
    check_place(folder)
    folder = folder.absolute()
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"another process is writing {folder}; nothing was changed: wait until it has "
            "finished, stop it, or choose another name or folder"
        ) from None
    except OSError as error:
        if not folder.exists():
            raise cannot_make(folder, error) from error
        raise cannot_write(Path(lock.lock_file), error) from error
    try:
        yield
    finally:
        lock.release()


def write_atomic(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that at any time either the old or the whole new content is there.

    Raises:
        ResitileError: if it cannot be written; the old file is as it was.
    """
    try:
        swap_in(path, content)
    except OSError as error:
        raise cannot_write(path, error) from error


def swap_in(path: Path, content: bytes | memoryview) -> None:
    """What `write_atomic` does, for files that belong to no run.

    Raises:
        OSError: if it cannot be written; the old file is as it was.
    """
    aside = temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        with suppress(OSError):  # as where a file stands in the place of the folder
            aside.unlink(missing_ok=True)


def temporary(path: Path) -> Path:
    """Beside it, where this process makes what is to take its place, or puts what is to go."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def left_of(path: Path) -> list[Path]:
    """What processes that were killed left of it: see `temporary`."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    inside = path.parent.iterdir() if path.parent.is_dir() else ()
    return [other for other in inside if name.fullmatch(other.name)]


_SPACE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
}


def cannot_write(path: Path, error: OSError) -> ResitileError:
    """What to say when a file of the run cannot be written."""
    remedy = _SPACE.get(error.errno or 0, "make the folder writable")
    return ResitileError(
        f"cannot write {path}: {error.strerror or error}; what was saved before is intact: "
        f"{remedy} and give the same command again (train: with --resume)"
    )


def check_place(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to.

    Raises:
        ConfigError: naming what is in the way.
    """
    whole = folder.absolute()
    there = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise ConfigError(
            f"cannot make the folder {folder}: {there} is no folder; name another place"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"cannot write to {folder}: {there} is not writable; name another place, or make it so"
        )


def cannot_make(path: Path, error: OSError) -> ResitileError:
    """What to say when a file or folder that was asked for cannot be made."""
    if error.errno in _SPACE:
        return ResitileError(
            f"cannot make {path}: {error.strerror}; {_SPACE[error.errno]}, try again"
        )
    return ConfigError(f"cannot make {path}: {error.strerror or error}; name another place")


def write_json(path: Path, content: Any) -> None:
    """Write JSON by `write_atomic`; NaN is refused."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomic(path, (text + "\n").encode())


def append_metrics(path: Path, records: list[dict[str, Any]]) -> None:
    """Add lines to metrics.jsonl.

    Raises:
        ResitileError: if it cannot be written.
    """
    lines = "".join(json.dumps(r, allow_nan=False) + "\n" for r in records)
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All records before the first damaged line; a run that goes on drops what is cut off."""
    return _read_metrics(path)[0]


def _read_metrics(path: Path) -> tuple[list[dict[str, Any]], str]:
    """The records, and what is wrong with the line after them."""
    records: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            fault = shapes.metrics_fault(record)
        except (ValueError, RecursionError) as error:
            record, fault = None, f"it is no JSON: {error}"
        if fault:
            return records, f" (line {number} is damaged: {fault})"
        records.append(record)
    return records, ""


def cut_metrics(path: Path, epoch: int) -> None:
    """Drop what was recorded after an epoch, as a run does that goes on from there.

    Raises:
        CheckpointError: if epochs up to there are missing or damaged.
    """
    try:
        found, fault = _read_metrics(path)
    except FileNotFoundError:
        found, fault = [], ""
    except OSError as error:
        raise CheckpointError(
            f"cannot read {path}: {error.strerror}; put the file back, or start anew with "
            "--overwrite"
        ) from error
    kept = [r for r in found if r["epoch"] <= epoch]
    epochs = [r["epoch"] for r in kept if r["kind"] == "epoch"]
    analog = [r["epoch"] for r in kept if r["kind"] == "epoch" and r["pulses"]]
    tiles = [r["epoch"] for r in kept if r["kind"] == "tiles"]
    if tiles != analog:
        fault = fault or f" (what tiles held is there for the epochs {tiles} only)"
    if epochs != list(range(1, epoch + 1)) or tiles != analog:
        raise CheckpointError(
            f"{path} holds the epochs {epochs}{fault}, but the checkpoint beside it stands after "
            f"epoch {epoch}; put the file back, or start anew with --overwrite"
        )
    lines = "".join(json.dumps(r, allow_nan=False) + "\n" for r in kept)
    write_atomic(path, lines.encode())


def read_summary(folder: RunFolder) -> dict[str, Any] | None:
    """What a finished run wrote; None for one that is not finished.

    Raises:
        CheckpointError: if the file is damaged.
    """
    try:
        content, fault = shapes.read_json(folder.summary)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"cannot read {folder.summary}: {error.strerror}") from error
    fault = fault or shapes.finished_fault(content)
    if fault:
        raise CheckpointError(
            f"{folder.summary} is damaged ({fault}); delete that file and resume the run: it then "
            "writes it anew from its last checkpoint"
        )
    return dict(content)


def environment(threads: int) -> dict[str, Any]:
    """Versions and machine, for the record."""

    def of(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "resitile": resitile.__version__,
        **{package: of(package) for package in ("torch", "numba", "numpy")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": threads,
    }
