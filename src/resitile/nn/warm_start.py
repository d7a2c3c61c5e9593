"""The warm start of Algorithm 1: fill the tiles one after the other, coarsest first."""

import math
from typing import Any

from torch import nn

from resitile.algorithms.base import check_number
from resitile.errors import ConfigError
from resitile.nn.analog import analog_layers

_AGGRESSIVE = 4  # stages that switch as soon as the loss rises once
_WINDOW = 5  # differences that the smooth rule looks at


class WarmStart:
    """Stages k = 0 .. N - 1 in which the finest tile feeds tile k directly; then the chain.

    Used like ReduceLROnPlateau: call `step(loss)` once an epoch. With stage="plateau" a stage
    ends when the loss stops falling: for the first four stages at the first rise, later when at
    least two of the last five differences are rises; the history is cleared at each switch. A
    whole number instead ends every stage after so many calls.

    Args:
        model: a model with analog layers that train by ResidualLearning, all with equally many
            tiles; layers of other algorithms train as they would without.
        stage: "plateau", or calls of `step` per stage, at least 1.
        transfer_every: mini-batches between transfers in these stages.
        transfer_lr: their step; None takes that of transfers out of the finest tile.

    Raises:
        ConfigError: if the model has no such layers or a setting is out of range.

    References:
        Li et al. 2025 (arXiv 2510.02516), Algorithm 1, lines 9 to 18 and 28 to 39.
    """

    def __init__(
        self,
        model: nn.Module,
        stage: str | int = "plateau",
        transfer_every: int = 1,
        transfer_lr: float | None = None,
    ) -> None:
        if stage != "plateau":
            if isinstance(stage, str):
                raise ConfigError(f'stage must be "plateau" or a whole number, got {stage!r}')
            check_number("stage", stage, 1, whole=True)
        check_number("transfer_every", transfer_every, 1, whole=True)
        if transfer_lr is not None:
            check_number("transfer_lr", transfer_lr)
        layers = analog_layers(model)
        for layer in layers.values():
            schedule = getattr(layer.algorithm, "schedule", "periods")
            if schedule != "periods":
                raise ConfigError(
                    f"schedule={schedule!r} decides itself which tile is filled when; leave "
                    'WarmStart out, or use schedule="periods"'
                )
        self._layers = [layer for layer in layers.values() if "warm_every" in layer.state]
        if not self._layers:
            raise ConfigError(
                "a warm start needs analog layers that train by ResidualLearning; the model has "
                f"{len(layers)} analog layers and none of them does (gated ones fill their tiles "
                "themselves, by stage_steps)"
            )
        counts = {layer.algorithm.count for layer in self._layers}
        if len(counts) > 1:
            raise ConfigError(f"a warm start needs equally many tiles everywhere, got {counts}")
        self._rule = stage
        self.last = counts.pop() - 1
        self.stage = 0
        self.losses: list[float] = []
        for layer in self._layers:
            layer.state["warm_every"].fill_(transfer_every)
            own: Any = layer.algorithm
            usual = own.beta(self.last)
            layer.state["warm_lr"].fill_(usual if transfer_lr is None else transfer_lr)
        self._tell()

    @property
    def finished(self) -> bool:
        """Whether the chain has taken over."""
        return self.stage >= self.last

    def _tell(self) -> None:
        for layer in self._layers:
            layer.state["stage"].fill_(self.stage)

    def step(self, loss: float) -> None:
        """Report the loss of an epoch; may switch to the next stage."""
        try:
            value = float(getattr(loss, "detach", lambda: loss)())  # a tensor of one number, too
        except (TypeError, ValueError, RuntimeError):
            raise ConfigError(f"the loss must be a number, got {loss!r}") from None
        if not math.isfinite(value):
            raise ConfigError(f"the loss must be finite, got {value}")
        if self.finished:
            return
        self.losses.append(value)
        if self._plateau():
            self.stage += 1
            self.losses.clear()
            self._tell()

    def _plateau(self) -> bool:
        if self._rule != "plateau":
            return len(self.losses) >= int(self._rule)
        rises = [b > a for a, b in zip(self.losses, self.losses[1:], strict=False)]
        if self.stage < _AGGRESSIVE:
            return bool(rises) and rises[-1]
        return len(rises) >= _WINDOW and sum(rises[-_WINDOW:]) >= 2

    def state_dict(self) -> dict[str, Any]:
        """Stage and loss history; the layers keep period and step themselves."""
        return {"stage": self.stage, "losses": list(self.losses), "rule": self._rule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        if state["rule"] != self._rule:
            raise ConfigError(f"saved with stage={state['rule']!r}, this one has {self._rule!r}")
        self.stage, self.losses = int(state["stage"]), [float(v) for v in state["losses"]]
        self._tell()
