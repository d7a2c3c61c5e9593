"""Writing a known weight into the tiles, exactly: how training starts."""

from dataclasses import dataclass

import numpy as np

from resitile.errors import ConfigError
from resitile.tiles.composite import Composite


@dataclass(frozen=True)
class Programmed:
    """What `program` reached.

    Attributes:
        clipped: how many crosspoints could not hold their weight, for the spread of their bounds.
        worst: the largest error of a weight, in weight units.
        lost: root mean square of the errors over that of the weights.
    """

    clipped: int
    worst: float
    lost: float


def program(composite: Composite, weight: np.ndarray) -> Programmed:
    """Write a weight exactly, as far as the devices' bounds allow.

    Tile 0 takes what fits the own bounds of its devices, the finer tiles what is left; hidden
    tiles are set to 0.

    Args:
        composite: the tiles.
        weight: (d_out, d_in) float32.

    Raises:
        ConfigError: if the weight is not finite, or nominal devices could not hold it.
    """
    if not np.isfinite(weight).all():
        raise ConfigError("a weight to program must be finite; it holds NaN or infinity")
    parts = list(zip(composite.coefficients, composite.tiles, strict=True))
    # A coefficient is below 0 where an algorithm flips the sign of its tile.
    ends = [sorted((c * tile.device.w_min, c * tile.device.w_max)) for c, tile in parts]
    low, high = (float(sum(end)) for end in zip(*ends, strict=True))
    small, large = float(weight.min(initial=0)), float(weight.max(initial=0))
    if small < low * (1 + 1e-6) or large > high * (1 + 1e-6):
        needed = composite.scale * max(small / low, large / high)
        raise ConfigError(
            f"weights from {small:.4g} to {large:.4g} lie outside what the tiles can hold, "
            f"{low:.4g} to {high:.4g}; use an output scale of at least {needed:.4g} instead of "
            f'{composite.scale:.4g} (convert(..., scale="fit") finds one), smaller weights or '
            "wider bounds"
        )
    rest = weight.astype(np.float64)
    for n, (coefficient, tile) in enumerate(parts):
        if coefficient == 0:
            composite.w[:, :, n] = 0
            continue
        own = tile.crosspoints(weight.shape)  # type: ignore[arg-type]
        composite.w[:, :, n] = np.clip(rest / coefficient, own["w_min"], own["w_max"])
        rest -= coefficient * composite.w[:, :, n]
    composite.refresh()
    error = np.abs(weight - composite.weight)
    tolerance = 1e-5 * max(high, -low)
    size = float(np.sqrt(np.mean(np.square(weight, dtype=np.float64))))
    lost = float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))) / size if size else 0.0
    return Programmed(int((error > tolerance).sum()), float(error.max(initial=0)), lost)
