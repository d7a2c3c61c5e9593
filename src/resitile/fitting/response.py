"""One law on the readings of one device: the numbers that make them most likely."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resitile.devices import Device
from resitile.fitting.measurement import Train
from resitile.kernels.law import law_of
from resitile.kernels.likelihood import likelihoods

_NAMES = ("step up", "step down", "cycle noise", "read noise", "w_min", "w_max")  # then fields
_STARTS = [(0.2, 0.005), (0.3, 0.05)]  # cycle-to-cycle and read noise
_LOUD = (1.0, 0.05)  # the same, for the first look at a law: no reading is an outlier then
MOST_CYCLE = 5.0
_STEP, _CYCLE, _READ = (1e-5, 2.0), (1e-3, MOST_CYCLE), (5e-4, 0.5)  # where they are looked for
_REACH = (-0.2, 1.0)  # of bounds beyond what was read, as a share; above 0 where steps vanish there
_LEAST_BOUND = 0.05  # on either side of w = 0
_OUTLIERS = 0.003  # expected share of readings that mean nothing
_CLOSE = 1e-7  # relative, of the likelihood per pulse, when the search ends
_GAIN = 0.1  # of the log-likelihood, from which another start counts as better
_IMPOSSIBLE = 1e6  # the loss of numbers that a law cannot take
_WIDE, _NARROW = 0.03, 1e-5  # what numbers are moved by for the curvature, at most and at least
_FALL = 32.0  # of the log-likelihood that twice as much may make: eight standard errors
_RIDGE = 0.005  # least eigenvalue of a curvature with ones on its diagonal; sound fits have 0.04
_PART = 0.3  # of the ridge's direction, from which a number belongs to it
_MOVE = math.sqrt(np.finfo(float).eps)  # relative, for slopes


def numbers_of(law: Device) -> int:
    """How many numbers are fitted to a device."""
    return len(_NAMES) + len(law.law_fields)


class Readings:
    """What was read of one device, in weight units: w = (reading - zero) / unit."""

    def __init__(self, trains: Sequence[Train], zero: float, unit: float) -> None:
        parts = [(train.readings - zero) / unit for train in trains]
        none = np.zeros(1, dtype=bool)
        self.values = np.concatenate(parts)
        self.ups = np.concatenate([np.concatenate([none, train.ups]) for train in trains])
        self.starts = np.cumsum([0] + [part.size for part in parts])
        self.pulses = sum(train.ups.size for train in trains)

    def first_steps(self) -> list[float]:
        """The mean step up and down, from differences of readings, at least 0.01."""
        from scipy.stats import trim_mean

        steps = np.diff(self.values)
        inside = np.ones(steps.size, dtype=bool)
        inside[self.starts[1:-1] - 1] = False  # from one train to the next
        ups = self.ups[1:]
        # Means without the largest and the smallest tenth, which outliers make.
        means = [trim_mean(s, 0.1) for s in (steps[inside & ups], -steps[inside & ~ups])]
        return [max(float(mean), 0.01) for mean in means]


class Response:
    """A law with one kind of cycle-to-cycle noise, fitted to one device.

    Args:
        readings: of the device.
        ranges: (2,) the least and the largest weight that it had.
        starts: the law, perhaps with several settings of its fields: where the search begins.
        additive: kind of noise.
        noise: of pulses and readings, where the search begins; None tries several.

    Attributes:
        steps: (2,) step up and down at w = 0.
        bounds: (2,) w_min and w_max.
        cycle, read: noise of a pulse, as a share of the step, and of a reading, in weight units.
        fields: the law's own.
        parameters: how many numbers were fitted.
        log_likelihood, surprises: of the readings; the sum of squared errors of prediction.
        hidden: the weights behind the readings.
        outliers: which readings mean nothing, by their place in `readings.values`.
    """

    def __init__(
        self,
        readings: Readings,
        ranges: np.ndarray,
        starts: Sequence[Device],
        additive: bool,
        noise: tuple[float, float] | None = None,
    ) -> None:
        start = starts[0]
        self.readings, self.law, self.additive = readings, type(start), additive
        self._kernels_law = law_of(self.law)  # type: ignore[arg-type]
        self.ranges = np.array([min(ranges[0], -_LEAST_BOUND), max(ranges[1], _LEAST_BOUND)])
        self.hidden, self._sound = np.empty_like(readings.values), np.empty_like(readings.values)
        # Where steps vanish at the bounds, those may lie beyond what was reached.
        vanish = start.q_up(start.w_max, start.p) == 0 == start.q_down(start.w_min, start.p)
        logs = [tuple(map(math.log, pair)) for pair in (_STEP, _STEP, _CYCLE, _READ)]
        known = getattr(self.law, "ranges", {})
        own = [known.get(field, (None, None)) for field in start.law_fields]
        self._limits: list[Any] = [*logs, (_REACH[0], _REACH[1] * vanish)]
        self._limits += [self._limits[-1], *own]
        reach = 0.1 if vanish else -0.03
        ends = []
        for other in starts:
            fields = [float(getattr(other, name)) for name in other.law_fields]
            first = np.array(
                [*np.log(readings.first_steps()), *np.log(_LOUD), reach, reach, *fields]
            )
            # With much noise the likelihood is smooth: what the law looks like is found there.
            loud = [*self._limits[:2], *((value, value) for value in first[2:4]), *self._limits[4:]]
            first = self._improved(first, loud).x
            for pair in ([noise] if noise else _STARTS) + [_LOUD]:
                first[2:4] = np.log(pair)
                ends.append(self._improved(first, self._limits))
        self._settle(np.asarray(min(ends, key=lambda end: float(end.fun)).x))

    def search_again(self, other: "Response") -> None:
        """From where the same law ended with the other kind of noise; the better is kept.

        In units of what each number may move by: on a narrow ridge another search does not start.
        """
        x = other._x
        units = np.array([self._width(k, x) or 1.0 for k in range(x.size)])
        end = self._improved(x, self._limits, units)
        if -float(end.fun) * self.readings.pulses > self.log_likelihood + _GAIN:
            self._settle(np.asarray(end.x))

    def _settle(self, x: np.ndarray) -> None:
        """Take these numbers for the most likely ones."""
        self._x = x
        self._curved: tuple[list[int], np.ndarray | None] | None = None
        self.parameters = x.size
        self.steps, self.bounds = np.exp(x[:2]), self.ranges * (1 + x[4:6])
        self.cycle, self.read = float(np.exp(x[2])), float(np.exp(x[3]))
        self.fields = x[6:]
        self.log_likelihood, self.surprises = self._likelihoods(x[None])[0]
        self.outliers = np.flatnonzero(self._sound < 0.5)

    def _improved(self, x: np.ndarray, limits: list[Any], units: np.ndarray | float = 1.0) -> Any:
        """Where a search from `x` ends that counts each number in its unit."""
        from scipy.optimize import minimize

        ends = np.array(limits, dtype=np.float64) / np.reshape(units, (-1, 1))  # None becomes NaN
        scaled = [tuple(None if math.isnan(end) else end for end in pair) for pair in ends]
        how = {"method": "L-BFGS-B", "bounds": scaled, "options": {"ftol": _CLOSE}}
        free = [k for k, (least, most) in enumerate(limits) if least is None or least != most]
        tops = np.array([math.inf if most is None else most for _, most in limits])

        def loss(scaled: np.ndarray) -> tuple[float, np.ndarray]:
            x = scaled * units
            moves = _MOVE * np.maximum(np.abs(x), 1.0)
            moves[x + moves > tops] *= -1
            found = self._losses(x + np.vstack([np.zeros(x.size), np.diag(moves)[free]]))
            slope = np.zeros(x.size)
            slope[free] = (found[1:] - found[0]) / moves[free]
            return float(found[0]), slope * units

        end = minimize(loss, x / units, jac=True, **how)
        end.x = end.x * units
        return end

    def _likelihoods(self, trials: np.ndarray) -> np.ndarray:
        """(trials, 2): log-likelihood and surprises for every row of numbers to be fitted."""
        r, found = self.readings, np.empty((len(trials), 2))
        numbers = np.array(trials, dtype=np.float64, order="C")
        numbers[:, :4] = np.exp(trials[:, :4])
        numbers[:, 4:6] = self.ranges * (1 + trials[:, 4:6])
        likelihoods(
            self._kernels_law, r.values, r.ups, r.starts, numbers, self.additive, _OUTLIERS,
            self.hidden, self._sound, found,
        )  # fmt: skip
        return found

    def _losses(self, trials: np.ndarray) -> np.ndarray:
        """What is made small, for every row."""
        try:
            found = -self._likelihoods(trials)[:, 0] / self.readings.pulses
        except (ArithmeticError, ValueError):  # a law of the user's own, at numbers it cannot take
            if len(trials) == 1:
                return np.array([_IMPOSSIBLE])
            return np.concatenate([self._losses(row[None]) for row in trials])
        return np.where(np.isfinite(found), found, _IMPOSSIBLE)

    def step_error(self) -> float:
        """Standard error of the larger step, as a share of it; NaN if it cannot be told.

        From the curvature of the likelihood along the numbers that are not at a limit, over some
        standard errors: where a weight meets a point of its response the likelihood has a kink,
        and far away, where readings look like outliers, it is flat.
        """
        free, curvature = self._curvature()
        which = int(np.argmax(self.steps))
        if which not in free or curvature is None:
            return math.nan
        variance = np.linalg.pinv(curvature)[free.index(which), free.index(which)]
        return math.sqrt(variance) if variance > 0 else math.nan

    def tied(self) -> list[str]:
        """The numbers, fields of the law among them, of which only a combination can be told.

        Along it the likelihood is a ridge: its curvature there is next to none.
        """
        free, curvature = self._curvature()
        if curvature is None or not (np.diag(curvature) > 0).all():
            return []
        scale = np.sqrt(np.diag(curvature))
        values, directions = np.linalg.eigh(curvature / np.outer(scale, scale))
        if abs(values[0]) > _RIDGE:
            return []
        parts = abs(directions[:, 0])
        found = [k for k, part in zip(free, parts, strict=True) if part > _PART * parts.max()]
        names = [*_NAMES, *self.law.law_fields]
        return [names[k] for k in found] if found[-1] >= len(_NAMES) else []

    def _curvature(self) -> tuple[list[int], np.ndarray | None]:
        """Which numbers are not at a limit, and the curvature along them; None if it has none.

        Found once for the numbers that are taken: it takes as many likelihoods as a search.
        """
        if self._curved is None:
            self._curved = self._curvature_at_end()
        return self._curved

    def _curvature_at_end(self) -> tuple[list[int], np.ndarray | None]:
        x, found = self._x, [self._width(k, self._x) for k in range(self._x.size)]
        free, moves = [k for k, h in enumerate(found) if h > 0], np.diag(found)
        if not free:
            return free, None
        pairs = [(moves[i], moves[j]) for i in free for j in free]
        rows = [x + change for a, b in pairs for change in (a - b, b - a, a + b, -a - b)]
        losses = self._losses(np.array(rows))
        if losses.max() >= _IMPOSSIBLE:
            return free, None
        four = losses.reshape(len(free), len(free), 4) * self.readings.pulses
        h = np.array(found)[free]
        return free, four @ (-1, -1, 1, 1) / (4 * np.outer(h, h))

    def _width(self, k: int, x: np.ndarray) -> float:
        """Over what number k of `x` is moved, up to some standard errors; 0 if at a limit."""
        (least, most), h = self._limits[k], _WIDE
        while True:
            ends = [x[k] - 2 * h, x[k] + 2 * h]
            inside = [(least is None or e > least) and (most is None or e < most) for e in ends]
            rows = np.tile(x, (3, 1))
            rows[1:, k] = np.where(inside, ends, x[k])
            losses = self._losses(rows) * self.readings.pulses
            if losses.max() - losses[0] <= _FALL or h < _NARROW:
                return h if all(inside) else 0.0
            h /= 2
