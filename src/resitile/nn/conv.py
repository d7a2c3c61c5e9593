"""`nn.Conv1d`, `nn.Conv2d` and `nn.Conv3d` on crossbar tiles."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resitile.algorithms import Algorithm
from resitile.nn.analog import AnalogModule
from resitile.nn.glue import accumulates, apply_of, finish, once
from resitile.nn.tape import as_array
from resitile.tiles import Vectors, patches


class _Conv(torch.autograd.Function):
    """Convolution; backward computes no weight gradient but records (x, dL/dy) for the tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any) -> Tensor:
        ctx.layer, ctx.at = layer, layer.tape.enter()
        ctx.save_for_backward(x, weight)
        return layer.convolve(x, weight, bias)  # type: ignore[no-any-return]

    @staticmethod
    @once
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        layer = ctx.layer
        needs_x, needs_w, needs_b, _ = ctx.needs_input_grad
        dx = db = None
        if needs_x:
            layer.tape.check(ctx.at)
            dx = layer.convolve_back(d, weight, x.shape[2:])
        if needs_b:
            db = d.sum([0, *range(2, d.dim())])
        if needs_w and accumulates(ctx):
            layer.tape.record(ctx.at, x, d)
        return dx, None, db, None


_conv = apply_of(_Conv)


class _AnalogConv(AnalogModule):
    """What the three convolutions share; every one of torch's arguments is honoured.

    Each patch of the input is one vector of the update. Groups are blocks of rows with columns of
    their own. Padding other than zeros is applied before the crossbar, as torch does.
    """

    spatial: int
    _op: Any
    _op_back: Any

    def forward(self, input: Tensor) -> Tensor:
        """Torch's shapes: ([n,] channels, *size) -> ([n,] d_out, *out)."""
        single = input.dim() == self.spatial + 1
        x = input.unsqueeze(0) if single else input
        if self.padding_mode != "zeros":
            x = F.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
        elif isinstance(self.padding, str):  # "same": may need one more zero on one side
            x = F.pad(x, self._reversed_padding_repeated_twice)
        y = finish(self, x, _conv, self.convolve)
        return y.squeeze(0) if single else y

    @functools.cached_property
    def zeros(self) -> tuple[int, ...]:
        """Zero padding that the convolution itself applies, per axis."""
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return (0,) * self.spatial
        return self.padding  # type: ignore[no-any-return]

    @functools.cached_property
    def margins(self) -> list[int]:
        """The same as `F.pad` takes it; empty if there is none."""
        sides = [side for zeros in reversed(self.zeros) for side in (zeros, zeros)]
        return sides if any(sides) else []

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The plain convolution with this layer's geometry."""
        return self._op(x, weight, bias, self.stride, self.zeros, self.dilation, self.groups)  # type: ignore[no-any-return]

    def convolve_back(self, d: Tensor, weight: Tensor, size: tuple[int, ...]) -> Tensor:
        """dL/dx of `convolve` for an input of spatial `size`: the transposed convolution of d.

        Torch's own backward of a convolution takes as long but is reached by a slower call.
        """
        left = [  # pixels beyond the last patch
            n + 2 * p - dilation * (k - 1) - 1 - (out - 1) * stride
            for n, p, dilation, k, out, stride in zip(
                size, self.zeros, self.dilation, self.kernel_size, d.shape[2:], self.stride,
                strict=True,
            )
        ]  # fmt: skip
        return self._op_back(  # type: ignore[no-any-return]
            d, weight, None, self.stride, self.zeros, left, self.groups, self.dilation
        )

    def vectors(self, x: Tensor, d: Tensor) -> list[Vectors]:
        """One vector per patch; a block of rows per group."""
        if self.margins:
            x = F.pad(x, self.margins)
        return patches(
            as_array(x),
            as_array(d),
            kernel=self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
        )


_ARGUMENTS = """

    Args:
        algorithm: how the tiles learn, with their device.
        scale: output scale, see `AnalogLinear`.
        io: converters; only None (ideal) for now.
        seed: of pulses and device spread; None draws one from torch's generator. It is stored.
        **torch_arguments: bias, stride, padding, dilation, groups, padding_mode.

    Raises:
        ConfigError: if a setting is impossible.
    """


def _make(base: type, spatial: int, op: Any, back: Any) -> Any:
    def init(
        self: Any,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        algorithm: Algorithm,
        scale: Any = 1.0,
        io: None = None,
        seed: int | None = None,
    ) -> None:
        base.__init__(  # type: ignore[misc]
            self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups,
            bias, padding_mode, dtype=torch.float32,
        )  # fmt: skip
        self._make_analog(algorithm, scale, io, seed)

    name = f"Analog{base.__name__}"
    doc = f"nn.{base.__name__} with its weight held by tiles; torch's arguments come first."
    return type(
        name,
        (_AnalogConv, base),
        {
            "__init__": init,
            "__doc__": doc + _ARGUMENTS,
            "__module__": __name__,
            "__qualname__": name,
            "spatial": spatial,
            "_op": staticmethod(op),
            "_op_back": staticmethod(back),
        },
    )


AnalogConv1d = _make(nn.Conv1d, 1, F.conv1d, F.conv_transpose1d)
AnalogConv2d = _make(nn.Conv2d, 2, F.conv2d, F.conv_transpose2d)
AnalogConv3d = _make(nn.Conv3d, 3, F.conv3d, F.conv_transpose3d)
