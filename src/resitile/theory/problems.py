"""Problems whose optimum is known, so that an error can be measured instead of a loss."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resitile.errors import ConfigError
from resitile.theory.checks import inside, not_negative, positive

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class LeastSquares:
    """f(w) = (curvature / 2) (w - optimum)^2 for every copy, with noise on the gradient.

    The noise is +-sigma with equal chances. Wherever |curvature (w - optimum)| <= sigma this makes
    E|gradient| = sigma exactly, and so the stationary error a closed form.

    Args:
        optimum: w*, one number or one for each copy.
        sigma: standard deviation of the gradient, at least 0.
        curvature: L = mu, above 0.
    """

    optimum: float | Array
    sigma: float = 0.0
    curvature: float = 1.0

    def __post_init__(self) -> None:
        not_negative("sigma", self.sigma)
        positive("curvature", self.curvature)
        if not np.isfinite(self.optimum).all():
            raise ConfigError(f"optimum must be finite, got {self.optimum!r}; give a number")

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        """A stochastic gradient for every copy, (count,)."""
        noise = self.sigma * rng.choice((-1.0, 1.0), size=w.shape)
        return self.curvature * (w - self.optimum) + noise

    def error(self, w: Array) -> Array:
        """(w - optimum)^2 of every copy."""
        return np.square(w - self.optimum, dtype=np.float64)

    def single_tile_error(self, dw_min: float) -> float:
        """Stationary E[w^2] on symmetric soft bounds of reach 1 at optimum 0, one pulse a vector.

        dw sigma / (2 (L + sigma) - dw (sigma + 2 L)), from E[w'^2] = E[w^2]. It holds for any step
        that keeps alpha |gradient| <= dw_min, and for sigma >= L (then no |w| exceeds sigma / L).

        Raises:
            ConfigError: if the optimum is not 0 or the noise too small.
        """
        if np.any(self.optimum) or self.sigma < self.curvature:
            raise ConfigError(
                f"the closed form needs optimum 0 and sigma >= curvature = {self.curvature:g}, got "
                f"optimum {self.optimum} and sigma {self.sigma}; simulate other cases"
            )
        s, c = self.sigma, self.curvature
        return dw_min * s / (2 * (c + s) - dw_min * (s + 2 * c))


@dataclass(frozen=True)
class LowerBound:
    """The instance on which a single tile is really as bad as Theorem 2 says [Eq. 53].

    f = (L / 2) |W - W*|^2 with equal coordinates, started at W*, with a skewed two-point noise:
    (sigma / sqrt(D)) sqrt((1 - p) / p) with probability p = (1 - w / tau) / 2, else
    -(sigma / sqrt(D)) sqrt(p / (1 - p)). The step is 1 / (2 L).

    Args:
        dimension: D, at least 1; every copy is one coordinate with its own noise.
        optimum: w*, at most tau / 4 in magnitude.
        sigma: at most tau L sqrt(D) / (4 sqrt(3)).
        smoothness: L, above 0.
        tau: bound of the devices.
    """

    dimension: int = 1
    optimum: float = 0.25
    sigma: float = 0.1
    smoothness: float = 1.0
    tau: float = 1.0

    def __post_init__(self) -> None:
        positive("tau", self.tau)
        positive("smoothness", self.smoothness)
        positive("dimension", self.dimension)
        if not abs(self.optimum) <= self.tau / 4:
            raise ConfigError(
                f"optimum must lie in [-{self.tau / 4:g}, {self.tau / 4:g}], got {self.optimum!r}; "
                "Theorem 2's instance stays away from the bounds"
            )
        most = self.tau * self.smoothness * np.sqrt(self.dimension) / (4 * np.sqrt(3))
        if not 0 < self.sigma <= most * (1 + 1e-9):
            raise ConfigError(
                f"sigma must lie in (0, {most:.4g}], got {self.sigma!r}; use less noise or a "
                "larger dimension"
            )

    @property
    def step(self) -> float:
        """The learning rate of the theorem, 1 / (2 L)."""
        return 1 / (2 * self.smoothness)

    def gradient(self, w: Array, rng: np.random.Generator) -> Array:
        """A stochastic gradient for every coordinate, (count,); unbiased, variance sigma^2 / D."""
        p = np.clip(0.5 * (1 - w / self.tau), 1e-9, 1 - 1e-9)
        unit = self.sigma / np.sqrt(self.dimension)
        up = rng.random(w.shape) < p
        noise = np.where(up, np.sqrt((1 - p) / p), -np.sqrt(p / (1 - p)))
        return self.smoothness * (w - self.optimum) + unit * noise

    def error(self, w: Array) -> Array:
        """(w - w*)^2 of every coordinate."""
        return np.square(w - self.optimum, dtype=np.float64)


@dataclass(frozen=True)
class Toy:
    """The scalar least squares of Figure 7 (right): loss (w - b)^2, no noise on the gradient.

    b = -1 + 2 k / (2^16 - 1) with uniform k [App. K]; every copy draws its own.

    Args:
        count: copies.
        seed: of the targets.
        reach: targets are kept if |b| is below this; the paper gives no limit (1 keeps all).
    """

    count: int
    seed: int = 0
    reach: float = 1.0
    b: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        inside("reach", self.reach, 0, 1 + 1e-9, "targets lie in [-1, 1]")
        levels = 2**16 - 1
        edge = int(levels * (1 - self.reach) / 2)
        k = np.random.default_rng(self.seed).integers(edge, levels - edge + 1, self.count)
        object.__setattr__(self, "b", (-1 + 2 * k / levels).astype(np.float32))

    def gradient(self, w: Array) -> Array:
        """2 (w - b) of every copy."""
        return 2 * (w - self.b)

    def loss(self, w: Array) -> Array:
        """(w - b)^2 of every copy."""
        return np.square(w - self.b, dtype=np.float64)
