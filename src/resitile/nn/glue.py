"""The few lines of autograd that linear and convolution layers share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from resitile.errors import UpdateError
from resitile.nn.analog import AnalogModule


def check_current(ctx: Any) -> None:
    """Refuse a backward pass through weights that were updated since its forward pass."""
    if int(ctx.layer.counts[0, -1]) != ctx.updates:
        raise UpdateError(
            "the tiles of an analog layer were updated between a forward pass and its backward "
            "pass; run forward again after step()"
        )


def finish(
    layer: AnalogModule, x: Tensor, product: Callable[[Tensor, Tensor | None], Tensor]
) -> Tensor:
    """Run `product(x, bias)` in float32 outside autocast, and apply what a learnt scale needs.

    With a learnt scale s the product is multiplied by s / s.detach(), which is 1: it changes no
    value and gives s its gradient.
    """
    kind = x.dtype
    learnt = layer.scale.requires_grad
    bias = layer.bias
    with torch.autocast(x.device.type, enabled=False):
        y = product(x.float(), None if learnt else bias)
        if learnt:
            y = y * (layer.scale / layer.scale.detach())
            if bias is not None:
                y = y + bias.view(-1, *[1] * layer.spatial)
    return y if kind == torch.float32 else y.to(kind)
