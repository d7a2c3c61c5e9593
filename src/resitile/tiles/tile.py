"""One crossbar: a device at every crosspoint, each with parameters of its own."""

from dataclasses import dataclass

import numpy as np

from resitile.devices import Device
from resitile.errors import ConfigError
from resitile.kernels.crosspoint import describe_crosspoints, pulse_staircase
from resitile.kernels.keys import stream
from resitile.kernels.law import law_of, spec_of
from resitile.kernels.lines import MAX_BITS
from resitile.kernels.random import normal_table


@dataclass(frozen=True)
class PulseTrain:
    """How an outer product becomes pulses (aihwkit's `UpdateParameters`).

    Args:
        bits: longest train of one vector, 1 to 32.
        update_management: balance the firing probabilities of rows and columns.
        bit_length_management: shorten the train to what the vector needs; forces update
            management on.
    """

    bits: int = 31
    update_management: bool = True
    bit_length_management: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise ConfigError(f"bits must lie in 1 to {MAX_BITS}, got {self.bits}")

    @property
    def arguments(self) -> tuple[int, bool, bool]:
        """What the kernels take."""
        return self.bits, self.update_management, self.bit_length_management


@dataclass(frozen=True)
class Tile:
    """The devices of one crossbar.

    What differs between its devices is not stored but regenerated from `device_seed`, so that only
    the weights take memory.

    Args:
        device: the nominal device and its spread.
        device_seed: from which this tile's spread is drawn; at least 0.
    """

    device: Device
    device_seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.device, Device):
            raise ConfigError(
                "a tile needs a device such as resitile.devices.SoftBounds(states=4), got "
                f"{self.device!r}"
            )
        if not 0 <= self.device_seed < 2**64:
            raise ConfigError(f"device_seed must lie in [0, 2**64), got {self.device_seed!r}")

    @property
    def physics(self) -> tuple:  # type: ignore[type-arg]
        """The kernels' view of the devices: (law, spec, normals, key)."""
        law, spec = law_of(type(self.device)), spec_of(self.device)  # type: ignore[arg-type]
        return law, spec, normal_table(), np.uint64(self.device_seed)

    def crosspoints(self, shape: tuple[int, int]) -> dict[str, np.ndarray]:
        """Every crosspoint's own parameters, each as an array of `shape` (d_out, d_in).

        Returns:
            `w_min`, `w_max`, the law's own fields, `step_up` and `step_down` (weight units).
        """
        law, spec, table, key = self.physics
        names = ["w_min", "w_max", *self.device.law_fields, "step_up", "step_down"]
        out = np.empty((shape[0] * shape[1], len(names)), dtype=np.float32)
        describe_crosspoints(law, spec, key, table, out)
        return {name: out[:, k].reshape(shape) for k, name in enumerate(names)}

    def staircases(
        self, ups: np.ndarray, count: int = 1, *, start: float = 0.0, seed: int = 0
    ) -> np.ndarray:
        """What the first `count` devices of the tile hold under a train of pulses.

        Args:
            ups: (pulses,) bool, the direction of every pulse; True is up.
            count: how many devices, at least 1.
            start: their weight before the first pulse.
            seed: of cycle-to-cycle noise, at least 0.

        Returns:
            (count, pulses + 1) float32: the weights before the first pulse and after each one.

        Raises:
            ConfigError: if one of them is not as above; directions of +1 and -1 are `ups > 0`.
        """
        ups = np.asarray(ups)
        if ups.ndim != 1 or ups.dtype != np.bool_:
            raise ConfigError(
                "ups must be a list of directions, True for up and False for down, got an array "
                f"of {ups.dtype} with {ups.ndim} axes; from +1 and -1 make ups > 0"
            )
        for name, value, least in (("count", count, 1), ("seed", seed, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"{name} must be a whole number of at least {least}, got {value!r}"
                )
        if not self.device.w_min <= start <= self.device.w_max:
            raise ConfigError(
                f"start must lie between the bounds, {self.device.w_min:g} and "
                f"{self.device.w_max:g}, got {start!r}"
            )
        law, spec, table, key = self.physics
        w = np.full(count, start, dtype=np.float32)
        found = [w.copy()]
        for t in range(len(ups)):
            pulse_staircase(law, spec, key, table, w, ups[t : t + 1], np.uint64(stream(seed, t)))
            found.append(w.copy())
        return np.stack(found, axis=1)
