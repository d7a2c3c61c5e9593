"""Two methods of nn.Module that analog layers need to hear of, wrapped once.

Torch offers no hook for either: `zero_grad` walks over parameters only, and by the time that a
layer deep in a model sees a state that it must refuse, the layers before it are overwritten.
"""

import functools
from collections.abc import Mapping
from typing import Any

from torch import nn

from resitile.errors import ConfigError
from resitile.nn.analog import analog_layers
from resitile.nn.saved import check_contents, check_state


def install() -> None:
    """Wrap `nn.Module.zero_grad` and `nn.Module.load_state_dict`; does nothing a second time."""
    if getattr(nn.Module.zero_grad, "_knows_analog", False):
        return
    plain_zero_grad, plain_load = nn.Module.zero_grad, nn.Module.load_state_dict

    @functools.wraps(plain_zero_grad)
    def zero_grad(self: nn.Module, set_to_none: bool = True) -> None:
        plain_zero_grad(self, set_to_none)
        for layer in analog_layers(self).values():
            layer.tape.clear()
            layer.weight.grad = None  # zeros would look like a gradient

    @functools.wraps(plain_load)
    def load_state_dict(
        self: nn.Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        for name, layer in analog_layers(self).items():
            if assign:
                raise ConfigError(
                    "load_state_dict(assign=True) would take the tiles away from their weights; "
                    "load without assign"
                )
            prefix = f"{name}." if name else ""
            check_state(state_dict, prefix, layer.algorithm)
            check_contents(state_dict, prefix, layer.algorithm, layer.held())
        return plain_load(self, state_dict, strict, assign)

    zero_grad._knows_analog = True  # type: ignore[attr-defined]
    nn.Module.zero_grad = zero_grad  # type: ignore[method-assign]
    nn.Module.load_state_dict = load_state_dict  # type: ignore[method-assign]
