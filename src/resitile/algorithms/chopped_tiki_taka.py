"""Chopped Tiki-Taka v2 (c-TTv2): signs that flip now and then turn an offset into noise."""

import math
from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.algorithms.parts import MOST_COLUMNS, next_columns, release, send_pulses
from resitile.cost import Layer, Work
from resitile.errors import ConfigError
from resitile.tiles import Composite, PulseTrain, Vectors

# Divisors: what is less makes periods and steps that no computer can hold.
_LEAST = {"chop_prob": 1e-15, "granularity": 1e-15, "auto_granularity": 1e-15}


class ChoppedTikiTaka(Algorithm, name="chopped_tiki_taka", title="c-TTv2"):
    """TT-v2 whose columns of A (tile 1, hidden) see their input with a sign that flips.

    What is read from a column is given its sign back before it enters the digital buffer H, so
    that a symmetric point of A's devices other than 0 averages out over the periods of the sign.
    Digital: H, one float for every weight, and a sign for every column.

    Args:
        device: the device of both tiles, or those of C and A.
        fast_lr: step of A; None takes the optimizer's learning rate.
        transfer_every: mini-batches between reads of A (aihwkit counts vectors here).
        transfer_lr: what a read is multiplied by on its way into H.
        scale_transfer_lr: multiply it by the optimizer's learning rate.
        chop_prob: probability that a column's sign flips after it was read.
        random_chop: flip at random; otherwise after every ceil(1 / chop_prob) reads, at least 2.
        granularity: content of A, in its dw_min, that is worth one pulse of C at transfer_lr 1.
        auto_granularity: if above 0, multiply the granularity by it over the mini-batches between
            two reads of the same column.
        momentum: part of an entry that stays in H after its pulse, in [0, 1].
        forget_buffer: see `TikiTakaV2`.
        auto_scale: multiply A's step by bits * dw_min / (mean max |x| * mean max |d|), so that a
            step of 1 fills a pulse train.
        auto_momentum: of those running means, in [0, 1).
        correct_gradient_magnitudes: count the granularity in dw_min of C, and divide what is read
            by A's step.
        bits: longest pulse train onto A.
        columns: columns per transfer, cyclically; 0 reads all.

    References:
        Rasch et al. 2024, Nat. Commun. 15:7133; aihwkit's `ChoppedTransferCompound`, of which
        choppers on the rows (off by default there) and pulse trains onto C are left out. The means
        of auto_scale move once a mini-batch and before its update; there a little at every vector.
    """

    fast_lr: float | None = None
    transfer_every: int = 1
    transfer_lr: float = 1.0
    scale_transfer_lr: bool = True
    chop_prob: float = 0.1
    random_chop: bool = True
    granularity: float = 1.0
    auto_granularity: float = 0.0
    momentum: float = 0.0
    forget_buffer: bool = True
    auto_scale: bool = False
    auto_momentum: float = 0.99
    correct_gradient_magnitudes: bool = False
    bits: int = 31
    columns: int = 1

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("fast_lr", self.fast_lr, optional=True)
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_number("chop_prob", self.chop_prob, 0, 1)
        check_number("granularity", self.granularity)
        if self.granularity == 0:
            raise ConfigError("granularity must be above 0, got 0")
        check_number("auto_granularity", self.auto_granularity)
        for name, least in _LEAST.items():
            if 0 < getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least:g}, got {getattr(self, name)}")
        check_number("momentum", self.momentum, 0, 1)
        check_number("auto_momentum", self.auto_momentum)
        if self.auto_momentum >= 1:
            raise ConfigError(f"auto_momentum must lie in [0, 1), got {self.auto_momentum}")
        check_number("bits", self.bits, 1, 32, whole=True)
        check_number("columns", self.columns, 0, MOST_COLUMNS, whole=True)
        flags = ("scale_transfer_lr", "random_chop", "forget_buffer", "auto_scale")
        for name in (*flags, "correct_gradient_magnitudes"):
            check_flag(name, getattr(self, name))

    @property
    def count(self) -> int:
        """Two tiles: C and the hidden A."""
        return 2

    @property
    def ratio(self) -> float:
        """0: A is no part of the weight."""
        return 0.0

    @property
    def period(self) -> int:
        """Reads of a column between two flips of its sign (on average, if at random)."""
        return max(math.ceil(1 / self.chop_prob), 2)

    def init(self, shape: tuple[int, int]) -> State:
        """The digital state.

        Returns:
            steps: mini-batches seen. column: the next one. buffer: H, in pulses of C. turned: not
            0 where a column's sign is flipped. reads: of each column. largest: running means of
            max |x| and max |d|.
        """
        return {
            "steps": np.zeros(1, dtype=np.int64),
            "column": np.zeros(1, dtype=np.int64),
            "buffer": np.zeros(shape, dtype=np.float32),
            "turned": np.zeros(shape[1], dtype=np.uint8),
            "reads": np.zeros(shape[1], dtype=np.int64),
            "largest": np.zeros(2, dtype=np.float64),
        }

    def reset(self, state: State) -> None:
        """Empty H."""
        state["buffer"][...] = 0

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """A <- A - alpha * d (c x)^T; H <- H + c A; C takes the full pulses of H."""
        alpha = self.alpha(weight, state, batch, lr)
        for vectors in batch:
            vectors.turned = state["turned"]
        weight.pulse(1, batch, alpha, PulseTrain(self.bits))
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every:
            return
        worth = self.worth(weight, alpha, lr)
        for column in next_columns(state, weight.w.shape[1], self.columns):
            held = state["buffer"][:, column]
            content = weight.read(1, column)
            held += -worth * content if state["turned"][column] else worth * content
            send_pulses(
                weight,
                0,
                np.array([column]),
                release(held, self.momentum, self.forget_buffer)[None],
            )
            self.chop(weight, state, column)

    def floor(self) -> float:
        """The digital store waits for whole pulses."""
        return self.rounding(0)

    def reads(self, layer: Layer) -> float:
        """1 / n_s: columns of A read per sample."""
        return layer.columns_per_sample(self.transfer_every, self.columns)

    def work(self, layer: Layer, reads: float) -> Work:
        """As for TT-v2: signs are free [Rasch et al. 2024, Nat. Commun. 15:7133]."""
        return Work(
            periods=layer.primitives.train_length * layer.vectors + reads,
            reads=reads,
            flops=layer.lines * layer.vectors + 2 * layer.rows * reads,
            storage=layer.weights + layer.lines,
            memory_bits=2 * layer.primitives.word_bits * layer.rows * reads,
            tiles=2,
            visible=1,
        )

    def alpha(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> float:
        """The step of A; keeps the running means that `auto_scale` needs."""
        alpha = lr if self.fast_lr is None else self.fast_lr
        if not self.auto_scale:
            return alpha
        x = float(np.mean([v.x_max.mean() for v in batch]))
        d = float(np.mean([v.d_max.mean() for v in batch]))
        fresh = np.array([x, d])
        seen = state["largest"].all()
        part = 1 - self.auto_momentum if seen else 1.0
        state["largest"] += part * (fresh - state["largest"])
        product = float(state["largest"].prod())
        return alpha * self.bits * weight.tiles[1].device.dw_min / product if product else 0.0

    def worth(self, weight: Composite, alpha: float, lr: float) -> float:
        """Pulses of C that a unit of A's content is worth."""
        d_in = weight.w.shape[1]
        unit = self.granularity * weight.tiles[1].device.dw_min
        if self.auto_granularity:
            unit *= self.auto_granularity * (self.columns or d_in) / (d_in * self.transfer_every)
        beta = self.transfer_lr * (lr if self.scale_transfer_lr else 1.0)
        if not self.correct_gradient_magnitudes:
            return beta / unit
        unit *= weight.tiles[0].device.dw_min / weight.tiles[1].device.dw_min
        return beta / (unit * alpha) if alpha else 0.0

    def chop(self, weight: Composite, state: State, column: int) -> bool:
        """Count a read of a column and perhaps flip its sign; tells whether it flipped."""
        state["reads"][column] += 1
        reads = int(state["reads"][column])
        if self.chop_prob == 0:
            return False
        if self.random_chop:
            flip = weight.uniform(column, reads) < self.chop_prob
        else:
            flip = reads % self.period == 0
        state["turned"][column] ^= flip
        return flip
