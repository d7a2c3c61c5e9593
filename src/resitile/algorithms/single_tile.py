"""Analog SGD: one tile takes the gradient and is the weight."""

from collections.abc import Sequence

from resitile.algorithms.base import Algorithm, State
from resitile.cost import Layer, Work
from resitile.tiles import Composite, Vectors


class SingleTile(Algorithm, name="single_tile", title="analog SGD"):
    """W <- W - lr * grad * F(W) - |lr * grad| * G(W) + pulse noise, on a single tile.

    The baseline that collapses with few states: its error cannot fall below a floor that grows
    with the step of one pulse. Nothing is digital and no state is kept.

    References:
        Gokmen and Vlasov 2016; Li et al. 2025 (arXiv 2510.02516), Eq. 3.
    """

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """Pulse the gradient onto the tile."""
        del state
        weight.pulse(0, batch, lr)

    def work(self, layer: Layer, reads: float) -> Work:
        """l_avg pulse periods, 2D operations and 2D values [arXiv 2510.02516, Table 5]."""
        return Work(
            periods=layer.primitives.train_length * layer.vectors,
            reads=reads,
            flops=layer.lines * layer.vectors,
            storage=layer.lines,
        )
