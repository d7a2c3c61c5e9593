"""Data sets: what they hold, how a wrong file is refused, and stable splits."""

import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch

from resitile import data
from resitile.data import fashion_mnist_10k, mnist
from resitile.data.fashion_mnist import SOURCE
from resitile.data.idx import IdxFile, IdxSource
from resitile.errors import ConfigError, DataError

_ORIGINAL = os.environ.get("RESITILE_DATA")  # tests must not depend on it, so it is unset below
SCRIPT = Path(__file__).parents[2] / "scripts" / "make_fashion_mnist_10k.py"


@pytest.fixture(autouse=True)
def _no_folder_no_network(monkeypatch, tmp_path):
    monkeypatch.delenv("RESITILE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)

    def offline(*_args, **_kwargs):
        raise OSError("no network in this test\nsecond line")

    monkeypatch.setattr(pooch, "retrieve", offline)


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _tiny(folder: Path, *, packed: bool = True) -> IdxSource:
    """A data set of 6 + 4 images, written into `folder`, and its source."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    arrays = {
        "train_images": rng.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "train_labels": np.array([3, 1, 4, 1, 5, 9], np.uint8),
        "test_images": rng.integers(0, 256, (4, 28, 28), dtype=np.uint8),
        "test_labels": np.array([2, 6, 5, 3], np.uint8),
    }
    files = {}
    for name, array in arrays.items():
        content = _idx(array)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
        files[name] = IdxFile(name, "0" * 32, hashlib.sha256(content).hexdigest())
    return IdxSource("tiny", "http://tiny.invalid/", tuple("0123456789"), **files)


def test_names():
    assert data.names() == ["fashion-mnist", "fashion-mnist-10k", "mnist"]


def test_unknown_name_lists_and_suggests():
    with pytest.raises(ConfigError, match=r"did you mean .fashion-mnist.. allowed: .*-10k"):
        data.load("fashion_mnist")


# --- the embedded set ---


def test_embedded_set_is_balanced_and_typed():
    found = data.load("fashion-mnist-10k")
    assert found.name == "fashion-mnist-10k"
    assert found.classes[9] == "Ankle boot"
    assert found.train_images.shape == (10_000, 28, 28)
    assert found.test_images.shape == (2_000, 28, 28)
    assert found.train_images.dtype == found.test_images.dtype == torch.uint8
    assert found.train_labels.dtype == found.test_labels.dtype == torch.int64
    assert found.train_labels.bincount().tolist() == [1000] * 10
    assert found.test_labels.bincount().tolist() == [200] * 10
    # Real pictures: the whole range is used, and none is twice in there (the original has a few).
    assert (found.train_images.min(), found.train_images.max()) == (0, 255)
    images = torch.cat([found.train_images, found.test_images]).flatten(1).numpy()
    assert len(np.unique(images, axis=0)) > 11_990
    # Shuffled: a run of one class in the file would bias whoever takes the first thousand.
    assert found.train_labels[:1000].bincount(minlength=10).min() > 60


def test_embedded_set_is_small_and_carries_its_licence():
    folder = Path(str(fashion_mnist_10k.ARCHIVE)).parent
    assert (folder / "fashion_mnist_10k.npz").stat().st_size < 5e6
    assert "Zalando SE" in (folder / "LICENSE").read_text()


def test_embedded_set_refuses_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"reads no folder.*fashion-mnist"):
        data.load("fashion-mnist-10k", tmp_path)


@pytest.mark.parametrize("fault", ["cut", "other", "gone"])
def test_damaged_embedded_set_is_refused(monkeypatch, tmp_path, fault):
    path = tmp_path / "archive.npz"
    content = Path(str(fashion_mnist_10k.ARCHIVE)).read_bytes()
    if fault == "cut":
        path.write_bytes(content[:100_000])
    elif fault == "other":
        with np.load(fashion_mnist_10k.ARCHIVE) as archive:
            arrays = dict(archive)
        arrays["train_labels"][17] ^= 1
        np.savez(path, **arrays)
    monkeypatch.setattr(fashion_mnist_10k, "ARCHIVE", path)
    with pytest.raises(DataError, match=r"archive\.npz.*install resitile again"):
        data.load("fashion-mnist-10k")


@pytest.mark.skipif(not _ORIGINAL, reason="needs the original files")
def test_script_makes_the_embedded_set():
    made = _script().arrays(SOURCE.load(Path(_ORIGINAL)))
    assert fashion_mnist_10k.digest(list(made.values())) == fashion_mnist_10k.SHA256


def _script():
    spec = importlib.util.spec_from_file_location("make_fashion_mnist_10k", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script_chooses_every_class_equally_and_once():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 50))
    chosen = _script().choose(labels, 20, 0)
    assert np.bincount(labels[chosen]).tolist() == [20] * 10
    assert len(set(chosen.tolist())) == 200


# --- sets in idx files ---


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("subfolder", ["", "tiny"])
def test_files_of_a_folder(tmp_path, packed, subfolder):
    source = _tiny(tmp_path / subfolder, packed=packed)
    found = source.load(tmp_path)
    assert found.train_images.shape == (6, 28, 28)
    assert found.train_labels.tolist() == [3, 1, 4, 1, 5, 9]
    assert found.test_labels.tolist() == [2, 6, 5, 3]
    assert (
        found.train_images[5, 27, 27]
        == np.random.default_rng(7).integers(0, 256, (6, 28, 28), dtype=np.uint8)[5, 27, 27]
    )


def test_folder_of_the_environment(tmp_path, monkeypatch):
    source = _tiny(tmp_path / "tiny")
    monkeypatch.setenv("RESITILE_DATA", str(tmp_path))
    assert len(source.load(None).train_labels) == 6


def test_content_counts_not_the_gzip_header(tmp_path):
    source = _tiny(tmp_path)
    path = tmp_path / "train_labels.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1, mtime=0))
    assert source.load(tmp_path).train_labels.tolist() == [3, 1, 4, 1, 5, 9]


def test_wrong_content_names_file_expected_found_and_remedy(tmp_path):
    source = _tiny(tmp_path)
    path = tmp_path / "test_labels.gz"
    wrong = _idx(np.array([2, 6, 5, 4], np.uint8))
    path.write_bytes(gzip.compress(wrong))
    expected, found = source.test_labels.sha256, hashlib.sha256(wrong).hexdigest()
    message = rf"{re.escape(str(path))}.*{expected}.*{found}.*[Rr]eplace"
    with pytest.raises(DataError, match=message):
        source.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no gzip", None])
def test_unreadable_file_is_refused(tmp_path, content):
    source = _tiny(tmp_path)
    path = tmp_path / "train_images.gz"
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(DataError, match=r"train_images\.gz.*[Rr]eplace"):
        source.load(tmp_path)


def test_files_of_another_set_are_refused(tmp_path):
    _tiny(tmp_path)
    for mine, theirs in zip(("train_images",) * 4, SOURCE.files, strict=True):
        shutil.copy(tmp_path / f"{mine}.gz", tmp_path / f"{theirs.name}.gz")
    for name in ("mnist", "fashion-mnist"):
        with pytest.raises(DataError, match="damaged or is another file"):
            data.load(name, tmp_path)


def test_incomplete_folder_is_refused(tmp_path):
    source = _tiny(tmp_path)
    (tmp_path / "test_labels.gz").unlink()
    with pytest.raises(DataError, match=r"holds 3 of the 4 files.*test_labels"):
        source.load(tmp_path)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist.*--data-dir"):
        data.load("mnist", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_no_network_names_the_remedy(name):
    with pytest.raises(DataError, match=r"no network in this test\. .*--data-dir") as raised:
        data.load(name)
    assert "second line" not in str(raised.value)


def test_download_with_a_wrong_hash_is_refused(monkeypatch):
    def altered(*_args, **_kwargs):
        raise ValueError("MD5 hash of downloaded file does not match")

    monkeypatch.setattr(pooch, "retrieve", altered)
    with pytest.raises(DataError, match=r"does not match.*--data-dir"):
        data.load("mnist")


def test_download_asks_for_the_published_files(monkeypatch, tmp_path):
    source = _tiny(tmp_path / "server")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash, Path(path)))
        return str(tmp_path / "server" / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert source.load(tmp_path).train_labels.tolist() == [3, 1, 4, 1, 5, 9]
    url, known_hash, path = asked[0]
    assert url == "http://tiny.invalid/train_images.gz"
    assert known_hash == "md5:" + "0" * 32
    assert path == tmp_path / "cache" / "resitile" / "tiny"


def test_published_hashes_are_whole():
    for file in (*SOURCE.files, *mnist.SOURCE.files):
        assert re.fullmatch("[0-9a-f]{32}", file.md5)
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)


# --- splits ---


def test_split_is_a_partition_in_order():
    labels = torch.arange(10).repeat(37)
    kept, held = data.split(labels, 0.1, seed=3)
    assert kept.dtype == held.dtype == torch.int64
    assert (kept.diff() > 0).all()
    assert (held.diff() > 0).all()
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(370))


@pytest.mark.parametrize("fraction", [0.0, 0.07, 0.1, 0.5, 0.9])
def test_split_is_stratified(fraction):
    labels = torch.tensor([0] * 7 + [1] * 50 + [5] * 143)
    _, held = data.split(labels, fraction, seed=0)
    assert len(held) == round(fraction * 200)
    counts = labels[held].bincount(minlength=6)
    for k, size in ((0, 7), (1, 50), (5, 143)):
        assert abs(int(counts[k]) - fraction * size) < 1


def test_split_depends_on_its_seed_only():
    labels = torch.arange(10).repeat(100)
    first = data.split(labels, 0.1, seed=0)[1]
    np.random.default_rng().random()
    torch.rand(3)
    before = torch.random.get_rng_state()
    assert torch.equal(data.split(labels, 0.1, seed=0)[1], first)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not torch.equal(data.split(labels, 0.1, seed=1)[1], first)


def test_split_stays_what_it_was():
    """Runs of earlier versions must remain comparable: these numbers may never change."""
    _, held = data.split(torch.arange(2).repeat(20), 0.2, seed=0)
    assert held.tolist() == [2, 3, 11, 13, 18, 20, 21, 32]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_split_refuses_impossible_shares(fraction):
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        data.split(torch.arange(4), fraction, seed=0)


def test_split_refuses_a_negative_seed():
    with pytest.raises(ConfigError, match="got -1"):
        data.split(torch.arange(4), 0.5, seed=-1)
