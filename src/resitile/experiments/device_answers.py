"""What devices of one kind do under pulses, as a record for a picture."""

from typing import Any

import numpy as np

from resitile.devices import Device
from resitile.tiles import Tile

_DEVICES = 12
_POINTS = 101


def device_answers(device: Device, seed: int = 0) -> dict[str, Any]:
    """Steps of the nominal device, and staircases of it and of some with spread and noise.

    Every device gets as many pulses up as the nominal one has states, half as many again, and then
    as many down.

    Args:
        device: of a tile.
        seed: of spread and noise.

    Returns:
        device: its text; w, up, down: nominal steps against the weight; nominal: the staircase
        without spread and noise; staircases: (12, pulses + 1).
    """
    count = max(round(1.5 * device.states), 4)
    ups = np.array([True] * count + [False] * count)
    w = np.linspace(device.w_min, device.w_max, _POINTS).tolist()
    return {
        "device": repr(device),
        "w": w,
        "up": [device.step_up * device.q_up(x, device.p) for x in w],
        "down": [-device.step_down * device.q_down(x, device.p) for x in w],
        "nominal": Tile(device.replace(variation="none"), seed).staircases(ups)[0].tolist(),
        "staircases": Tile(device, seed).staircases(ups, _DEVICES, seed=seed).tolist(),
    }
