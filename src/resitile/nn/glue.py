"""The few lines of autograd that linear and convolution layers share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from resitile.errors import ConfigError
from resitile.nn.analog import AnalogModule
from resitile.nn.tape import AnalogWeight


def finish(
    layer: AnalogModule,
    x: Tensor,
    product: Callable[..., Tensor],
    plain: Callable[..., Tensor],
) -> Tensor:
    """Run `product(x, weight, bias, layer)` in float32 outside autocast, with a learnt scale.

    With another weight than the layer's own, which `torch.func.functional_call` puts there for one
    call, it is `plain(x, weight, bias)`: the tiles have no part in it.

    With a learnt scale s the product is multiplied by s / s.detach(), which is 1: it changes no
    value and gives s its gradient.
    """
    parameters = layer._parameters  # nn.Module's attribute look-up takes as long as a small product
    try:
        weight, bias = parameters["weight"], parameters["bias"]
    except KeyError as error:
        raise ConfigError(
            f"the {error} of an analog layer is no parameter any more, as parametrizations, "
            "weight_norm, spectral_norm and pruning make it; tiles hold no such weight: remove "
            "that, or keep the layer digital by convert(..., exclude=...)"
        ) from None
    kind, place = x.dtype, "cpu" if x.is_cpu else x.device.type
    if torch.is_autocast_enabled(place):
        with torch.autocast(place, enabled=False):
            return finish(layer, x, product, plain)
    own = type(weight) is AnalogWeight and getattr(weight, "layer", None) is layer
    if not own:
        product = _without_layer(plain)
    if kind is torch.float32 and "scale" not in parameters:  # the usual case
        return product(x, weight, bias, layer)
    if not x.is_floating_point():
        raise ConfigError(
            f"an analog layer takes real floating-point numbers, got {kind}; convert them first, "
            "as with x.float()"
        )
    x = x.float()
    if "scale" not in parameters or not layer.scale.requires_grad:
        y = product(x, weight, bias, layer)
    else:
        if own:  # another weight has its scale in it, and nothing is written into it
            layer.follow_scale()
        y = product(x, weight, None, layer) * (layer.scale / layer.scale.detach())
        if bias is not None:
            y = y + bias.view(-1, *[1] * layer.spatial)
    return y.to(kind)


_transforms = getattr(torch._C, "_are_functorch_transforms_active", None)
_unwrap = getattr(getattr(torch._C, "_functorch", None), "unwrap_if_dead", None)


def apply_of(function: type[torch.autograd.Function]) -> Callable[..., Tensor]:
    """`function.apply`, without its Python part where that has nothing to do.

    Torch's own looks for a `setup_context`, which ours lack, and for the tensors of a functional
    transform; right after a product on several threads that takes as long as a tenth of it. What it
    calls is private: a torch without that has its own way, with the same results.
    """
    careful = function.apply
    direct = getattr(super(torch.autograd.Function, function), "apply", None)
    if direct is None or _transforms is None or _unwrap is None:
        return careful  # type: ignore[no-any-return]

    def call(x: Tensor, *others: Any) -> Tensor:
        if _transforms() or torch.compiler.is_compiling():
            return careful(x, *others)  # type: ignore[no-any-return]
        return direct(_unwrap(x), *others)  # type: ignore[misc,no-any-return]

    return call


def _without_layer(plain: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, weight, bias, layer: plain(x, weight, bias)


_will_execute = getattr(torch._C, "_will_engine_execute_node", None)


def accumulates(ctx: Any) -> bool:
    """Whether this backward pass leaves a gradient in the weight, the function's second input.

    `torch.autograd.grad(loss, images)` and `loss.backward(inputs=...)` without the weight leave
    none, and then tiles learn nothing either. Torch has no public way to ask; without its private
    one every pass counts.
    """
    if _will_execute is None:
        return True
    try:
        return bool(_will_execute(ctx.next_functions[1][0]))
    except RuntimeError as error:  # how it answers for a leaf in torch.autograd.grad()
        return "autograd.grad()" not in str(error)


def once(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Torch's `once_differentiable`, at no cost where no second derivative is asked for.

    In float32 even if all of backward runs under autocast.
    """
    careful = once_differentiable(backward)

    def call(ctx: Any, d: Tensor) -> Any:
        place = "cpu" if d.is_cpu else d.device.type
        if torch.is_autocast_enabled(place):
            with torch.autocast(place, enabled=False):
                return call(ctx, d)
        return careful(ctx, d) if torch.is_grad_enabled() else backward(ctx, d)

    return call
