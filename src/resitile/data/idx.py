"""Data sets that come as four idx files: found in a folder or downloaded, and always verified.

The format is that of MNIST: a big-endian header (two zero bytes, the type, the number of
dimensions, the dimensions) and then the bytes. What is verified is the SHA-256 of the unpacked
content, because the same content is around with different gzip headers.
"""

import gzip
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resitile.data.base import Dataset
from resitile.errors import DataError

ENVIRONMENT = "RESITILE_DATA"


@dataclass(frozen=True)
class IdxFile:
    """One file: its name without .gz, MD5 of the published .gz, SHA-256 of what is inside."""

    name: str
    md5: str
    sha256: str


@dataclass(frozen=True)
class IdxSource:
    """Where the four files of a data set come from."""

    name: str
    url: str  # the folder, with a slash at its end
    classes: tuple[str, ...]
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile

    @property
    def files(self) -> tuple[IdxFile, ...]:
        """The four files."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)

    def load(self, data_dir: Path | None) -> Dataset:
        """Read the files from `data_dir` (or RESITILE_DATA) if they are there, else download.

        Raises:
            DataError: if a file is wrong, or is missing and cannot be downloaded.
        """
        paths = self._find(data_dir) or [self._download(file) for file in self.files]
        arrays = [read(path, file) for path, file in zip(paths, self.files, strict=True)]
        return Dataset(self.name, self.classes, *arrays)

    def _find(self, data_dir: Path | None) -> list[Path] | None:
        """The four files in one folder; None if a download has to bring them."""
        if data_dir is None:
            given = os.environ.get(ENVIRONMENT)
            if not given:
                return None
            data_dir = Path(given)
        if not data_dir.is_dir():
            raise DataError(
                f"the data folder {data_dir} does not exist; give a folder that holds the "
                f"original files of {self.name} (--data-dir, --set data.dir=, or {ENVIRONMENT}), "
                "or none to download"
            )
        for folder in (data_dir / self.name, data_dir):
            found = [_present(folder, file) for file in self.files]
            paths = [path for path in found if path is not None]
            if len(paths) == len(self.files):
                return paths
            if paths:
                missing = [f.name for f, path in zip(self.files, found, strict=True) if not path]
                raise DataError(
                    f"{folder} holds {len(paths)} of the {len(self.files)} files of {self.name}; "
                    f"missing: {', '.join(missing)} (with or without .gz). Add them, or name a "
                    "folder without any of them to download all"
                )
        return None

    def _download(self, file: IdxFile) -> Path:
        import pooch  # only here: it imports half a web client

        url = f"{self.url}{file.name}.gz"
        try:
            path = pooch.retrieve(
                url,
                known_hash=f"md5:{file.md5}",
                fname=f"{file.name}.gz",
                path=pooch.os_cache("resitile") / self.name,
            )
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            raise DataError(
                f"{file.name}.gz of {self.name} could not be downloaded from {url}: "
                f"{str(error).splitlines()[0]}. Without a network: put the four original files "
                f"into a folder and name it by --data-dir (or --set data.dir=, data_dir=, "
                f"{ENVIRONMENT}), or use "
                "fashion-mnist-10k, which lies inside the package"
            ) from error
        return Path(path)


def _present(folder: Path, file: IdxFile) -> Path | None:
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    return None


def read(path: Path, file: IdxFile) -> Tensor:
    """The content of one verified idx file; images as uint8, labels (one dimension) as int64.

    Raises:
        DataError: if the file cannot be read or its content is not what was published.
    """
    remedy = "Replace it by the original file, or remove it to download it again"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. {remedy}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{path} is damaged or is another file: the SHA-256 of its unpacked content should be "
            f"{file.sha256} and is {found}. {remedy}"
        )
    return _decode(content)


def _decode(content: bytes) -> Tensor:
    dimensions = content[3]  # the header's other bytes are known: the content was verified
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    tensor = torch.from_numpy(array.copy())
    return tensor.to(torch.int64) if dimensions == 1 else tensor
