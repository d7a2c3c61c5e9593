"""The few lines of autograd that linear and convolution layers share."""

from collections.abc import Callable

import torch
from torch import Tensor

from resitile.nn.analog import AnalogModule


def finish(
    layer: AnalogModule, x: Tensor, product: Callable[[Tensor, Tensor | None], Tensor]
) -> Tensor:
    """Run `product(x, bias)` in float32 outside autocast, and apply what a learnt scale needs.

    With a learnt scale s the product is multiplied by s / s.detach(), which is 1: it changes no
    value and gives s its gradient.
    """
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return finish(layer, x, product)
    kind = x.dtype
    if kind != torch.float32:
        x = x.float()
    if "scale" not in layer._parameters or not layer.scale.requires_grad:
        y = product(x, layer.bias)
    else:
        layer.follow_scale()
        y = product(x, None) * (layer.scale / layer.scale.detach())
        if layer.bias is not None:
            y = y + layer.bias.view(-1, *[1] * layer.spatial)
    return y if kind == torch.float32 else y.to(kind)
