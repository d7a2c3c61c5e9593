"""What a data set is, and the list of those there are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resitile._registry import described, import_own, own_file
from resitile.errors import ConfigError, DataError, ResitileError, did_you_mean


@dataclass(frozen=True)
class Dataset:
    """Images and labels in memory.

    Attributes:
        name: the name it was loaded by.
        classes: what the labels 0, 1, ... stand for.
        train_images: shape (N, height, width) or, with channels, (N, channels, height, width);
            uint8, 0 = background, or floating in [0, 1].
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
        name: one of `names()`, or `module:function` of your own, which is called with the folder
            (None if there is none) and returns a `Dataset`.
        data_dir: folder with the original files, or with a folder of the data set's name that
            holds them; they are used if they are there. None means the folder that the
            environment variable RESITILE_DATA names, if any. `fashion-mnist-10k` lies inside the
            package and needs neither.

    Raises:
        ConfigError: if there is no data set of that name, your own is none, or a folder is given
            for `fashion-mnist-10k`.
        DataError: if a file is damaged or is another one, if it is missing and cannot be
            downloaded, or if your own function fails or gives what cannot be trained on.
    """
    folder = None if data_dir is None else Path(data_dir)
    if ":" in name:
        return _own(name, folder)
    if name not in _LOADERS:
        raise ConfigError(
            f"no data set is called {name!r}; {did_you_mean(name, names())}, or your own: "
            "module:function"
        )
    return _LOADERS[name](folder)


def _own(name: str, folder: Path | None) -> Dataset:
    loader = import_own(name, "data set")
    if not callable(loader):
        raise ConfigError(f"data set {name!r} is {loader!r}; name a function of one folder")
    try:
        found = loader(folder)
    except ResitileError:
        raise
    except Exception as error:  # whatever a function of the user's own may raise
        reason = described(error, own_file(name))
        raise DataError(f"data set {name!r} fails: {reason}") from error
    if not isinstance(found, Dataset):
        raise DataError(
            f"data set {name!r} gave {type(found).__name__}; it must return a resitile.data.Dataset"
        )
    for part in ("train", "test"):
        _check(name, part, getattr(found, f"{part}_images"), getattr(found, f"{part}_labels"))
    if found.train_images.shape[1:] != found.test_images.shape[1:]:
        raise DataError(
            f"data set {name!r}: training images have the shape "
            f"{tuple(found.train_images.shape[1:])}, test images "
            f"{tuple(found.test_images.shape[1:])}"
        )
    return found


def _check(name: str, part: str, images: Any, labels: Any) -> None:
    """Refuse what is no set of images with a label each.

    Raises:
        DataError: says which part, and what it must be.
    """
    fault = ""
    if not isinstance(images, Tensor) or images.dim() not in (3, 4) or not images.numel():
        fault = "images must be a tensor (N, height, width) or (N, channels, height, width)"
    elif not (images.dtype == torch.uint8 or images.is_floating_point()):
        fault = f"images must be uint8, or floating in [0, 1]; got {images.dtype}"
    elif images.is_floating_point() and not (images.min() >= 0 and images.max() <= 1):
        fault = f"images must lie in [0, 1], got {images.min():g} to {images.max():g}"
    elif not isinstance(labels, Tensor) or labels.shape != (len(images),):
        fault = f"labels must be a tensor of shape ({len(images)},), one for every image"
    elif labels.dtype != torch.int64 or labels.min() < 0:
        fault = f"labels must be int64 from 0 on; got {labels.dtype}, the least {labels.min()}"
    if fault:
        raise DataError(f"data set {name!r}: its {part} {fault}")
