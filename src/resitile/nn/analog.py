"""What all analog layers share: tiles as buffers, a composite weight, recorded mini-batches."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resitile.algorithms import Algorithm, SavedState, first_state
from resitile.errors import ConfigError, UpdateError
from resitile.kernels.keys import stream
from resitile.kernels.threads import uninterrupted
from resitile.nn.faults import check_crosspoints, check_replaced, fault_of_step
from resitile.nn.saved import (
    PREFIX,
    check_state,
    check_step,
    check_weight,
    composite_of,
    fingerprint,
)
from resitile.nn.scale import check_seed, matrix_shape, output_scale, scale_value
from resitile.nn.tape import AnalogWeight, Tape, version_of
from resitile.tiles import Composite, Programmed, Vectors, program


class AnalogModule(nn.Module):
    """Base of the analog layers: torch's layer with its weight held by tiles.

    Everything that training changes is a buffer or a parameter, so `state_dict()` holds all of it
    as plain tensors: `crosspoints`, `counts`, `seeds`, the algorithm's state and a fingerprint of
    device and algorithm, which loading compares.

    Attributes:
        weight: composite weight, torch's shape.
        crosspoints: (d_out, d_in, tiles) float32, the tiles' contents as they lie in memory.
        tiles: the same as (tiles, d_out, d_in), coarsest first.
        scale: output scale, a scalar; a Parameter if it is learnt.
        counts: (3, tiles) int64: updates (of a convolution one for each group) and pulses received
            by, transfers out of each tile.
        seeds: (2,) int64: of the pulses, of the devices' spread.
        fingerprint: (32,) uint8: hash of device and algorithm.
        wear: (d_out, d_in, tiles) int32, pulses that each device has received; None unless
            `count_wear` was called.
    """

    weight: AnalogWeight
    crosspoints: Tensor
    counts: Tensor
    seeds: Tensor
    fingerprint: Tensor
    algorithm: Algorithm
    wear: Tensor | None
    spatial: int = 0  # spatial axes behind the channels
    digital_dtype = torch.float32  # of the layer that `to_digital` makes

    def _make_analog(
        self, algorithm: Algorithm, scale: Any, io: None, seed: int | None
    ) -> Programmed:
        """Turn what is a torch layer so far into an analog one that holds the same weight."""
        if not isinstance(algorithm, Algorithm):
            raise ConfigError(
                "algorithm must be one of resitile.algorithms, such as "
                f"ResidualLearning(device), got {algorithm!r}"
            )
        if io is not None:
            raise ConfigError(
                f"io={io!r}: converters are not modelled yet; leave io=None (ideal converters)"
            )
        if seed is None:
            seed = int(torch.randint(2**62, (1,)).item())
        check_seed(seed)
        start = self.weight.detach().to(torch.float32)
        d_out, d_in = matrix_shape(start.shape)
        self.algorithm = algorithm
        self.weight = AnalogWeight(start.clone(memory_format=torch.contiguous_format))
        if self.bias is not None:
            self.bias = nn.Parameter(self.bias.detach().to(torch.float32))
        value, learn = output_scale(scale, d_in, algorithm)
        own_scale = torch.tensor(value, dtype=torch.float32)
        if learn:
            self.scale = nn.Parameter(own_scale)
        else:
            self.register_buffer("scale", own_scale)
        self.register_buffer(
            "crosspoints", torch.zeros(d_out, d_in, algorithm.count, dtype=torch.float32)
        )
        self.register_buffer("counts", torch.zeros(3, algorithm.count, dtype=torch.int64))
        self.register_buffer("wear", None)
        self.register_buffer("seeds", torch.tensor([seed, stream(seed, 1)]))
        for name, array in first_state(algorithm, (d_out, d_in)).items():
            self.register_buffer(PREFIX + name, torch.from_numpy(array.copy()))
        self.register_buffer("fingerprint", fingerprint(algorithm))
        self._fresh()
        return self.program(start)

    def _fresh(self) -> None:
        """Start a tape, as in a new object or process."""
        if not isinstance(self.weight, AnalogWeight):  # unpickled: torch restores the base class
            self.weight = AnalogWeight(self.weight.detach(), self.weight.requires_grad)
        self.tape = Tape(version_of(self.weight), scale_value(self.scale))
        self.weight.layer = getattr(self.weight, "layer", self)  # a shallow copy takes it from none

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._fresh()

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return {name: value for name, value in self.__dict__.items() if name != "tape"}

    # What training needs

    @property
    def tiles(self) -> Tensor:
        """(tiles, d_out, d_in) float32: a view of what each tile holds, coarsest first."""
        return self.crosspoints.permute(2, 0, 1)

    @property
    def pulses(self) -> Tensor:
        """(tiles,) int64: pulses that each tile has received."""
        return self.counts[1]

    @property
    def transfers(self) -> Tensor:
        """(tiles,) int64: columns transferred out of each tile."""
        return self.counts[2]

    @property
    def state(self) -> dict[str, Tensor]:
        """The algorithm's own state by name: counters, pointers, buffers."""
        start = len(PREFIX)
        return {n[start:]: b for n, b in self.named_buffers() if n.startswith(PREFIX)}

    def count_wear(self) -> None:
        """Count, from now on, the pulses of every single device; it takes 4 bytes for each."""
        if self.wear is None:
            self.wear = torch.zeros_like(self.crosspoints, dtype=torch.int32)
            self.tape.views = None

    def composite(self) -> Composite:
        """The tiles and their weight as the algorithms see them: views, no copies."""
        return self._views()[0]

    def _views(self, *, new: bool = False) -> tuple[Composite, dict[str, np.ndarray]]:
        """Composite and algorithm state over this layer's tensors; made anew when those moved.

        A weight that then is not that of the tiles is refused, unless a `new` one is to be written.
        """
        # Past nn.Module's attribute look-up, which would take longer than a small update.
        crosspoints, weight = self._buffers["crosspoints"], self._parameters["weight"]
        where = (crosspoints.data_ptr(), weight.data_ptr())  # type: ignore[union-attr]
        views = self.tape.views
        if views is not None and views[0] == where:
            return views[1:]
        composite = composite_of(
            self.algorithm, self.crosspoints, self.weight, self.tape.scale, self.seeds,
            self.counts, self.wear,
        )  # fmt: skip
        state = SavedState({name: buffer.numpy() for name, buffer in self.state.items()})
        if not new:
            check_weight(composite, state, self.algorithm)
        self.tape.views = (where, composite, state)
        return composite, state

    def discard(self) -> None:
        """Drop the recorded mini-batches."""
        self.tape.queue.clear()

    def take(self) -> list[list[Vectors]]:
        """The recorded mini-batches in forward order, measured; they stay in the queue.

        Raises:
            UpdateError: if tiles, inputs or gradients are not finite, an input was overwritten
                since, or the weight was written to other than by pulses.
        """
        self._views()
        weight = self._parameters["weight"]
        batches = [
            self.vectors(x, d)
            for x, d in self.tape.recorded(weight._version)  # type: ignore[union-attr]
            if d.numel() and x.numel()
        ]
        try:
            for batch in batches:
                for vectors in batch:
                    vectors.measure()
        except UpdateError:
            check_crosspoints(self.crosspoints, self.algorithm)
            raise
        return batches

    def learn(self, batches: list[list[Vectors]], lr: float) -> None:
        """Carry out the updates of mini-batches, in order."""
        composite, state = self._views()
        self.tape.updates = count = self.tape.updates + 1
        try:
            for batch in batches:
                self.algorithm.step(composite, state, batch, lr)
            if not count & (count - 1):  # steps 1, 2, 4, 8, ...
                check_step(composite, state, self.algorithm)
        except Exception as error:
            fault = fault_of_step(error, self.algorithm, composite.weight.shape)
            if fault is error:
                raise
            raise fault from error

    def follow_scale(self) -> None:
        """Recompute the weight if a learnt scale has moved since.

        Raises:
            UpdateError: if it is no longer above 0.
        """
        if "scale" not in self._parameters:
            return
        (composite, state), scale = self._views(), float(self.scale.detach())
        if not 0 < scale < math.inf:
            raise UpdateError(
                f"a learnt output scale became {scale:g}; it must stay above 0: give it a "
                "smaller learning rate (of a run: optimizer.digital_lr), or fix it"
            )
        if scale != composite.scale:
            self.tape.scale = scale
            composite.rescale(scale)
            self.algorithm.compose(composite, state)

    def _settle(self) -> None:
        """Bring the weight up to a learnt scale before it is read off; one that diverged stays."""
        if self.crosspoints.device.type == "cpu" and 0 < scale_value(self.scale) < math.inf:
            self.follow_scale()

    def vectors(self, x: Tensor, d: Tensor) -> list[Vectors]:
        """What lies on rows and columns for a recorded mini-batch; a layer defines it."""
        raise NotImplementedError

    def program(self, weight: Tensor) -> Programmed:
        """Write a weight into the tiles: tile 0 takes what fits, finer tiles the rest.

        Args:
            weight: torch's shape of this layer's weight.

        Returns:
            How many crosspoints were clipped by their own bounds, and the worst error.

        Raises:
            ConfigError: if the shape differs or nominal devices cannot hold the weight.
        """
        if not isinstance(weight, Tensor):
            raise ConfigError(f"a weight to program must be a tensor, got {type(weight).__name__}")
        if weight.shape != self.weight.shape:
            raise ConfigError(
                f"a weight of shape {tuple(weight.shape)} does not fit this layer's "
                f"{tuple(self.weight.shape)}"
            )
        d_out, d_in = self.crosspoints.shape[:2]
        array = weight.detach().to("cpu", torch.float32).reshape(d_out, d_in).numpy()
        composite, state = self._views(new=True)
        with uninterrupted():
            self.tape.scale = float(self.scale.detach())
            composite.rescale(self.tape.scale)
            self.algorithm.reset(state)
            self.algorithm.compose(composite, state)
            return program(composite, array)

    # State and moves

    def register_parameter(self, name: str, param: nn.Parameter | None) -> None:
        """As torch's, but no other weight can take the place of that of the tiles."""
        if name == "weight" and "tape" in self.__dict__:
            check_replaced(param)
        super().register_parameter(name, param)

    def held(self) -> dict[str, Tensor]:
        """What says all about the tiles, by name, as it is saved."""
        own = {**self._buffers, **self._parameters}
        return {k: t for k, t in own.items() if t is not None and k not in ("wear", "bias")}

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        check_state(state_dict, prefix, self.algorithm)
        if prefix + "wear" in state_dict:
            self.count_wear()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._moved()
        if prefix + "weight" in state_dict or "scale" in self._buffers:  # else: follow_scale
            self.tape.scale = scale_value(self.scale)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._settle()
        super()._save_to_state_dict(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        probe = fn(torch.zeros((), dtype=torch.float32))
        if probe.dtype != torch.float32:
            raise ConfigError(
                f"analog weights are float32, they cannot become {probe.dtype}: convert the "
                "digital layers one by one instead"
            )
        super()._apply(fn, recurse)
        if not self.weight.is_contiguous():  # the tiles' rows stay as they are (channels_last)
            self.weight.data = self.weight.data.contiguous()
        self._moved()
        return self

    def _moved(self) -> None:
        """The tensors were replaced or filled from outside: what was recorded is void."""
        self.tape.queue.clear()
        self.tape.views, self.tape.version = None, version_of(self.weight)
        self.weight.__class__ = AnalogWeight  # some moves put torch's own class in its place
        self.weight.layer = self

    def extra_repr(self) -> str:
        """Torch's text plus the algorithm and the scale."""
        return f"{super().extra_repr()}, scale={scale_value(self.scale):.4g}, {self.algorithm!r}"


def analog_layers(model: nn.Module) -> dict[str, AnalogModule]:
    """The analog layers of a model by module name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, AnalogModule)}
