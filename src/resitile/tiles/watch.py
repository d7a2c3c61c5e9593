"""Whether trains of pulses are long enough for what is asked of them; looked at now and then."""

from collections.abc import Callable
from typing import NamedTuple


class Cut(NamedTuple):
    """What a train could not send, as last found.

    Args:
        share: of a mini-batch's vectors, or of the lines written at once, that asked for more.
        most: the largest change that a train makes, in weight units.
    """

    share: float
    most: float


class Watch:
    """Looks at the 1st, 2nd, 4th, 8th, ... call of each kind on each tile.

    Attributes:
        cut: by kind of update ("gradients", "writes", "stored": what a digital store holds back)
            and tile; without those that nothing cut.
    """

    def __init__(self) -> None:
        self.cut: dict[tuple[str, int], Cut] = {}
        self._calls: dict[tuple[str, int], int] = {}

    def look(self, kind: str, n: int, most: float, share: Callable[[], float]) -> None:
        """Count a call and, if it is one to look at, ask for the share that wants above `most`."""
        at = kind, n
        self._calls[at] = calls = self._calls.get(at, 0) + 1
        if not calls & (calls - 1) and (found := share()) > 0:
            self.cut[at] = Cut(found, most)
