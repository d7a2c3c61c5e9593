"""What files of a run must hold before anything is looked up in them. Needs no torch.

Every function names the first thing that is wrong, as the end of a sentence; "" if nothing is.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NONE = type(None)
_NUMBER = (int, float)
_EPOCH = {"train_loss": _NUMBER, "val_accuracy": _NUMBER, "pulses": (dict,)}
_LAYER = {"edges": (list,), "counts": (list,), "std": (list,), "gamma": (list,)}
_SUMMARY: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "seed": (int,),
    "epochs": (int,),
    "val_accuracy": _NUMBER,
    "test_accuracy": (*_NUMBER, _NONE),
    "wall_s": _NUMBER,
    "data": (str,),
    "train_size": (int,),
    "val_size": (int,),
    "test_size": (int,),
    "environment": (dict,),
}
_FINISHED = {"label": (str,), "config_hash": (str,), "steps": (int,)}
_TUNING = {"name": (str,), "key": (dict,), "trials": (list,)}
_TRIAL = {"number": (int,), "values": (dict,), "val_accuracy": _NUMBER}


def read_json(path: Path) -> tuple[Any, str]:
    """What a JSON file holds, and what is wrong with it.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        return json.loads(path.read_bytes()), ""
    except (ValueError, RecursionError) as error:  # no JSON, no text, numbers without end
        return None, f"it is no JSON: {error}"


def lacks(content: Any, keys: Mapping[str, tuple[type, ...]]) -> str:
    """Whether a table lacks one of these keys, or holds another type there."""
    if not isinstance(content, dict):
        return f"it is no table but {_short(content)}"
    for key, types in keys.items():
        if key not in content:
            return f"it has no {key!r}"
        value = content[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return f"its {key!r} is {_short(value)}"
    return ""


def metrics_fault(record: Any) -> str:
    """Of a line of metrics.jsonl."""
    fault = lacks(record, {"kind": (str,), "epoch": (int,)})
    if not fault and record["kind"] == "epoch":
        fault = lacks(record, _EPOCH) or _counts(record["pulses"])
    if not fault and record["kind"] == "tiles":
        fault = lacks(record, {"layers": (dict,)})
        for layer in () if fault else record["layers"].values():
            fault = fault or lacks(layer, _LAYER)
    return fault


def _counts(pulses: dict[str, Any]) -> str:
    for name, counts in pulses.items():
        if not isinstance(counts, list) or not all(isinstance(n, int | float) for n in counts):
            return f"its pulses of {name!r} are {_short(counts)}"
    return ""


def summary_fault(content: Any) -> str:
    """Of summary.json, as a report needs it."""
    fault = lacks(content, _SUMMARY)
    if not fault and "classes" in content:  # older ones have none
        fault = lacks(content, {"classes": (int,)})
    if not fault and "idle_tiles" in content:  # older ones have none
        fault = lacks(content, {"idle_tiles": (dict,)})
        for name, tiles in () if fault else content["idle_tiles"].items():
            fault = fault or lacks({name: tiles}, {name: (list,)})
    return fault


def finished_fault(content: Any) -> str:
    """Of summary.json, as the commands need it that take a finished run for done."""
    return summary_fault(content) or lacks(content, _FINISHED)


def tuning_fault(content: Any) -> str:
    """Of tuning.json."""
    fault = lacks(content, _TUNING) or lacks(content["key"], {"run": (dict,)})
    for trial in () if fault else content["trials"]:
        fault = fault or lacks(trial, _TRIAL)
    return fault


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 else f"{text[:36]}..."
