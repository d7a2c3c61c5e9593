"""Two-sided statistical assertions, shared by the tests."""

import math

import numpy as np

Z = 5.0  # a correct build fails about once in 1.7 million checks

# Remove with its uses when a device with variation={...} can be hashed.


def assert_mean(samples, expected: float) -> None:
    """The mean of independent samples must lie within Z standard errors of `expected`."""
    samples = np.asarray(samples, dtype=np.float64).ravel()
    error = samples.std(ddof=1) / math.sqrt(samples.size)
    difference = float(samples.mean()) - expected
    floor = 1e-6 * max(abs(expected), 1e-6)  # float32 rounding of samples that do not vary
    assert abs(difference) <= Z * error + floor, (
        f"mean {samples.mean():.6g}, expected {expected:.6g}, "
        f"z = {difference / max(error, 1e-300):.1f}, n = {samples.size}"
    )


def assert_variance(samples, expected: float) -> None:
    """The variance of independent samples must lie within Z standard errors of `expected`."""
    samples = np.asarray(samples, dtype=np.float64).ravel()
    centred = samples - samples.mean()
    variance = float((centred**2).mean()) * samples.size / (samples.size - 1)
    error = math.sqrt(max(float((centred**4).mean()) - variance**2, 0.0) / samples.size)
    difference = variance - expected
    assert abs(difference) <= Z * error + 1e-6 * expected, (
        f"variance {variance:.6g}, expected {expected:.6g}, "
        f"z = {difference / max(error, 1e-300):.1f}, n = {samples.size}"
    )


def assert_covariance(a, b, expected: float) -> None:
    """The covariance of two rows of independent samples, likewise."""
    a, b = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    assert_mean((a - a.mean()) * (b - b.mean()), expected)
