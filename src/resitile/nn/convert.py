"""From digital models to analog ones and back."""

import warnings
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from resitile.algorithms import Algorithm
from resitile.algorithms.base import check_flag
from resitile.errors import ConfigError
from resitile.kernels.keys import stream
from resitile.nn.analog import AnalogModule, analog_layers
from resitile.nn.carry import analog_in_place_of, carry_back
from resitile.nn.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from resitile.nn.linear import AnalogLinear
from resitile.nn.refusals import check_layers, check_patterns, check_references
from resitile.nn.scale import check_seed, fitting_scale
from resitile.tiles import Programmed

_PAIRS: dict[type, type] = {
    nn.Linear: AnalogLinear,
    nn.Conv1d: AnalogConv1d,
    nn.Conv2d: AnalogConv2d,
    nn.Conv3d: AnalogConv3d,
}


_NAMED = 4  # digital modules of a kind that `describe` names
_LOST = 0.1  # of a layer's weights, above which `convert` warns, if
_CLIPPED = 10  # devices or more lose it: in a small layer a single one can


def convert(
    model: nn.Module,
    algorithm: Algorithm,
    *,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    scale: Any = "auto",
    io: None = None,
    seed: int = 0,
    wear: bool = False,
) -> nn.Module:
    """Put the linear and convolution layers of a model on crossbar tiles, in place.

    The analog layers start from the digital weights, as far as the devices can hold them.

    Args:
        model: any model; or a single layer, of which an analog one is returned.
        algorithm: how the tiles learn, with their device.
        include: glob patterns on layers' names ("layer3.*"); None takes all layers.
        exclude: glob patterns of layers that stay digital.
        scale: output scale of each layer, see `AnalogLinear`; "auto" is 3 / sqrt(fan-in) over the
            device's reach (or 1.5 over its nearer bound, if that is more), "fit" the same or as
            much more as the layer's largest weight needs, for trained weights. The learning rate
            acts on the tiles, so on a weight by scale times that.
        io: converters; only None (ideal) for now.
        seed: of pulses and device spread; every layer gets its own from it, also where a model is
            converted in several calls.
        wear: count the pulses of every device, in `layer.wear`; it takes 4 bytes for each.

    Returns:
        The model; `resitile.nn.describe(model)` tells what became analog.

    Warns:
        UserWarning: if the bounds of ten or more devices, which their spread narrows, lose more
            than a tenth of a layer's weights (root mean square); `layer.program` always tells it.

    Raises:
        ConfigError: if nothing would be converted, a pattern matches no module, or a layer's
            weight is tied, parametrized, not real or used by a module that bypasses its forward.
    """
    check_seed(seed)
    if not isinstance(model, nn.Module):
        raise ConfigError(f"convert takes a torch module, got {model!r}")
    check_flag("wear", wear)
    chosen = _choose(model, _patterns(include, ["*"]), _patterns(exclude, []), include, exclude)
    check_layers(model, chosen, _PAIRS)
    check_references(model, chosen, "convert")
    # All new layers are made before the first is put in place: an error leaves the model whole.
    there = [int(layer.seeds[0]) for layer in analog_layers(model).values()]
    seeds = (own for k in count(len(there)) if (own := stream(seed, k)) not in there)
    made, programmed = {}, {}
    for name, layer in chosen.items():
        try:
            made[name], programmed[name] = _analog(layer, algorithm, scale, io, next(seeds))
        except ConfigError as error:
            raise ConfigError(f"layer {name!r}: {error}") from error
    _tell_lost(programmed)
    if wear:
        for layer in made.values():
            layer.count_wear()
    if "" in made:
        return made[""]
    _replace(model, {id(layer): made[name] for name, layer in chosen.items()})
    return model


def _tell_lost(programmed: dict[str, Programmed]) -> None:
    parts = [
        f"{name or '(model)'} {found.lost:.0%}"
        for name, found in programmed.items()
        if found.lost > _LOST and found.clipped >= _CLIPPED
    ]
    if parts:
        warnings.warn(
            "single devices cannot hold their weights, for the spread of their bounds; lost of a "
            f"layer's weights (root mean square): {', '.join(parts)}. Use a larger scale, more "
            "tiles or devices with less spread, or train on from there",
            stacklevel=3,
        )


