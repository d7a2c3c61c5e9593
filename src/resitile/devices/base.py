"""What every device law shares: bounds, number of states, spread, noise and derived physics."""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, dataclass_transform

from resitile._registry import Registry, declared, is_own, make_dataclass, unbox
from resitile.devices.checks import (
    MOST_LOG_NORMAL,
    check_functions,
    check_names,
    check_numbers,
    check_spread,
)
from resitile.devices.law_code import check_answers, code_id
from resitile.errors import ConfigError, did_you_mean, refuse_unknown

_REGISTRY = Registry("device law")

# The spread of the incumbent simulator (aihwkit's PulsedDevice), which the paper's runs use.
DEFAULT_VARIATION = {
    "dw_min": 0.3,
    "w_min": 0.3,
    "w_max": 0.3,
    "up_down": 0.01,
    "cycle": 0.3,
}

_CELLS = 64  # between the bounds, in which symmetric points are looked for

Variation = str | Mapping[str, float]


@dataclass_transform(kw_only_default=True, frozen_default=True)
@dataclass(frozen=True, kw_only=True)
class Device:
    """A device law: how the weight of one crosspoint answers a single pulse.

    A law is a subclass with two scalar functions in plain Python, `q_up(w, p)` and
    `q_down(w, p)`, where `p = (w_min, w_max, *fields)` belongs to this crosspoint and `fields` are
    the numbers that the subclass declares, in order. The engine compiles them and applies
    everything else: one pulse up does

        w <- clip(w + step_up * q_up(w, p) * (1 + cycle * N(0, 1)), w_min, w_max)

    and a pulse down the same with `-step_down * q_down`. Every crosspoint has its own bounds,
    steps and fields, drawn from the spread in `variation`.

    Args:
        states: number of conductance states, `(w_max - w_min) / dw_min`, at least 2; at most 2e7
            for bounds that mirror each other: dw_min must be 1e-7 of the larger bound, so that a
            pulse changes a float32 weight.
        w_min: nominal lower bound, below 0, in weight units; 1e-15 to 1e15 in size.
        w_max: nominal upper bound, above 0; likewise.
        up_down: systematic bias between up and down: above 0 weakens down pulses, below 0 up
            pulses, by this part of the step; -1 < up_down < 1.
        variation: "default" (30 % on step and bounds, 1 % on the up-down balance, 30 % cycle to
            cycle), "none", or a mapping that changes single entries of the default: `dw_min`,
            `w_min`, `w_max` and the law's own fields (standard deviation between devices, as a
            part of the nominal value), `up_down` (absolute), `cycle` (cycle-to-cycle, as a part
            of the step).
        cycle_noise: "multiplicative" (the noise scales with the step at w) or "additive" (it
            scales with the step at 0).
        log_normal: draw the step's spread log-normal instead of normal.

    Raises:
        ConfigError: if a value lies outside its range.

    References:
        Gong et al. 2018 and aihwkit's PulsedDevice for the spread; Li et al. 2025
        (arXiv 2510.02516), Sec. 2 for q_up, q_down and the number of states.
    """

    states: float = 4
    w_min: float = -1.0
    w_max: float = 1.0
    up_down: float = 0.0
    variation: Variation = "default"
    cycle_noise: str = "multiplicative"
    log_normal: bool = False

    name: ClassVar[str] = "device"
    law_fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, name: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not name:
            raise ConfigError(f'give the law a name: class {cls.__name__}(Device, name="...")')
        if Device not in cls.__bases__:
            raise ConfigError(
                f"{cls.__name__} derives from another law; laws are final: derive from Device"
            )
        check_functions(cls)
        check_names(cls, Device, DEFAULT_VARIATION)
        cls.name = name
        cls.law_fields = tuple(field for field in declared(cls) if not field.startswith("_"))
        make_dataclass(cls, "law", "field", kw_only=True, repr=False)
        refuse_unknown(cls)
        cls.__hash__ = Device.__hash__  # type: ignore[method-assign]
        _REGISTRY.add(name, cls)

    def __post_init__(self) -> None:
        if type(self) is Device:
            raise ConfigError("Device is abstract: use a law such as SoftBounds")
        unbox(self)
        check_numbers(self)
        if self.cycle_noise not in ("multiplicative", "additive"):
            raise ConfigError(
                f'cycle_noise must be "multiplicative" or "additive", got {self.cycle_noise!r}'
            )
        if not isinstance(self.log_normal, bool):
            raise ConfigError(f"log_normal must be true or false, got {self.log_normal!r}")
        if isinstance(self.variation, Mapping):
            object.__setattr__(self, "variation", dict(self.variation))
        self.spread()
        self.validate()
        check_answers(self)

    def __hash__(self) -> int:
        # Of numbers alone, for 4 == 4.0 and their texts differ.
        return hash((type(self), self.states, self.w_min, self.w_max, self.up_down))

    def __repr__(self) -> str:
        shown = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if f.name == "states" or getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    @staticmethod
    def q_up(w: float, p: tuple[float, ...]) -> float:
        """Response to a pulse up at weight `w`; a law defines it."""
        raise NotImplementedError

    @staticmethod
    def q_down(w: float, p: tuple[float, ...]) -> float:
        """Response to a pulse down at weight `w`; a law defines it."""
        raise NotImplementedError

    def validate(self) -> None:
        """Check the law's own fields; a law may override it."""

    def replace(self, **changes: Any) -> Self:
        """The same device with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def dw_min(self) -> float:
        """Weight change of one nominal pulse at w = 0, in weight units."""
        return (self.w_max - self.w_min) / self.states

    @property
    def p(self) -> tuple[float, ...]:
        """The nominal parameters `(w_min, w_max, *fields)` that the law's functions take."""
        return (self.w_min, self.w_max, *(float(getattr(self, f)) for f in self.law_fields))

    @property
    def step_up(self) -> float:
        """Nominal step up where q_up is 1: dw_min, less what `up_down` takes from it."""
        return self.dw_min * (1 + min(self.up_down, 0.0))

    @property
    def step_down(self) -> float:
        """Nominal step down where q_down is 1, as a positive number."""
        return self.dw_min * (1 - max(self.up_down, 0.0))

    def spread(self) -> dict[str, float]:
        """Standard deviations by name, with every entry that `variation` may hold.

        Raises:
            ConfigError: if `variation` is neither a known word nor a mapping of known entries to
                numbers of at least 0.
        """
        known = {**DEFAULT_VARIATION, **dict.fromkeys(self.law_fields, 0.0)}
        if self.variation == "none":
            return dict.fromkeys(known, 0.0)
        if self.variation == "default":
            return known
        if not isinstance(self.variation, Mapping):
            raise ConfigError(
                f'variation must be "default", "none" or a mapping, got {self.variation!r}'
            )
        for entry, value in self.variation.items():
            if entry not in known:
                raise ConfigError(
                    f"variation of {entry!r} is unknown; {did_you_mean(entry, known)}"
                )
            known[entry] = check_spread(entry, value)
        if self.log_normal and known["dw_min"] > MOST_LOG_NORMAL:
            raise ConfigError(
                f"variation of dw_min must be at most {MOST_LOG_NORMAL} with log_normal, got "
                f"{known['dw_min']:g}: steps would leave the range of float32"
            )
        return known

    def symmetric(self, w: float) -> float:
        """F(w) = (q_down + q_up) / 2 of the nominal device [Li et al. 2025, Sec. 2].

        Its steps, apart by `up_down`, count with q, both as shares of dw_min.
        """
        return (self._down(w) + self._up(w)) / 2

    def asymmetric(self, w: float) -> float:
        """G(w) = (q_down - q_up) / 2 of the nominal device, as `symmetric`."""
        return (self._down(w) - self._up(w)) / 2

    def _up(self, w: float) -> float:
        return self.step_up / self.dw_min * self.q_up(w, self.p)

    def _down(self, w: float) -> float:
        return self.step_down / self.dw_min * self.q_down(w, self.p)

    @property
    def symmetric_point(self) -> float:
        """The weight at which a pulse up and a pulse down cancel, the nearest to 0 if several do.

        Only those count to which pulses in turn lead back: below it pulses up are the larger ones.

        Raises:
            ConfigError: if the nominal device has none inside its bounds.
        """
        from scipy.optimize import brentq

        def imbalance(w: float) -> float:
            return self.step_down * self.q_down(w, self.p) - self.step_up * self.q_up(w, self.p)

        near = (self.w_max - self.w_min) / _CELLS / 8
        if imbalance(0.0) == 0 and imbalance(-near) <= 0 <= imbalance(near):
            return 0.0
        at = [self.w_min + (self.w_max - self.w_min) * k / _CELLS for k in range(_CELLS + 1)]
        found = [
            float(brentq(imbalance, low, high))
            for low, high in itertools.pairwise(at)
            if imbalance(low) <= 0 < imbalance(high) or imbalance(low) < 0 <= imbalance(high)
        ]
        if not found:
            raise ConfigError(f"{self!r} has no symmetric point between its bounds")
        return min(found, key=abs)

    @classmethod
    def law_id(cls) -> str:
        """A hash of the two functions' code and of what they refer to.

        The compiled kernels are cached under it, so an edited law is never served by an old one.
        """
        return code_id(cls.name, cls.law_fields, (cls.q_up, cls.q_down))


def create(name: str, **fields: Any) -> Device:
    """The device of a name, as the configuration files write it: `create("soft_bounds", states=4)`.

    Raises:
        ConfigError: if the name or a field is unknown, or a value lies outside its range.
    """
    cls = _REGISTRY.get(name)
    allowed = [f.name for f in dataclasses.fields(cls)]
    for field in fields:
        if field not in allowed:
            hint = did_you_mean(field, allowed)
            if field.isdigit():
                hint = "numbers choose among several [[device]] tables, one per tile; here is one"
            raise ConfigError(f"device {name!r} has no field {field!r}; {hint}")
    return cls(**fields)  # type: ignore[no-any-return]


def names(*, own: bool = True) -> list[str]:
    """The names of all device laws.

    Args:
        own: whether those of the user's own code are among them, too.
    """
    return [name for name in _REGISTRY if own or not is_own(_REGISTRY.get(name))]
