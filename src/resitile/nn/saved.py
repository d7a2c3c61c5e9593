"""What tells whether a saved state belongs to a layer: a fingerprint of device and algorithm."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from resitile.algorithms import Algorithm
from resitile.errors import CheckpointError

_FORMAT = 2


def fingerprint(algorithm: Algorithm) -> Tensor:
    """(32,) uint8: hash of an algorithm's settings, its devices' and what "auto" stands for."""
    text = json.dumps([_FORMAT, repr(algorithm), algorithm.ratio, algorithm.visible])
    return torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def check_state(state_dict: Mapping[str, Any], prefix: str, algorithm: Algorithm) -> None:
    """Raise CheckpointError unless the state under `prefix` is of a layer with this algorithm.

    A state that holds nothing of the layer passes: torch's own check reports what is missing.
    """
    name = prefix.rstrip(".") or "(model)"
    found = state_dict.get(prefix + "fingerprint")
    if found is None or prefix + "crosspoints" not in state_dict:
        if prefix + "weight" in state_dict:
            raise CheckpointError(
                f"the state of layer {name!r} has a weight but not the tiles that hold it, as "
                "of a digital model; write such weights with layer.program(weight)"
            )
    elif not torch.equal(found.cpu(), fingerprint(algorithm)):
        raise CheckpointError(
            f"the state of layer {name!r} was saved with another device or algorithm than "
            f"this model's {algorithm!r}; build the model as it was saved, or start from "
            "its weights with layer.program(...)"
        )
