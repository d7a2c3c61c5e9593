"""When which tile moves: the theory's nested loops and the experiments' periods, whole matrices."""

from dataclasses import dataclass
from math import prod

from resitile.errors import ConfigError
from resitile.theory.checks import whole


@dataclass(frozen=True)
class Schedule:
    """After how many updates of the finest tile each tile passes its content on.

    Args:
        periods: [P_1, ..., P_N]; tile n is sent to tile n - 1 every P_n updates of tile N. Each
            is a multiple of the next one, so that the finer transfer always comes first.
    """

    periods: tuple[int, ...]

    def __post_init__(self) -> None:
        for period in self.periods:
            whole("a period", period, 1)
        for slow, fast in zip(self.periods, self.periods[1:], strict=False):
            if slow % fast:
                raise ConfigError(
                    f"period {slow} must be a multiple of the next finer tile's {fast}; choose "
                    "periods that nest"
                )

    @classmethod
    def nested(cls, lengths: list[int]) -> "Schedule":
        """The theory's loops: one update of tile n - 1 for every T_n of tile n [Sec. 3.2].

        Args:
            lengths: [T_1, ..., T_N], at least 1 each; empty for a single tile.
        """
        for length in lengths:
            whole("an inner loop's length", length, 1)
        return cls(tuple(prod(lengths[n:]) for n in range(len(lengths))))

    @classmethod
    def periodic(cls, tiles: int, every: int = 2, ratio: int = 2) -> "Schedule":
        """The experiments' periods: every * ratio^(N - n) out of tile n [App. K]."""
        whole("tiles", tiles, 1)
        whole("every", every, 1)
        whole("ratio", ratio, 1)
        return cls(tuple(every * ratio**k for k in reversed(range(tiles - 1))))

    def due(self, steps: int) -> list[int]:
        """The tiles whose content moves after `steps` updates of the finest one, finest first."""
        found = []
        for n in range(len(self.periods), 0, -1):
            if steps % self.periods[n - 1]:
                break
            found.append(n)
        return found


def nested_times(lengths: list[int], steps: int) -> list[list[int]]:
    """t_n for t = 0 ... steps - 1, tile 0 first [Figure 9].

    t_n = floor((t + 1) / (T_{n+1} ... T_N)) counts the updates of tile n, for n < N; t_N = t.

    Args:
        lengths: [T_1, ..., T_N].
        steps: how many values of t.
    """
    whole("steps", steps, 0)
    periods = Schedule.nested(lengths).periods
    return [[(t + 1) // p for t in range(steps)] for p in periods] + [list(range(steps))]
