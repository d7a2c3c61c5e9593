"""Mixed precision (MP): the gradient adds up digitally, full pulses go to the tile."""

from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_number
from resitile.cost import Layer, Work
from resitile.errors import ConfigError, UpdateError
from resitile.tiles import Composite, PulseTrain, Vectors

_LARGEST = 1e30  # change of a weight in a mini-batch: sums of such in float32 are finite


class MixedPrecision(Algorithm, name="mixed_precision", title="MP"):
    """chi <- chi - lr * grad, digitally; the whole pulses in chi are sent and taken off it.

    The tile serves for the matrix products only. chi has a float for every weight, and every
    mini-batch needs the dense gradient: the accuracy is the best of the open-loop methods, the
    digital cost the highest. The outer product is computed in float32 (aihwkit may also bin it).

    Args:
        device: of the tile.
        transfer_every: mini-batches between transfers from chi to the tile.
        transfer_lr: what the pulses sent are multiplied by.
        granularity: change of a weight that one pulse stands for; None takes dw_min.

    References:
        Nandakumar et al. 2020, Front. Neurosci. 14:406; aihwkit's `MixedPrecisionCompound`: a row
        is sent as one vector, so that its largest entry gets exactly its pulses and the others
        theirs on average. Pulses leave at the end of the mini-batch that brought them; aihwkit's
        CPU code sends them with the first vector of the next one, whose gradients were computed
        without them. What is beyond a train of 31 pulses waits in chi; aihwkit drops it.
    """

    transfer_every: int = 1
    transfer_lr: float = 1.0
    granularity: float | None = None

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_number("granularity", self.granularity, optional=True)
        if self.granularity == 0:
            raise ConfigError("granularity must be above 0, got 0; None takes dw_min")

    def init(self, shape: tuple[int, int]) -> State:
        """steps: mini-batches seen; chi: change that is still to be sent, in weight units."""
        return {
            "steps": np.zeros(1, dtype=np.int64),
            "chi": np.zeros(shape, dtype=np.float32),
        }

    def reset(self, state: State) -> None:
        """Empty chi."""
        state["chi"][...] = 0

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """chi <- chi - lr * grad; its whole pulses move to the tile."""
        chi = state["chi"]
        most = lr * sum(vectors.most for vectors in batch)
        if not most < _LARGEST:
            raise UpdateError(
                f"a mini-batch asks weights to change by up to {most:.3g}, more than chi can hold "
                f"({_LARGEST:g}); lower the learning rate"
            )
        for vectors in batch:
            rows = slice(vectors.row0, vectors.row0 + vectors.d.shape[1])
            chi[rows] -= lr * vectors.outer()
        state["steps"][0] += 1
        if state["steps"][0] % self.transfer_every:
            return
        unit = np.float32(self.granularity or weight.tiles[0].device.dw_min)
        change = float(unit) * self.transfer_lr
        pulses = np.trunc(chi / unit)
        if change > 0:  # no more than a train holds; what is beyond stays in chi
            train = PulseTrain().bits * weight.tiles[0].device.dw_min * (1 + 1e-6)  # float32
            most = max(train // change, 1)
            look = weight.watch.look  # now and then
            look("stored", 0, most * change, lambda: float(np.mean(np.abs(pulses) > most)))
            np.clip(pulses, -most, most, out=pulses)
        if pulses.any():
            chi -= pulses * unit
            weight.write(0, pulses, change)

    def floor(self) -> float:
        """The digital store waits for whole pulses."""
        return self.rounding(0)

    def work(self, layer: Layer, reads: float) -> Work:
        """D/B periods, 2D^2 + D operations, D^2 + 2DB values, chi read and written per batch.

        A row of pulses is one period; the rows are sent one after the other
        [arXiv 2510.02516, Table 5].
        """
        p, b = layer.primitives, layer.batch
        return Work(
            periods=layer.d_out / (b * self.transfer_every),
            reads=reads,
            flops=(p.outer_flops * layer.weights + layer.d_in) * layer.vectors,
            storage=layer.weights + layer.lines * b * layer.vectors,
            memory_bits=2 * p.word_bits * layer.weights / b,
        )
