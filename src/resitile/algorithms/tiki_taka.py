"""Tiki-Taka (TT-v1): a fast tile gathers the gradient, a slow one the fast one's content."""

from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.algorithms.parts import MOST_COLUMNS, next_columns
from resitile.cost import Layer, Work
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors


class TikiTaka(Algorithm, name="tiki_taka", title="TT-v1"):
    """W = C + gamma * A; gradients go to A (tile 1), columns of A to C (tile 0), by pulses.

    A's devices pull towards their symmetric point, so that A holds a leaky sum of recent
    gradients, free of the single tile's bias. Digital are a counter and a column pointer only.
    With gamma 0, the default, A is hidden from the forward pass. With gamma above 0 the method is
    the residual learning of two tiles (`ResidualLearning(tiles=2)`).

    Args:
        device: the device of both tiles, or those of C and A.
        gamma: share of A in the weight, in [0, 1).
        fast_lr: step of A; None takes the optimizer's learning rate.
        transfer_every: mini-batches between transfers (aihwkit's `units_in_mbatch`).
        transfer_lr: step of the transfers.
        scale_transfer_lr: multiply it by the optimizer's learning rate.
        columns: columns per transfer, cyclically; 0 moves all.

    References:
        Gokmen and Haensch 2020, Front. Neurosci. 14:103; aihwkit's `TransferCompound`, of which
        resets and random columns are left out.
    """

    gamma: float = 0.0
    fast_lr: float | None = None
    transfer_every: int = 1
    transfer_lr: float = 1.0
    scale_transfer_lr: bool = True
    columns: int = 1

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("gamma", self.gamma)
        if self.gamma >= 1:
            raise ConfigError(f"gamma must lie in [0, 1), got {self.gamma}")
        check_number("fast_lr", self.fast_lr, optional=True)
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_flag("scale_transfer_lr", self.scale_transfer_lr)
        check_number("columns", self.columns, 0, MOST_COLUMNS, whole=True)

    @property
    def count(self) -> int:
        """Two tiles: C and A."""
        return 2

    @property
    def ratio(self) -> float:
        """gamma."""
        return self.gamma

    def init(self, shape: tuple[int, int]) -> State:
        """steps: mini-batches seen; column: the next one to be read."""
        del shape
        return {"steps": np.zeros(1, dtype=np.int64), "column": np.zeros(1, dtype=np.int64)}

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """A <- A - alpha * grad; now and then C <- C + beta * A, column by column."""
        weight.pulse(1, batch, lr if self.fast_lr is None else self.fast_lr)
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every:
            return
        beta = self.transfer_lr * (lr if self.scale_transfer_lr else 1.0)
        for column in next_columns(state, weight.w.shape[1], self.columns):
            weight.transfer(1, 0, column, beta)

    def reads(self, layer: Layer) -> float:
        """1 / n_s: columns of A read per sample."""
        return layer.columns_per_sample(self.transfer_every, self.columns)

    def work(self, layer: Layer, reads: float) -> Work:
        """Analog SGD, and a read and a pulse train for every transferred column."""
        return Work(
            periods=layer.primitives.train_length * (layer.vectors + reads),
            reads=reads,
            flops=layer.lines * layer.vectors,
            storage=layer.lines,
            tiles=2,
            visible=2 if self.gamma else 1,
        )
