"""The bounds of Li et al. 2025 (arXiv 2510.02516) as functions.

Constants that the paper prints are used as they are. Where it only gives an order, the factor is
the argument `constant`, 1 unless a measurement fits it, and a result is then a scale, not a bound.
Errors are squared distances in weight units.
"""

import math
from dataclasses import dataclass

from resitile.errors import ConfigError
from resitile.theory.checks import inside, not_negative, positive, whole

GAMMA_MAX = 1 / math.sqrt(6)  # Theorem 3, for H_min = F_max = 1


@dataclass(frozen=True)
class SingleTileBound:
    """The terms of Theorems 1 and 2.

    Attributes:
        optimization: what a longer run removes (0 for an infinite one).
        asymmetry: from the pull of |gradient| to the symmetric point, 4 sigma^2 S.
        granularity: from the pulse size, R dw_min.
    """

    optimization: float
    asymmetry: float
    granularity: float

    @property
    def floor(self) -> float:
        """What stays for any step size and any time."""
        return self.asymmetry + self.granularity

    @property
    def total(self) -> float:
        """The bound."""
        return self.optimization + self.floor


@dataclass(frozen=True)
class Contraction:
    """One inner loop: error after <= factor * error before + floor.

    Attributes:
        factor: in (0, 1], over the whole loop.
        rate: decay per update of the tile, -log(factor) / updates to first order.
        floor: what the loop cannot remove.
    """

    factor: float
    rate: float
    floor: float


def saturation(w_max: float, tau: float) -> tuple[float, float]:
    """(S, R / L) of a run whose largest weight is constant: v/(1-v), 2/(1-v), v = (w_max/tau)^2."""
    positive("tau", tau)
    if not 0 <= w_max < tau:
        raise ConfigError(
            f"w_max must lie in [0, tau = {tau:g}), got {w_max!r}; a weight at its bound has no "
            "finite bound on the error: use wider bounds or a larger output scale"
        )
    v = (w_max / tau) ** 2
    return v / (1 - v), 2 / (1 - v)


def theorem1(
    sigma: float,
    dw_min: float,
    *,
    smoothness: float = 1.0,
    w_max: float = 0.0,
    tau: float = 1.0,
    steps: float = math.inf,
    gap: float = 0.0,
    constant: float = 1.0,
) -> SingleTileBound:
    """Mean squared error of Analog SGD on one tile, from above [Theorem 1].

    Args:
        sigma: standard deviation of the stochastic gradient, at least 0.
        dw_min: change of one pulse, above 0.
        smoothness: L of the objective, above 0.
        w_max: largest weight in the run (taken as constant in time), below `tau`.
        tau: bound of the devices.
        steps: length T of the run; infinite leaves the floor.
        gap: f(W_0) - f*, at least 0.
        constant: factor of the first term, which the paper gives as an order only.
    """
    s, r = saturation(w_max, tau)
    r *= positive("smoothness", smoothness)
    not_negative("sigma", sigma)
    not_negative("gap", gap)
    if not steps > 0:
        raise ConfigError(f"steps must be above 0, got {steps!r}; math.inf gives the floor")
    optimization = constant * r * sigma * math.sqrt(2 * gap / steps)
    return SingleTileBound(optimization, 4 * sigma**2 * s, r * positive("dw_min", dw_min))


def theorem2(
    sigma: float,
    dw_min: float,
    *,
    smoothness: float = 1.0,
    w_max: float = 0.0,
    tau: float = 1.0,
    constant: float = 1.0,
) -> float:
    """Scale of an error that some problem really has at step 1 / (2 L) [Theorem 2].

    An existence statement for Analog SGD at that step: `problems.LowerBound` is the instance.
    """
    s, r = saturation(w_max, tau)
    r *= positive("smoothness", smoothness)
    return constant * (not_negative("sigma", sigma) ** 2 * s + r * positive("dw_min", dw_min))


def lemma2(
    gamma: float,
    n: int,
    updates: int,
    *,
    alpha: float,
    sigma: float,
    dw_min: float,
    mu: float = 1.0,
    smoothness: float = 1.0,
    f_max: float = 1.0,
    constant: float = 1.0,
) -> Contraction:
    """The finest tile N = `n` towards its optimum, in one inner loop [Lemma 2, long form].

    Rate alpha mu L gamma^n / (4 (mu + L)) per update; floor 8 (mu + L) alpha F_max^2 sigma^2 /
    (gamma^n mu L), as printed, plus constant * gamma^(-4n/3) (sigma dw_min)^(2/3), an order.
    """
    scale = inside("gamma", gamma, 0, 1, "it is the ratio of tiles") ** whole("n", n, 0)
    mu, smoothness = positive("mu", mu), positive("smoothness", smoothness)
    rate = positive("alpha", alpha) * mu * smoothness * scale / (4 * (mu + smoothness))
    if rate >= 1:
        raise ConfigError(f"alpha must keep the rate {rate:.3g} below 1, got {alpha}; lower it")
    noise = (
        8
        * (mu + smoothness)
        * alpha
        * positive("f_max", f_max) ** 2
        * sigma**2
        / (scale * mu * smoothness)
    )
    noise += constant * scale ** (-4 / 3) * (sigma * dw_min) ** (2 / 3)
    return Contraction((1 - rate) ** whole("updates", updates, 1), rate, noise)


