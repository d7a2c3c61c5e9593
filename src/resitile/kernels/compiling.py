"""How often Numba has compiled something, so that no timing takes it for training."""

from typing import Any

from numba.core import event


class _Count(event.Listener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.started = 0

    def on_start(self, event: Any) -> None:
        self.started += 1

    def on_end(self, event: Any) -> None:
        pass


_COUNT = _Count()
event.register("numba:compile", _COUNT)


def compiled() -> int:
    """Functions that were compiled since this module was imported."""
    return _COUNT.started
