"""What pulses or users have spoilt: numbers that are not finite, a weight that is another's."""

from collections.abc import Container, Iterable
from fnmatch import fnmatchcase

from torch import Tensor, nn

from resitile.algorithms import Algorithm
from resitile.errors import ConfigError, UpdateError
from resitile.nn.tape import AnalogWeight


def check_crosspoints(crosspoints: Tensor, algorithm: Algorithm) -> None:
    """Refuse tiles that pulses have spoilt.

    Args:
        crosspoints: (d_out, d_in, tiles), what they hold.
        algorithm: names their devices.

    Raises:
        UpdateError: if one holds NaN or infinity, which only a law's answer can have made.
    """
    for n, device in enumerate(algorithm.devices()):
        spoilt = int((~crosspoints[..., n].isfinite()).sum())
        if spoilt:
            raise UpdateError(
                f"{spoilt} devices of tile {n} hold NaN or infinity: the law of {device!r} gave "
                "such an answer to a pulse. Its q_up and q_down must be finite between the bounds "
                "of every single device, which differ from the nominal ones by the spread in "
                "variation"
            )


def check_replaced(parameter: nn.Parameter | None) -> None:
    """Refuse a weight in the place of what the tiles hold, as of `layer.weight = ...`.

    Raises:
        ConfigError: if it is a plain parameter, or None.
    """
    if type(parameter) is not AnalogWeight:
        raise ConfigError(
            "another weight cannot take the place of what the tiles hold: write it into them "
            "with layer.program(weight), or put a digital layer there"
        )


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


def check_references(model: nn.Module, chosen: dict[str, nn.Module]) -> None:
    """Refuse layers that a module also keeps in a plain list, tuple or dict: it would stay digital.

    Raises:
        ConfigError: names the layer and the attribute.
    """
    names = {id(layer): name for name, layer in chosen.items()}
    for place, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_modules", "_parameters", "_buffers"):
                continue
            items = value.values() if isinstance(value, dict) else value
            kept = items if isinstance(value, list | tuple | dict) else ()
            for item in kept:
                if id(item) in names:
                    where = f"{place}.{attribute}".lstrip(".")
                    raise ConfigError(
                        f"layer {names[id(item)]!r} is also kept in {where!r}, a plain "
                        f"{type(value).__name__}, which would go on with the digital layer: make "
                        "that an nn.ModuleList or nn.ModuleDict, or fill it after convert()"
                    )