def lemma3(
    gamma: float,
    updates: int,
    *,
    beta: float,
    source_error: float,
    dw_min: float,
    h_min: float = 1.0,
    f_max: float = 1.0,
    constant: float = 1.0,
) -> Contraction:
    """A coarser tile towards its optimum, fed by the next finer one [Lemma 3, long form].

    Rate beta H_min / (2 gamma F_max) per update; floor 6 F_max^4 gamma^2 / H_min^2 times the
    squared error of the source, plus 2 F_max constant dw_min / H_min.

    Raises:
        ConfigError: if beta is above F_max^3 gamma / (3 H_min), where the lemma ends, or the rate
            not below 1.
    """
    inside("gamma", gamma, 0, 1, "it is the ratio of tiles")
    most = f_max**3 * gamma / (3 * inside("h_min", h_min, 0, math.inf, "see Assumption 4"))
    if not 0 < beta <= most:
        raise ConfigError(f"beta must lie in (0, {most:.4g}], got {beta!r}; use a smaller one")
    rate = beta * h_min / (2 * gamma * positive("f_max", f_max))
    if rate >= 1:
        raise ConfigError(f"beta must keep the rate {rate:.3g} below 1, got {beta}; lower it")
    floor = 6 * f_max**4 * gamma**2 / h_min**2 * source_error
    floor += 2 * f_max * constant * dw_min / h_min
    return Contraction((1 - rate) ** whole("updates", updates, 1), rate, floor)


def _check_gamma(gamma: float) -> None:
    if not 0 < gamma <= GAMMA_MAX:
        raise ConfigError(
            f"gamma must lie in (0, {GAMMA_MAX:.3f}], got {gamma!r}; Theorem 3 says nothing above"
        )


def theorem3(gamma: float, n: int, sigma: float, dw_min: float, constant: float = 1.0) -> float:
    """Order of the floor of J, the summed squared errors of tiles 0 ... n [Theorem 3].

    constant * gamma^(-4n/3) (sigma dw_min)^(2/3).

    Raises:
        ConfigError: if gamma is above 1 / sqrt(6), which the theorem asks for.
    """
    _check_gamma(gamma)
    noise = not_negative("sigma", sigma) * positive("dw_min", dw_min)
    return float(constant * gamma ** (-4 * whole("n", n, 0) / 3) * noise ** (2 / 3))


def corollary1(gamma: float, n: int, sigma: float, dw_min: float, constant: float = 1.0) -> float:
    """Order of the composite's squared error with n + 1 tiles [Corollary 1].

    gamma^(2n) times `theorem3`: constant * gamma^(2n/3) (sigma dw_min)^(2/3).
    """
    return gamma ** (2 * n) * theorem3(gamma, n, sigma, dw_min, constant)


def dropped_term(gamma: float, n: int, sigma: float, constant: float = 1.0) -> float:
    """gamma^n sigma^2: what Lemma 2 adds to the composite and Theorem 3 no longer shows.

    Smaller than `corollary1` only where gamma^n is small beside dw_min^2 / sigma^4.
    """
    scale = inside("gamma", gamma, 0, 1, "it is the ratio of tiles") ** whole("n", n, 0)
    return constant * scale * not_negative("sigma", sigma) ** 2


def minimum_periods(
    gamma: float,
    n: int,
    *,
    alpha: float = 1.0,
    mu: float = 1.0,
    smoothness: float = 1.0,
    h_min: float = 1.0,
    f_max: float = 1.0,
    rho: float = 0.5,
) -> list[int]:
    """Shortest inner loops [T_1, ..., T_n] of the proof of Theorem 3, with its own constants.

    beta = c gamma^2 with the largest allowed c = 1 / (5 F_max); lambda1 = c H_min gamma /
    (2 F_max), A1 = 2 + 6 c^2 gamma^3, T = log(2 A1 / rho) / lambda1, and for the finest tile
    lambda2 = alpha mu L gamma^n / (4 (mu + L)) in its place. rho lies in (0, 2/3).

    Raises:
        ConfigError: if gamma is above 1 / sqrt(6), or another number out of its range.
    """
    _check_gamma(gamma)
    inside("rho", rho, 0, 2 / 3, "Theorem 3 allows no more")
    c = 1 / (5 * f_max)
    need = math.log(2 * (2 + 6 * c**2 * gamma**3) / rho)
    middle = c * h_min * gamma / (2 * f_max)
    finest = lemma2(
        gamma, n, 1, alpha=alpha, sigma=0, dw_min=1, mu=mu, smoothness=smoothness, f_max=f_max
    ).rate
    return [math.ceil(need / middle)] * (n - 1) + [math.ceil(need / finest)] * (n > 0)
