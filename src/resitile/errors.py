"""Every error that resitile raises on purpose.

All derive from `ResitileError`, so a caller can catch the package's own complaints and
nothing else. The command line turns `ConfigError` and `DataError` into exit status 2 (the
request was wrong) and everything else into 1 (it failed on the way).
"""

import difflib
import functools
import inspect
from collections.abc import Iterable
from typing import Any, TypeVar

__all__ = ["CheckpointError", "ConfigError", "DataError", "ResitileError", "UpdateError"]

_Class = TypeVar("_Class", bound=type)


class ResitileError(Exception):
    """Base class of the errors below."""


class ConfigError(ResitileError, ValueError):
    """A setting that cannot work: names the value, what is allowed and the remedy."""


class DataError(ResitileError):
    """A data file that is missing, damaged or not the one that was asked for."""


class CheckpointError(ResitileError):
    """A saved state that is damaged or belongs to another model, device or algorithm."""


class UpdateError(ResitileError, RuntimeError):
    """An update that cannot be carried out: NaN gradients, no owner, wrong shapes."""


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """What to say of a name that is none of those allowed: the nearest one, and the list.

    One that begins with the name is nearer than one that only looks like it.
    """
    allowed = list(allowed)
    begins = [known for known in allowed if name and known.startswith(str(name))]
    near = begins or difflib.get_close_matches(str(name), allowed, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(allowed) or 'none'}"


def refuse_unknown(cls: _Class) -> _Class:
    """Make a dataclass raise ConfigError for a keyword that is unknown, or missing.

    An unknown one is answered with the nearest name.
    """
    init: Any = cls.__init__  # type: ignore[misc]
    parameters = list(inspect.signature(init).parameters.values())[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return cls
    allowed = [p.name for p in parameters]
    required = [p.name for p in parameters if p.default is p.empty]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **settings: Any) -> None:
        for name in settings:
            if name not in allowed:
                raise ConfigError(
                    f"{cls.__name__} has no setting {name!r}; {did_you_mean(name, allowed)}"
                )
        missing = [name for name in required[len(args) :] if name not in settings]
        if missing:
            raise ConfigError(f"{cls.__name__} needs a value for {', '.join(missing)}")
        init(self, *args, **settings)

    cls.__init__ = checked  # type: ignore[misc]
    return cls
