"""A measured pulse response: conductances that were read after pulses, from a CSV file."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resitile.errors import DataError

_CONDUCTANCE = ("conductance", "g", "current", "i", "weight", "w")
_DIRECTION = ("direction", "pulse_direction")
_UP = ("up", "+", "1", "+1", "1.0", "set", "potentiation", "ltp")
_DOWN = ("down", "-", "-1", "-1.0", "reset", "depression", "ltd")
_LEAST = 3  # steps in either direction, fewer show no response
_NEEDED = (
    "a column conductance and a column direction (up or down: the pulse before the reading), or "
    "two columns up and down with the readings of a train each"
)


@dataclass(frozen=True)
class Train:
    """Readings of one device with one pulse between each and the next.

    Args:
        device: which device, as the file names it; "" if it does not.
        readings: (n + 1,) float64, in any unit.
        ups: (n,) bool, the direction of each pulse.
    """

    device: str
    readings: np.ndarray
    ups: np.ndarray

    def __post_init__(self) -> None:
        if self.readings.shape != (self.ups.size + 1,):
            raise DataError(
                f"a train of {self.ups.size} pulses has a reading before, between and after them, "
                f"so {self.ups.size + 1}; got an array of shape {self.readings.shape}"
            )


def read_trains(path: Path) -> list[Train]:
    """The pulse trains of a CSV file.

    Its first line names the columns: `conductance` (or g, current, weight; any unit), read after a
    pulse, and `direction`, the pulse's (up, down, +1, -1, set, reset, potentiation, depression);
    the first reading of a device needs none. `device` and `cycle` are optional: no step is taken
    from one device or cycle to the next. Or two columns `up` and `down`, a train each, perhaps of
    different length. Columns of other names are not looked at. Commas, semicolons or tabs.

    Raises:
        DataError: if the file cannot be read, lacks a column, or has too few steps; names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            mark = max(",;\t", key=first.count)
            rows = list(csv.DictReader(file, delimiter=mark, skipinitialspace=True))
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path} as CSV: {error}") from error
    table = [{(k or "").strip().lower(): v for k, v in row.items()} for row in rows]
    names = list(table[0]) if table else [name.strip() for name in first.split(mark)]
    if "up" in names and "down" in names:
        trains = _two_columns(path, table)
    else:
        conductance = next((name for name in _CONDUCTANCE if name in names), None)
        direction = next((name for name in _DIRECTION if name in names), None)
        if conductance is None or direction is None:
            raise DataError(f"{path} needs {_NEEDED}; it has {', '.join(names)}")
        trains = _rows(path, table, conductance, direction)
    check_trains(trains, str(path))
    return trains


def check_trains(trains: Sequence[Train], name: str) -> None:
    """Refuse what no response can be fitted to.

    Raises:
        DataError: if readings are not finite, are all the same, or too few pulses go one way.
    """
    for up, word in ((True, "up"), (False, "down")):
        steps = sum(int((train.ups == up).sum()) for train in trains)
        if steps < _LEAST:
            raise DataError(
                f"{name} has {steps} pulses {word} between two readings; a fit needs at least "
                f"{_LEAST} in either direction"
            )
    every = np.concatenate([train.readings for train in trains])
    if not np.isfinite(every).all():
        raise DataError(f"{name} has readings that are NaN or infinite; leave those rows out")
    if np.ptp(every) == 0:
        raise DataError(f"all readings of {name} are {every[0]:g}: no pulse moved anything")


def _two_columns(path: Path, table: Sequence[Mapping[str, str]]) -> list[Train]:
    trains = []
    for name in ("up", "down"):
        column = [(row.get(name) or "").strip() for row in table]
        found = [_number(path, k, name, text) for k, text in enumerate(column) if text]
        trains.append(Train("", np.array(found), np.full(max(len(found) - 1, 0), name == "up")))
    return [train for train in trains if train.ups.size]


def _rows(
    path: Path, table: Sequence[Mapping[str, str]], conductance: str, direction: str
) -> list[Train]:
    groups: dict[tuple[str, str], tuple[list[float], list[bool]]] = {}
    for k, row in enumerate(table):
        key = ((row.get("device") or "").strip(), (row.get("cycle") or "").strip())
        readings, ups = groups.setdefault(key, ([], []))
        if readings:
            ups.append(_is_up(path, k, row.get(direction) or ""))
        readings.append(_number(path, k, conductance, row.get(conductance) or ""))
    return [
        Train(device, np.array(readings), np.array(ups, dtype=bool))
        for (device, _), (readings, ups) in groups.items()
        if ups
    ]


def _number(path: Path, row: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {row + 2}: {column} must be a number, got {text!r}")
    return value


def _is_up(path: Path, row: int, text: str) -> bool:
    word = text.strip().lower()
    if word not in _UP + _DOWN:
        raise DataError(
            f"{path}, line {row + 2}: direction must be up or down (or one of "
            f"{', '.join((*_UP[1:], *_DOWN[1:]))}), got {text!r}"
        )
    return word in _UP
