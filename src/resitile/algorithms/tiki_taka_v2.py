"""Tiki-Taka v2 (TT-v2): a digital buffer between the fast tile and the weight."""

from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.algorithms.parts import MOST_COLUMNS, next_columns, release, send_pulses
from resitile.cost import Layer, Work
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors


class TikiTakaV2(Algorithm, name="tiki_taka_v2", title="TT-v2"):
    """Gradients go to A (tile 1); what is read from A adds up in H; full pulses of H go to C.

    H is digital, one float for every weight: it averages the noise of A away, at the price of
    that memory. A device of C gets one pulse at a time, when its entry of H has reached a
    threshold.

    Args:
        device: the device of both tiles, or those of C and A.
        gamma: share of A in the weight, in [0, 1); 0 hides A.
        fast_lr: step of A; None takes the optimizer's learning rate.
        transfer_every: mini-batches between reads of A.
        transfer_lr: what a read is multiplied by before it is added to H; with gamma above 0 also
            multiplied by gamma, as in aihwkit.
        scale_transfer_lr: multiply it by the optimizer's learning rate.
        threshold: of H, in dw_min of C.
        momentum: part of an entry that stays in H after its pulse, in [0, 1].
        forget_buffer: it is that part of the whole entry; otherwise only the pulse's own worth,
            less that part of it, is taken away.
        columns: columns per transfer, cyclically; 0 reads all.

    References:
        Gokmen 2021, Front. Artif. Intell. 4:699148; aihwkit's `BufferedTransferCompound`, of which
        trains of more than one pulse are left out.
    """

    gamma: float = 0.0
    fast_lr: float | None = None
    transfer_every: int = 1
    transfer_lr: float = 1.0
    scale_transfer_lr: bool = True
    threshold: float = 1.0
    momentum: float = 0.1
    forget_buffer: bool = True
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
        check_number("threshold", self.threshold)
        if self.threshold == 0:
            raise ConfigError("threshold must be above 0, got 0")
        check_number("momentum", self.momentum, 0, 1)
        check_flag("forget_buffer", self.forget_buffer)
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
        """steps: mini-batches seen; column: the next one; buffer: H, in pulses of C."""
        return {
            "steps": np.zeros(1, dtype=np.int64),
            "column": np.zeros(1, dtype=np.int64),
            "buffer": np.zeros(shape, dtype=np.float32),
        }

    def reset(self, state: State) -> None:
        """Empty H."""
        state["buffer"][...] = 0

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """A <- A - alpha * grad; H <- H + beta * A; C takes the full pulses of H."""
        weight.pulse(1, batch, lr if self.fast_lr is None else self.fast_lr)
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every:
            return
        beta = self.transfer_lr * (lr if self.scale_transfer_lr else 1.0) * (self.gamma or 1.0)
        worth = beta / (self.threshold * weight.tiles[0].device.dw_min)
        for column in next_columns(state, weight.w.shape[1], self.columns):
            held = state["buffer"][:, column]
            held += worth * weight.read(1, column)
            send_pulses(
                weight,
                0,
                np.array([column]),
                release(held, self.momentum, self.forget_buffer)[None],
            )

    def floor(self) -> float:
        """The digital store waits for whole pulses."""
        return self.rounding(0)

    def reads(self, layer: Layer) -> float:
        """1 / n_s: columns of A read per sample."""
        return layer.columns_per_sample(self.transfer_every, self.columns)

    def work(self, layer: Layer, reads: float) -> Work:
        """l_avg + 1/n_s periods, 2D + 2D/n_s operations, D^2 + 2D values, H read and written.

        A column sends one pulse [arXiv 2510.02516, Table 5].
        """
        return Work(
            periods=layer.primitives.train_length * layer.vectors + reads,
            reads=reads,
            flops=layer.lines * layer.vectors + 2 * layer.rows * reads,
            storage=layer.weights + layer.lines,
            memory_bits=2 * layer.primitives.word_bits * layer.rows * reads,
            tiles=2,
            visible=2 if self.gamma else 1,
        )
