"""Multi-tile residual learning (MT-RL): each tile learns what the coarser ones left over."""

from collections.abc import Sequence

import numpy as np

from resitile.algorithms.base import Algorithm, State, check_flag, check_number
from resitile.errors import ConfigError
from resitile.tiles import Composite, Vectors


class ResidualLearning(Algorithm, name="residual_learning"):
    """W = sum_n gamma**n W(n); the finest tile N takes the gradient, the others its content.

    Every mini-batch moves tile N by pulses (Eq. 6). Every `transfer_every` of them one column of
    tile N is read and pulsed onto tile N - 1, and so down the chain, each tile `transfer_ratio`
    times slower (Eq. 7). The source is not reset and nothing is verified. Only counters and column
    pointers are digital. With 2 tiles this is the residual learning of Wu et al. 2025
    (arXiv 2502.06309).

    Args:
        device: the device of every tile, or one per tile, coarsest first.
        tiles: number of tiles, N + 1, at least 2.
        gamma: ratio between neighbouring tiles, in (0, 1).
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

    References:
        Li et al. 2025 (arXiv 2510.02516), Algorithm 1; the periods in mini-batches and the
        growing beta are those of the authors' experiments.
    """

    tiles: int = 6
    gamma: float = 0.5
    fast_lr: float | None = None
    transfer_every: int = 2
    transfer_ratio: int = 5
    transfer_lr: float = 0.1
    transfer_lr_growth: float = 1.2
    scale_transfer_lr: bool = False
    columns: int = 1

    def validate(self) -> None:
        """Check every setting against its range."""
        check_number("tiles", self.tiles, 2, 64, whole=True)
        check_number("gamma", self.gamma)
        if not 0 < self.gamma < 1:
            raise ConfigError(f"gamma must lie in (0, 1), got {self.gamma}")
        check_number("fast_lr", self.fast_lr, optional=True)
        check_number("transfer_every", self.transfer_every, 1, whole=True)
        check_number("transfer_ratio", self.transfer_ratio, 1, whole=True)
        check_number("transfer_lr", self.transfer_lr)
        check_number("transfer_lr_growth", self.transfer_lr_growth)
        check_number("columns", self.columns, 0, whole=True)
        check_flag("scale_transfer_lr", self.scale_transfer_lr)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return self.tiles

    @property
    def ratio(self) -> float:
        """gamma."""
        return self.gamma

    def beta(self, n: int) -> float:
        """The step of transfers out of tile n, before `scale_transfer_lr`."""
        return self.transfer_lr * self.transfer_lr_growth**n

    def init(self, shape: tuple[int, int]) -> State:
        """Counters and pointers.

        Returns:
            steps: mini-batches seen. column: next column to read, per source tile. stage: tile
            that a warm start fills now, N when there is none. warm_every, warm_lr: its period
            and step.
        """
        del shape
        return {
            "steps": np.zeros(1, dtype=np.int64),
            "column": np.zeros(self.tiles, dtype=np.int64),
            "stage": np.full(1, self.tiles - 1, dtype=np.int64),
            "warm_every": np.ones(1, dtype=np.int64),
            "warm_lr": np.full(1, self.beta(self.tiles - 1), dtype=np.float64),
        }

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """One pass of Algorithm 1's loop (lines 7 and 16 to 25)."""
        finest = self.tiles - 1
        scaled = lr if self.scale_transfer_lr else 1.0
        weight.pulse(finest, batch, lr if self.fast_lr is None else self.fast_lr)
        state["steps"] += 1
        steps, stage = int(state["steps"][0]), int(state["stage"][0])
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

    def _transfer(
        self, weight: Composite, state: State, source: int, target: int, lr: float
    ) -> None:
        """Move the next columns of tile `source` into tile `target`."""
        d_in = weight.w.shape[1]
        for _ in range(self.columns or d_in):
            column = int(state["column"][source])
            weight.transfer(source, target, column, lr)
            state["column"][source] = (column + 1) % d_in
