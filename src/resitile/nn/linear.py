"""`nn.Linear` on crossbar tiles."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resitile.algorithms import Algorithm
from resitile.nn.analog import AnalogModule
from resitile.nn.glue import accumulates, apply_of, finish, once
from resitile.nn.tape import as_array
from resitile.tiles import Vectors, rows


class _Linear(torch.autograd.Function):
    """x W^T + b; backward gives dL/dx and dL/db and records (x, dL/dy) for the tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: Any) -> Tensor:
        ctx.layer, ctx.at = layer, layer.tape.enter()
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_w, needs_b, _ = ctx.needs_input_grad
        dx = db = None
        if needs_x:
            ctx.layer.tape.check(ctx.at)
            dx = d @ weight
        if needs_b:
            db = (d if d.dim() == 2 else d.reshape(-1, d.shape[-1])).sum(0)
        if needs_w and accumulates(ctx):
            ctx.layer.tape.record(ctx.at, x, d)
        return dx, None, db, None


_linear = apply_of(_Linear)


class AnalogLinear(AnalogModule, nn.Linear):
    """y = x W^T + b with W held by tiles; the bias is digital.

    Args:
        in_features: d_in, columns of every tile.
        out_features: d_out, rows.
        bias: add a digital bias.
        algorithm: how the tiles learn, with their device.
        scale: output scale, weight = scale * sum_n gamma**n * tiles[n]: a number above 0, "auto"
            (3 / sqrt(fan-in) over the device's reach), "learnable" (starts at auto), or a scalar
            Parameter to start from.
        io: converters; only None (ideal) for now.
        seed: of pulses and device spread; None draws one from torch's generator. It is stored.

    Raises:
        ConfigError: if a setting is impossible.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        algorithm: Algorithm,
        scale: Any = 1.0,
        io: None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, dtype=torch.float32)
        self._make_analog(algorithm, scale, io, seed)

    def forward(self, input: Tensor) -> Tensor:
        """(*batch, d_in) -> (*batch, d_out), in the input's own floating-point type."""
        return finish(self, input, _linear, F.linear)

    def vectors(self, x: Tensor, d: Tensor) -> list[Vectors]:
        """One vector per batch element (and per any further leading axis)."""
        if d.dim() != 2:
            x, d = x.reshape(-1, x.shape[-1]), d.reshape(-1, d.shape[-1])
        return [rows(as_array(x), as_array(d))]
