"""What users have set on a layer goes with it when an analog layer takes its place, and back."""

from torch import nn

from resitile.errors import ConfigError
from resitile.nn.analog import AnalogModule
from resitile.nn.saved import PREFIX

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)
_HELD = ("_buffers", "_parameters", "_modules", "_non_persistent_buffers_set")
_ANALOG = ("algorithm", "tape", "digital_dtype")  # attributes, and
_TENSORS = ("weight", "bias", "scale", "crosspoints", "counts", "wear", "seeds", "fingerprint")


def carry_over(old: nn.Module, new: nn.Module) -> None:
    """Give `new` the hooks, attributes, buffers, parameters and modules that users gave to `old`.

    Args:
        old: a linear or convolution layer, analog or digital.
        new: the other one that takes its place, freshly made.

    Raises:
        ConfigError: if an analog layer has another use for one of their names.
    """
    for hooks in _HOOKS:  # the same dictionaries, so that handles of hooks still remove them
        setattr(new, hooks, getattr(old, hooks))
    analog = isinstance(old, AnalogModule)
    for name, value in vars(old).items():
        made = name in vars(new) and name not in _ANALOG  # by torch's class, in both
        if not (made or name in _HELD or (analog and name in _ANALOG)):
            _check_free(new, name)
            vars(new)[name] = value
    for name, buffer in old._buffers.items():
        if not (analog and (name in _TENSORS or name.startswith(PREFIX))):
            _check_free(new, name)
            new.register_buffer(name, buffer, name not in old._non_persistent_buffers_set)
    for name, parameter in old._parameters.items():
        if name not in ("weight", "bias") and not (analog and name in _TENSORS):
            _check_free(new, name)
            new.register_parameter(name, parameter)
    for name, module in old._modules.items():
        _check_free(new, name)
        new.register_module(name, module)


def _check_free(new: nn.Module, name: str) -> None:
    if hasattr(new, name):
        raise ConfigError(
            f"it has an attribute {name!r} of its own, a name that {type(new).__name__} uses for "
            "something else; rename it, or exclude the layer"
        )
