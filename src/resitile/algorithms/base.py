"""What every training algorithm provides: its tiles, its state, and one step."""

import dataclasses
import functools
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from resitile._registry import Registry, check_call, is_own, make_dataclass, unbox
from resitile.algorithms.auto_schedule import forgets, spread_of
from resitile.cost import Cost, Layer, Work, cost_of
from resitile.devices import Device
from resitile.errors import ConfigError, did_you_mean, refuse_unknown
from resitile.tiles import Composite, Vectors

_REGISTRY = Registry("algorithm")
State = dict[str, np.ndarray]
_MOST_WHOLE, _MOST = 1e15, 1e30
_NUMBERS: Any = (int, (int, float))
_PLAIN: dict[Any, Any] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
}
_STEP = "step(self, weight, state, batch, lr)"


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Algorithm:
    """A training algorithm: frozen settings, and functions on a composite and its state.

    A subclass `class Mine(Algorithm, name="mine")` declares its settings as fields and defines
    `step`; `count`, `ratio` and `init` where the defaults do not fit; `work`, and `reads` if it
    reads columns, so that its cost can be told. `title="..."` is its short name in tables.

    Args:
        device: the device of every tile, or one device per tile, coarsest first.
    """

    device: Device | Sequence[Device]

    name: ClassVar[str] = "algorithm"
    title: ClassVar[str] = ""

    def __init_subclass__(cls, *, name: str = "", title: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not name:
            raise ConfigError(f'name the algorithm: class {cls.__name__}(Algorithm, name="...")')
        if cls.step is Algorithm.step:
            raise ConfigError(f"{cls.__name__} needs a method {_STEP}, which learns")
        check_call(cls.step, 5, f"step of the algorithm {cls.__name__}", _STEP)
        cls.name, cls.title = name, title or name
        make_dataclass(cls, "algorithm", "setting", required=True)
        refuse_unknown(cls)
        _REGISTRY.add(name, cls)

    def __post_init__(self) -> None:
        unbox(self)
        if not isinstance(self.device, Device):
            devices = tuple(self.device) if isinstance(self.device, Sequence) else (self.device,)
            for device in devices:
                if not isinstance(device, Device):
                    raise ConfigError(
                        f"{type(self).__name__} needs a device such as "
                        f"resitile.devices.SoftBounds(states=4), got {device!r}"
                    )
            object.__setattr__(self, "device", devices)
        if is_own(type(self)):  # those of the package check more than types
            _check_types(self)
        self.validate()
        check_number("count", self.count, 1, 10_000, whole=True)
        check_number("ratio", self.ratio)
        if not isinstance(self.device, Device) and len(self.device) != self.count:
            raise ConfigError(
                f"{len(self.device)} devices for {self.count} tiles: give one device, or one per "
                "tile, coarsest first"
            )

    def validate(self) -> None:
        """Check the settings; raises ConfigError."""

    @property
    def count(self) -> int:
        """Number of tiles of the composite."""
        return 1

    @property
    def ratio(self) -> float:
        """gamma, the ratio between the coefficients of neighbouring tiles."""
        return 1.0

    @property
    def visible(self) -> int:
        """How many tiles, the coarsest, make the weight; the others are hidden."""
        return self.count

    @property
    def counts_epochs(self) -> bool:
        """Whether its setting `steps_per_epoch` is still to be filled in."""
        return False

    def devices(self) -> tuple[Device, ...]:
        """The device of every tile, coarsest first."""
        return (self.device,) * self.count if isinstance(self.device, Device) else self.device  # type: ignore[return-value]

    def init(self, shape: tuple[int, int]) -> State:
        """State beside the tiles for a weight of `shape` (d_out, d_in): named arrays.

        They are saved with the layer; `step` writes into them, see `SavedState`.
        """
        del shape
        return {}

    def step(self, weight: Composite, state: State, batch: Sequence[Vectors], lr: float) -> None:
        """Learn from one mini-batch, in place; `lr` is the optimizer's, above 0."""
        raise NotImplementedError

    def compose(self, weight: Composite, state: State) -> None:
        """Recompute the whole weight; to be overridden where digital state is part of it."""
        del state
        weight.refresh()

    def reads(self, layer: Layer) -> float:
        """Columns read for transfers, per sample, by the settings: 1 / n_s."""
        del layer
        return 0.0

    def work(self, layer: Layer, reads: float) -> Work:
        """What the update of a layer takes per sample, with `reads` columns read."""
        raise ConfigError(
            f"{type(self).__name__} does not state its cost; define work(self, layer, reads) that "
            "returns a resitile.cost.Work"
        )

    def cost(self, layer: Layer, reads: float | None = None) -> Cost:
        """Latency, storage, energy and area of a layer under this algorithm, per sample.

        Args:
            layer: its shape, mini-batch and the hardware's constants.
            reads: columns read per sample, such as counted ones; None takes the settings'.

        Raises:
            ConfigError: if the algorithm does not state its cost.
        """
        reads = self.reads(layer) if reads is None else reads
        work = self.work(layer, reads)
        if not isinstance(work, Work):
            raise ConfigError(
                f"work of {type(self).__name__} must return a resitile.cost.Work, got {work!r}"
            )
        return cost_of(work, layer)

    def floor(self) -> float:
        """Spread that stays in a weight, as a share of the reach of tile 0.

        Of tiles that noise drives, the last one that is filled counts. To be overridden where
        pulses come only when there is something to say: `rounding`.
        """
        n = max(self.count - 2, 0)
        return self._share(n) * spread_of(self.devices()[n])

    def rounding(self, n: int) -> float:
        """Standard deviation of rounding to whole pulses of tile n, as a share as of `floor`."""
        return self._share(n) * forgets(self.devices()[n]) / math.sqrt(12)

    def _share(self, n: int) -> float:
        """Reach of tile n in the weight over that of tile 0."""
        first, device = self.devices()[0], self.devices()[n]
        reach = (device.w_max - device.w_min) / (first.w_max - first.w_min)
        return reach * self.ratio**n

    def reset(self, state: State) -> None:
        """Forget, in place, what `state` knows about the weight: a new one was programmed."""
        del state


def create(name: str, device: Device | Sequence[Device], **settings: Any) -> Algorithm:
    """The algorithm of a name (or `module:Class`), as the configuration files write it.

    Raises:
        ConfigError: if the name or a setting is unknown, or a value lies outside its range.
    """
    cls = _REGISTRY.get(name)
    allowed = [f.name for f in dataclasses.fields(cls) if f.name != "device"]
    for setting in settings:
        if setting not in allowed:
            raise ConfigError(
                f"algorithm {name!r} has no setting {setting!r}; {did_you_mean(setting, allowed)}"
            )
    return cls(device, **settings)  # type: ignore[no-any-return]


def names() -> list[str]:
    """The names of all algorithms."""
    return list(_REGISTRY)


def classes() -> dict[str, type[Algorithm]]:
    """The classes of all algorithms by name, a user's own included."""
    return {name: _REGISTRY.get(name) for name in _REGISTRY}


def _check_types(algorithm: Algorithm) -> None:
    """Refuse settings that are not of the plain type that their class declares."""
    cls: Any = type(algorithm)  # mypy takes it for unhashable
    hints = _hints(cls)
    for field in dataclasses.fields(algorithm):
        value = getattr(algorithm, field.name)
        types, what = _PLAIN.get(hints.get(field.name), (object, ""))
        if not isinstance(value, types) or (isinstance(value, bool) and types in _NUMBERS):
            raise ConfigError(f"{field.name} must be {what}, got {value!r}")


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # annotations that mean nothing here: left to `validate`
        return {}


def check_flag(name: str, value: object) -> None:
    """Raise ConfigError unless `value` is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value!r}")


def check_number(
    name: str,
    value: float | None,
    low: float = 0.0,
    high: float = math.inf,
    *,
    whole: bool = False,
    optional: bool = False,
    open_ends: bool = False,
) -> None:
    """Raise ConfigError unless `value` is a number (a whole one, or None) in [low, high].

    With `open_ends` the bounds themselves are not allowed. Without a bound above, whole numbers go
    up to 1e15 and others to 1e30: steps are counted in int64, weights are float32.
    """
    if optional and value is None:
        return
    kind = "a whole number" if whole else "a number"
    allowed = (int,) if whole else (int, float)
    ok = isinstance(value, allowed) and not isinstance(value, bool)
    inside = ok and (low < value < high if open_ends else low <= value <= high)  # type: ignore[operator]
    most = min(high, _MOST_WHOLE if whole else _MOST)
    if not inside or value > most:  # type: ignore[operator]
        if high == math.inf:
            span = f"above {low:g}" if open_ends else f"of at least {low:g}"
            span += f" and at most {most:g}" if ok and value > most else ""  # type: ignore[operator]
        else:
            span = f"in ({low:g}, {high:g})" if open_ends else f"in [{low:g}, {high:g}]"
        raise ConfigError(f"{name} must be {kind} {span}, got {value!r}")
