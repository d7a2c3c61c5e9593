"""Configurations: what is refused and how, overrides, and the way back to TOML."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resitile.errors import ConfigError
from resitile.experiments import toml
from resitile.experiments.config import Config, load, parse
from resitile.experiments.task import build, load_task

MakeConfig = Callable[..., Config]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.lrr=1", ["optimizer.lrr", "did you mean 'lr'", "decay_every"]),
        ("trian.epochs=1", ["trian", "did you mean 'train'"]),
        ("algorithm.gama=0.5", ["'gama'", "did you mean 'gamma'", "transfer_every"]),
        ("device.state=4", ["'state'", "did you mean 'states'", "w_min"]),
        ("device.name=soft_bound", ["did you mean 'soft_bounds'"]),
        ("algorithm.name=digitl", ["did you mean 'digital'", "single_tile"]),
        ("device.variation={cycl=0.1}", ["'cycl'", "did you mean 'cycle'"]),
        ("algorithm.gamma=1.2", ["gamma", "(0, 1)", "1.2"]),
        ("algorithm.tiles=2.5", ["tiles", "whole number", "2.5"]),
        ("algorithm.name=residual_lerning", ["residual_lerning", "did you mean"]),
        ("algorithm.class=some.module:Class", ["either", "class"]),
        ("device.states=1", ["states", "at least 2", "got 1"]),
        ("device.w_min=2", ["w_min=2", "w_min < 0 < w_max"]),
        ("device.w_max=-1", ["w_max=-1", "w_min < 0 < w_max"]),
        ("device.variation=much", ["variation", "'much'", "none"]),
        ("optimizer.lr=fast", ["optimizer.lr", "'fast'", "number"]),
        ("optimizer.lr=-0.1", ["optimizer.lr", "-0.1"]),
        ("optimizer.lr=nan", ["optimizer.lr", "finite"]),
        ("optimizer.decay_every=0", ["decay=0.5", "decay_every=0"]),
        ("train.epochs=2.5", ["train.epochs", "integer", "2.5"]),
        ("train.epochs=true", ["train.epochs", "True"]),
        ('train.epochs="3"', ["train.epochs", "'3'"]),
        ("train=3", ["train must be a table"]),
        ("search={}", ["[search] belongs to `resitile tune`", "remove that table"]),
        ("sweep={}", ["[sweep] belongs to `resitile sweep`", "remove that table"]),
        ("data.validation=1.5", ["data.validation", "less than 1"]),
        ("warm_start.stage=0", ["warm_start.stage", "plateau", "got 0"]),
        ("convert.scale=0", ["convert.scale", "above 0"]),
        ("convert.include=fc", ["convert.include", "list"]),
        ("train.threads=1025", ["train.threads", "at most 1024", "got 1025"]),
        ("train.threads=100000000000", ["train.threads", "at most 1024", "got 100000000000"]),
        ("name=a/b", ["'a/b'", "folder name"]),
        ("name=" + 300 * "a", ["at most 200", "got 300", "shorten"]),
        ("algorithm.name=digital", ["digital", "[device]", "remove"]),
        ("seed=-1", ["seed", "-1"]),
    ],
)
def test_wrong_settings_are_refused_with_value_and_remedy(
    make_config: MakeConfig, setting: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        make_config(setting)
    for word in words:
        assert word in str(refused.value)


def test_threads_of_the_environment_have_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"name": "x", "algorithm": {"name": "digital"}, "train": {}}
    monkeypatch.setenv("OMP_NUM_THREADS", "1024")
    assert parse(content).train.threads == 1024
    monkeypatch.setenv("OMP_NUM_THREADS", "99999999999")
    with pytest.raises(ConfigError, match=r"OMP_NUM_THREADS.* at most 1024, got 99999999999"):
        parse(content)


def test_settings_that_a_digital_run_would_ignore_are_refused(make_config: MakeConfig) -> None:
    ignored = "algorithm.tiles=3", "convert.scale=1.0", "warm_start.stage=1"
    for setting in (*ignored, "optimizer.digital_lr=0.1"):
        with pytest.raises(ConfigError, match="digital"):
            make_config(setting, digital=True)


def test_an_analog_run_without_device_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs a \[device\] table"):
        parse({"name": "x", "algorithm": {"name": "single_tile"}})


@pytest.mark.parametrize("bad", ["novalue", "=3", "a..b=3"])
def test_an_override_without_key_or_value_is_refused(make_config: MakeConfig, bad: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.key=value"):
        make_config(bad)


def test_letters_that_the_locale_could_not_read_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"letters of the setting .*PYTHONUTF8=1"):
        make_config("label=gr\udcc3\udcb6\udcc3\udc9fe")


def test_overrides_are_toml_values_or_else_text(make_config: MakeConfig) -> None:
    config = make_config(
        "algorithm.tiles=5", "label=MT-RL, 5 tiles", 'convert.include=["0", "3"]', "seed = 7"
    )
    rule = config.rule()
    assert rule is not None
    assert (rule.count, config.label, config.seed) == (5, "MT-RL, 5 tiles", 7)
    assert config.resolved()["convert"]["include"] == ["0", "3"]


def test_an_override_through_a_plain_key_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr is not a table"):
        make_config("optimizer.lr.x=1")


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*nothing\.toml"):
        load(tmp_path / "nothing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[data\n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        load(broken)


def test_a_file_as_windows_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "marked.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "x"\r\n[algorithm]\r\nname = "digital"\r\n')
    assert load(path).name == "x"


def test_digital_parameters_may_have_a_rate_of_their_own(make_config: MakeConfig) -> None:
    base, config = make_config(), make_config("optimizer.digital_lr=0.01", "optimizer.lr=0.2")
    assert "digital_lr" not in base.toml()
    task = load_task(config)
    analog, digital = build(config, task).optimizer.param_groups
    assert (analog["lr"], digital["lr"]) == (0.2, 0.01)
    assert {type(p).__name__ for p in analog["params"]} == {"AnalogWeight"}
    assert {type(p).__name__ for p in digital["params"]} == {"Parameter"}
    (together,) = build(base, task).optimizer.param_groups
    assert len(together["params"]) == len(analog["params"]) + len(digital["params"])
    still = make_config("optimizer.digital_lr=0.0", "optimizer.lr=0.2")
    learner = build(still, task)
    before = {n: p.detach().clone() for n, p in learner.model.named_parameters()}
    images, labels = task.train.images[:8], task.train.labels[:8]
    for _ in range(5):
        learner.loss(learner.model(images), labels).backward()
        learner.optimizer.step()
        learner.optimizer.zero_grad()
    for name, parameter in learner.model.named_parameters():
        assert torch.equal(before[name], parameter) == name.endswith("bias"), name


def test_the_resolved_file_gives_the_same_run(make_config: MakeConfig, tmp_path: Path) -> None:
    config = make_config("device.variation={w_max = 0.1}", 'label="a \\"b\\" é"')
    path = tmp_path / "resolved.toml"
    path.write_text(config.toml(), encoding="utf-8")
    again = load(path)
    assert again.hash == config.hash
    assert again.toml() == config.toml()
    assert tomllib.loads(config.toml())["device"]["variation"] == {"w_max": 0.1}


def test_the_hash_follows_what_decides_the_result_only(make_config: MakeConfig) -> None:
    base = make_config()
    same = ["name=other", "label=other", "data.dir=/elsewhere", "train.threads=7"]
    # the defaults, written out
    same += ["device.states=4.0", "algorithm.gamma=0.5", "device.variation=default"]
    for setting in same:
        assert make_config(setting).hash == base.hash, setting
    for setting in ("seed=1", "device.states=10", "algorithm.tiles=4", "train.epochs=4"):
        other = make_config(setting)
        assert other.hash != base.hash, setting
        assert len(base.differences(other)) == 1
        assert base.differences(other)[0].startswith(setting.split("=")[0])


_scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
_values = st.one_of(_scalars, st.lists(_scalars, max_size=3))
_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
_tables = st.recursive(
    st.dictionaries(_keys, _values, max_size=3),
    lambda inner: st.dictionaries(
        _keys, st.one_of(_values, inner, st.lists(inner, max_size=2)), max_size=3
    ),
    max_leaves=6,
)


@given(_tables)
def test_what_is_written_reads_back(tables: dict[str, object]) -> None:
    assert tomllib.loads(toml.write(tables)) == tables
