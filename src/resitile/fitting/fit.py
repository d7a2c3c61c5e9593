"""From a measured pulse response to a device: law, states, asymmetry, noise, spread.

Every law of the package is fitted to every device by maximum likelihood (`response`), with
cycle-to-cycle noise that scales with the step and with noise that does not. The law with the least
Bayesian information criterion is taken (Schwarz 1978): more numbers have to earn their place. They
cost more where pulses are few, and a law with nearly as many numbers as pulses does not compete.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from resitile.devices import Device, create, names
from resitile.errors import ConfigError, DataError
from resitile.fitting.measurement import Train, check_trains
from resitile.fitting.nominal import Candidate, combined, least_pulses
from resitile.fitting.response import MOST_CYCLE, Readings, Response, numbers_of

_STRANGE = 0.1  # of the readings are outliers: the law does not explain them
_FLEXIBLE = "piecewise_step"  # the law by which the range is found


@dataclass(frozen=True)
class Fitted:
    """What a measurement says about its devices.

    Attributes:
        candidates: every law that was tried, the best first.
        zero, unit: the reading at w = 0, and the change of it for a change of w by 1.
        trains: the measurement, in weight units.
        left_out: laws that were not fitted, each with the reason.
    """

    candidates: list[Candidate]
    zero: float
    unit: float
    trains: list[Train]
    left_out: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The measured devices, in the order of the file."""
        return list(dict.fromkeys(train.device for train in self.trains))

    def of(self, name: str) -> list[Train]:
        """The trains of one device."""
        return [train for train in self.trains if train.device == name]

    @property
    def quantity(self) -> str:
        """What was read, as the file calls it."""
        return self.trains[0].quantity

    @property
    def devices(self) -> int:
        """How many were measured.

        From two on the spread between them is measured; of one, `variation` keeps its defaults.
        """
        return len(self.names)

    @property
    def best(self) -> Candidate:
        """The law with the least BIC."""
        return self.candidates[0]

    @property
    def device(self) -> Device:
        """The fitted device."""
        return self.best.device

    @property
    def pulses(self) -> int:
        """Pulses between two readings, in all."""
        return _pulses(self.trains)


def fit(
    trains: Sequence[Train],
    *,
    law: str | type[Device] = "auto",
    zero: str = "middle",
    progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """The device that explains measured readings best.

    Args:
        trains: as of `read_trains`.
        law: "auto" for all laws of the package, one of them, or a class of your own, also as
            `module:Class`, whose fields are fitted from their defaults (within `ranges`, a mapping
            of field to least and most, if the class has it).
        zero: the reading at w = 0: "middle" of the measured range, or "symmetric", where a pulse up
            and one down cancel, as with a reference device that is programmed there.
        progress: called with (fits done, fits in all).

    Raises:
        DataError: if the measurement has too few pulses, no law fits, or the best explains nothing.
        ConfigError: if `law` is unknown or `zero` is neither.
    """
    if zero not in ("middle", "symmetric"):
        raise ConfigError(f'zero must be "middle" or "symmetric", got {zero!r}')
    starts = [create(name) for name in names(own=False)] if law == "auto" else [_start(law)]
    check_trains(trains, "the measurement")
    groups: dict[str, list[Train]] = {}
    for train in trains:
        groups.setdefault(train.device, []).append(train)
    for name, own in groups.items():
        check_trains(own, f"device {name!r}" if name else "the measurement")
    starts, left_out = _affordable(starts, min(map(_pulses, groups.values())))
    import scipy.optimize  # noqa: F401 (what is loaded is limited)

    with threadpool_limits(1, "blas"):  # more threads only wait: the matrices have ten rows
        found = _fit(trains, list(groups.values()), starts, zero, progress)
    return replace(found, left_out=left_out)


def _affordable(starts: list[Device], fewest: int) -> tuple[list[Device], list[str]]:
    """The laws that so many pulses of a device can tell apart, and why the others are left out.

    Those of few numbers come first: where they end, the flexible one begins.

    Raises:
        DataError: if there is none.
    """
    kept, left_out = [], []
    for start in sorted(starts, key=numbers_of):
        numbers = numbers_of(start)
        if least_pulses(numbers) <= fewest:
            kept.append(start)
            continue
        left_out.append(
            f"{start.name} has {numbers} numbers to fit and needs at least {least_pulses(numbers)} "
            f"pulses of a device between readings; there are {fewest}"
        )
    if not kept:
        raise DataError(f"too few pulses: {left_out[0]}. Measure several ramps up and down")
    return kept, left_out


def _pulses(trains: Sequence[Train]) -> int:
    return sum(train.ups.size for train in trains)


def _fit(
    trains: Sequence[Train],
    devices: list[list[Train]],
    starts: list[Device],
    zero: str,
    progress: Callable[[int, int], None] | None,
) -> Fitted:
    """`fit` of what was checked; `devices` are the trains of each, `starts` the laws."""
    done, total = 0, len(devices) * (1 + 2 * len(starts))

    def fitted(
        k: int,
        start: Device,
        additive: bool,
        noise: tuple[float, float] | None = None,
        wider: Sequence[Device] = (),
    ) -> Response:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)
        readings = Readings(devices[k], middle, unit)
        return Response(readings, ranges[k], [start, *wider], additive, noise)

    # What is read of a plateau has read noise; what the filter makes of it has less.
    middle, unit = 0.0, 1.0
    ends = np.array([_range(own) for own in devices])
    middle, unit = _frame(ends, None)
    ranges = (ends - middle) / unit
    rough = [fitted(k, create(_FLEXIBLE), False) for k in range(len(devices))]
    ends = middle + unit * np.array([(r.hidden.min(), r.hidden.max()) for r in rough])
    asked = None
    if zero == "symmetric":
        asked = middle + unit * combined(rough, create(_FLEXIBLE), False).device.symmetric_point
    middle, unit = _frame(ends, asked)
    ranges = (ends - middle) / unit
    candidates, reasons = [], []
    narrower: dict[tuple[bool, int], list[Device]] = defaultdict(list)
    for start in starts:
        flexible = start.name == _FLEXIBLE
        found = {
            additive: [
                fitted(k, start, additive, (r.cycle, r.read), narrower[additive, k] * flexible)
                for k, r in enumerate(rough)
            ]
            for additive in (False, True)
        }
        for one, other in zip(*found.values(), strict=True):  # either may be stuck
            one.search_again(other)
            other.search_again(one)
        for additive, responses in found.items():
            try:
                candidates.append(combined(responses, start, additive))
                for k, device in enumerate(candidates[-1].single):
                    narrower[additive, k].append(_piecewise(device))
            except ConfigError as error:  # such as fewer than two states
                reasons.append(f"{start.name}: {error}")
    if not candidates:
        raise DataError(f"no law fits the measurement. {'; '.join(dict.fromkeys(reasons))}")
    scaled = [replace(t, readings=(t.readings - middle) / unit) for t in trains]
    fitted_to = Fitted(sorted(candidates, key=lambda c: c.bic), middle, unit, scaled)
    _check(fitted_to)
    return fitted_to


