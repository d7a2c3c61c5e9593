"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import io
import math
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

import resitile
from resitile.errors import CheckpointError
from resitile.experiments import shapes
from resitile.experiments.records import left_of, write_atomic
from resitile.experiments.task import Learner

FORMAT = 1
_DAMAGE = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
_KEYS: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "config_hash": (str,),
    "fingerprint": (str,),
    "position": (dict,),
    "model": (dict,),
    "optimizer": (dict,),
    "rng": (torch.Tensor,),
}


@dataclass
class Position:
    """Where a run stands.

    Attributes:
        epoch: epochs completed.
        step: steps done in the epoch after those.
        steps: steps done since the start.
        loss_sum: of the images seen in the epoch under way; correct and seen alike.
        best_val_accuracy: so far.
        wall_s: seconds since the start, all sessions together.
        timed_s: seconds spent in `timed_steps` training steps.
    """

    epoch: int = 0
    step: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    best_val_accuracy: float = 0.0
    wall_s: float = 0.0
    timed_s: float = 0.0
    timed_steps: int = 0


def save(path: Path, learner: Learner, position: Position, config_hash: str) -> None:
    """Write a checkpoint; the old one stays until the new one is complete.

    Raises:
        ResitileError: if it cannot be written (a full disk); the old one is intact.
    """
    state = {
        "format": FORMAT,
        "resitile": resitile.__version__,
        "config_hash": config_hash,
        "fingerprint": learner.fingerprint,
        "position": asdict(position),
        "model": dict(learner.model.state_dict()),
        "optimizer": learner.optimizer.state_dict(),
        "scheduler": learner.scheduler.state_dict() if learner.scheduler else None,
        "warm_start": learner.warm.state_dict() if learner.warm else None,
        "rng": torch.get_rng_state(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getbuffer())


def load(path: Path, learner: Learner, hashes: Iterable[str]) -> Position:
    """Put a saved state into a freshly built learner, if it was saved under one of these hashes.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another run, device or algorithm.
    """
    state = _read(path)
    if state["fingerprint"] != learner.fingerprint:
        raise CheckpointError(
            f"{path} was saved with {state['fingerprint']}, but this run trains with "
            f"{learner.fingerprint}; resume with the configuration it was saved with, or start "
            "anew with --overwrite"
        )
    if state["config_hash"] not in hashes:
        raise CheckpointError(
            f"{path} was saved with other settings than those of the config.toml beside it, or by "
            f"another version (resitile {state.get('resitile')}); put the right file back, or "
            "start anew with --overwrite"
        )
    if learner.scheduler:  # torch takes in what it is given, unseen
        fault = shapes.lacks(state.get("scheduler"), {"last_epoch": (int,), "_last_lr": (list,)})
        if fault or state["scheduler"]["last_epoch"] != state["position"]["epoch"]:
            raise CheckpointError(f"{_damaged(path)} (of its scheduler: {fault or 'other epochs'})")
    try:
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
        if learner.scheduler:
            learner.scheduler.load_state_dict(state["scheduler"])
        if learner.warm:
            learner.warm.load_state_dict(state["warm_start"])
        torch.set_rng_state(state["rng"])
    except (CheckpointError, *_DAMAGE) as error:
        raise CheckpointError(
            f"{path} does not fit this model: {error}; start anew with --overwrite"
        ) from error
    for cut_off in left_of(path):  # a process was killed in `save`
        cut_off.unlink(missing_ok=True)
    return Position(**state["position"])


def _position_fault(saved: dict[str, Any]) -> str:
    """What no run can have written into its position, as the end of a sentence."""
    types = {f.name: (int,) if type(f.default) is int else (int, float) for f in fields(Position)}
    fault = shapes.lacks(saved, types)
    if fault or saved.keys() != types.keys():
        return fault or f"its keys are {', '.join(map(str, saved))}"
    for key, value in saved.items():
        if not (math.isfinite(value) and value >= 0):
            return f"its {key!r} is {value}"
    epoch, step, steps = saved["epoch"], saved["step"], saved["steps"]
    # All epochs have the same number of steps, and none more than it has.
    per_epoch, rest = divmod(steps - step, epoch) if epoch else (step + 1, steps - step)
    if rest or step >= per_epoch:
        return f"it is in step {step} after {epoch} epochs, but made {steps} steps"
    return ""


def _damaged(path: Path) -> str:
    return (
        f"the checkpoint {path} is damaged; nothing was changed. Put a copy of it back, or start "
        "the run anew with --overwrite"
    )


def _read(path: Path) -> dict[str, Any]:
    damaged = _damaged(path)
    try:
        content = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(content) as archive:
            wrong = archive.testzip()  # torch itself does not compare the check sums
        if wrong is not None:
            raise zipfile.BadZipFile(f"check sum of {wrong}")
        content.seek(0)
        state = torch.load(content, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(
            f"there is no checkpoint {path}, but more in the folder than a run writes before its "
            f"first one; put a copy back, or delete {path.parent.parent} to start anew (train, "
            "compare: --overwrite)"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    except _DAMAGE as error:
        raise CheckpointError(f"{damaged} ({type(error).__name__})") from error
    if not isinstance(state, dict) or shapes.lacks(state, {"format": (int,)}):
        raise CheckpointError(f"{damaged} (it is no checkpoint of a run)")
    if state["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has the format {state['format']} of resitile {state.get('resitile')}; this "
            f"version reads format {FORMAT}: resume with that version"
        )
    fault = shapes.lacks(state, _KEYS)
    if not fault and (wrong_position := _position_fault(state["position"])):
        fault = f"of its position: {wrong_position}"
    if fault:
        raise CheckpointError(f"{damaged} ({fault})")
    return state
