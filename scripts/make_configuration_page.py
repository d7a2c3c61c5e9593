"""Make the tables of docs/configuration.md from the models that read a configuration.

    python scripts/make_configuration_page.py

The rest of it is written by hand. What settings of devices and algorithms mean, docstrings tell.
"""

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from resitile import algorithms, devices
from resitile.experiments import tables
from resitile.experiments.config import Config

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
START, END = "<!-- tables:start -->\n", "<!-- tables:end -->\n"
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}
Rows = list[tuple[str, ...]]


def kind(hint: typing.Any) -> str:
    """A type in words; None, which no TOML value is, is left out."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(kind(part) for part in inner if part is not types.NoneType)
    if origin in (list, Sequence):
        return f"list of {kind(inner[0])}s"
    return "table" if origin is Mapping else WORDS[hint]


def shown(default: typing.Any) -> str:
    """A default as TOML has it."""
    return "absent" if default is None else f"`{json.dumps(default)}`"


def default_of(field: FieldInfo) -> str:
    """The default of a key; where the machine decides, what the function behind it says."""
    if field.default_factory is not None:
        return (inspect.getdoc(field.default_factory) or "").partition(":")[0]
    return "required" if field.is_required() else shown(field.default)


def span(field: FieldInfo) -> str:
    """The range of a key, from its constraints."""
    bounds = {k: getattr(m, k) for m in field.metadata for k in ("ge", "gt", "lt") if hasattr(m, k)}
    low = bounds.get("ge", bounds.get("gt"))
    if "lt" in bounds:
        most = bounds["lt"] if bounds["lt"] < 1e6 else f"2^{bounds['lt'].bit_length() - 1}"
        return f"{'[' if 'ge' in bounds else '('}{low}, {most})"
    return "" if low is None else f"{'at least' if 'ge' in bounds else 'above'} {low}"


def of_model(model: typing.Any, keys: Sequence[str] = ()) -> str:
    """The table of a pydantic model, or of some of its keys."""
    rows: Rows = [("key", "type", "default", "range", "meaning")]
    for name, field in model.model_fields.items():
        if not keys or name in keys:
            about = default_of(field), span(field), field.description or ""
            rows.append((f"`{field.alias or name}`", kind(field.annotation), *about))
    return table(rows)


def meanings(cls: type) -> dict[str, str]:
    """What the `Args` of a class and its bases say, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        args = (inspect.cleandoc(base.__doc__ or "") + "\n").partition("\nArgs:\n")[2]
        for names, text in re.findall(r"^    (\w[\w, ]*): (.*\n(?: {8}.*\n)*)", args, re.M):
            found |= dict.fromkeys(names.split(", "), " ".join(text.split()).rstrip("."))
    return found


def of_class(cls: typing.Any, without: Sequence[str] = ()) -> str:
    """Name, first sentence and settings of a device law or an algorithm."""
    hints, known = typing.get_type_hints(cls), meanings(cls)
    alike: dict[tuple[str, ...], list[str]] = {}  # keys that share a meaning share a row
    for f in dataclasses.fields(cls):
        if f.name not in without:
            about = kind(hints[f.name]), shown(f.default), known[f.name]
            alike.setdefault(about, []).append(f"`{f.name}`")
    rows: Rows = [("key", "type", "default", "meaning")]
    rows += [(", ".join(names), *about) for about, names in alike.items()]
    return f"`{cls.name}`: {cls.__doc__.splitlines()[0]}\n{table(rows) if alike else ''}"


def table(rows: Rows) -> str:
    """Rows as Markdown, the first one as head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["", lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]) + "\n"


def page(*, all_classes: bool = True) -> str:
    """The page with new tables; without `all_classes`, of laws and algorithms that it has already.

    So an algorithm in a new file needs no other file, until somebody makes the page anew.
    """
    old = PAGE.read_text(encoding="utf-8")

    def belongs(cls: typing.Any) -> bool:
        listed = all_classes or f"\n`{cls.name}`: " in old
        return cls.__module__.startswith("resitile.") and listed

    parts = ["## Top level\n" + of_model(Config, ("name", "label", "seed"))]
    for model in vars(tables).values():
        head, _, text = (getattr(model, "__doc__", None) or "").partition("\n")[0].partition(": ")
        if head.startswith("`["):
            parts.append(f"## {head}\n{text[0].upper()}{text[1:]}\n{of_model(model)}")
    laws = [type(devices.create(name)) for name in devices.names()]
    shared = [f.name for f in dataclasses.fields(devices.Device)]
    parts.append("## Device laws\n" + of_class(devices.Device))
    parts += [of_class(cls, shared) for cls in laws if belongs(cls)]
    parts.append("## Algorithms\n")
    rules = algorithms.classes().values()
    parts += [of_class(cls, ["device"]) for cls in rules if belongs(cls)]
    before, _, rest = old.partition(START)
    return before + START + "\n".join(parts) + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
