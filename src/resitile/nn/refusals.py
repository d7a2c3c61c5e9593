"""What `convert` refuses: patterns and layers with which something would go wrong in silence."""

from collections.abc import Callable, Container, Iterable, Iterator
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from resitile.errors import ConfigError


def check_patterns(
    model: nn.Module, layers: Container[str], include: Iterable[str], exclude: Iterable[str]
) -> None:
    """Refuse a pattern that would select nothing.

    Excluded modules that have no convertible layer stay digital anyhow.

    Raises:
        ConfigError: names it, what it does match, and the pattern of the layers below that.
    """
    modules = dict(model.named_modules())
    wanted = list(include)
    for pattern in (*wanted, *exclude):
        found = [name for name in modules if fnmatchcase(name, pattern)]
        if not found:
            raise ConfigError(
                f"pattern {pattern!r} matches no module; convertible layers are: "
                f"{', '.join(n for n in modules if n in layers) or 'none'}"
            )
        above = [f"{n}." for n in found if n]
        below = [n for n in modules if n in layers and any(n.startswith(a) for a in above)]
        if any(name in layers for name in found) or not (below or pattern in wanted):
            continue
        raise ConfigError(
            f"pattern {pattern!r} matches {found[0]!r} ({type(modules[found[0]]).__name__}), but "
            "no layer that can go on tiles; "
            + (f'for those in it write "{pattern}.*"' if below else "leave it out")
        )


def check_references(model: nn.Module, chosen: dict[str, nn.Module], verb: str) -> None:
    """Refuse layers that a module also keeps in a plain list, tuple or dict: it would keep the old.

    Args:
        model: the whole.
        chosen: the layers that others are to replace, by name.
        verb: the function that replaces them.

    Raises:
        ConfigError: names the layer and the attribute.
    """
    names = {id(layer): name for name, layer in chosen.items()}
    for place, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_modules", "_parameters", "_buffers"):
                continue
            for item in _inside(value):
                if id(item) in names:
                    where = f"{place}.{attribute}".lstrip(".")
                    raise ConfigError(
                        f"layer {names[id(item)]!r} is also kept in {where!r}, a plain "
                        f"{type(value).__name__}, which would go on with the layer as it is: make "
                        f"that an nn.ModuleList or nn.ModuleDict, or fill it after {verb}()"
                    )


def _inside(value: object) -> Iterator[object]:
    """What lists, tuples and dicts hold, at any depth."""
    open_, seen = [value], set()
    while open_:
        held = open_.pop()
        if isinstance(held, list | tuple | dict) and id(held) not in seen:
            seen.add(id(held))  # a list may hold itself
            items = list(held.values() if isinstance(held, dict) else held)
            open_ += items
            yield from items


def check_made(name: str, layer: nn.Module) -> None:
    """Refuse a lazy layer that has met no input: its weight has no shape yet.

    Raises:
        ConfigError: names it and the remedy.
    """
    if is_lazy(layer.weight):
        raise ConfigError(
            f"layer {name!r} is a {type(layer).__name__} that has met no input yet, so its weight "
            "has no shape: run the model forward once first"
        )


def _range(parameter: torch.Tensor) -> tuple[int, int] | None:
    """The addresses of a parameter's first byte and of that behind its last; None if it has none.

    Kinds without memory of their own have none, such as sparse, nested and lazy ones.
    """
    if is_lazy(parameter):
        return None
    try:
        last = sum((n - 1) * s for n, s in zip(parameter.shape, parameter.stride(), strict=True))
        begin = parameter.data_ptr()
    except (NotImplementedError, RuntimeError):
        return None
    if not begin or not parameter.numel():
        return None
    return begin, begin + (last + 1) * parameter.element_size()


