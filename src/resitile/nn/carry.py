"""An analog layer in the place of a digital one, with all that users have set on it, and back."""

import copy
from typing import Any

import torch
from torch import nn

from resitile.algorithms import Algorithm
from resitile.errors import ConfigError
from resitile.nn.analog import AnalogModule
from resitile.nn.saved import PREFIX
from resitile.tiles import Programmed

_HELD = ("_buffers", "_parameters", "_modules", "_non_persistent_buffers_set")
_ANALOG = ("algorithm", "tape", "digital_dtype")  # attributes of a single analog layer, and
_TENSORS = ("scale", "crosspoints", "counts", "wear", "seeds", "fingerprint")  # and its state


def analog_in_place_of(
    layer: Any, kind: type[AnalogModule], algorithm: Algorithm, scale: Any, io: None, seed: int
) -> tuple[AnalogModule, Programmed]:
    """An analog layer with the weight, bias, hooks, attributes, ... of a digital one.

    Args:
        layer: stays as it is.
        kind: the analog class that is derived from the layer's.
        algorithm, scale, io, seed: as for `kind`.

    Returns:
        The analog layer, and what its devices could not hold.

    Raises:
        ConfigError: if a setting is impossible, or an attribute has a name that `kind` uses.
    """
    for name in (*vars(layer), *layer._buffers, *layer._parameters, *layer._modules):
        used = hasattr(kind, name) and not hasattr(type(layer), name)
        if used or name in _ANALOG or _of_tiles(name):
            raise ConfigError(
                f"it has an attribute {name!r} of its own, a name that {kind.__name__} uses for "
                "something else; rename it, or exclude the layer"
            )
    new = kind.__new__(kind)
    vars(new).update(vars(layer))  # hooks stay the same dictionaries: their handles remove them
    for held in _HELD:
        vars(new)[held] = copy.copy(vars(layer)[held])
    programmed = new._make_analog(algorithm, scale, io, seed)
    new.digital_dtype = layer.weight.dtype
    new.weight.requires_grad_(layer.weight.requires_grad)
    if layer.bias is not None:
        bias = layer.bias.detach().to(torch.float32).clone()
        new.bias = nn.Parameter(bias, requires_grad=layer.bias.requires_grad)
    return new, programmed


def carry_back(layer: AnalogModule, new: nn.Module) -> None:
    """Give a digital layer what users have set on an analog one: hooks, attributes, buffers, ...

    Args:
        layer: the analog one.
        new: freshly made, with its weight and bias.
    """
    for name, value in vars(layer).items():
        fresh = name in vars(new) and "hook" not in name
        derived = hasattr(type(layer), name) and not hasattr(new, name)  # cached by the analog one
        if not (fresh or derived or name in (*_HELD, *_ANALOG)):
            vars(new)[name] = value
    for name, buffer in layer._buffers.items():
        if not _of_tiles(name):
            new.register_buffer(name, buffer, name not in layer._non_persistent_buffers_set)
    for name, parameter in layer._parameters.items():
        if name not in ("weight", "bias") and not _of_tiles(name):
            new.register_parameter(name, parameter)
    for name, module in layer._modules.items():
        new.register_module(name, module)


def _of_tiles(name: str) -> bool:
    return name in _TENSORS or name.startswith(PREFIX)
