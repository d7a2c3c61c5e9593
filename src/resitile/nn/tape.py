"""What one analog layer keeps beside its tensors: the weight that knows its layer, and the tape."""

import operator
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from resitile.errors import UpdateError
from resitile.tiles import Composite

if TYPE_CHECKING:
    from resitile.nn.analog import AnalogModule


_MANY = 1000  # recorded mini-batches: more than people accumulate, or call a layer in one pass


class AnalogWeight(nn.Parameter):
    """The composite weight of an analog layer: a parameter that pulses move, not gradients.

    Its `grad` stays None; `requires_grad_(False)` freezes the tiles behind it.
    """

    layer: "AnalogModule"

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As torch's, but of this class: an optimizer pickled beside the model keeps its weights.
        # The layer follows by itself when it is restored.
        return _weight, (self.data, self.requires_grad)


def _weight(data: Tensor, requires_grad: bool) -> AnalogWeight:
    return AnalogWeight(data, requires_grad)


class Tape:
    """What belongs to one layer in one process only: recorded mini-batches and what guards them.

    Attributes:
        queue: (forward call, input, output gradient, versions of both) of each mini-batch.
        lost: whether mini-batches were dropped that no optimizer had taken.
        scale: the output scale that the weight was made with; a learnt one may have moved since.
        owner: the AnalogSGD that will take the queue, as long as that lives.
        told: kinds of update of which was told that pulse trains are too short.
        updates: steps taken so far.
        version: of the weight, as torch counts writes; pulses do not count.
        views: arrays over the layer's tensors, and where those lay.
    """

    __slots__ = ("calls", "lost", "owner", "queue", "scale", "told", "updates", "version", "views")

    def __init__(self, version: int, scale: float) -> None:
        self.queue: list[tuple[int, Tensor, Tensor, int, int]] = []
        self.owner: weakref.ref[Any] | None = None
        self.calls = self.updates = 0
        self.told: set[str] = set()
        self.lost = False
        self.version, self.scale = version, scale
        self.views: tuple[Any, Composite, dict[str, np.ndarray]] | None = None

    def enter(self) -> tuple[int, int]:
        """Number a forward call: (call, updates so far)."""
        self.calls += 1
        return self.calls, self.updates

    def record(self, at: tuple[int, int], x: Tensor, d: Tensor) -> None:
        """Queue one mini-batch: input and output gradient of the forward call at `at`."""
        if (self.queue or self.lost) and not self.owned:
            raise UpdateError(
                "a second mini-batch (of another backward pass, or of a layer that is called "
                "twice) reached analog weights that no optimizer owns: give model.parameters() "
                "to resitile.AnalogSGD (torch's own optimizers cannot move tiles; one made before "
                "convert() has other weights: make it anew), or freeze them with "
                "weight.requires_grad_(False)"
            )
        self.queue.append((at[0], x.detach(), d.detach(), x._version, d._version))
        if len(self.queue) == _MANY:
            warnings.warn(
                f"{_MANY} mini-batches wait for a step() of the AnalogSGD that owns the weights of "
                "an analog layer, and take memory. If another optimizer trains this model, its "
                "tiles learn nothing: give all parameters to AnalogSGD; if nothing trains them, "
                "freeze them with weight.requires_grad_(False)",
                stacklevel=2,
            )

    @property
    def owned(self) -> bool:
        """Whether an AnalogSGD will take what is recorded."""
        return self.owner is not None and self.owner() is not None

    def clear(self) -> None:
        """Drop what is recorded, as gradients are; what nobody owns is missed at the next."""
        self.lost = self.lost or (bool(self.queue) and not self.owned)
        self.queue.clear()

    def recorded(self, version: int) -> list[tuple[Tensor, Tensor]]:
        """Input and output gradient of the recorded mini-batches, in forward order.

        Args:
            version: of the weight, now.

        Raises:
            UpdateError: if an input or output gradient, or the weight other than by pulses, was
                written to since.
        """
        if version != self.version:
            raise UpdateError(
                "the weight of an analog layer was written to directly; its tiles do not hold "
                "that. Write with layer.program(weight)"
            )
        self.queue.sort(key=_call)
        for _, x, d, seen, seen_d in self.queue:
            if x._version != seen:
                raise UpdateError(
                    "the input of an analog layer was overwritten between backward() and step(); "
                    "the update needs it: do not write to it in place, or step() first"
                )
            if d._version != seen_d:
                raise UpdateError(
                    "the output gradient of an analog layer was overwritten between backward() and "
                    "step(). A parameter of the same shape that is added to the layer's output "
                    "shares that memory with its own gradient, which clipping or a second backward "
                    "pass changes: write layer(x) * 1 + parameter"
                )
        return [(x, d) for _, x, d, _, _ in self.queue]

    def check(self, at: tuple[int, int]) -> None:
        """Refuse a backward pass through weights that were updated since its forward pass."""
        if self.updates != at[1]:
            raise UpdateError(
                "the tiles of an analog layer were updated between a forward pass and its "
                "backward pass; run forward again after step()"
            )


def version_of(tensor: Tensor) -> int:
    """How often torch has counted a write; 0 where it does not count, under inference_mode."""
    return 0 if tensor.is_inference() else tensor._version


def as_array(tensor: Tensor) -> np.ndarray:
    """A recorded tensor as the kernels take it: contiguous float32."""
    if tensor.dtype != torch.float32 or not tensor.is_contiguous():
        tensor = tensor.to(torch.float32).contiguous()
    return tensor.numpy()


_call = operator.itemgetter(0)
