"""A measured pulse response: conductances that were read after pulses, from a CSV file."""

import codecs
import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from resitile.errors import DataError

_CONDUCTANCE = ("conductance", "g", "current", "i", "weight", "w")
_SIGNED = ("voltage", "amplitude", "v", "v_pulse", "vpulse", "pulse_voltage")  # up above 0
_DIRECTION = ("direction", "pulse_direction", *_SIGNED)
# Behind a column's name, as in "g [S]", "Conductance (µS)" and "G_uS".
_UNIT = re.compile(r"[\[(].*[\])]|_([fpnuµμmk]?[SAV]|siemens|ampere|volt)$", re.IGNORECASE)
_UP = ("up", "u", "+", "1", "+1", "1.0", "set", "potentiation", "p", "ltp")
_DOWN = ("down", "d", "-", "-1", "-1.0", "reset", "depression", "ltd")
# How pandas, MATLAB, R and Excel write what was not read.
_GAPS = ("", "nan", "-nan", "na", "n/a", "#n/a", "null")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")  # not DOS's end of a file, \x1a
_LEAST = 3  # steps in either direction, fewer show no response
_WAYS = (True, False)  # up, down
_READ = 0.25  # of the highest pulse of its direction: a lower one is taken for a read
_SURE = 3.0  # standard errors from which on a mean step has the wrong sign
_LINE = "\n"  # under it rows hold the number of their line: no column can be called so
_NEEDED = (
    "a column conductance and a column direction (up or down: the pulse before the reading) or "
    "voltage (its sign is the direction), or "
    "two columns up and down with the readings of a train each"
)


@dataclass(frozen=True)
class Train:
    """Readings of one device with one pulse between each and the next.

    Args:
        device: which device, as the file names it; "" if it does not.
        readings: (n + 1,) float64, in any unit.
        ups: (n,) bool, the direction of each pulse.
        quantity: what was read, as the file calls it, with its unit.
    """

    device: str
    readings: np.ndarray
    ups: np.ndarray
    quantity: str = "reading"

    def __post_init__(self) -> None:
        if self.readings.shape != (self.ups.size + 1,):
            raise DataError(
                f"a train of {self.ups.size} pulses has a reading before, between and after them, "
                f"so {self.ups.size + 1}; got an array of shape {self.readings.shape}"
            )


def read_trains(path: str | Path) -> list[Train]:
    """The pulse trains of a CSV file.

    Its first line names the columns: `conductance` (or g, current, i, weight, w, the first of them
    that is there; any unit), read after a pulse, and `direction`, the pulse's (up, down, +1, -1,
    set, reset, potentiation, depression, u, d, p), or `voltage` (or v, vpulse, amplitude), whose
    sign is the direction; the first reading of a device needs none. A row without a reading (an
    empty cell, NaN or NA) is a gap: no step is taken across it. `device` and `cycle` are optional:
    no step is taken from one device or cycle to the next. Or two columns `up` and `down`, a train
    each (of every device and cycle, and from one gap to the next), perhaps of different length.
    Columns of other names are not looked at, nor is a unit behind a name ("G_uS", "g [S]"), nor
    are lines that begin with #. Commas, semicolons or tabs; with the latter two, numbers may have
    decimal commas. UTF-8, or UTF-16 with a byte order mark.

    Raises:
        DataError: if the file cannot be read, lacks a column, has too few steps, or has reads among
            its pulses; names the line.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    text = _text(path, content)
    lines = [(k + 1, line) for k, line in enumerate(text.splitlines())]
    lines = [(k, line) for k, line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise DataError(f"{path} is empty; it needs {_NEEDED}")
    mark = max(",;\t", key=lines[0][1].count)
    cells = [_cells(path, number, line, mark) for number, line in lines]
    names = [_UNIT.sub("", name).strip().lower() for name in cells[0]]
    for name in (*_CONDUCTANCE, *_DIRECTION, "device", "cycle", "up", "down"):
        if names.count(name) > 1:
            raise DataError(
                f"{path}, line {lines[0][0]}: {names.count(name)} columns are called {name!r}; "
                "rename those that are not to be read"
            )
    table = []
    for (number, _), row in zip(lines[1:], cells[1:], strict=True):
        if len(row) > len(names):
            raise DataError(
                f"{path}, line {number}: {len(row)} cells under {len(names)} columns; numbers with "
                "decimal commas need semicolons or tabs between the columns"
            )
        table.append({_LINE: str(number), **dict(zip(names, row, strict=False))})
    reader = _Reader(path, decimal_comma=mark != ",")
    if "up" in names and "down" in names:
        trains = reader.two_columns(table)
    else:
        conductance = next((name for name in _CONDUCTANCE if name in names), None)
        direction = next((name for name in _DIRECTION if name in names), None)
        if conductance is None or direction is None:
            raise DataError(
                f"{path} needs {_NEEDED}; its first line, which must name them, has "
                f"{', '.join(names)}"
            )
        quantity = cells[0][names.index(conductance)].strip()
        trains = reader.rows(table, conductance, direction, quantity)
    check_trains(trains, str(path))
    return trains


def check_trains(trains: Sequence[Train], name: str) -> None:
    """Refuse what no response can be fitted to.

    Raises:
        DataError: if readings are not finite, are all the same, or move against the pulses, or if
            too few pulses go one way.
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
    moves = {up: np.concatenate([np.diff(t.readings)[t.ups == up] for t in trains]) for up in _WAYS}
    room = {up: _SURE * float(np.std(d)) / math.sqrt(d.size) for up, d in moves.items()}
    if moves[True].mean() < -room[True] and moves[False].mean() > room[False]:
        raise DataError(
            f"in {name} pulses up lower the readings on average and pulses down raise them: the "
            "directions are exchanged, or the readings have their sign turned, as currents at a "
            "negative read voltage have; correct one of the two"
        )


