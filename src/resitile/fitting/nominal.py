"""One nominal device, and the spread around it, from devices that were fitted one by one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from resitile.devices import Device
from resitile.fitting.response import Response


@dataclass(frozen=True)
class Candidate:
    """One law with one kind of noise, as well as it fits.

    Attributes:
        device: the law with its numbers.
        bic: Bayesian information criterion with a term for small samples; less is better.
        parameters: how many numbers were fitted.
        error: root mean square of what a reading differs from what those before it predict, in
            weight units.
        read_noise: standard deviation of a reading, in weight units.
        step_error: standard error of dw_min, and so of `states`, as a share of it; NaN if unknown.
        single: each measured device by itself; one if there is one.
        outliers: of each, which of its readings mean nothing, in the order of the file.
        tied: numbers of which only a combination can be told, for any of the devices.
    """

    device: Device
    bic: float
    parameters: int
    error: float
    read_noise: float
    step_error: float
    single: list[Device]
    outliers: list[np.ndarray]
    tied: list[str] = field(default_factory=list)

    @property
    def doubt(self) -> str:
        """Why its numbers mean little; "" if nothing is known against them."""
        if self.tied:
            return f"not identifiable: {', '.join(self.tied)}"
        return "did not converge" if math.isnan(self.step_error) else ""


def combined(found: Sequence[Response], start: Device, additive: bool) -> Candidate:
    """One nominal device, the mean of all, and the spread between them; the median of noise.

    Raises:
        ConfigError: if such a device cannot be.
    """
    pulses = sum(r.readings.pulses for r in found)
    parameters = sum(r.parameters for r in found)
    counted = sum(r.parameters * _weight(r.readings.pulses, r.parameters) for r in found)
    errors = [r.step_error() for r in found]
    return Candidate(
        _device(found, start, additive),
        counted * math.log(pulses) - 2 * sum(r.log_likelihood for r in found),
        parameters,
        math.sqrt(sum(r.surprises for r in found) / pulses),
        float(np.median([r.read for r in found])),
        math.sqrt(np.mean(np.square(errors)) / len(found)),
        [_device([r], start, additive) for r in found],
        [r.outliers for r in found],
        next(filter(None, (r.tied() for r in found)), []),
    )


def least_pulses(numbers: int) -> int:
    """Of a device, so that as many numbers can be fitted to it and compared with fewer."""
    return numbers + 2


def _weight(pulses: int, numbers: int) -> float:
    """What a number costs more in a small sample, as in AICc (Hurvich and Tsai 1989).

    Infinitely more where there are nearly as many as pulses: only ranges are found by such a fit.
    """
    left = pulses - numbers - 1
    return pulses / left if left > 0 else math.inf


def _device(found: Sequence[Response], start: Device, additive: bool) -> Device:
    """The mean of devices, with their spread if there are several."""
    steps = np.array([r.steps for r in found])
    bounds = np.array([r.bounds for r in found])
    fields = np.array([r.fields for r in found])
    up, down = steps.mean(axis=0)
    low, high = bounds.mean(axis=0)
    variation = {"cycle": float(np.median([r.cycle for r in found]))}
    if len(found) > 1:
        own = steps / (up, down)
        variation |= {
            "dw_min": _spread(own.mean(axis=1)),
            "up_down": _spread((own[:, 0] - own[:, 1]) / 2),
            "w_min": _spread(bounds[:, 0] / low),
            "w_max": _spread(bounds[:, 1] / high),
        }
        for k, field in enumerate(start.law_fields):
            mean = fields[:, k].mean()
            variation[field] = _spread(fields[:, k] / mean) if mean else 0.0
    numbers = {
        "states": (high - low) / max(up, down), "w_min": low, "w_max": high,
        "up_down": 1 - down / up if up > down else up / down - 1,
        **dict(zip(start.law_fields, fields.mean(axis=0), strict=True)),
    }  # fmt: skip
    return start.replace(
        **{
            name: _rounded(value, 3 if name in ("w_min", "w_max") else 4)
            for name, value in numbers.items()
        },
        variation={name: _rounded(value) for name, value in variation.items()},
        cycle_noise="additive" if additive else "multiplicative",
    )


def _spread(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1))


def _rounded(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")
