"""The functional face of the engine."""

import numpy as np
import torch
from torch import Tensor

from resitile.devices import Device
from resitile.errors import ConfigError, UpdateError
from resitile.kernels.threads import uninterrupted
from resitile.nn.tape import as_array
from resitile.tiles import Composite, PulseTrain, Tile, rows
from resitile.tiles.requests import check_path


def pulsed_update(
    w: Tensor,
    x: Tensor,
    d: Tensor,
    device: Device,
    *,
    lr: float,
    seed: int,
    device_seed: int = 0,
    train: PulseTrain | None = None,
    path: str = "auto",
) -> Tensor:
    """The weights after pulses for w -= lr * sum_b d_b x_b^T, vector after vector.

    Args:
        w: (d_out, d_in) weights of one tile; they must lie within the widest bounds that a device
            of it has, the nominal ones included.
        x: (batch, d_in) inputs.
        d: (batch, d_out) output gradients.
        device: the device at every crosspoint.
        lr: step, at least 0.
        seed: of the pulses; the same arguments give the same bits.
        device_seed: of the devices' spread.
        train: length and management of the pulse trains; None takes aihwkit's defaults.
        path: "event", "dense" or "auto"; changes the speed, not one bit of the result.

    Returns:
        New weights, (d_out, d_in) float32; `w` is left alone.

    Raises:
        ConfigError: if shapes do not fit, lr, a seed or path is out of range, or weights lie
            outside the bounds.
        UpdateError: if weights, inputs or gradients are NaN or infinite.
    """
    for matrix, given in (("w", w), ("x", x), ("d", d)):
        if not isinstance(given, Tensor):
            raise ConfigError(f"{matrix} must be a tensor, got {type(given).__name__}")
    if w.dim() != 2 or x.dim() != 2 or d.dim() != 2:
        raise ConfigError("w, x, d must be matrices: (d_out, d_in), (batch, d_in), (batch, d_out)")
    if x.shape != (d.shape[0], w.shape[1]) or d.shape[1] != w.shape[0]:
        raise ConfigError(
            f"shapes do not fit: w {tuple(w.shape)}, x {tuple(x.shape)}, d {tuple(d.shape)}; they "
            "must be (d_out, d_in), (batch, d_in), (batch, d_out)"
        )
    if not isinstance(lr, int | float) or not 0 <= lr < float("inf"):
        raise ConfigError(f"lr must be a number of at least 0, got {lr!r}")
    check_path(path)
    for name, value in (("seed", seed), ("device_seed", device_seed)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**62:
            raise ConfigError(f"{name} must be a whole number in [0, 2**62), got {value!r}")
    tile = Tile(device, device_seed)
    contents = as_array(w.detach().to(copy=True, dtype=torch.float32))
    if not (abs(contents) < float("inf")).all():
        raise UpdateError("the weights hold NaN or infinity")
    bounds = tile.crosspoints((w.shape[0], w.shape[1]))
    low = min(device.w_min, float(bounds["w_min"].min(initial=0)))
    high = max(device.w_max, float(bounds["w_max"].max(initial=0)))
    if contents.size and not (low <= contents.min() and contents.max() <= high):
        raise ConfigError(
            f"weights must lie within the devices' bounds [{low:g}, {high:g}], got "
            f"{contents.min():g} to {contents.max():g}"
        )
    batch = rows(as_array(x.detach()), as_array(d.detach()))
    batch.measure()
    composite = Composite(
        [tile],
        contents[:, :, None],
        contents,
        gamma=1.0,
        scale=1.0,
        seed=seed,
        counts=np.zeros((3, 1), dtype=np.int64),
    )
    with uninterrupted():
        composite.pulse(0, [batch], lr, train or PulseTrain(), path)
    return torch.from_numpy(contents)
