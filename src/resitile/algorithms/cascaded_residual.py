"""Cascaded residual learning: evidence passes gate after gate before the weight gets a pulse."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from resitile.algorithms.auto_schedule import stage_at
from resitile.algorithms.base import Algorithm, State, check_number
from resitile.algorithms.evidence import (
    blocks_of,
    columns_due,
    counters,
    gate_of,
    half,
    opened,
    remember,
    renewing_step,
)
from resitile.algorithms.parts import send_pulses
from resitile.cost import Layer, Work
from resitile.devices import Device
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors

_LITTLE = 0.25  # share of its reach from which on a tile is cleared by pulses when its sign flips


class CascadedResidualLearning(
    Algorithm, name="cascaded_residual_learning", title="cascaded MT-RL"
):
    """Residual learning with several gates in a row between the gradient and the weight.

    A few coarse tiles make the weight, W = sum_k gamma**k W(k). The last tile takes the gradient,
    or several in turn do; reads of it are pulsed onto the first level of evidence tiles. After
    `passes` of them a level is read: where the mean of its tiles is larger than noise alone would
    make it, a device of the next level is pulsed until half of it is renewed (one pulse at 4
    states, never more than 31); after the last level, one of the weight gets one sure pulse. Every
    tile of the level is pulsed back by half a device, which clears it (a carry). A device of few
    states remembers two or three pulses, so what one level can tell from noise is little; but what
    passes its gate is several times as trustworthy as what it was fed, and levels multiply where
    more tiles side by side add. `GatedResidualLearning` is one level without carry.

    Nothing is stored digitally for a weight. Digital are counters, the mean strength of the
    gradients and the largest learning rate so far. Reads are open loop, nothing is verified. The
    gates are those of soft bounds with their symmetric point at 0; other laws need trying. What
    is not even between up and down (a device's bounds, or its steps) favours one direction, and
    every level adds to that; with `chop` the sign with which evidence is stored flips, so that it
    averages out. Above some 120 states 31 pulses no longer clear a level.

    Args:
        device: the device of every tile, or one per tile: weight, evidence (the level next to the
            weight first), gradients.
        weight_tiles: how many tiles make the weight, at least 1.
        levels: evidence tiles of each level, the one next to the gradient first; at least one
            level. A level of one tile is at the mercy of the spread between devices: one whose
            bound lies below the gate never passes it.
        gamma: ratio between neighbouring tiles of the weight, in (0, 1).
        pass_steps: mini-batches (or `blocks` of one) for one pass over the columns of the gradient
            tile, at least 1.
        fresh: how often a device of a gradient tile is renewed (1 / D pulses, D the share of
            itself that one replaces) in a pass in which the tile takes gradients, above 0; sets
            the step of that tile.
        refill: how much of a device of the first level one pass renews, in (0, 1]; sets the step
            of transfers. Later levels get half a device, one pulse at 4 states.
        passes: writes to a level between two reads of it, at least 1. A weight is decided on every
            pass_steps * passes**len(levels) mini-batches (or `blocks` of one).
        alarm: share of decisions that noise alone would let pass each gate, in (0, 1), if its
            tiles had long been pulsed at random by half a device at a time. It falls with the
            learning rate, as a share of the largest so far (so a rising one changes nothing): for
            tiles only the course of the rate matters. What really passes is more at the first level
            and far less after it: docs/gates.md.
        stage_steps: mini-batches for which each tile of the weight but the last is trained. With
            one weight tile it has no meaning, and nor has gamma.
        gradient_tiles: the last tiles, which take the gradients in turn and whose sum is read, at
            least 1. Three remember three times as many gradients, for no read and no pulse of a
            gradient more. Reads that follow each other then have much in common if a turn is a
            pass, so the gates open more often, to noise as well (docs/gates.md): the weight
            moves about twice as often, and as often in the right direction as before.
        turn_steps: mini-batches (or `blocks` of one) of a gradient tile's turn, at least 1; None is
            those of a pass. With pass_steps = turn_steps * gradient_tiles every tile has its turn
            between two reads, which so have nothing in common, and reads are that much rarer.
        chop: passes after which the first level and the gradient tiles change the sign with which
            they store, level l (from 0) after chop * passes**(2 l); 0 is never. Devices that hold
            more than a quarter of their reach are then pulsed back by half a device, which clears
            full ones and turns the others over. The last level may flip too rarely to matter, it
            adds least; the others should flip several times while a tile is trained.
        blocks: into how many blocks of whole samples a mini-batch of a convolution is cut, at
            least 1. A block is to the tiles what a mini-batch is else: a convolution, whose samples
            are many vectors, so has its columns read, and its weights decided on, more often than
            a linear layer. One with a single patch a sample is not cut.
        settle: what is left of `alarm` at the end of a stage, as a share, in (0, 1]: the gates
            close while a tile is trained, so that it is not left full of noise. The last stage
            follows the learning rate only.

    References:
        This package's own; builds on Li et al. 2025 (arXiv 2510.02516).
    """

    weight_tiles: int = 3
    levels: Sequence[int] = (3, 3)
    gamma: float = 0.5
    pass_steps: float = 5.0
    fresh: float = 2.0
    refill: float = 0.5
    passes: int = 4
    alarm: float = 0.1
    stage_steps: int = 10_000
    gradient_tiles: int = 1
    chop: int = 0
    blocks: int = 1
    settle: float = 1.0
    turn_steps: int | None = None

    def validate(self) -> None:
        """Check every setting against its range."""
        text = isinstance(self.levels, str | bytes)
        if text or not isinstance(self.levels, Sequence) or not self.levels:
            raise ConfigError(
                "levels must be the evidence tiles of each level, the one next to the gradient "
                f"first, such as [2, 3]; got {self.levels!r}"
            )
        object.__setattr__(self, "levels", tuple(self.levels))
        for size in self.levels:
            check_number("every entry of levels", size, 1, 62, whole=True)
        for name in ("weight_tiles", "gradient_tiles"):
            check_number(name, getattr(self, name), 1, 62, whole=True)
        if self.count > 64:
            raise ConfigError(
                f"weight_tiles, levels and gradient_tiles make {self.count} tiles, at most are 64; "
                "lower one of them"
            )
        for name in ("passes", "stage_steps", "blocks"):
            check_number(name, getattr(self, name), 1, whole=True)
        check_number("turn_steps", self.turn_steps, 1, whole=True, optional=True)
        check_number("chop", self.chop, 0, whole=True)
        check_number("pass_steps", self.pass_steps, 1)
        for name in ("gamma", "alarm"):
            check_number(name, getattr(self, name), 0, 1, open_ends=True)
        check_number("fresh", self.fresh, 0, open_ends=True)
        for name in ("refill", "settle"):
            check_number(name, getattr(self, name), 0, 1)
            if getattr(self, name) == 0:
                raise ConfigError(f"{name} must be above 0, got 0")
        if isinstance(self.device, Device) or len(self.device) == self.count:
            for level in range(len(self.levels)):
                self.gate(level)  # refuses devices that no gate fits

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.weight_tiles + sum(self.levels) + self.gradient_tiles

    @property
    def ratio(self) -> float:
        """gamma."""
        return self.gamma

    @property
    def visible(self) -> int:
        """Number of tiles that make the weight."""
        return self.weight_tiles

    def span(self, level: int) -> tuple[int, int]:
        """Numbers of the first tile of a level and of the one after its last."""
        end = self.count - self.gradient_tiles
        ends = [end, *(end - n for n in accumulate(self.levels))]
        return ends[level + 1], ends[level]

    def gate(self, level: int, alarm: float | None = None) -> float:
        """How large the mean of a level's tiles must be to pass, in weight units."""
        first, last = self.span(level)
        devices = self.devices()[first:last]
        pulses = [half(device) for device in devices]
        return gate_of(devices, self.alarm if alarm is None else alarm, pulses)

    def init(self, shape: tuple[int, int]) -> State:
        """Counters only.

        Returns:
            Those of `evidence.counters`. largest: the largest learning rate so far. blocks: of
            mini-batches so far.
        """
        del shape
        own = {"largest": np.zeros(1, dtype=np.float64), "blocks": np.zeros(1, dtype=np.int64)}
        return {**counters(1), **own}

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """The gradient to the tile whose turn it is, columns to the first level; then the gates."""
        state["steps"][0] += 1
        state["largest"][0] = max(float(state["largest"][0]), lr)
        state["stage"][0] = stage_at(int(state["steps"][0]), self.stage_steps, self.visible - 1)
        alarm = self.alarm * lr / float(state["largest"][0]) * self._settled(state)
        for block in blocks_of(batch, self.blocks):
            self._gather(weight, state, block, alarm)

    def _gather(
        self, weight: Composite, state: State, batch: Sequence[Vectors], alarm: float
    ) -> None:
        """One block: its gradient, then the columns whose turn it is, level after level."""
        d_in = weight.w.shape[1]
        turn, column = int(state["passes"][0]), int(state["column"][0])
        taker, share = self._taker(state)
        alpha = renewing_step(weight, state, batch, self.fresh * share, taker)
        if self.chop:
            turned = np.full(d_in, self.sign(0, turn) < 0, dtype=np.uint8)
            turned[:column] = self.sign(0, turn + 1) < 0  # these were read already
            for vectors in batch:
                vectors.turned = turned
        weight.pulse(taker, batch, alpha)
        for done, chosen in columns_due(state, 0, d_in / self.pass_steps, d_in):
            target = self.span(0)[0] + done % self.levels[0]
            remember(weight, target, chosen, self.refill, self.gradient_tiles)
            self._decide(weight, done, chosen, int(state["stage"][0]), alarm)
            if self.chop:
                self._flip(weight, done, chosen)

    def _taker(self, state: State) -> tuple[int, float]:
        """The tile whose turn it is to take a block's gradients, and which part of it that is."""
        block, steps = int(state["blocks"][0]), self.turn_steps
        state["blocks"][0] += 1
        turn = int(state["passes"][0]) if steps is None else block // steps
        return self.span(0)[1] + turn % self.gradient_tiles, 1 / (steps or self.pass_steps)

    def _settled(self, state: State) -> float:
        """How far the gates have closed in the course of a stage; the last one has no end."""
        stage, done = int(state["stage"][0]), int(state["steps"][0]) - 1
        if stage == self.visible - 1:
            return 1.0
        return float(self.settle ** (done / self.stage_steps - stage))

    def sign(self, level: int, turn: int) -> int:
        """With which sign a level stores evidence in pass `turn` (from 0): 1 or -1.

        Level `levels` is the weight.
        """
        if not self.chop or level == len(self.levels):
            return 1
        return 1 - 2 * (turn // self._period(level) % 2)

    def _period(self, level: int) -> int:
        """Passes between two flips of a level's sign."""
        return self.chop * self.passes ** (2 * level)

    def _decide(
        self, weight: Composite, turn: int, columns: np.ndarray, stage: int, alarm: float
    ) -> None:
        """Read the levels whose turn it is after pass `turn`, and send on what passes."""
        count = turn + 1
        for level in range(len(self.levels)):
            count, early = divmod(count, self.passes)
            if early:
                return
            first, last = self.span(level)
            fired = opened(weight, first, last, columns, self.gate(level, alarm))
            sent = fired * np.float32(self.sign(level, turn) * self.sign(level + 1, turn))
            if level + 1 < len(self.levels):
                target = self.span(level + 1)[0] + count % self.levels[level + 1]
                self._renew(weight, target, columns, sent)
            else:
                send_pulses(weight, stage, columns, sent)
            for n in range(first, last):
                self._renew(weight, n, columns, -fired)

    def _flip(self, weight: Composite, turn: int, columns: np.ndarray) -> None:
        """Clear the levels whose sign flips after pass `turn`; with the first, gradient tiles."""
        for level in range(len(self.levels)):
            if (turn + 1) % self._period(level):  # a multiple of those before
                return
            first, last = self.span(level)
            for n in range(first, self.count if level == 0 else last):
                device = weight.tiles[n].device
                little = _LITTLE * (device.w_max - device.w_min) / 2
                self._renew(weight, n, columns, -opened(weight, n, n + 1, columns, little))

    def _renew(self, weight: Composite, n: int, columns: np.ndarray, pulses: np.ndarray) -> None:
        send_pulses(weight, n, columns, pulses, half(weight.tiles[n].device))

    def reset(self, state: State) -> None:
        """Forget the largest learning rate: a new weight may be trained with smaller ones."""
        state["largest"][0] = 0.0

    def floor(self) -> float:
        """Rounding to whole pulses of the last tile that makes the weight."""
        return self.rounding(self.visible - 1)

    def reads(self, layer: Layer) -> float:
        """Columns read per sample.

        All of them in every pass, levels `passes` times rarer, and tiles that are cleared. Passes
        come with mini-batches, or their blocks where a sample is several vectors (which is taken
        for a convolution).
        """
        reads = sum(self.passes**-k for k in range(len(self.levels) + 1))
        if self.chop:
            cleared = [size / self._period(n) for n, size in enumerate(self.levels)]
            reads += sum(cleared) + self.gradient_tiles / self.chop
        passes = (min(self.blocks, layer.batch) if layer.vectors > 1 else 1) / self.pass_steps
        return float(reads * passes * layer.d_in / layer.batch)

    def work(self, layer: Layer, reads: float) -> Work:
        """Analog SGD, a read and a pulse train for every column, and a comparison of every value.

        The means of |x| and |d|, too, are digital. What passes a gate is, with few states, a few
        periods long, a carry included, and counted as a whole train.
        """
        return Work(
            periods=layer.primitives.train_length * (layer.vectors + reads),
            reads=reads,
            flops=2 * layer.lines * layer.vectors + layer.rows * reads,
            storage=layer.lines,
            tiles=self.count,
            visible=self.visible,
        )
