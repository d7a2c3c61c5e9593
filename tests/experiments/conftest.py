"""A tiny run: few real images, one thread, seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resitile.experiments.config import Config, load

ANALOG = """
[data]
limit = 60
validation = 0.3
batch_size = 4
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "residual_learning"
tiles = 3
[optimizer]
lr = 0.1
momentum = 0.5
decay = 0.5
decay_every = 1
[warm_start]
stage = 1
[train]
epochs = 3
threads = 1
"""
DIGITAL = """
[data]
limit = 60
validation = 0.3
batch_size = 4
[algorithm]
name = "digital"
[train]
epochs = 2
threads = 1
"""
MakeConfig = Callable[..., Config]


MakeNetwork = Callable[..., str]


@pytest.fixture
def make_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeNetwork:
    """A network of the user's own, in a file; answers with its "module:Class"."""

    def make(module: str, layers: str, *then: str) -> str:
        lines = ["from torch import nn", "class Net(nn.Sequential):", "    def __init__(self):"]
        lines += [f"        {line}" for line in (f"super().__init__({layers})", *then)]
        (tmp_path / f"{module}.py").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        return f"{module}:Net"

    return make


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """A configuration from TOML text and overrides, named "tiny"."""

    def make(*overrides: str, digital: bool = False) -> Config:
        path = tmp_path / "tiny.toml"
        path.write_text(DIGITAL if digital else ANALOG)
        return load(path, overrides)

    return make
