"""Reading TOML with clear errors, and writing the plain tables that configurations are made of."""

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
        return tomllib.loads(path.read_text(encoding="utf-8"))
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
    """Carry out one `a.b=c` in place.

    Raises:
        ConfigError: if it has no `=` or leads through something that is not a table.
    """
    path, equals, text = assignment.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError(
            f"cannot read the setting {assignment!r}: write it as table.key=value, such as "
            "algorithm.tiles=6"
        )
    table = tables
    for depth, key in enumerate(keys[:-1]):
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise ConfigError(
                f"cannot set {path.strip()}: {'.'.join(keys[: depth + 1])} is not a table"
            )
    table[keys[-1]] = value(text.strip())


def write(tables: dict[str, Any]) -> str:
    """TOML text of nested tables of strings, numbers, truth values and lists of them."""
    return "\n".join(_lines(tables, ())).strip() + "\n"


def _lines(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    inner = {k: v for k, v in table.items() if isinstance(v, dict)}
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    lines = [f"{_key(k)} = {_scalar(v)}" for k, v in plain.items()]
    if path and (plain or not inner):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for name, content in inner.items():
        lines += _lines(content, (*path, name))
    return lines


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
