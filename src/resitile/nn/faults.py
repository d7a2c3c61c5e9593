"""What pulses or users have spoilt: numbers that are not finite, a weight that is another's."""

import warnings
from typing import TYPE_CHECKING

from torch import Tensor, nn

from resitile.algorithms import Algorithm
from resitile.errors import ConfigError, UpdateError
from resitile.nn.tape import AnalogWeight

if TYPE_CHECKING:
    from resitile.nn.analog import AnalogModule

_CUT = 0.1  # of a mini-batch's vectors, above which trains that are too short are worth a word


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


def warn_cut(layer: "AnalogModule") -> None:
    """Warn, once for each tile, if pulse trains were too short for what vectors asked for."""
    views = layer.tape.views  # looked at directly: this runs in every step
    for n, (share, most) in views[1].cut.items() if views is not None else ():
        if share > _CUT and n not in layer.tape.told:
            layer.tape.told.add(n)
            d_out, d_in = layer.crosspoints.shape[:2]
            warnings.warn(
                f"{share:.0%} of a mini-batch's vectors asked a device of tile {n} of a layer of "
                f"{d_out} x {d_in} for a change of more than {most:.3g}, all that a train of "
                "pulses makes, and were cut to that: steps are shorter than wanted. Lower what "
                "sets them (the learning rate, or the algorithm's own step), or use devices with "
                "larger steps",
                stacklevel=4,
            )