def _overlap(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two parameters of overlapping ranges have a number in common."""
    size, places = one.element_size(), [_range(p) or (0, 0) for p in (one, two)]
    least, most = min(places)[0], max(end for _, end in places)
    if size != two.element_size() or (places[0][0] - places[1][0]) % size:
        return True
    taken = torch.zeros((most - least) // size, dtype=torch.bool)
    views = [
        taken.as_strided(
            [1 if stride == 0 else n for n, stride in zip(p.shape, p.stride(), strict=True)],
            p.stride(), (begin - least) // size,
        )
        for p, (begin, _) in zip((one, two), places, strict=True)
    ]  # fmt: skip
    views[0].fill_(True)
    return bool(views[1].any())


def _tied(model: nn.Module) -> Callable[[torch.Tensor], list[str]]:
    """A function that names a parameter and all that share a number with it.

    Such are one parameter in two places, and a transpose or a part that was made a parameter of its
    own; slices of one long vector or matrix that do not overlap are not.
    """
    own: dict[int, list[tuple[str, torch.Tensor]]] = {}
    ranges: list[tuple[int, int, str, torch.Tensor]] = []
    for name, module in model.named_modules(remove_duplicate=True):
        for part, parameter in module.named_parameters(recurse=False):
            full, found = f"{name}.{part}".lstrip("."), _range(parameter)
            if found is None:
                own.setdefault(id(parameter), []).append((full, parameter))
            else:
                ranges.append((*found, full, parameter))
    near: list[tuple[str, torch.Tensor]] = []  # ranges that overlap, or hang together by others
    far = 0
    for begin, end, full, parameter in sorted(ranges, key=lambda found: found[:2]):
        if begin >= far:
            near = []
        near.append((full, parameter))
        own[id(parameter)], far = near, max(far, end)

    def names(parameter: torch.Tensor) -> list[str]:
        same = own.get(id(parameter), [])
        return [n for n, p in same if p is parameter or _overlap(p, parameter)]

    return names


def check_layers(model: nn.Module, chosen: dict[str, nn.Module], kinds: Container[type]) -> None:
    """Refuse layers that an analog one cannot stand for: conversion would silently break them.

    Args:
        model: the whole, for weights that several modules share.
        chosen: the layers by name.
        kinds: exactly those that have an analog counterpart.

    Raises:
        ConfigError: names the layer, the reason and the remedy.
    """
    tied = _tied(model)
    attentions = [m for m in model.modules() if isinstance(m, nn.MultiheadAttention)]
    held = [n for n, layer in chosen.items() if any(layer is a.out_proj for a in attentions)]
    if held:
        raise ConfigError(
            "nn.MultiheadAttention uses its projections without calling them; exclude "
            f"{'it' if len(held) == 1 else 'them'}: exclude={held}"
        )
    for name, layer in chosen.items():
        check_made(name, layer)
        if type(layer) not in kinds:
            raise ConfigError(
                f"layer {name!r} is a {type(layer).__name__}, whose own behaviour an analog layer "
                f'would drop; exclude it: exclude=["{name}"]'
            )
    for name, layer in chosen.items():
        if parametrize.is_parametrized(layer) or hasattr(layer, "weight_g"):
            raise ConfigError(f"layer {name!r} has a parametrized weight; remove it or exclude it")
        if "forward" in vars(layer):
            raise ConfigError(
                f"layer {name!r} has a forward of its own, put in place of its class's, which an "
                f'analog layer would not run; exclude it: exclude=["{name}"]'
            )
        weight = layer.weight
        if not isinstance(weight, nn.Parameter):
            raise ConfigError(
                f"the weight of layer {name!r} is no parameter but computed before each forward "
                "pass, as pruning and spectral_norm do; make that permanent or exclude the layer"
            )
        if not weight.is_floating_point():
            raise ConfigError(
                f"the weight of layer {name!r} is {weight.dtype}; tiles hold real numbers: "
                "exclude the layer"
            )
        if weight.is_meta or weight.device.type != "cpu":
            raise ConfigError(
                f"the weight of layer {name!r} is on {weight.device}; move the model to the CPU "
                "first"
            )
        for what, parameter in (("weight", weight), ("bias", layer.bias)):
            shared = [] if parameter is None else tied(parameter)
            if len(shared) > 1:
                raise ConfigError(
                    f"the {what} of layer {name!r} is tied ({', '.join(shared)}); an analog layer "
                    "has its own: untie or exclude it"
                )
