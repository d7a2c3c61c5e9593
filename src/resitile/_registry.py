"""Name -> class, for device laws and algorithms.

A class files itself under its name when it is defined (`class Foo(Device, name="foo")`), so a
new law or algorithm is one file and no list elsewhere has to be edited.
"""

import importlib
import pkgutil
from collections.abc import Iterator

from resitile.errors import ConfigError, did_you_mean


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
        module, _, attribute = path.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.kind} {path!r} cannot be imported: {error}") from error
        if found not in self._classes.values():
            raise ConfigError(f"{path!r} is not a {self.kind} of resitile: {found!r}")
        return found  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))


def import_all(package: str, path: list[str]) -> None:
    """Import every module of a package, so that its classes file themselves."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
