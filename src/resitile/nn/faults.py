"""What pulses or users have spoilt: numbers that are not finite, a weight that is another's."""

import inspect
import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from resitile._registry import described, is_own
from resitile.algorithms import Algorithm
from resitile.errors import ConfigError, ResitileError, UpdateError
from resitile.nn.tape import AnalogWeight

if TYPE_CHECKING:
    from resitile.nn.analog import AnalogModule

_WRAPPERS = ("resitile", "torch")  # optimizers and schedulers wrap each other's step
_CUT = 0.1  # of a mini-batch's vectors, above which trains that are too short are worth a word

_SENDERS = {  # by kind of update: of what a share was cut, what became of it, and what would help
    "gradients": (
        "a mini-batch's vectors", "were cut to that",
        "what sets them (the learning rate, or the algorithm's own step)",
    ),
    "writes": (
        "the columns or rows that the algorithm wrote at once", "were cut to that",
        "the algorithm's step of transfers",
    ),
    "stored": ("the changes due in the digital store", "wait there for their turn",
               "the learning rate"),
}  # fmt: skip


def check_crosspoints(crosspoints: Tensor, algorithm: Algorithm) -> None:
    """Refuse tiles that pulses have spoilt.

    Args:
        crosspoints: (d_out, d_in, tiles), what they hold.
        algorithm: names their devices.

    Raises:
        UpdateError: if one holds NaN or infinity, which a law has answered, or somebody written.
    """
    for n, device in enumerate(algorithm.devices()):
        spoilt = int((~crosspoints[..., n].isfinite()).sum())
        if spoilt:
            raise UpdateError(
                f"{spoilt} devices of tile {n} hold NaN or infinity: the law of {device!r} gave "
                "such an answer to a pulse (or they were written by hand). Its q_up and q_down "
                "must be finite between the bounds of every single device, which differ from the "
                "nominal ones by the spread in variation"
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


def fault_of_step(error: Exception, algorithm: Algorithm, shape: tuple[int, ...]) -> Exception:
    """What to raise for an error in a `step`: with the algorithm, the layer and the user's line.

    Args:
        error: as it was caught.
        algorithm: whose step it was.
        shape: of the layer's weight.
    """
    where = f"{type(algorithm).__name__}, layer of {shape}"
    if isinstance(error, ConfigError | UpdateError):
        return type(error)(f"{where}: {error}")
    if is_own(type(algorithm)) and not isinstance(error, ResitileError):
        source = inspect.getsourcefile(type(algorithm).step)
        return ConfigError(f"{where}: step fails at {described(error, source)}")
    return error


def warn_cut(layers: Iterable["AnalogModule"]) -> None:
    """Warn, once for each layer and kind of update, if trains were too short for what was asked."""
    found: dict[str, list[tuple[float, str]]] = {}
    for layer in layers:
        views = layer.tape.views  # looked at directly: this runs in every step
        if views is None or not views[1].watch.cut:
            continue
        for (kind, n), (share, most) in views[1].watch.cut.items():
            if share > _CUT and kind not in layer.tape.told:
                layer.tape.told.add(kind)
                d_out, d_in = layer.crosspoints.shape[:2]
                where = f"tile {n} of a layer of {d_out} x {d_in} (more than {most:.3g})"
                found.setdefault(kind, []).append((share, where))
    for kind, places in found.items():
        whose, fate, remedy = _SENDERS[kind]
        warnings.warn(
            f"up to {max(places)[0]:.0%} of {whose} asked a device for a larger change than a "
            f"train of pulses makes, and {fate}: {'; '.join(p for _, p in places)}. "
            f"Steps are shorter than wanted. Lower {remedy}, or use devices with larger steps",
            stacklevel=outside(),
        )


def outside() -> int:
    """The `stacklevel` of the first caller outside this package and torch, whose line it is."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _WRAPPERS:
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    return level