def _replace(model: nn.Module, new: dict[int, nn.Module]) -> None:
    """Put the module new[id(old)] wherever `old` stands, also where it stands twice."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if id(child) in new:
                setattr(parent, name, new[id(child)])


def _patterns(given: str | Iterable[str] | None, default: list[str]) -> list[str]:
    if given is None:
        return default
    found = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    for pattern in found:
        if not isinstance(pattern, str):
            raise ConfigError(
                'include and exclude take patterns of layers\' names, such as "fc*" or '
                f'["conv1", "fc2"], got {pattern!r}'
            )
    return found


def _choose(
    model: nn.Module, include: list[str], exclude: list[str], *given: object
) -> dict[str, nn.Module]:
    kinds = tuple(_PAIRS)
    layers = {
        n: m
        for n, m in model.named_modules()
        if isinstance(m, kinds) and not isinstance(m, AnalogModule)
    }
    check_patterns(model, layers, [] if given[0] is None else include, exclude)
    chosen = {
        n: m
        for n, m in layers.items()
        if any(fnmatchcase(n, p) for p in include) and not any(fnmatchcase(n, p) for p in exclude)
    }
    if not layers and any(isinstance(m, AnalogModule) for m in model.modules()):
        raise ConfigError(
            f"{type(model).__name__} is analog already; rt.to_digital(model) takes it back"
        )
    if not chosen:
        raise ConfigError(
            f"{type(model).__name__} has no layer to convert (nn.Linear, nn.Conv1d, nn.Conv2d, "
            f"nn.Conv3d); layers of these types: {', '.join(layers) or 'none'}, "
            f"include={given[0]!r}, exclude={given[1]!r}"
        )
    return chosen


def _analog(
    layer: Any, algorithm: Algorithm, scale: Any, io: None, seed: int
) -> tuple[AnalogModule, Programmed]:
    """The analog layer, and what its devices could not hold."""
    if isinstance(scale, str) and scale == "fit" and isinstance(algorithm, Algorithm):
        scale = fitting_scale(layer.weight, algorithm)
    return analog_in_place_of(layer, _PAIRS[type(layer)], algorithm, scale, io, seed)


def to_digital(model: nn.Module) -> nn.Module:
    """A copy of the model in plain torch modules with the composite weights.

    Layers have the floating-point type that they had before `convert`, else float32.

    Raises:
        ConfigError: if an analog layer is also kept in a plain list, tuple or dict.
    """
    import copy

    check_references(model, dict(analog_layers(model)), "to_digital")
    model = copy.deepcopy(model)
    if isinstance(model, AnalogModule):
        return _digital(model)
    _replace(model, {id(layer): _digital(layer) for layer in analog_layers(model).values()})
    return model


def _digital(layer: Any) -> nn.Module:
    base = next(plain for plain, analog in _PAIRS.items() if type(layer) is analog)
    with torch.random.fork_rng(devices=[]):
        if base is nn.Linear:
            new = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
        else:
            new = base(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride,
                layer.padding, layer.dilation, layer.groups, layer.bias is not None,
                layer.padding_mode,
            )  # fmt: skip
    for name in ("weight", "bias"):
        old = getattr(layer, name)
        if old is not None:
            value = old.detach().clone().to(layer.digital_dtype)
            setattr(new, name, nn.Parameter(value, old.requires_grad))
    carry_back(layer, new)
    return new.train(layer.training)


def describe(model: nn.Module) -> str:
    """A table of the analog layers: name, shape, tiles, scale, algorithm; and what is digital."""
    analog = analog_layers(model)
    width = max([20, *map(len, analog)])
    lines = [f"{'layer':<{width}} {'crosspoints':>14} {'tiles':>5} {'scale':>8}  algorithm"]
    rules: dict[str, list[str]] = {}  # layers by settings, which are long and mostly the same
    for name, layer in analog.items():
        count, d_out, d_in = layer.tiles.shape
        rules.setdefault(repr(layer.algorithm), []).append(name or "(model)")
        lines.append(
            f"{name or '(model)':<{width}} {f'{d_out} x {d_in}':>14} {count:>5} "
            f"{float(layer.scale.detach()):>8.4f}  {type(layer.algorithm).__name__}"
        )
    for rule, names in rules.items():
        whose = f" of {', '.join(names)}" if len(rules) > 1 else ""
        lines.append(f"settings{whose}: {rule}")
    seen = {id(layer.weight) for layer in analog.values()}
    digital: dict[str, dict[str, int]] = {}  # numbers by kind and name of the module
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}  # a tied parameter counts once
        if own:
            kind = type(module).__name__
            if isinstance(module, AnalogModule):
                kind = "biases and scales of analog layers"
            made = [p for p in own if not is_lazy(p)]
            if len(made) < len(own):
                kind += ", without shape until an input comes"
            digital.setdefault(kind, {})[name or "(model)"] = sum(p.numel() for p in made)
    lines.append(f"digital parameters: {sum(sum(parts.values()) for parts in digital.values())}")
    for kind, parts in digital.items():
        names = list(parts)[:_NAMED] + ["..."] * (len(parts) > _NAMED)
        lines.append(f"  {kind}: {sum(parts.values())} ({', '.join(names)})")
    return "\n".join(lines)
