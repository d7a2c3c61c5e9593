"""A validation set cut off a training set: every class in its share, the same for a seed."""

import numpy as np
import torch
from torch import Tensor

from resitile.errors import ConfigError


def split(labels: Tensor, fraction: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Indices of the part that stays for training and of the part that is held back.

    Every class gives `fraction` of its samples, rounded so that the held-back part has
    `round(fraction * len(labels))` samples in all. The choice depends on labels, fraction and
    seed only: no global generator is read, and raw PCG64 words (which NumPy promises never to
    change) decide, so a split stays the same with a later NumPy.

    Args:
        labels: one integer per sample, shape (N,).
        fraction: share to hold back, in [0, 1).
        seed: 0 or larger.

    Returns:
        (kept, held_back): int64 indices in ascending order; together all of 0 .. N-1.

    Raises:
        ConfigError: if `fraction` or `seed` is out of range.
    """
    if not 0 <= fraction < 1:
        raise ConfigError(f"the validation share must lie in [0, 1), got {fraction}")
    if seed < 0:
        raise ConfigError(f"the seed of a split must be 0 or larger, got {seed}")
    classes, which = np.unique(labels.numpy(), return_inverse=True)
    wanted = _quotas(np.bincount(which, minlength=len(classes)) * fraction)
    draws = np.random.PCG64(seed).random_raw(len(which))
    held = np.zeros(len(which), dtype=bool)
    for k, count in enumerate(wanted):
        members = np.flatnonzero(which == k)
        held[members[np.argsort(draws[members], kind="stable")[:count]]] = True
    return torch.from_numpy(np.flatnonzero(~held)), torch.from_numpy(np.flatnonzero(held))


def _quotas(shares: np.ndarray) -> np.ndarray:
    """Whole numbers nearest to `shares` with the rounded sum of them (largest remainders)."""
    counts: np.ndarray = np.floor(shares).astype(np.int64)
    missing = round(float(shares.sum())) - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:missing]] += 1
    return counts
