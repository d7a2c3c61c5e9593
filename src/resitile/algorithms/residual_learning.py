"""Multi-tile residual learning (MT-RL): each tile learns what the coarser ones left over."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from resitile.algorithms import adaptive_schedule, auto_schedule
from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.algorithms.parts import MOST_COLUMNS
from resitile.cost import Cost, Layer, Work, cost_of
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors

_MOST_STEP = 30  # largest power of ten of a step


class ResidualLearning(Algorithm, name="residual_learning", title="MT-RL"):
    """W = sum_n gamma**n W(n); the finest tile N takes the gradient, the others its content.

    Every mini-batch moves tile N by pulses (Eq. 6). Every `transfer_every` of them one column of
    tile N is read and pulsed onto tile N - 1, and so down the chain, each tile `transfer_ratio`
    times slower (Eq. 7). The source is not reset and nothing is verified. Only counters and column
    pointers are digital. With 2 tiles this is the residual learning of Wu et al. 2025
    (arXiv 2502.06309).

    Args:
        device: the device of every tile, or one per tile, coarsest first.
        tiles: number of tiles, N + 1, at least 2.
        gamma: ratio between neighbouring tiles, in (0, 1); "auto" takes it from the states of the
            coarsest tile, less with few tiles.
        fast_lr: step alpha of the finest tile; None takes the optimizer's learning rate.
        transfer_every: mini-batches between transfers out of the finest tile (T_N).
        transfer_ratio: how much rarer transfers out of each coarser tile are: those out of tile n
            have the period transfer_every * transfer_ratio**(N - n).
        transfer_lr: step of transfers; beta of those out of tile n is
            transfer_lr * transfer_lr_growth**n.
        transfer_lr_growth: see `transfer_lr`.
        scale_transfer_lr: multiply beta by the optimizer's learning rate.
        columns: columns moved by one transfer, cyclically; 0 moves the whole matrix, as theory
            does.
        schedule: "periods" as above; "auto" instead fills the coarse tiles one after the other
            from the finest, one epoch each, and then leaves them as they are; it needs
            `steps_per_epoch`. "adaptive" fills them, too, then begins the chain; it
            measures how steadily each tile is pushed and sets periods, and steps around beta, by
            that. Either takes the place of `WarmStart`,
            `transfer_every`, `transfer_ratio` and `columns`.
        steps_per_epoch: mini-batches of an epoch, for schedule="auto" only; the command line
            fills it in.

    References:
        Li et al. 2025 (arXiv 2510.02516), Algorithm 1; the periods in mini-batches and the
        growing beta are those of the authors' experiments.
    """

    tiles: int = 6
    gamma: float | str = 0.5
    fast_lr: float | None = None
    transfer_every: int = 2
    transfer_ratio: int = 5
    transfer_lr: float = 0.1
    transfer_lr_growth: float = 1.2
    scale_transfer_lr: bool = False
    columns: int = 1
    schedule: str = "periods"
    steps_per_epoch: int | None = None

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("tiles", self.tiles, 2, 64, whole=True)
        if self.gamma != "auto":
            if isinstance(self.gamma, str):
                raise ConfigError(f'gamma must be a number or "auto", got {self.gamma!r}')
            check_number("gamma", self.gamma)
            if not 0 < self.gamma < 1:
                raise ConfigError(f"gamma must lie in (0, 1), got {self.gamma}")
        check_number("fast_lr", self.fast_lr, optional=True)
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_ratio", self.transfer_ratio, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_number("transfer_lr_growth", self.transfer_lr_growth)
        check_number("columns", self.columns, 0, MOST_COLUMNS, whole=True)
        check_flag("scale_transfer_lr", self.scale_transfer_lr)
        most = math.log(max(self.transfer_lr, 1.0))
        most += (self.tiles - 1) * math.log(max(self.transfer_lr_growth, 1.0))
        if most > _MOST_STEP * math.log(10):
            raise ConfigError(
                f"transfer_lr={self.transfer_lr:g} and transfer_lr_growth="
                f"{self.transfer_lr_growth:g} make transfers out of the last of {self.tiles} tiles "
                f"a step of more than 1e{_MOST_STEP}; lower the growth"
            )
        self._validate_schedule()

    def _validate_schedule(self) -> None:
        if self.schedule not in ("periods", "auto", "adaptive"):
            raise ConfigError(
                f'schedule must be "periods", "auto" or "adaptive", got {self.schedule!r}'
            )
        check_number("steps_per_epoch", self.steps_per_epoch, 1, whole=True, optional=True)
        if self.schedule != "auto" and self.steps_per_epoch is not None:
            raise ConfigError('steps_per_epoch is for schedule="auto" only; leave it out')
        if self.schedule == "periods":
            return
        unused = {"transfer_every": 2, "transfer_ratio": 5, "columns": 1}
        for name, default in unused.items():
            if getattr(self, name) != default:
                raise ConfigError(
                    f'{name} has no meaning with schedule="{self.schedule}"; leave it out'
                )

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.tiles

    @property
    def ratio(self) -> float:
        """gamma."""
        if isinstance(self.gamma, str):
            devices = self.devices()
            return auto_schedule.gamma_for(devices[0], devices[-1], self.tiles)
        return self.gamma

    @property
    def counts_epochs(self) -> bool:
        """Whether schedule="auto" lacks the length of an epoch."""
        return self.schedule == "auto" and self.steps_per_epoch is None

    def beta(self, n: int) -> float:
        """The step of transfers out of tile n, before `scale_transfer_lr`."""
        return self.transfer_lr * self.transfer_lr_growth**n

    def init(self, shape: tuple[int, int]) -> State:
        """Counters and pointers.

        Returns:
            steps: mini-batches seen. column: next column to read, per source tile. stage: tile
            that a warm start fills now, N when there is none. warm_every, warm_lr: its period
            and step. With schedule="adaptive" what that keeps, in place of the last three.
        """
        state = {
            "steps": np.zeros(1, dtype=np.int64),
            "column": np.zeros(self.tiles, dtype=np.int64),
        }
        if self.schedule == "adaptive":
            return {**state, **adaptive_schedule.init(self.tiles, shape[1])}
        return {
            **state,
            "stage": np.full(1, self.tiles - 1, dtype=np.int64),
            "warm_every": np.ones(1, dtype=np.int64),
            "warm_lr": np.full(1, self.beta(self.tiles - 1), dtype=np.float64),
        }

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """One pass of Algorithm 1's loop (lines 7 and 16 to 25)."""
        finest = self.tiles - 1
        scaled = lr if self.scale_transfer_lr else 1.0
        alpha = lr if self.fast_lr is None else self.fast_lr
        weight.pulse(finest, batch, alpha)
        state["steps"][0] += 1
        if self.schedule == "adaptive":
            betas = [scaled * self.beta(n) for n in range(self.tiles)]
            adaptive_schedule.run(weight, state, batch, alpha, betas)
            return
        steps, stage = int(state["steps"][0]), int(state["stage"][0])
        if self.schedule == "auto":
            self._fill(weight, state, steps, scaled)
            return
        if stage < finest:
            if steps % int(state["warm_every"][0]) == 0:
                self._transfer(weight, state, finest, stage, scaled * float(state["warm_lr"][0]))
            return
        period = self.transfer_every
        for n in range(finest, 0, -1):
            if steps % period:
                return  # every coarser tile has a multiple of this period
            self._transfer(weight, state, n, n - 1, scaled * self.beta(n))
            period *= self.transfer_ratio

    def _fill(self, weight: Composite, state: State, step: int, scaled: float) -> None:
        """The transfers of schedule="auto" after mini-batch `step`."""
        steps_per_epoch = self._steps_per_epoch()
        finest, d_in = self.tiles - 1, weight.w.shape[1]
        stage = auto_schedule.stage_at(step, steps_per_epoch, finest)
        state["stage"][0] = stage
        if stage == finest:
            return
        lr = scaled * self.beta(finest) * auto_schedule.gain_for(weight.tiles[finest].device)
        for _ in range(auto_schedule.columns_due(step, steps_per_epoch, d_in)):
            self._transfer_column(weight, state, finest, stage, lr)

    def _steps_per_epoch(self) -> int:
        if self.steps_per_epoch is None:
            raise ConfigError('schedule="auto" needs steps_per_epoch: mini-batches of an epoch')
        return self.steps_per_epoch

    def _transfer(
        self, weight: Composite, state: State, source: int, target: int, lr: float
    ) -> None:
        """Move the next columns of tile `source` into tile `target`."""
        for _ in range(self.columns or weight.w.shape[1]):
            self._transfer_column(weight, state, source, target, lr)

    def _transfer_column(
        self, weight: Composite, state: State, source: int, target: int, lr: float
    ) -> None:
        column = int(state["column"][source])
        weight.transfer(source, target, column, lr)
        state["column"][source] = (column + 1) % weight.w.shape[1]

    def reset(self, state: State) -> None:
        """Forget what schedule="adaptive" measured."""
        if self.schedule == "adaptive":
            adaptive_schedule.reset(state)

    def reads(self, layer: Layer) -> float:
        """Columns read per sample: sum_{k=1}^N 1 / (n_s r^(k-1)), r the `transfer_ratio`.

        The tables have r = n_s. With schedule="auto" it is the rate while tiles are filled, with
        "adaptive" the most that can be, for the data decides: give `cost` counted ones.
        """
        if self.schedule == "adaptive":
            most = math.inf if self.scale_transfer_lr else 1.0
            betas = [most * beta if (beta := self.beta(n)) else 0.0 for n in range(self.tiles)]
            return adaptive_schedule.most_reads(self.devices(), betas, layer.d_in) / layer.batch
        if self.schedule == "auto":
            return auto_schedule.PASSES * layer.d_in / (self._steps_per_epoch() * layer.batch)
        first = layer.columns_per_sample(self.transfer_every, self.columns)
        return float(sum(first / self.transfer_ratio**k for k in range(self.tiles - 1)))

    def work(self, layer: Layer, reads: float) -> Work:
        """Analog SGD, and a read and a pulse train for every transferred column.

        Transfers are counted one after the other [arXiv 2510.02516, Table 5]. schedule="adaptive"
        adds three operations for every line's signal, seven for every value read, and a number
        for every column of a source tile.
        """
        adaptive = self.schedule == "adaptive"
        own = 3 * layer.lines * layer.vectors + 7 * layer.rows * reads
        return Work(
            periods=layer.primitives.train_length * (layer.vectors + reads),
            reads=reads,
            flops=layer.lines * layer.vectors + adaptive * own,
            storage=layer.lines + adaptive * (self.tiles - 1) * layer.d_in,
            tiles=self.tiles,
        )

    def cost_without_end(self, layer: Layer) -> Cost:
        """The cost with infinitely many tiles, as Table 5 has it: the sum in `reads` to infinity.

        With r = n_s the periods are l_avg n_s / (n_s - 1) and the reads 1 / (n_s - 1). Area and
        the energy of forward and backward are infinite.

        Raises:
            ConfigError: if every tile transfers as often as the finest, or there are no periods.
        """
        if self.schedule != "periods" or self.transfer_ratio == 1:
            raise ConfigError(
                'infinitely many tiles need periods that grow, schedule="periods" and a '
                f"transfer_ratio of at least 2; got schedule={self.schedule!r}, "
                f"transfer_ratio={self.transfer_ratio}"
            )
        first = layer.columns_per_sample(self.transfer_every, self.columns)
        work = self.work(layer, first / (1 - 1 / self.transfer_ratio))
        return cost_of(dataclasses.replace(work, tiles=math.inf), layer)
