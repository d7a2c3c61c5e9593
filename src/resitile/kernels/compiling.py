"""How kernels are compiled: without reference counts where that pays, and how often it happened."""

from collections.abc import Callable
from typing import Any

from numba.core import event

# Options of functions that only kernels call: Numba would make an entry from Python and one from C
# for each of them, with code that unpacks every argument, which takes long to compile.
INNER = {
    "nogil": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

# For inner functions which make no array and live as long as their arguments: Numba counts
# references for every slice that it cannot prove to need none, two atomic operations each, which
# takes as long as a pulse. The option is Numba's own for its library; it has no other name.
BARE = {**INNER, "_nrt": False}

# Of functions that are called from Python, and kept on disk.
ENTRY = {"cache": True, "nogil": True, "no_cfunc_wrapper": True}
BARE_ENTRY = {**ENTRY, "_nrt": False}  # without reference counts, as `BARE`


class _Count(event.Listener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.started = 0
        self.tell: Callable[[], None] | None = None

    def on_start(self, event: Any) -> None:
        self.started += 1
        if self.tell is not None:
            tell, self.tell = self.tell, None
            tell()

    def on_end(self, event: Any) -> None:
        pass


_COUNT = _Count()
event.register("numba:compile", _COUNT)


def compiled() -> int:
    """Functions that were compiled since this module was imported."""
    return _COUNT.started


def at_next_compilation(call: Callable[[], None] | None) -> None:
    """Have `call()` made once, when the next function begins to compile; None has nothing made.

    Loading one from the disk cache does not count.
    """
    _COUNT.tell = call
