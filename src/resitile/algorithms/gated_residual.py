"""Gated residual learning: pulses on the weight only where hidden tiles have gathered evidence."""

from collections.abc import Sequence
from functools import cached_property

from resitile.algorithms.auto_schedule import stage_at
from resitile.algorithms.base import Algorithm, State, check_number
from resitile.algorithms.evidence import (
    columns_due,
    counters,
    gate_of,
    opened,
    remember,
    renewing_step,
)
from resitile.algorithms.parts import MOST_COLUMNS, send_pulses
from resitile.cost import Layer, Work
from resitile.devices import Device
from resitile.tiles import Composite, Vectors


class GatedResidualLearning(Algorithm, name="gated_residual_learning", title="gated MT-RL"):
    """Residual learning whose finer tiles are hidden and gather evidence for the coarser ones.

    A few coarse tiles make the weight, W = sum_k gamma**k W(k). The finest tile takes the gradient.
    Its columns are read in turn and pulsed onto the evidence tiles between, one pass on each, so
    that these remember independent passes. Now and then the sum of the evidence tiles is read: a
    device of the tile that is being trained gets one sure pulse where that sum is larger than noise
    alone would make it, and elsewhere nothing happens. So a tile whose target is reached comes to
    rest, where an ungated transfer would fill it with noise as large as the device. The tiles of
    the weight are trained one after the other, coarsest first, the last of them to the end.

    Nothing is stored digitally for a weight: the gate is a comparator at the read-out. Digital are
    counters and the mean strength of the gradients. Reads are open loop, nothing is reset.

    Args:
        device: the device of every tile, or one per tile: weight, evidence, gradient.
        tiles: number of tiles, at least 3.
        weight_tiles: how many of them make the weight; None is a third of them, at least one. The
            last tile takes the gradient, those between gather evidence.
        gamma: ratio between neighbouring tiles of the weight, in (0, 1).
        columns: columns of the gradient tile read after each mini-batch, at most all.
        fresh: how often a device of the gradient tile is renewed between two reads, above 0; sets
            the step of that tile. One renewal is 1 / D pulses, each of which replaces a share D:
            two pulses at 4 states. Pulse trains of 31 slots bound it: fine devices and few vectors
            between two reads get less.
        refill: how much of a device of an evidence tile one pass renews, above 0; sets the step of
            transfers. At 4 states 0.125 is a pulse in every fourth pass.
        decisions: rate of decisions about a device, per mini-batch and learning rate: with 0.03
            and lr 0.1 it may get a pulse every 333 mini-batches. A schedule of the learning rate
            so calms the weight down. Some ten decisions an epoch are a good start; for short epochs
            raise this rather than the learning rate, which moves digital biases as well.
        alarm: share of decisions that noise alone would let pass the gate, in (0, 1), if pulses
            were independent; sets the gate from the evidence tiles' number and states. Trains of
            several pulses, spread between bounds and passes that overlap make it more:
            docs/gates.md. The gate is that of soft bounds; other laws need trying.
        stage_steps: mini-batches for which each tile of the weight but the last is trained. With
            one weight tile it has no meaning, and nor has gamma.

    References:
        Builds on Li et al. 2025 (arXiv 2510.02516); gate, hidden tiles and the pace of decisions
        are this package's own.
    """

    tiles: int = 6
    weight_tiles: int | None = None
    gamma: float = 0.5
    columns: int = 50
    fresh: float = 2.0
    refill: float = 0.125
    decisions: float = 0.03
    alarm: float = 0.01
    stage_steps: int = 10_000

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("tiles", self.tiles, 3, 64, whole=True)
        check_number(
            "weight_tiles", self.weight_tiles, 1, self.tiles - 2, whole=True, optional=True
        )
        check_number("columns", self.columns, 1, MOST_COLUMNS, whole=True)
        check_number("stage_steps", self.stage_steps, 1, whole=True)
        for name in ("gamma", "alarm"):
            check_number(name, getattr(self, name), 0, 1, open_ends=True)
        for name in ("fresh", "refill", "decisions"):
            check_number(name, getattr(self, name), 0, open_ends=True)
        if isinstance(self.device, Device) or len(self.device) == self.tiles:
            _ = self.gate  # refuses devices that no gate fits

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.tiles

    @property
    def ratio(self) -> float:
        """gamma."""
        return self.gamma

    @property
    def visible(self) -> int:
        """Number of tiles that make the weight."""
        return max(self.tiles // 3, 1) if self.weight_tiles is None else self.weight_tiles

    @cached_property  # a decision asks for it after every mini-batch
    def gate(self) -> float:
        """How large the mean of the evidence tiles must be for a pulse, in weight units."""
        return gate_of(self.devices()[self.visible : -1], self.alarm)

    def init(self, shape: tuple[int, int]) -> State:
        """Counters only: those of `evidence.counters`, of reads (0) and of decisions (1)."""
        del shape
        return counters(2)

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """The gradient to the last tile, its columns to the evidence tiles; then decisions."""
        state["steps"][0] += 1
        stage = stage_at(int(state["steps"][0]), self.stage_steps, self.visible - 1)
        state["stage"][0] = stage
        d_in = weight.w.shape[1]
        columns = min(self.columns, d_in)
        alpha = renewing_step(weight, state, batch, self.fresh * (columns / d_in))
        weight.pulse(self.tiles - 1, batch, alpha)
        self._gather(weight, state, columns)
        self._decide(weight, state, stage, self.decisions * lr * d_in)

    def _gather(self, weight: Composite, state: State, columns: int) -> None:
        """The next columns of the gradient tile, to the evidence tile whose turn it is."""
        evidence = self.tiles - 1 - self.visible
        for turn, chosen in columns_due(state, 0, columns, weight.w.shape[1]):
            remember(weight, self.visible + turn % evidence, chosen, self.refill)

    def _decide(self, weight: Composite, state: State, stage: int, due: float) -> None:
        """One sure pulse where the evidence exceeds what noise would make."""
        for _, chosen in columns_due(state, 1, due, weight.w.shape[1]):
            fired = opened(weight, self.visible, self.tiles - 1, chosen, self.gate)
            send_pulses(weight, stage, chosen, fired)

    def floor(self) -> float:
        """Rounding to whole pulses of the last tile that makes the weight."""
        return self.rounding(self.visible - 1)

    def reads(self, layer: Layer) -> float:
        """Columns read per sample: those of the gradient tile, and decisions.

        Decisions follow the learning rate. This takes the layer's; where it falls, give `cost`
        counted columns.
        """
        decided = min(self.decisions * layer.lr, 1.0) * layer.d_in / layer.batch
        return min(self.columns, layer.d_in) / layer.batch + decided

    def work(self, layer: Layer, reads: float) -> Work:
        """Analog SGD, a read and a pulse train for every column, and a comparison of every value.

        The means of |x| and |d|, too, are digital. Trains of a decision are one period long and
        counted as whole ones.
        """
        return Work(
            periods=layer.primitives.train_length * (layer.vectors + reads),
            reads=reads,
            flops=2 * layer.lines * layer.vectors + layer.rows * reads,
            storage=layer.lines,
            tiles=self.tiles,
            visible=self.visible,
        )