def _text(path: Path, content: bytes) -> str:
    """What is written in a file, in UTF-8, UTF-16 with a byte order mark, or as on Windows."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # Excel's "Unicode text"
        text = content.decode("utf-16", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:  # as spreadsheets on Windows write it
            text = content.decode("cp1252", errors="replace")
    control = _CONTROL.search(text)
    if control is not None:
        raise DataError(
            f"{path} is not a text file: it holds the control character {control[0]!r}, as a "
            "workbook, an archive or UTF-16 without a byte order mark does; save it as CSV (UTF-8)"
        )
    return text


def _cells(path: Path, number: int, line: str, mark: str) -> list[str]:
    """The cells of a line; by itself, so that a quote that stays open takes in no others."""
    try:
        return next(csv.reader([line], delimiter=mark, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: {error}; correct or leave out that line") from None


class _Reader:
    """Trains from the rows of a file, whose line number is under `_LINE`."""

    def __init__(self, path: Path, *, decimal_comma: bool) -> None:
        self.path, self.decimal_comma = path, decimal_comma

    def two_columns(self, table: Sequence[Mapping[str, str]]) -> list[Train]:
        """A train for each column of every device and cycle."""
        groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
        for row in table:
            groups.setdefault(_group(row), []).append(row)
        trains = []
        for (device, _), rows in groups.items():
            for name in ("up", "down"):
                # A column that was not read in between is two trains: no step goes across a gap.
                for was_read, part in groupby(rows, partial(_was_read, column=name)):
                    filled = list(part)
                    if was_read and len(filled) > 1:
                        found = np.array([self._number(row, name) for row in filled])
                        trains.append(Train(device, found, np.full(found.size - 1, name == "up")))
                        self._check_ramp(trains[-1], filled, name)
        return trains

    def _check_ramp(self, train: Train, rows: Sequence[Mapping[str, str]], name: str) -> None:
        """Refuse several ramps in one column: what leads back is no answer to a pulse."""
        steps = np.diff(train.readings) * (1 if name == "up" else -1)
        back = -float(steps.min())
        if back > np.ptp(train.readings) / 2:
            line = rows[int(steps.argmin()) + 1][_LINE]
            raise DataError(
                f"{self.path}, line {line}: the column {name} leads back by {back:g}, more than "
                "half of its range; number several ramps in a column cycle"
            )

    def rows(
        self, table: Sequence[Mapping[str, str]], conductance: str, direction: str, quantity: str
    ) -> list[Train]:
        """A train for every device and cycle."""
        groups: dict[tuple[str, str, int], tuple[list[float], list[bool]]] = {}
        gaps: Counter[tuple[str, str]] = Counter()
        pulsed = []
        for row in table:
            group = _group(row)
            if not _was_read(row, conductance):  # what follows is a train of its own
                gaps[group] += 1
                continue
            readings, ups = groups.setdefault((*group, gaps[group]), ([], []))
            if readings:
                ups.append(self._is_up(row, direction))
                pulsed.append(row)
            readings.append(self._number(row, conductance))
        if direction in _SIGNED:
            self._check_heights(pulsed, direction)
        return [
            Train(device, np.array(readings), np.array(ups, dtype=bool), quantity)
            for (device, *_), (readings, ups) in groups.items()
            if ups
        ]

    def _check_heights(self, pulsed: Sequence[Mapping[str, str]], column: str) -> None:
        """Refuse pulses far below the others of their direction: those are reads.

        Words for a direction have no height, but 1 and -1 may be either.
        """
        heights = [(row, self._number(row, column)) for row in pulsed if not _is_word(row[column])]
        for sign in (1, -1):
            highest = max((sign * value for _, value in heights), default=0.0)
            for row, value in heights:
                if 0 < sign * value < _READ * highest:
                    raise DataError(
                        f"{self.path}, line {row[_LINE]}: a pulse of {column} {value:g} beside "
                        f"{sign * highest:g} looks like a read; leave such rows out, or, if it "
                        "does program, name directions in a column direction"
                    )

    def _number(self, row: Mapping[str, str], column: str) -> float:
        text = row.get(column, "").strip()
        try:
            value = float(text.replace(",", ".") if self.decimal_comma else text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f"{self.path}, line {row[_LINE]}: {column} must be a number, got {text!r}; leave "
                "it empty, or write NaN, where nothing was read"
            )
        return value

    def _is_up(self, row: Mapping[str, str], column: str) -> bool:
        word = row.get(column, "").strip().lower()
        if column in _SIGNED and word not in _UP + _DOWN:
            value = self._number(row, column)
            if value == 0:
                raise DataError(f"{self.path}, line {row[_LINE]}: {column} is 0, so no pulse went")
            return value > 0
        if word not in _UP + _DOWN:
            raise DataError(
                f"{self.path}, line {row[_LINE]}: {column} must be up or down (or one of "
                f"{', '.join((*_UP[1:], *_DOWN[1:]))}), got {word!r}; signed voltages belong in a "
                "column voltage"
            )
        return word in _UP


def _was_read(row: Mapping[str, str], column: str) -> bool:
    """Whether a cell holds a reading, and not the word for a gap."""
    return row.get(column, "").strip().lower() not in _GAPS


def _is_word(text: str) -> bool:
    """Whether it names a direction and is no number."""
    word = text.strip().lower()
    return word in _UP + _DOWN and not word.lstrip("+-").replace(".", "", 1).isdigit()


def _group(row: Mapping[str, str]) -> tuple[str, str]:
    return row.get("device", "").strip(), row.get("cycle", "").strip()
