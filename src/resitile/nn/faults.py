"""Who is to blame for numbers that are not finite: a device's law, or inputs and gradients?"""

from torch import Tensor

from resitile.algorithms import Algorithm
from resitile.errors import UpdateError


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
