"""10,000 + 2,000 images of Fashion-MNIST inside the package: no network, no other file.

Every class has 1,000 training and 200 test images, chosen from the original training and test
sets by `scripts/make_fashion_mnist_10k.py` (in the repository). The licence of the images (MIT,
Zalando SE) lies beside the archive.
"""

import hashlib
import zipfile
from importlib.resources import files
from lzma import LZMAError
from pathlib import Path

import numpy as np
import torch

from resitile.data.base import Dataset, dataset
from resitile.data.fashion_mnist import CLASSES
from resitile.errors import ConfigError, DataError

ARCHIVE = files("resitile.data") / "files" / "fashion_mnist_10k.npz"
# Of the four arrays' bytes, one after the other.
SHA256 = "f833b95f6bf69844d4e7c4963237586ba004fbf47ebc4036f643ba1bee679227"
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataset("fashion-mnist-10k")
def load(data_dir: Path | None) -> Dataset:
    """Load it from the package.

    Raises:
        ConfigError: if a folder is given: none is read.
        DataError: if the archive is damaged.
    """
    if data_dir is not None:
        raise ConfigError(
            f"fashion-mnist-10k lies inside the package and reads no folder, but {data_dir} was "
            "given; leave the folder out, or ask for fashion-mnist, the full data set"
        )
    remedy = "install resitile again"
    try:
        with ARCHIVE.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            arrays = [archive[name] for name in _ARRAYS]
    except (OSError, EOFError, KeyError, ValueError, LZMAError, zipfile.BadZipFile) as error:
        raise DataError(f"{ARCHIVE} cannot be read: {error}; {remedy}") from error
    found = digest(arrays)
    if found != SHA256:
        raise DataError(
            f"{ARCHIVE} is damaged: the SHA-256 of its arrays should be {SHA256} and is {found}; "
            f"{remedy}"
        )
    images, labels, test_images, test_labels = (torch.from_numpy(array) for array in arrays)
    return Dataset(
        "fashion-mnist-10k", CLASSES, images, labels.long(), test_images, test_labels.long()
    )


def digest(arrays: list[np.ndarray]) -> str:
    """SHA-256 of the bytes of the arrays, one after the other."""
    together = hashlib.sha256()
    for array in arrays:
        together.update(np.ascontiguousarray(array).data)
    return together.hexdigest()
