"""The list of networks, and how one is made."""

import inspect
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from resitile._registry import described, import_own, own_file
from resitile.errors import ConfigError, did_you_mean

_Model = TypeVar("_Model", bound=type[nn.Module])
_MODELS: dict[str, type[nn.Module]] = {}


def model(name: str) -> Callable[[_Model], _Model]:
    """Decorator: file a class of networks, made without arguments, under `name`."""

    def add(cls: _Model) -> _Model:
        _MODELS[name] = cls
        return cls

    return add


def names() -> list[str]:
    """The names that `create` takes."""
    return sorted(_MODELS)


def create(name: str, *, seed: int | None = None) -> nn.Module:
    """A new network with random weights.

    Args:
        name: one of `names()`, or `module:Class` (or a function) of your own.
        seed: the weights depend on nothing else, and torch's global generator is left as it
            was; None draws from the global generator, as torch's own modules do.

    Raises:
        ConfigError: if there is no such network, or if your own is none.
    """
    make = _find(name)
    if seed is None:
        made = _made(name, make)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            made = _made(name, make)
    if not isinstance(made, nn.Module):
        raise ConfigError(f"model {name!r} gave {made!r}; it must give a torch.nn.Module")
    return made


def _made(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except Exception as error:  # whatever a constructor of the user's own may raise
        reason = described(error, own_file(name))
        raise ConfigError(f"model {name!r} cannot be made: {reason}") from error


def _find(name: str) -> Callable[[], nn.Module]:
    if ":" in name:
        found: Callable[[], nn.Module] = import_own(name, "model")
        _check_call(name, found)
        return found
    if name not in _MODELS:
        raise ConfigError(
            f"no model is called {name!r}; {did_you_mean(name, names())}, or your own: module:Class"
        )
    return _MODELS[name]


def _check_call(name: str, make: object) -> None:
    """Refuse what cannot be called without arguments, before it is."""
    if not callable(make):
        raise ConfigError(f"model {name!r} is {make!r}; name a class of networks, or a function")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise ConfigError(
            f"model {name!r} is made without arguments, but its constructor has others "
            f"({error}): give them defaults, or name a function that makes the network"
        ) from error
