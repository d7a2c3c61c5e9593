"""Make the embedded data set fashion-mnist-10k from the original files of Fashion-MNIST.

    python scripts/make_fashion_mnist_10k.py --data-dir FOLDER

FOLDER holds the four idx files, packed or unpacked: those of Zalando, or those of Debian's
package dataset-fashion-mnist (/usr/share/datasets/fashion-mnist). Their content is verified. The
choice is fixed: 1,000 training and 200 test images of every class, drawn from the original
training and test sets with seed 0 and shuffled. The archive is an ordinary .npz whose members
are packed by LZMA (4.6 MB; zlib: 5.3 MB); running the script again gives the same arrays.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

from resitile.data import Dataset
from resitile.data.fashion_mnist import SOURCE

TARGET = Path(__file__).parents[1] / "src/resitile/data/files/fashion_mnist_10k.npz"
SEED = 0
TRAIN_PER_CLASS, TEST_PER_CLASS = 1000, 200
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)  # a fixed date: the file does not change when remade


def choose(labels: np.ndarray, per_class: int, stream: int) -> np.ndarray:
    """Indices of `per_class` samples of every class, in random order."""
    generator = np.random.PCG64([SEED, stream])
    draws = generator.random_raw(len(labels))
    chosen = [
        members[np.argsort(draws[members], kind="stable")[:per_class]]
        for members in (np.flatnonzero(labels == k) for k in range(10))
    ]
    together = np.concatenate(chosen)
    return together[np.argsort(generator.random_raw(len(together)), kind="stable")]


def arrays(full: Dataset) -> dict[str, np.ndarray]:
    """The arrays of the archive."""
    train = choose(full.train_labels.numpy(), TRAIN_PER_CLASS, 0)
    test = choose(full.test_labels.numpy(), TEST_PER_CLASS, 1)
    return {
        "train_images": full.train_images.numpy()[train],
        "train_labels": full.train_labels.numpy()[train].astype(np.uint8),
        "test_images": full.test_images.numpy()[test],
        "test_labels": full.test_labels.numpy()[test].astype(np.uint8),
    }


def main() -> None:
    """Write the archive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the idx files")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with zipfile.ZipFile(options.out, "w") as archive:
        for name, array in arrays(SOURCE.load(options.data_dir)).items():
            raw = io.BytesIO()
            np.save(raw, array, allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH_OF_ZIP)
            archive.writestr(member, raw.getvalue(), compress_type=zipfile.ZIP_LZMA)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
