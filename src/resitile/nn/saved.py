"""Whether a saved state belongs to a layer, and is one that pulses can have left."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resitile._registry import is_own
from resitile.algorithms import Algorithm
from resitile.errors import CheckpointError, ConfigError, UpdateError
from resitile.kernels.keys import stream
from resitile.nn.faults import check_crosspoints
from resitile.tiles import Composite, Tile

_FORMAT = 2
PREFIX = "state_"  # of the buffers that hold an algorithm's own state
_ROUNDING = 1e-4  # of what tiles can hold: sums of float32 in another order


def fingerprint(algorithm: Algorithm) -> Tensor:
    """(32,) uint8: hash of an algorithm's settings, its devices' and what "auto" stands for."""
    text = json.dumps([_FORMAT, repr(algorithm), algorithm.ratio, algorithm.visible])
    return torch.frombuffer(bytearray(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def composite_of(
    algorithm: Algorithm,
    crosspoints: Tensor,
    weight: Tensor,
    scale: float,
    seeds: Tensor,
    counts: Tensor,
    wear: Tensor | None,
) -> Composite:
    """The tiles and their weight as the algorithms see them: views of a layer's tensors.

    Raises:
        ConfigError: if they are not in the CPU's memory.
    """
    if crosspoints.device.type != "cpu":
        raise ConfigError(
            f"the tiles are on {crosspoints.device}; pulses run on the CPU only: move the model "
            'back with model.to("cpu")'
        )
    d_out, d_in = crosspoints.shape[:2]
    seed, device_seed = seeds.tolist()
    tiles = [Tile(device, stream(device_seed, n)) for n, device in enumerate(algorithm.devices())]
    return Composite(
        tiles,
        crosspoints.numpy(),
        weight.detach().view(d_out, d_in).numpy(),
        gamma=algorithm.ratio,
        scale=scale,
        seed=seed,
        counts=counts.numpy(),
        wear=None if wear is None else wear.numpy(),
        visible=algorithm.visible,
    )


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


def check_contents(
    state_dict: Mapping[str, Any], prefix: str, algorithm: Algorithm, own: Mapping[str, Tensor]
) -> None:
    """Refuse a state that pulses cannot have left: beyond bounds, or with another weight.

    A state that lacks tensors of the layer, or has them in another shape, passes: torch's own check
    reports those.

    Args:
        state_dict: of a whole model; `check_state` passed it.
        prefix: of the layer's entries in it.
        algorithm: the layer's.
        own: the layer's tensors by name.

    Raises:
        CheckpointError: if it does not fit.
    """
    name = prefix.rstrip(".") or "(model)"
    found: dict[str, Any] = {key: state_dict.get(prefix + key) for key in own}
    if all(t is not None and t.shape == own[key].shape for key, t in found.items()):
        _check_contents(
            {key: t.detach().to("cpu", copy=True) for key, t in found.items()}, name, algorithm
        )


def _check_contents(state: dict[str, Tensor], name: str, algorithm: Algorithm) -> None:
    """Refuse tiles beyond their devices' bounds, and a weight that is not that of the tiles."""
    crosspoints, scale = state["crosspoints"].contiguous(), float(state["scale"])
    rest = {k.removeprefix(PREFIX): t.numpy() for k, t in state.items() if k.startswith(PREFIX)}
    composite = composite_of(
        algorithm, crosspoints, state["weight"].contiguous(), scale, state["seeds"],
        state["counts"], None,
    )  # fmt: skip
    for n in range(len(composite.tiles)):
        if beyond := _beyond(composite, n):
            raise CheckpointError(
                f"the state of layer {name!r} has {beyond} devices of tile {n} outside of their "
                "own bounds: it is damaged or was edited"
            )
    if error := _mismatch(composite, rest, algorithm):
        raise CheckpointError(
            f"the state of layer {name!r} has a weight that its tiles do not hold (off by "
            f"{error:.3g}), as of averaged or edited weights; write such a weight with "
            "layer.program(weight), or read it out with to_digital(model)"
        )


def _beyond(composite: Composite, n: int) -> int:
    """How many devices of tile n hold what lies outside of their own bounds, or is no number."""
    tile, held = composite.tiles[n], composite.w[:, :, n]
    bounds = tile.crosspoints((held.shape[0], held.shape[1]))
    room = _ROUNDING * (tile.device.w_max - tile.device.w_min)
    inside = (held >= bounds["w_min"] - room) & (held <= bounds["w_max"] + room)
    return int((~inside).sum())


def _mismatch(composite: Composite, state: dict[str, np.ndarray], algorithm: Algorithm) -> float:
    """How far the weight is from what the tiles hold, 0 within rounding; it stays as it is."""
    found = composite.weight.copy()
    algorithm.compose(composite, state)
    error = float(np.abs(composite.weight - found).max(initial=0))
    composite.weight[...] = found
    parts = zip(composite.coefficients, composite.tiles, strict=True)
    reach = sum(abs(float(c)) * (tile.device.w_max - tile.device.w_min) for c, tile in parts)
    return 0.0 if error <= _ROUNDING * reach else error  # NaN stays NaN


def check_weight(composite: Composite, state: dict[str, np.ndarray], algorithm: Algorithm) -> None:
    """Refuse a weight that was replaced (`weight.data = ...`) by one that its tiles do not hold.

    Torch counts no write of that kind.

    Raises:
        UpdateError: if it was.
    """
    if error := _mismatch(composite, state, algorithm):
        raise UpdateError(
            f"the weight of an analog layer was replaced by one that its tiles do not hold (off by "
            f"{error:.3g}), as weight.data = ..., an initialisation of weight.data and "
            "vector_to_parameters do; initialise before convert(), or write it with "
            "layer.program(weight)"
        )


def check_step(composite: Composite, state: dict[str, np.ndarray], algorithm: Algorithm) -> None:
    """Refuse what a law or a `step` of the user's own has left behind.

    Raises:
        UpdateError: if a device holds no number, which a law has answered or a step written.
        ConfigError: if a step has written by hand what no pulse could have, so that a saved state
            with it would be refused.
    """
    own_step = is_own(type(algorithm))
    if own_step or any(is_own(type(device)) for device in algorithm.devices()):
        check_crosspoints(torch.from_numpy(composite.w), algorithm)
    if not own_step:
        return
    for n in range(len(composite.tiles)):
        if beyond := _beyond(composite, n):
            raise ConfigError(
                f"step left {beyond} devices of tile {n} outside of their own bounds: "
                "written into w by hand, where no pulse leads; tiles[n].crosspoints(shape) "
                "has the bounds w_min and w_max of every device"
            )
    if error := _mismatch(composite, state, algorithm):
        raise ConfigError(
            f"step left a weight that the tiles do not hold (off by {error:.3g}): call refresh() "
            "after writing into w by hand, or define compose() if digital state is part of it"
        )
