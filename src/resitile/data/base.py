"""What a data set is, and the list of those there are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from resitile.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Dataset:
    """Images and labels in memory.

    Attributes:
        name: the name it was loaded by.
        classes: what the labels 0, 1, ... stand for.
        train_images: uint8, shape (N, height, width), 0 = background.
        train_labels: int64, shape (N,).
        test_images: like `train_images`; never used for training or for choosing settings.
        test_labels: like `train_labels`.
    """

    name: str
    classes: tuple[str, ...]
    train_images: Tensor = field(repr=False)
    train_labels: Tensor = field(repr=False)
    test_images: Tensor = field(repr=False)
    test_labels: Tensor = field(repr=False)


Loader = Callable[[Path | None], Dataset]
_LOADERS: dict[str, Loader] = {}


def dataset(name: str) -> Callable[[Loader], Loader]:
    """Decorator: file a function `(data_dir) -> Dataset` under `name`."""

    def add(loader: Loader) -> Loader:
        _LOADERS[name] = loader
        return loader

    return add


def names() -> list[str]:
    """The names that `load` takes."""
    return sorted(_LOADERS)


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Load a data set into memory.

    Args:
        name: one of `names()`.
        data_dir: folder with the original files, or with a folder of the data set's name that
            holds them; they are used if they are there. None means the folder that the
            environment variable RESITILE_DATA names, if any. `fashion-mnist-10k` lies inside the
            package and needs neither.

    Raises:
        ConfigError: if there is no data set of that name, or a folder is given for
            `fashion-mnist-10k`.
        DataError: if a file is damaged or is another one, or if it is missing and cannot be
            downloaded.
    """
    if name not in _LOADERS:
        raise ConfigError(f"no data set is called {name!r}; {did_you_mean(name, names())}")
    return _LOADERS[name](None if data_dir is None else Path(data_dir))
