"""What a run tells about itself while it goes on."""

from pathlib import Path
from typing import Any

from resitile.experiments.checkpoint import Position
from resitile.experiments.config import Config


class Observer:
    """Told about every step and epoch; this one says nothing. Override what you need."""

    def start(self, config: Config, epochs: int, steps_per_epoch: int, position: Position) -> None:
        """The run begins, or goes on from `position`."""

    def nothing_saved(self, folder: Path) -> None:
        """There was nothing to go on from in this folder: the run begins with its first step."""

    def step(self, position: Position, loss: float) -> None:
        """A training step was done, with this loss."""

    def evaluating(self, part: str) -> None:
        """The model is about to be evaluated on "validation" or "test"."""

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is recorded and, when due, saved."""

    def end(self, summary: dict[str, Any]) -> None:
        """The run is finished."""

    def finished_before(self, summary: dict[str, Any]) -> None:
        """There was nothing to do: an earlier session finished this run."""
