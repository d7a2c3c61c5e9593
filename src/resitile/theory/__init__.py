"""The theory of analog training, executable: bounds, update statistics and test problems.

Closed forms stand beside simulations with the package's own engine, so that each claim of
Li et al. 2025 (arXiv 2510.02516) can be looked at in numbers; `resitile theory` runs them.
"""

from resitile.theory.bounds import (
    corollary1,
    lemma2,
    lemma3,
    minimum_periods,
    theorem1,
    theorem2,
    theorem3,
)
from resitile.theory.copies import Copies
from resitile.theory.noise import (
    expected_update,
    gamma_range,
    response,
    stationary_mean,
    stationary_spread,
    update_variance,
)
from resitile.theory.problems import LeastSquares, LowerBound, Toy
from resitile.theory.schedules import Schedule, nested_times

__all__ = [
    "Copies",
    "LeastSquares",
    "LowerBound",
    "Schedule",
    "Toy",
    "corollary1",
    "expected_update",
    "gamma_range",
    "lemma2",
    "lemma3",
    "minimum_periods",
    "nested_times",
    "response",
    "stationary_mean",
    "stationary_spread",
    "theorem1",
    "theorem2",
    "theorem3",
    "update_variance",
]
