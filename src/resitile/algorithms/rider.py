"""RIDER and E-RIDER: residual learning that tracks an unknown symmetric point."""

from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.algorithms.parts import MOST_COLUMNS, next_columns
from resitile.cost import Layer, Work
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors


class RIDER(Algorithm, name="rider", title="RIDER"):
    """W + gamma * c * (P - Q): P (tile 1) takes the gradient, W (tile 0) what P gained over Q.

    Q is a digital low-pass of P and follows the symmetric point to which P's devices decay. With
    `chop_prob` above 0 (E-RIDER) a sign c of the gradient flips now and then, and the weight and
    the transfers use a copy of Q that is renewed at each flip only. Digital: Q and its copy, two
    floats for every weight.

    Args:
        device: the device of both tiles, or those of W and P.
        gamma: share of the residual in the weight, in (0, 1].
        fast_lr: step alpha of P; None takes the optimizer's learning rate.
        transfer_every: mini-batches between transfers.
        transfer_lr: step beta of the transfers.
        scale_transfer_lr: multiply it by the optimizer's learning rate.
        filter_lr: eta, the part of the difference by which Q moves to P at every read, in [0, 1].
        chop_prob: probability that the sign flips after a transfer; 0 is RIDER.
        columns: columns per transfer, cyclically; 0 moves all, as the paper's equations do. Q
            moves where P was read.

    References:
        Xiao et al. 2026 (arXiv 2602.21321), Eqs. 11, 12 and 18; the copy of Q, an analog array
        there, is exact here.
    """

    gamma: float = 0.1
    fast_lr: float | None = None
    transfer_every: int = 1
    transfer_lr: float = 1.0
    scale_transfer_lr: bool = True
    filter_lr: float = 0.05
    chop_prob: float = 0.0
    columns: int = 1

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("gamma", self.gamma)
        if not 0 < self.gamma <= 1:
            raise ConfigError(f"gamma must lie in (0, 1], got {self.gamma}")
        check_number("fast_lr", self.fast_lr, optional=True)
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_flag("scale_transfer_lr", self.scale_transfer_lr)
        check_number("filter_lr", self.filter_lr, 0, 1)
        check_number("chop_prob", self.chop_prob, 0, 1)
        check_number("columns", self.columns, 0, MOST_COLUMNS, whole=True)

    @property
    def count(self) -> int:
        """Two tiles: W and P."""
        return 2

    @property
    def ratio(self) -> float:
        """gamma."""
        return self.gamma

    def init(self, shape: tuple[int, int]) -> State:
        """The digital state.

        Returns:
            steps: mini-batches seen. column: the next one. turned: not 0 while the sign is
            flipped, for every column alike. filtered: Q. reference: the copy of Q in use.
        """
        return {
            "steps": np.zeros(1, dtype=np.int64),
            "column": np.zeros(1, dtype=np.int64),
            "turned": np.zeros(shape[1], dtype=np.uint8),
            "filtered": np.zeros(shape, dtype=np.float32),
            "reference": np.zeros(shape, dtype=np.float32),
        }

    def reset(self, state: State) -> None:
        """Q starts again from 0."""
        state["filtered"][...] = 0
        state["reference"][...] = 0

    def compose(self, weight: Composite, state: State) -> None:
        """The weight is scale * (W + gamma * c * (P - Q))."""
        share = weight.scale * self.gamma * (-1 if state["turned"].any() else 1)
        weight.coefficients[1] = share
        weight.refresh()
        weight.weight -= np.float32(share) * state["reference"]

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """P <- P - alpha * c * grad; Q <- Q + eta (P - Q); W <- W + beta * c * (P - Q)."""
        for vectors in batch:
            vectors.turned = state["turned"]
        weight.pulse(1, batch, lr if self.fast_lr is None else self.fast_lr)
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every == 0:
            self._transfer(weight, state, lr)
        self.compose(weight, state)

    def _transfer(self, weight: Composite, state: State, lr: float) -> None:
        beta = self.transfer_lr * (lr if self.scale_transfer_lr else 1.0)
        filtered, reference = state["filtered"], state["reference"]
        for column in next_columns(state, weight.w.shape[1], self.columns):
            content = weight.read(1, column)
            gained = content - reference[:, column]  # over Q as it was, P_{k+1} - Q_k
            filtered[:, column] += self.filter_lr * (content - filtered[:, column])
            if self.chop_prob == 0:
                reference[:, column] = filtered[:, column]
            sign = -1 if state["turned"][column] else 1
            weight.write_column(0, column, sign * gained, beta)
        if self.chop_prob and weight.uniform(int(state["steps"][0])) < self.chop_prob:
            state["turned"] ^= 1
            reference[...] = filtered

    def reads(self, layer: Layer) -> float:
        """1 / n_s: columns of P read per sample."""
        return layer.columns_per_sample(self.transfer_every, self.columns)

    def work(self, layer: Layer, reads: float) -> Work:
        """TT-v1 with Q in digital, D^2 values, and its copy on a third tile, as in the paper.

        Counted from `step`, not published: 4 operations for an entry that was read (3 for the
        low-pass, 1 for the difference), Q read and written. The copy is rewritten by pulse trains:
        a column after each read, or (E-RIDER) all of it when the sign flips.
        """
        flips = self.chop_prob / (self.transfer_every * layer.batch)  # per sample
        copied = layer.d_in * flips if self.chop_prob else reads
        word = layer.primitives.word_bits
        return Work(
            periods=layer.primitives.train_length * (layer.vectors + reads + copied),
            reads=reads,
            flops=layer.lines * layer.vectors + 4 * layer.rows * reads,
            storage=layer.weights + layer.lines,
            memory_bits=2 * word * layer.rows * reads + word * layer.weights * flips,
            tiles=3,
        )
