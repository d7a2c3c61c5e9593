"""The constants that every cost is made of: units, sources, and how a user replaces them."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resitile.errors import ConfigError, refuse_unknown

LI = "Li et al. 2025 (arXiv 2510.02516)"
TABLE_8 = f"{LI}, Table 8 (the perceptron of Nandakumar et al. 2020)"


def _constant(default: float, unit: str, what: str, source: str, *, zero: bool = False) -> Any:
    return field(
        default=default, metadata={"unit": unit, "what": what, "source": source, "zero": zero}
    )


@refuse_unknown
@dataclass(frozen=True)
class Primitives:
    """Named constants of the hardware; replace any: `Primitives(read_ns=20)`.

    The defaults are those of the published tables. `describe()` lists meaning, unit and source of
    each; all are finite and above 0, those that `describe()` marks may be 0.

    Raises:
        ConfigError: if a name is unknown, or a value lies outside its range.
    """

    pulse_ns: float = _constant(5.0, "ns", "one pulse period t_sp on the lines", f"{LI}, Table 5")
    read_ns: float = _constant(
        40.0, "ns", "one matrix-vector product t_M, also a one-hot one", f"{LI}, Table 5"
    )
    train_length: float = _constant(
        5.0, "pulse periods", "mean length l_avg of a stochastic pulse train", f"{LI}, Table 5"
    )
    tflops: float = _constant(
        0.175, "10^12 FLOP/s", "digital throughput of a tile: 0.7 shared by 4", f"{LI}, Table 5"
    )
    word_bits: float = _constant(
        8.0, "bit", "a digital value; a read and a write are the table's 16 bit", f"{LI}, Table 5"
    )
    outer_flops: float = _constant(
        2.0,
        "FLOP",
        "for a weight and an outer product in digital; Table 5 has 2, Table 7 was made with 1",
        f"{LI}, Tables 5 and 7",
    )
    rectangular: float = _constant(
        0.0,
        "0 or 1",
        "0: the tables' D is d_in throughout; 1: rows and columns are counted as they are",
        f"{LI}, Tables 6 and 7 (0)",
        zero=True,
    )
    tile_power_w: float = _constant(
        0.7, "W", "power of a tile's line circuits while pulses are sent", f"{LI}, Table 8"
    )
    tile_lines: float = _constant(
        8192.0, "lines", "rows and columns that share that power (4096 x 4096)", f"{LI}, Table 8"
    )
    input_pj: float = _constant(
        4.933,
        "pJ",
        "driving one input line in a product; solved, with output_pj, from 7.29 nJ forward and "
        "2.15 nJ backward of 785-250-10",
        TABLE_8,
        zero=True,
    )
    output_pj: float = _constant(
        8.403,
        "pJ",
        "converting one output line in a product; see input_pj",
        TABLE_8,
        zero=True,
    )
    flop_pj: float = _constant(
        0.15565,
        "pJ",
        "a digital operation with its memory traffic; calibrated: 62.03 nJ of mixed precision's "
        "update over its 398,535 operations",
        TABLE_8,
        zero=True,
    )
    device_pulse_pj: float = _constant(
        0.0,
        "pJ",
        "a pulse in a device itself, for counted events only; the tables count lines alone",
        "none: a value of your device",
        zero=True,
    )
    cell_pitch_um: float = _constant(
        0.4, "um", "side of a crosspoint", f"{LI}, App. I (2.68 mm2 for 4096 x 4096)"
    )
    arrays_per_tile: float = _constant(
        2.0, "arrays", "physical arrays of a tile: devices and reference", f"{LI}, App. I"
    )

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            ok = isinstance(value, int | float) and math.isfinite(value)
            least = "at least" if f.metadata["zero"] else "above"
            if not ok or value < 0 or (value == 0 and not f.metadata["zero"]):
                raise ConfigError(
                    f"primitive {f.name} ({f.metadata['unit']}) must be a finite number {least} "
                    f"0, got {value!r}"
                )
        if self.rectangular not in (0, 1):
            raise ConfigError(f"primitive rectangular must be 0 or 1, got {self.rectangular!r}")

    def replace(self, **changes: float) -> "Primitives":
        """These constants with some changed.

        Raises:
            ConfigError: if a name is unknown, or a value lies outside its range.
        """
        return dataclasses.replace(self, **changes)

    def with_settings(self, settings: Iterable[str]) -> "Primitives":
        """The same from texts such as "read_ns=20", as the command line takes them."""
        changes = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not equals or math.isnan(value):
                raise ConfigError(
                    f"a primitive is set by NAME=NUMBER, such as read_ns=20, and a setting of the "
                    f"configuration by its dotted key, such as device.states=4; got {setting!r}"
                )
            changes[name.strip()] = value
        return self.replace(**changes)


def primitives_of(given: Primitives | Mapping[str, float] | None) -> Primitives:
    """Primitives from what a user may pass: themselves, the changed ones by name, or None."""
    if given is None:
        return Primitives()
    if isinstance(given, Primitives):
        return given
    if isinstance(given, Mapping):
        return Primitives().replace(**given)
    raise ConfigError(
        f"primitives must be resitile.cost.Primitives or a dict such as {{'read_ns': 20}}, "
        f"got {given!r}"
    )


def describe(primitives: Primitives) -> list[dict[str, Any]]:
    """Name, value, unit, meaning and source of every constant."""
    return [
        {
            "name": f.name,
            "value": getattr(primitives, f.name),
            **{key: f.metadata[key] for key in ("unit", "what", "source")},
            "may_be_0": f.metadata["zero"],
        }
        for f in dataclasses.fields(primitives)
    ]
