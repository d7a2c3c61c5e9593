"""Laws and algorithms of the user's own, named `module:Class` in a configuration."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from resitile.errors import CheckpointError, ConfigError, UpdateError
from resitile.experiments import own_code
from resitile.experiments.compare import compare
from resitile.experiments.config import Config, load
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.tiles import Tile

CODE = """
import numpy as np
import resitile as rt

class Plain(rt.algorithms.Algorithm, name="plain_of_mine"):
    def step(self, weight, state, batch, lr):
        weight.pulse(0, batch, lr)

class Costly(rt.algorithms.Algorithm, name="costly_of_mine"):
    def step(self, weight, state, batch, lr):
        weight.pulse(0, batch, lr)

    def work(self, layer, reads):
        return rt.cost.Work(layer.columns, reads, 0, storage=0)

class Table(rt.Device, name="table_of_mine"):
    @staticmethod
    def q_up(w, p):
        return SCALE * (1 - w / p[1])

    @staticmethod
    def q_down(w, p):
        return SCALE * (1 - w / p[0])

SCALE = 1.0

class Dice(rt.Device, name="dice_of_mine"):
    @staticmethod
    def q_up(w, p):
        return np.random.rand()

    @staticmethod
    def q_down(w, p):
        return 1.0

class Importing(rt.Device, name="importing"):
    @staticmethod
    def q_up(w, p):
        import math
        return 1 - w / p[1]

    @staticmethod
    def q_down(w, p):
        return 1 - w / p[0]

class Root(rt.Device, name="root"):
    @staticmethod
    def q_up(w, p):
        return (1 - w * w) ** 0.5

    @staticmethod
    def q_down(w, p):
        return (1 - w * w) ** 0.5
"""
TOML = """
[data]
limit = 60
validation = 0.3
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "code_of_mine:Plain"
[train]
epochs = 1
threads = 1
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module on the path."""
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / "code_of_mine.py"
    file.write_text(CODE)
    monkeypatch.syspath_prepend(file.parent)
    yield file
    sys.modules.pop("code_of_mine", None)


@pytest.fixture
def make_own(code: Path, tmp_path: Path) -> Callable[..., Config]:
    """A tiny run of that module's algorithm."""
    del code
    file = tmp_path / "own.toml"
    file.write_text(TOML)
    return lambda *overrides: load(file, overrides)


def test_an_algorithm_that_states_no_cost_trains_and_is_recorded(
    make_own: Callable[..., Config], tmp_path: Path
) -> None:
    summary = run(make_own(), tmp_path)
    assert summary["test_accuracy"] is not None
    assert "update_ns" not in summary


def test_a_run_of_other_code_is_not_taken_up(
    make_own: Callable[..., Config], code: Path, tmp_path: Path
) -> None:
    config = make_own()
    (folder,) = compare([config], tmp_path / "runs")
    assert RunFolder(folder).code.is_file()
    compare([config], tmp_path / "runs")  # the same code: nothing to do
    code.write_text(CODE + "# another\n")
    for again in (
        lambda: compare([config], tmp_path / "runs"),
        lambda: run(config, tmp_path / "runs", resume=True),
    ):
        with pytest.raises(ConfigError, match="code_of_mine:Plain has changed since"):
            again()
    compare([config], tmp_path / "runs", overwrite=True)
    compare([config], tmp_path / "runs")


def test_every_module_that_training_runs_through_is_part_of_a_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = ("algorithms", "data", "devices", "kernels", "models", "nn", "tiles", "nn/inner")
    names = [f"{folder}/one.py" for folder in folders]
    names += ["experiments/task.py", "experiments/runner.py"]
    for name in [*names, "reports/page.py"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(own_code, "__file__", str(tmp_path / "experiments" / "own_code.py"))
    found = [own_code._sources.__wrapped__()]
    for name in [*names, "reports/page.py"]:
        (tmp_path / name).write_text("2")
        found.append(own_code._sources.__wrapped__())
    assert len(set(found)) == 1 + len(names)
    assert found[-1] == found[-2]  # how a page looks changes no run


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"code_of_mine:Plain": 3}'])
def test_spoilt_digests_are_named(
    make_own: Callable[..., Config], tmp_path: Path, content: str
) -> None:
    config = make_own()
    folder = RunFolder(tmp_path / "runs" / config.name)
    folder.checkpoint.parent.mkdir(parents=True)
    folder.checkpoint.write_text("something was learnt with that code")
    folder.config.write_text(config.toml())
    folder.code.write_text(content)
    with pytest.raises(CheckpointError, match=r"code\.json is damaged.*--overwrite"):
        run(config, tmp_path / "runs", resume=True)


def test_a_law_that_cannot_be_compiled_is_named(
    make_own: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_own("device.name=code_of_mine:Importing")
    with pytest.raises(ConfigError, match=r"q_up of the law Importing .*cannot be compiled"):
        run(config, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_law_that_spoils_devices_in_a_run_is_named(
    make_own: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_own("device.name=code_of_mine:Root", "device.states=3", "optimizer.lr=1.0")
    with pytest.raises(UpdateError, match=r"tile 0 hold NaN .* law of Root\(states=3"):
        run(config, tmp_path / "runs")


def test_a_fault_in_work_comes_before_the_first_epoch(
    make_own: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_own("algorithm.name=code_of_mine:Costly")
    text = r"reads or work of Costly fails at .*code_of_mine\.py:\d+: AttributeError: .*'columns'"
    with pytest.raises(ConfigError, match=text):
        run(config, tmp_path)
    assert not RunFolder(tmp_path / config.name).path.exists()


def test_a_law_that_was_changed_after_it_was_compiled_is_refused(code: Path) -> None:
    import code_of_mine

    device = code_of_mine.Table(states=10, variation="none")
    ups = np.array([True])
    assert Tile(device, 0).staircases(ups)[0, 1] == pytest.approx(0.2)
    code_of_mine.SCALE = 2.0
    with pytest.raises(ConfigError, match=r"the law Table use, .* changed after they were"):
        Tile(device, 0).staircases(ups)


def test_a_law_that_draws_numbers_is_refused(code: Path) -> None:
    import code_of_mine

    with pytest.raises(ConfigError, match=r"q_up of the law Dice .* draws random numbers"):
        Tile(code_of_mine.Dice(states=10), 0).staircases(np.array([True]))
