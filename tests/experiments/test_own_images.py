"""Images of the user's own, named `module:function` in a configuration."""

from pathlib import Path

import pytest
import torch

from resitile import data
from resitile.errors import ConfigError, DataError
from resitile.experiments.compare import compare
from resitile.experiments.config import Config, parse
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.experiments.task import load_task
from resitile.reports.records import read_run

GOOD = """
import torch
from resitile.data import Dataset
shape, kind, labels = (3, 9, 9), torch.uint8, torch.arange(120) % 3

def load(folder):
    images = torch.arange(120).view(-1, *[1] * len(shape)).expand(120, *shape)
    images = images.to(kind) if kind == torch.uint8 else images.to(kind) / 255
    split = 90
    EDIT
    return Dataset("mine", ("a", "b", "c"), images[:split], labels[:split], images[split:],
                   labels[split:])

def folder_wanted(folder):
    (folder / "list.txt").read_text()
    return load(folder)

number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Name of a module with the code above, its line EDIT replaced by the test's parameter."""
    name = f"images_{abs(hash(request.node.name))}"
    edit = getattr(request, "param", "pass")
    (tmp_path / f"{name}.py").write_text(GOOD.replace("EDIT", edit))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def config(module: str, **more: object) -> Config:
    return parse(
        {
            "name": "own", "data": {"name": f"{module}:load", "batch_size": 10, **more},
            "model": {"name": "perceptron_of_test"}, "algorithm": {"name": "digital"},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        ("pass", (3, 9, 9)),
        ("images = images[:, 0]", (1, 9, 9)),
        ("images = images / 255", (3, 9, 9)),
        ("images = (images / 255).double()", (3, 9, 9)),
    ],
    indirect=["module"],
)
def test_images_reach_the_network_as_they_are(module: str, shape: tuple[int, ...]) -> None:
    task = load_task(config(module))
    assert task.train.images.shape == (81, *shape)
    assert task.test.images.dtype == torch.float32
    assert torch.allclose(task.test.images[:, 0, 0, 0], torch.arange(90, 120) / 255)
    assert task.test.labels.tolist() == [n % 3 for n in range(90, 120)]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("images = images.numpy()", "its train images must be a tensor"),
        ("images = images[:, 0, 0]", r"must be a tensor \(N, height, width\)"),
        ("images = images.int()", r"uint8, or floating in \[0, 1\]; got torch.int32"),
        ("images = images * 1.0", r"must lie in \[0, 1\], got 0 to 89"),
        ("images = images.float() / 0", r"must lie in \[0, 1\], got"),
        ("split = 120", "its test images must be"),
        ("globals()['labels'] = labels.float()", "must be int64 from 0 on; got torch.float32"),
        ("globals()['labels'] = labels - 1", "int64 from 0 on; got torch.int64, the least -1"),
        ("globals()['labels'] = labels[:60]", r"its train labels must be a tensor of shape \(90,"),
        ("1 / 0", r"fails: .*\.py:10: ZeroDivisionError"),
        ("return images", "gave Tensor; it must return a resitile.data.Dataset"),
    ],
    indirect=["module"],
)
def test_what_cannot_be_trained_on_is_named(module: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load(f"{module}:load")


def test_names_of_nothing(module: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data set .* cannot be imported: .*did you mean 'load'"):
        data.load(f"{module}:lod")
    with pytest.raises(ConfigError, match="is 3; name a function"):
        data.load(f"{module}:number")
    with pytest.raises(ConfigError, match="or your own: module:function"):
        data.load("lenet")
    with pytest.raises(DataError, match=r"fails: .*FileNotFoundError.*list\.txt"):
        data.load(f"{module}:folder_wanted", tmp_path)
    (tmp_path / "list.txt").write_text("")
    assert len(data.load(f"{module}:folder_wanted", tmp_path).test_labels) == 30


def test_a_run_knows_its_images_by_folder_and_code(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}_net.py").write_text(
        "from torch import nn\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(243, 3))\n"
    )

    def made(folder: str) -> Config:
        tables = config(module, dir=folder).model_dump(exclude_none=True)
        tables["model"]["name"] = f"{module}_net:Net"
        tables["algorithm"] = {"name": "digital"}
        tables["train"]["epochs"] = 1
        return parse(tables)

    one, two = made("/one"), made("/two")
    assert one.hash != two.hash
    with pytest.raises(ConfigError, match=r"has data\.dir='/two', but 'own' has '/one'"):
        compare([one, two.model_copy(update={"name": "other"})], tmp_path / "both")
    run(one, tmp_path)
    with pytest.raises(ConfigError, match=r"data\.dir"):
        run(two, tmp_path, resume=True)
    group = read_run(tmp_path / "own").group
    run(two, tmp_path, overwrite=True)
    assert read_run(tmp_path / "own").group != group
    RunFolder(tmp_path / "own").summary.unlink()
    path = tmp_path / f"{module}.py"
    path.write_text(path.read_text() + "\n# edited\n")
    with pytest.raises(ConfigError, match=rf"the file of {module}:load has changed"):
        run(two, tmp_path, resume=True)


@pytest.mark.parametrize("module", ["globals()['labels'][-1] = 12"], indirect=True)
def test_a_label_without_a_class_is_named_before_training(module: str, tmp_path: Path) -> None:
    """It stands in the test images only, which nobody looks at before the end."""
    (tmp_path / f"{module}_net.py").write_text(
        "from torch import nn\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(243, 3))\n"
    )
    tables = config(module).model_dump(exclude_none=True)
    tables["model"]["name"] = f"{module}_net:Net"
    with pytest.raises(ConfigError, match=r"at least 13 classes, for the largest label of all"):
        run(parse(tables), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
