"""What an algorithm keeps beside the tiles: named arrays, saved with the layer."""

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from resitile.errors import ConfigError

if TYPE_CHECKING:
    from resitile.algorithms.base import Algorithm


class SavedState(dict[str, np.ndarray]):
    """The arrays of one layer, over the tensors that are saved: they change in place only.

    `state[name] = value` copies the value into the array, so that nothing an algorithm learns is
    missing from a checkpoint.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        """Copy `value` into the array of that name.

        Raises:
            ConfigError: if there is none, or it cannot hold the value.
        """
        if name not in self:
            raise ConfigError(
                f"the state has no {name!r}, only {sorted(self)}: make every array in init, so "
                "that it is saved with the layer"
            )
        held = self[name]
        if value is held:  # as after state[name] += 1
            return
        try:
            if np.shape(value) not in ((), held.shape):  # numpy would repeat a row
                raise ValueError(f"its shape is {np.shape(value)}")
            np.copyto(held, value, casting="same_kind")
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"state[{name!r}] holds {held.dtype} of the shape {held.shape}, as init made it, "
                f"and cannot take this: {error}"
            ) from None

    def __reduce__(self) -> Any:
        """Copies and pickles are plain: nothing of them is saved."""
        return dict, (dict(self),)

    def _fixed(self, *_: Any, **__: Any) -> NoReturn:
        raise ConfigError("the state keeps the arrays that init made; write into them")

    __delitem__ = pop = popitem = clear = setdefault = update = _fixed
    __ior__ = _fixed  # type: ignore[assignment]


def first_state(algorithm: "Algorithm", shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """What `init` makes for a weight of `shape`.

    Raises:
        ConfigError: if that is no mapping of names to arrays of numbers.
    """
    made: Any = algorithm.init(shape)
    whose = f"init of the algorithm {type(algorithm).__name__}"
    if not isinstance(made, dict):
        raise ConfigError(f"{whose} must return a dict of named numpy arrays, got {made!r}")
    for name, array in made.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(f"{whose} must name its arrays as variables are, got {name!r}")
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise ConfigError(
                f"{whose} must return numpy arrays of numbers, such as np.zeros(1); {name} is "
                f"{array!r}"
            )
    return made
