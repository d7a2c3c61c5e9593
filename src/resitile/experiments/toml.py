"""Reading TOML with clear errors, and writing the plain tables that configurations are made of."""

import copy
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from resitile.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: if there is no such file or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def value(text: str) -> Any:
    """A TOML value as it is written after `key = `; what is none counts as a string."""
    try:
        found = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return found["value"] if list(found) == ["value"] else text


def override(tables: dict[str, Any], assignment: str) -> None:
    """Carry out one `a.b=c` in place; in an array of tables, `a.0.b=c` changes one of them.

    Raises:
        ConfigError: if it has no `=`, leads through something that is not a table, or holds bytes
            of the command line that Python could not read.
    """
    try:
        assignment.encode()
    except UnicodeEncodeError:  # LC_ALL=C: a letter outside of ASCII arrives as raw bytes
        raise ConfigError(
            f"cannot read the letters of the setting {assignment!r} in this locale: set "
            "PYTHONUTF8=1 (or LC_ALL=C.UTF-8), or write the setting into the file"
        ) from None
    path, equals, text = assignment.partition("=")
    if not equals or not all(_keys(path)):
        raise ConfigError(
            f"cannot read the setting {assignment!r}: write it as table.key=value, such as "
            "algorithm.tiles=6"
        )
    put(tables, path, value(text.strip()))


def put(tables: dict[str, Any], path: str, new: Any) -> None:
    """Set what a dotted key leads to, in place.

    Raises:
        ConfigError: if the key has an empty part, or leads through something that is not a table.
    """
    keys = _keys(path)
    if not all(keys):
        raise ConfigError(f"{path!r} is no dotted key such as algorithm.tiles")
    _set(tables, keys, 0, new)


def _keys(path: str) -> list[str]:
    return [key.strip() for key in path.split(".")]


def _set(table: Any, keys: list[str], depth: int, new: Any) -> None:
    """Set the key at `depth` and below; `table` is what the keys before it lead to."""
    key, here, whole = keys[depth], ".".join(keys[:depth]), ".".join(keys)
    last = depth == len(keys) - 1
    if isinstance(table, list) and table and all(isinstance(part, dict) for part in table):
        if not key.isdigit():  # of every table
            for part in table:
                _set(part, keys, depth, copy.deepcopy(new))
            return
        if int(key) >= len(table):
            raise ConfigError(
                f"cannot set {whole}: {here} has the tables 0 to {len(table) - 1}, got {key}"
            )
        if last:
            table[int(key)] = new
        else:
            _set(table[int(key)], keys, depth + 1, new)
        return
    if not isinstance(table, dict):
        raise ConfigError(f"cannot set {whole}: {here} is not a table")
    if last:
        table[key] = new
    else:
        _set(table.setdefault(key, {}), keys, depth + 1, new)


def write(tables: dict[str, Any]) -> str:
    """TOML text of nested tables of strings, numbers, truth values, and lists of these."""
    return "\n".join(_lines(tables, ())).strip() + "\n"


def _lines(table: dict[str, Any], path: tuple[str, ...], *, array: bool = False) -> list[str]:
    inner = {k: v for k, v in table.items() if isinstance(v, dict) or _is_array(v)}
    plain = {k: v for k, v in table.items() if k not in inner}
    lines = [f"{_key(k)} = {_scalar(v)}" for k, v in plain.items()]
    header = ".".join(map(_key, path))
    if array:
        lines = ["", f"[[{header}]]", *lines]
    elif path and (plain or not inner):
        lines = ["", f"[{header}]", *lines]
    for name, content in inner.items():
        several = isinstance(content, list | tuple)
        for part in content if several else [content]:
            lines += _lines(part, (*path, name), array=several)
    return lines


def _is_array(item: Any) -> bool:
    """Whether this is an array of tables."""
    several = isinstance(item, list | tuple) and len(item) > 0
    return several and all(isinstance(part, dict) for part in item)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _scalar(key)


def _scalar(item: Any) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, str):
        return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(item, list | tuple):
        return f"[{', '.join(map(_scalar, item))}]"
    raise ConfigError(f"a configuration cannot hold {item!r} of type {type(item).__name__}")
