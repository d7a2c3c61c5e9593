"""The output scale, the seed and the size of a layer as users give them."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from resitile.algorithms import Algorithm
from resitile.errors import ConfigError


def output_scale(scale: Any, d_in: int, algorithm: Algorithm) -> tuple[float, bool]:
    """Value of an output scale, and whether it is learnt.

    Args:
        scale: a number above 0, "auto" (3 / sqrt(fan-in) over the reach of the tiles that make the
            weight, gamma**n times that of their devices; but at least
            1.5 / sqrt(fan-in), half as much again as the largest weight that torch draws, over
            the nearer bound), "learnable" (starts at auto), or a scalar Parameter to start from.
        d_in: fan-in.
        algorithm: whose tiles make the weight.

    Raises:
        ConfigError: if it is none of these.
    """
    seen = list(enumerate(algorithm.devices()[: algorithm.visible]))
    up = max(abs(algorithm.ratio) ** n * device.w_max for n, device in seen)
    down = max(abs(algorithm.ratio) ** n * -device.w_min for n, device in seen)
    reach, nearer = max(up, down), min(up, down)
    auto = max(3.0 / reach, 1.5 / nearer) / math.sqrt(d_in)
    if isinstance(scale, str) and scale in ("auto", "learnable"):
        value, learn = auto, scale == "learnable"
    elif isinstance(scale, nn.Parameter):
        value, learn = float(scale.detach()), scale.requires_grad
    elif isinstance(scale, int | float) and not isinstance(scale, bool):
        value, learn = float(scale), False
    else:
        raise ConfigError(
            'scale must be a number above 0, "auto", "learnable" or a scalar nn.Parameter '
            f'(in convert also "fit"), got {scale!r}'
        )
    if not 0 < value < math.inf:
        raise ConfigError(f"scale must be a number above 0, got {value}")
    return value, learn


def fitting_scale(weight: Tensor, algorithm: Algorithm) -> float:
    """The scale of "auto" or, where weights need a larger one, that at which tile 0 holds them all.

    Its devices then are at their nominal bounds where the weight is largest.

    Args:
        weight: finite, of torch's shape.
        algorithm: whose tile 0 it is.
    """
    auto, _ = output_scale("auto", matrix_shape(weight.shape)[1], algorithm)
    low, high = float(weight.detach().min()), float(weight.detach().max())
    device = algorithm.devices()[0]
    return max(auto, low / device.w_min, high / device.w_max)


def scale_value(scale: Tensor) -> float:
    """The number in an output scale; NaN on torch's device "meta", where tensors hold none."""
    return math.nan if scale.is_meta else float(scale.detach())


def check_seed(seed: object) -> None:
    """Refuse a seed that is no whole number in [0, 2**62)."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**62:
        raise ConfigError(f"seed must be a whole number in [0, 2**62), got {seed!r}")


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """(d_out, d_in) of the matrix that holds a weight of torch's shape.

    Raises:
        ConfigError: if it is empty.
    """
    d_out, d_in = shape[0], math.prod(shape[1:])
    if not d_out * d_in:
        raise ConfigError(
            f"a layer with a weight of shape {tuple(shape)} has no crosspoint: give it at least "
            "one input and one output, or leave it digital by convert(..., exclude=...)"
        )
    return d_out, d_in
