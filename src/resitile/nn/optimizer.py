"""AnalogSGD: pulses for the tiles, torch's SGD for what is digital."""

import functools
import inspect
import math
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import optimizer as torch_optimizer

from resitile.errors import ConfigError, UpdateError
from resitile.kernels.threads import uninterrupted
from resitile.nn.analog import AnalogModule
from resitile.nn.faults import outside, warn_cut
from resitile.nn.tape import AnalogWeight

_profiled: Callable[[], bool] = torch._C._autograd._profiler_enabled


def _plain_where_nobody_listens(step: Callable[..., Any]) -> Callable[..., Any]:
    """Torch's wrapper of an optimizer's `step`, for its hooks and the profiler, where needed only.

    The wrapper opens a profiler's record in every call, which takes as long as a layer's update.
    A profiler of all threads at once, or an execution trace, is not noticed: it sees the operations
    but no record of the optimizer.
    """
    wrapped = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def call(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        heard = (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or _profiled()
        )
        # A subclass with a step of its own has been wrapped by torch.
        if heard and inspect.unwrap(type(self).step) is step:
            return wrapped(self, *args, **kwargs)
        return step(self, *args, **kwargs)

    call.hooked = True  # type: ignore[attr-defined]  # so torch does not wrap it once more
    return call


_BARE: dict[Any, Callable[..., Any]] = {
    method: method.__wrapped__  # type: ignore[union-attr]
    for method in (
        torch.optim.Optimizer.add_param_group,
        torch.optim.Optimizer.state_dict,
        torch.optim.Optimizer.load_state_dict,
    )
    if getattr(method, "__globals__", {}).get("__name__") == "torch._compile"  # torch's own wrapper
}


def _light(method: Any) -> Callable[..., Any]:
    """A bound method of torch's optimizer, without torch.compile's machinery where nobody has it.

    Torch wraps these methods to hide them from the compiler, and the wrapper imports it: a second
    of every start.
    """
    bare = _BARE.get(getattr(method, "__func__", None))  # none where somebody replaced the method
    if bare is None or "torch._dynamo" in sys.modules:
        return method  # type: ignore[no-any-return]
    return functools.partial(bare, method.__self__)


class AnalogSGD(torch.optim.SGD):
    """SGD in which analog weights are moved by pulses, as their layer's algorithm says.

    Each `step()` sends the mini-batches recorded since the last one, in forward order: after
    several backward passes that is several updates, one after the other (what gradient
    accumulation means for pulses), and so are several calls of one layer in a forward pass: a
    recurrent layer of k calls counts k mini-batches a step (under reentrant checkpointing, which
    runs calls again from the last to the first, in that order). A learning rate of 0 sends none.
    Momentum, weight decay and gradient clipping act on digital parameters only: a tile has no
    gradient to clip, only vectors.

    Args:
        params: parameters or groups of them, as torch's optimizers take them.
        lr: learning rate, at least 0; groups may have their own and schedulers may change it. Of
            analog weights it is in units of the tiles: the weight moves by the layer's output scale
            times lr times its gradient, and by no more than a pulse train holds.
        **sgd: momentum, weight_decay, ... of torch.optim.SGD.

    Raises:
        ConfigError: if the learning rate is below 0, or for maximize and differentiable, which
            pulses cannot follow.
    """

    _begun = False  # whether a step was made
    _step_supports_amp_scaling = True  # so that GradScaler hands over its scale, and is refused

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, **sgd: Any) -> None:
        _check_lr(lr)
        super().__init__(params, lr=lr, **sgd)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, and become the owner of the analog weights in it."""
        _light(super().add_param_group)(param_group)
        try:
            _check_options(self.param_groups[-1])
        except ConfigError:
            self.param_groups.pop()
            raise
        self._own(self.param_groups[-1])

    def _warn_unused(self) -> None:
        """Warn of momentum or the like where there is nothing that it acts on."""
        given = [n for n in ("momentum", "weight_decay") if any(g[n] for g in self.param_groups)]
        params = [p for group in self.param_groups for p in group["params"]]
        if given and all(isinstance(p, AnalogWeight) for p in params):
            warnings.warn(
                f"{' and '.join(given)} has no effect: it acts on digital parameters, and all "
                f"{len(params)} given are analog weights, which move as their algorithm says",
                stacklevel=outside(),
            )

    def state_dict(self) -> dict[str, Any]:
        """Torch's."""
        return _light(super().state_dict)()  # type: ignore[no-any-return]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Torch's."""
        _light(super().load_state_dict)(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            self._own(group)

    def _own(self, group: dict[str, Any]) -> None:
        for weight in group["params"]:
            # Of a copy, the layer may not be there yet; its backward then asks for an owner.
            if type(weight) is AnalogWeight and hasattr(weight, "layer"):
                weight.layer.tape.owner = weakref.ref(self)
                weight.layer.tape.lost = False
                weight.layer.tape.views = None  # the next step asks if the tiles hold the weight

    def _layers(self) -> list[tuple[AnalogModule, float]]:
        """The analog layers with the learning rate of their group."""
        found = []
        for group in self.param_groups:
            lr = float(group["lr"])
            _check_lr(lr)
            _check_options(group)
            # By type: isinstance() asks the metaclass of torch's parameters, in Python.
            own = [w for w in group["params"] if type(w) is AnalogWeight]
            if any(w.grad is not None for w in own):
                raise UpdateError(
                    "an analog weight has a gradient, from a use that is not its layer's forward "
                    "pass, such as a penalty on it, weight sharing or an exported model; pulses "
                    "cannot follow it: use weight.detach() there, then zero_grad()"
                )
            found += [(_layer_of(w), lr) for w in own]
        return found

    @_plain_where_nobody_listens
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Apply what backward recorded; all of it or, if an input is bad, nothing.

        Warns:
            UserWarning: once for each layer, if vectors, and once, if transfers and other writes
                ask for more pulses than a train holds.

        Raises:
            UpdateError: if recorded inputs or gradients are not finite, or the loss depends on an
                analog weight itself (nothing was changed), or
                a learnt output scale is no longer above 0 (digital parameters have moved).
        """
        # After `unscale_` torch hands over found_inf alone; what backward recorded is scaled still.
        if "grad_scale" in self.__dict__ or "found_inf" in self.__dict__:
            for name in ("grad_scale", "found_inf"):  # else the next step would look scaled, too
                self.__dict__.pop(name, None)
            raise UpdateError(
                "GradScaler scales the loss, and the recorded output gradients with it; analog "
                "layers compute in float32 and need no scaling: train without GradScaler"
            )
        if not self._begun:
            self._begun = True
            self._warn_unused()  # only now: groups may have been added
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        work = [(layer, layer.take(), lr) for layer, lr in self._layers()]
        with uninterrupted(), torch.no_grad():
            if not _plain_step(self.param_groups):
                _digital_step(self)
            for layer, _, _ in work:
                layer.follow_scale()
            for layer, batches, lr in work:  # threads share the rows of a large layer, not layers
                if lr > 0 and batches:
                    layer.learn(batches, lr)
                layer.discard()
        # Only now: a warning that is made an error stops nothing half way.
        warn_cut(layer for layer, _, _ in work)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear gradients and drop the mini-batches recorded since the last step."""
        plain = set_to_none and not _profiled()  # as for `step`
        if not plain:
            super().zero_grad(set_to_none)
        for group in self.param_groups:
            for parameter in group["params"]:
                if type(parameter) is AnalogWeight:
                    _layer_of(parameter).discard()
                    parameter.grad = None  # zeros would look like a gradient
                elif plain:
                    parameter.grad = None


# Bare of torch's wrappers: those of hooks must not run again, and `step` turns gradients off.
_digital_step: Callable[[torch.optim.SGD], Any] = inspect.unwrap(torch.optim.SGD.step)


def _plain_step(groups: list[dict[str, Any]]) -> bool:
    """Torch's SGD where it is nothing but p -= lr * gradient, the same to the bit; else False.

    Torch's own takes longer to find that out than a layer takes to learn. An option that is not
    known here, of a newer torch, is torch's to heed.
    """
    for group in groups:
        options = [value for name, value in group.items() if name not in _PLAIN]
        if isinstance(group["lr"], Tensor) or any(not _off(value) for value in options):
            return False
    for group in groups:
        for parameter in group["params"]:
            if (gradient := parameter.grad) is not None:
                parameter.add_(gradient, alpha=-group["lr"])
    return True


_PLAIN = {"params", "lr", "initial_lr", "dampening"}  # the last has no meaning without momentum


def _off(value: Any) -> bool:
    return value is None or (isinstance(value, bool | int | float) and not value)


def _layer_of(weight: AnalogWeight) -> AnalogModule:
    """The layer of an analog weight.

    Raises:
        UpdateError: if it has none, as in a copy of the optimizer alone.
    """
    try:
        return weight.layer
    except AttributeError:
        raise UpdateError(
            "this optimizer holds analog weights without their layers, as one that was copied "
            "alone does; copy it together with the model, copy.deepcopy((model, optimizer)), or "
            "make it anew from model.parameters()"
        ) from None


def _check_lr(lr: float | Tensor) -> None:
    try:
        value = float(lr)
    except (TypeError, ValueError):
        raise ConfigError(f"the learning rate must be a number of at least 0, got {lr!r}") from None
    if not 0 <= value < math.inf:
        raise ConfigError(f"the learning rate must be a number of at least 0, got {value}")


def _check_options(group: dict[str, Any]) -> None:
    for name in ("maximize", "differentiable"):
        if group[name]:
            raise ConfigError(
                f"{name}=True would hold for digital parameters only: pulses descend the loss, "
                "and nothing differentiates through them; leave it out"
            )
