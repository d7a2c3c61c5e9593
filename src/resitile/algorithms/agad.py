"""AGAD: chopped Tiki-Taka that measures its own reference on the fly."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resitile.algorithms.base import State, check_number
from resitile.algorithms.chopped_tiki_taka import ChoppedTikiTaka
from resitile.algorithms.parts import next_columns, release, send_pulses
from resitile.cost import Layer, Work
from resitile.tiles import Composite, PulseTrain, Vectors


class AGAD(ChoppedTikiTaka, name="agad", title="AGAD"):
    """c-TTv2 that subtracts from what it reads the mean of the column's last sign period.

    The mean content of a column, weighted towards the end of a period, becomes the reference of
    the next one, in which the gradient adds up the other way: neither the symmetric point nor its
    drift has to be known. Digital: H, the running mean and the reference, three floats for every
    weight.

    Args:
        device, fast_lr, ... as for `ChoppedTikiTaka`; signs flip at regular intervals unless
            random_chop is set.
        tail_weightening: how strongly the mean leans on the end of a period: the running mean
            takes the part min(tail_weightening / period, 1) of every read.

    References:
        Rasch et al. 2024, Nat. Commun. 15:7133; aihwkit's `DynamicTransferCompound`. As there, the
        pulses that H lets go up to and including the first read with a reference are dropped; with
        random_chop signs flip at random only (there at regular intervals besides).
    """

    random_chop: bool = False
    tail_weightening: float = 5.0

    def validate(self) -> None:
        """Check every setting against its range."""
        super().validate()
        check_number("chop_prob", self.chop_prob, 1e-9, 1)
        check_number("tail_weightening", self.tail_weightening)

    def init(self, shape: tuple[int, int]) -> State:
        """As for c-TTv2, and the running mean, the reference and whether a sign just flipped."""
        return {
            **super().init(shape),
            "mean": np.zeros(shape, dtype=np.float32),
            "reference": np.zeros(shape, dtype=np.float32),
            "flipped": np.zeros(shape[1], dtype=np.uint8),
        }

    def reset(self, state: State) -> None:
        """Start again in silence: programming empties A, so what was read of it is void."""
        super().reset(state)
        for name in ("mean", "reference", "flipped", "reads"):
            state[name][...] = 0

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """A <- A - alpha * d (c x)^T; H <- H + c (A - reference); C takes H's full pulses."""
        alpha = self.alpha(weight, state, batch, lr)
        for vectors in batch:
            vectors.turned = state["turned"]
        weight.pulse(1, batch, alpha, PulseTrain(self.bits))
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every:
            return
        worth = self.worth(weight, alpha, lr)
        part = min(self.tail_weightening / self.period, 1.0)
        for column in next_columns(state, weight.w.shape[1], self.columns):
            held, mean = state["buffer"][:, column], state["mean"][:, column]
            content = weight.read(1, column)
            if state["flipped"][column]:
                state["reference"][:, column] = mean
            gained = worth * (content - state["reference"][:, column])
            held += -gained if state["turned"][column] else gained
            pulses = release(held, self.momentum, self.forget_buffer)
            if state["reads"][column] > self.period:
                send_pulses(weight, 0, np.array([column]), pulses[None])
            mean += part * (content - mean)
            state["flipped"][column] = self.chop(weight, state, column)

    def work(self, layer: Layer, reads: float) -> Work:
        """TT-v2 with two more matrices: 3 D^2 + 2D values, 2D + 6D/n_s operations.

        The running mean takes 3 of the 4 further operations for an entry that was read, the
        reference 1. Storage and the time at n_s = 2 are those of Rasch et al. 2024 (Nat. Commun.
        15:7133); the traffic is counted from `step`: H and mean are read and written, the reference
        is read, and written once per period.
        """
        base, word = super().work(layer, reads), layer.primitives.word_bits
        return replace(
            base,
            flops=base.flops + 4 * layer.rows * reads,
            storage=base.storage + 2 * layer.weights,
            memory_bits=(5 + 1 / self.period) * word * layer.rows * reads,
        )
