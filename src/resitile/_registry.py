"""Name -> class, for device laws and algorithms.

A class files itself under its name when it is defined (`class Foo(Device, name="foo")`), so a
new law or algorithm is one file and no list elsewhere has to be edited. What a user's own file can
get wrong is told with the place in it.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from resitile.errors import ConfigError, ResitileError, did_you_mean


class Registry:
    """Classes by name, of one kind ("device law" or "algorithm")."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type] = {}

    def add(self, name: str, cls: type) -> None:
        """File `cls` under `name`; a notebook may define the same class again, others may not."""
        old = self._classes.get(name)
        same_place = old is not None and (old.__module__, old.__qualname__) == (
            cls.__module__,
            cls.__qualname__,
        )
        if old is not None and not same_place:
            raise ConfigError(
                f"{self.kind} name {name!r} is taken by {old.__module__}.{old.__qualname__}; "
                "choose another name"
            )
        self._classes[name] = cls

    def get(self, name: str) -> type:
        """The class filed under `name`, or `module:Class` of code outside the package.

        Raises:
            ConfigError: if there is no such class; lists the ones there are.
        """
        if ":" in name:
            return self._load(name)
        if name in self._classes:
            return self._classes[name]
        raise ConfigError(
            f"no {self.kind} is called {name!r}; {did_you_mean(name, self)}, or your own: "
            "module:Class"
        )

    def _load(self, path: str) -> type:
        found = import_own(path, self.kind)
        if not any(found is cls for cls in self._classes.values()):
            article = "an" if self.kind[0] in "aeiou" else "a"
            raise ConfigError(f"{path!r} is not {article} {self.kind} of resitile: {found!r}")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))


def is_own(cls: Any) -> bool:
    """Whether a class is of the user's own code, not of this package."""
    return not cls.__module__.startswith("resitile.")


def import_all(package: str, path: list[str]) -> None:
    """Import every module of a package, so that its classes file themselves."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def import_own(path: str, kind: str) -> Any:
    """What `module:name` of a user's own code stands for.

    Raises:
        ConfigError: if there is none, or whatever the module raises while it is imported.
    """
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{kind} {path!r} cannot be imported: it must read module:name")
    importlib.invalidate_caches()  # it may have been written a moment ago
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a module of the user's own may raise
        where = f" (looked for in {Path.cwd()} and on Python's path)" * (
            isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        )
        raise ConfigError(
            f"{kind} {path!r} cannot be imported: {described(error)}{where}"
        ) from error
    try:
        return getattr(found, attribute)
    except AttributeError as error:
        names = [n for n, v in vars(found).items() if getattr(v, "__module__", None) == module]
        raise ConfigError(
            f"{kind} {path!r} cannot be imported: {error}; {did_you_mean(attribute, names)}"
        ) from error


def own_file(name: str) -> str | None:
    """The file of `module:name` that was imported; None of a name of the package's."""
    module = sys.modules.get(name.partition(":")[0]) if ":" in name else None
    return getattr(module, "__file__", None)


def described(error: BaseException, file: str | None = None) -> str:
    """An error of a user's own code in one line, with the place in that code.

    Args:
        error: as it was caught.
        file: the user's; None takes that of the innermost module that was being imported.
    """
    if isinstance(error, SyntaxError) and not (error.filename or "<").startswith("<"):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    if file is None:
        modules = [frame.filename for frame in frames if frame.name == "<module>"]
        file = next((name for name in reversed(modules) if not name.startswith("<")), None)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    place = f"{file}:{lines[-1]}: " if lines else ""
    if isinstance(error, ResitileError | ImportError):
        return f"{place}{error}"
    return place + ": ".join(part for part in (type(error).__name__, str(error)) if part)


def declared(cls: type) -> list[str]:
    """The fields that a class declares in its own body, as a dataclass would take them."""
    return [
        name
        for name, kind in inspect.get_annotations(cls).items()
        if "ClassVar" not in str(kind) and "KW_ONLY" not in str(kind)
    ]


def unbox(instance: Any) -> None:
    """Put Python's numbers in the place of numpy's among the fields of a frozen dataclass.

    They are told, compared and saved in the same words then.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.generic):
            object.__setattr__(instance, field.name, value.item())


def make_dataclass(
    cls: type, kind: str, field: str, *, required: bool = False, **options: bool
) -> None:
    """Turn a class into a frozen dataclass.

    Args:
        cls: the class; changed in place.
        kind: of the class, for the message.
        field: what its fields are called there.
        required: whether a field may have no default.
        options: of `dataclasses.dataclass`.

    Raises:
        ConfigError: if a field has none and must, or one that no dataclass takes.
    """
    for name in () if required else declared(cls):
        default = cls.__dict__.get(name, dataclasses.MISSING)
        if isinstance(default, dataclasses.Field):
            factory = default.default_factory is not dataclasses.MISSING
            default = default if factory else default.default
        if default is dataclasses.MISSING:
            raise ConfigError(
                f"the {kind} {cls.__name__} gives its {field} {name!r} no default; write one, "
                f"such as {name}: float = 0.5"
            )
    try:
        dataclasses.dataclass(frozen=True, **options)(cls)  # type: ignore[call-overload]
    except (TypeError, ValueError) as error:  # such as a list as a default
        raise ConfigError(f"the {kind} {cls.__name__}: {error}") from error


def check_call(function: Callable[..., Any], count: int, what: str, call: str) -> None:
    """Refuse a function of the user's own that does not take `count` arguments.

    Args:
        function: to be looked at.
        count: how many it is called with.
        what: its name in the message.
        call: how it must read, such as `q_up(w, p)`.

    Raises:
        ConfigError: naming the signature it has.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a built-in function, whose signature Python does not know
        return
    try:
        signature.bind(*[None] * count)
    except TypeError as error:
        raise ConfigError(f"{what} must read {call}; it takes {signature}: {error}") from error