def _check(found: Fitted) -> None:
    """Refuse a fit that is only the least wrong of what was tried.

    Raises:
        DataError: says what is wrong with it.
    """
    best, readings = found.best, sum(train.readings.size for train in found.trains)
    outliers, cycle = sum(places.size for places in best.outliers), best.device.spread()["cycle"]
    faults = []
    if outliers > _STRANGE * readings:
        faults.append(f"{outliers} of {readings} readings would be outliers")
    if best.step_error >= 1:
        faults.append(f"the error of states would be {best.step_error:.0%} of them")
    if cycle >= 0.999 * MOST_CYCLE:
        faults.append(f"a pulse would vary by {cycle:.0%}, the most that is looked for")
    if faults:
        raise DataError(
            f"no law explains the measurement: with {best.device.name}, the best of those tried, "
            f"{', and '.join(faults)}. A device that switches between two levels, or readings that "
            "do not follow the pulses, have no response to fit; look at reading against pulse"
        )


def _start(law: str | type[Device]) -> Device:
    """A law with its defaults.

    Raises:
        ConfigError: if it is none.
    """
    if isinstance(law, str):
        return create(law)
    if isinstance(law, type) and issubclass(law, Device):
        return law()
    raise ConfigError(
        f'law must be "auto", the name of a law, module:Class or a class of laws, got {law!r}'
    )


def _range(trains: Sequence[Train]) -> tuple[float, float]:
    """The least and the largest reading that is not far from those before and after it.

    Far is more than four times the steps of all but the largest tenth.
    """
    kept = []
    steps = np.concatenate([np.abs(np.diff(train.readings)) for train in trains])
    far = 4 * float(np.quantile(steps, 0.9))
    for train in trains:
        padded = np.concatenate([train.readings[1:2], train.readings, train.readings[-2:-1]])
        middle = np.median([padded[:-2], padded[1:-1], padded[2:]], axis=0)
        kept.append(train.readings[np.abs(train.readings - middle) <= far])
    every = np.concatenate(kept)
    return float(every.min()), float(every.max())


def _piecewise(device: Device) -> Device:
    """The piecewise law that answers as a device does, as far as it can."""
    points = {"min": device.w_min, "low": device.w_min / 2, "high": device.w_max / 2,
              "max": device.w_max}  # fmt: skip
    p = device.p
    fields = {f"up_{key}": device.q_up(w, p) for key, w in points.items()}
    fields |= {f"down_{key}": device.q_down(w, p) for key, w in points.items()}
    return create(_FLEXIBLE, **{key: min(max(q, 0.0), 20.0) for key, q in fields.items()})


def _frame(ends: np.ndarray, zero: float | None) -> tuple[float, float]:
    """The reading at w = 0 and the change for 1, from the least and largest of every device."""
    low, high = ends.mean(axis=0)
    middle = float((low + high) / 2 if zero is None else zero)
    return middle, float(max(high - middle, middle - low))
