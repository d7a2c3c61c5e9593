"""Sweeps: what they expand to, that a shipped file works, and what is drawn and recorded."""

import io
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from resitile.cli import app
from resitile.errors import ConfigError
from resitile.experiments import sweep
from resitile.reports.sweep import sweep_figure

ROOT = Path(__file__).parents[2]
RUN = """
name = "small"
label = "Small"
[data]
limit = 60
validation = 0.3
batch_size = 4
[algorithm]
name = "digital"
[train]
epochs = 1
threads = 1
"""
SWEEP = """
[sweep]
axis = "learning rate"
x = [0.01, 0.1]
set = { "optimizer.lr" = [0.01, 0.1] }
seeds = [0, 3]
series = [{ label = "plain" }, { label = "momentum", set = { "optimizer.momentum" = 0.5 } }]
[[sweep.published]]
label = "They"
source = "Fig. 1"
x = [0.01, 0.2]
y = [50, 60]
"""


def load(tmp_path: Path, text: str = RUN + SWEEP, *overrides: str) -> sweep.Sweep:
    path = tmp_path / "file.toml"
    path.write_text(text)
    return sweep.load(path, list(overrides))


def test_every_point_gets_its_settings(tmp_path: Path) -> None:
    found = load(tmp_path, RUN + SWEEP, "train.epochs=2")
    assert found.name == "small"
    assert [(s, k, seed) for s, k, seed, _ in found.runs] == [
        (s, k, seed) for s in (0, 1) for k in (0, 1) for seed in (0, 3)
    ]
    for s, k, seed, config in found.runs:
        assert config.optimizer.lr == (0.01, 0.1)[k]
        assert config.optimizer.momentum == (0.0, 0.5)[s]
        assert (config.seed, config.train.epochs) == (seed, 2)
    assert len({config.name for *_, config in found.runs}) == 8


NAMED = """
[device]
name = "soft_bounds"
states = 4
[algorithm]
name = "cascaded_residual_learning"
weight_tiles = 1
[sweep]
axis = "changed:"
x = ["nothing at all, as it is written above", "two levels, of which the second has three"]
set = { "algorithm.levels" = [[3, 3], [2, 3]] }
"""


def test_points_may_be_names_and_settings_lists(tmp_path: Path) -> None:
    """Without series a run is called by its point; names have no line between them."""
    found = load(tmp_path, RUN.replace('[algorithm]\nname = "digital"\n', "") + NAMED)
    configs = [config for *_, config in found.runs]
    assert [config.rule().levels for config in configs] == [(3, 3), (2, 3)]
    assert configs[1].label == "changed: two levels, of which the second has three"
    keys = {"data": "some-set", "train_size": 42, "epochs": 1}
    summaries = [{"test_accuracy": n / 10, "val_accuracy": n / 20, **keys} for n in (0, 1)]
    (axes,) = sweep_figure(sweep.collect(found, summaries)).axes
    assert [line.get_linestyle() for line in axes.lines] == ["None"]
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {35}


def test_settings_may_be_tables(tmp_path: Path) -> None:
    tables = '"device.variation" = [{ dw_min = 0.1 }, { cycle = 0.2 }]'
    found = load(
        tmp_path,
        RUN.replace('"digital"', '"single_tile"')
        + f"""
        [device]
        name = "soft_bounds"
        [sweep]
        axis = "spread"
        x = ["of steps", "of pulses"]
        set = {{ {tables} }}
    """,
    )
    devices = [config.rule().devices()[0] for *_, config in found.runs]
    assert [device.variation for device in devices] == [{"dw_min": 0.1}, {"cycle": 0.2}]


def test_records_and_picture_hold_what_the_runs_gave(tmp_path: Path) -> None:
    found = load(tmp_path)
    keys = {"data": "some-set", "train_size": 42, "epochs": 1}
    summaries = [
        {"test_accuracy": n / 10, "val_accuracy": n / 20, **keys} for n in range(len(found.runs))
    ]
    record = sweep.collect(found, summaries)
    assert record["series"][0]["test"] == [[0.0, 0.1], [0.2, 0.3]]
    assert record["series"][1]["test"] == [[0.4, 0.5], [0.6, 0.7]]
    assert record["series"][1]["validation"] == [[0.2, 0.25], [0.3, 0.35]]
    (axes,) = sweep_figure(record).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["momentum"].get_ydata() == pytest.approx([0.45, 0.65])
    assert lines["They (Fig. 1)"].get_ydata() == pytest.approx([0.5, 0.6])
    assert "42 training images of some-set, 1 epoch, 2 seeds" in axes.get_title()


@pytest.mark.parametrize(
    ("key", "values", "task"),
    [
        ("epochs", (1, 3), "42 training images of d, 2 seeds"),
        ("train_size", (9, 42), "d, 3 epochs, 2 seeds"),
        ("data", ("d", "e"), "42 training images, 3 epochs, 2 seeds"),
    ],
)
def test_the_title_leaves_out_what_changes_along_the_axis(
    tmp_path: Path, key: str, values: tuple[object, object], task: str
) -> None:
    found = load(tmp_path)
    keys = {"data": "d", "train_size": 42, "epochs": 3, "test_accuracy": 0.5, "val_accuracy": 0.5}
    record = sweep.collect(found, [{**keys, key: values[k]} for _, k, _, _ in found.runs])
    assert record[key] is None
    (axes,) = sweep_figure(record).axes
    assert axes.get_title().splitlines()[1] == task


def drawn(found: sweep.Sweep) -> Figure:
    """The picture with every accuracy 0.5, rendered: matplotlib reads its texts only then."""
    keys = {"data": "d", "train_size": 1, "epochs": 1, "test_accuracy": 0.5, "val_accuracy": 0.5}
    figure = sweep_figure(sweep.collect(found, [keys] * len(found.runs)))
    figure.savefig(io.BytesIO(), format="svg")
    return figure


def test_dollars_in_texts_are_dollars(tmp_path: Path) -> None:
    text = RUN.replace('"Small"', '"$a_{$"') + SWEEP.replace('"learning rate"', '"lr $x_{$ a"')
    text = text.replace('"plain"', '"$x_{$"').replace('"They"', '"$y^{$"').replace("Fig.", "$z_{$")
    (axes,) = drawn(load(tmp_path, text)).axes
    assert axes.get_xlabel() == r"lr \$x_{\$ a"


def test_a_published_name_has_a_place_of_its_own(tmp_path: Path) -> None:
    text = RUN + SWEEP.replace("x = [0.01, 0.1]", 'x = ["a", "b"]')
    (axes,) = drawn(load(tmp_path, text.replace("x = [0.01, 0.2]", 'x = ["a", "c"]'))).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    (line,) = (line for line in axes.lines if line.get_label() == "They (Fig. 1)")
    assert list(line.get_xdata()) == [0, 2]


def test_the_command_runs_draws_and_reuses(tmp_path: Path) -> None:
    path = tmp_path / "file.toml"
    path.write_text(RUN + SWEEP.replace("seeds = [0, 3]\n", ""))
    arguments = ["sweep", str(path), "--runs-dir", str(tmp_path / "runs"), "--json"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    folder = tmp_path / "runs" / "small"
    assert json.loads(first.stdout) == json.loads((folder / "sweep.json").read_text())
    assert (folder / "sweep.svg").stat().st_size > 1000
    assert (folder / "sweep.png").stat().st_size > 1000
    before = (folder / "0-0-seed0" / "summary.json").read_bytes()
    again = CliRunner().invoke(app, arguments)
    assert again.stdout == first.stdout
    assert (folder / "0-0-seed0" / "summary.json").read_bytes() == before


SEEDS = '[sweep]\naxis = "seed"\nx = [1, 2]\nset = { "seed" = [1, 2] }\n'
PLAIN = SWEEP.replace("seeds = [0, 3]\n", "")


@pytest.mark.parametrize(
    ("text", "overrides", "seeds"),
    [
        (RUN + SEEDS, [], [1, 2]),
        (RUN + PLAIN, [], [0]),
        (RUN + PLAIN, ["seed=5"], [5]),
        ("seed = 7\n" + RUN + PLAIN, [], [7]),
        ("seed = 7\n" + RUN + PLAIN, ["seed=5"], [5]),
    ],
)
def test_the_seed_of_the_run_is_heard(
    tmp_path: Path, text: str, overrides: list[str], seeds: list[int]
) -> None:
    found = load(tmp_path, text, *overrides)
    assert list(dict.fromkeys(config.seed for *_, config in found.runs)) == seeds
    for s, k, seed, config in found.runs:
        assert (config.name, config.seed) == (f"{s}-{k}-seed{seed}", seed)
    keys = {"data": "d", "train_size": 1, "epochs": 1, "test_accuracy": 0.1, "val_accuracy": 0.1}
    assert sweep.collect(found, [keys] * len(found.runs))["seeds"] == seeds


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("seed = 7\n" + RUN + SWEEP, [], "seed=7 has no effect beside sweep.seeds"),
        (RUN + SWEEP, ["seed=5"], "seed=5 has no effect beside sweep.seeds"),
        (RUN + SWEEP, ["optimizer.lr=1.0"], "'optimizer.lr=1.0' has no effect"),
        (RUN + SEEDS, ["seed=5"], "'seed=5' has no effect"),
        (RUN.replace('"small"', '"../evils"') + SWEEP, [], "cannot be a folder name"),
        (RUN + SWEEP, ["name=../evils"], "cannot be a folder name"),
        (RUN + SWEEP, ["name=" + 300 * "a"], "at most 200 letters, got 300"),
    ],
)
def test_what_a_sweep_would_ignore_or_write_elsewhere_is_refused(
    tmp_path: Path, text: str, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text, *overrides)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "ablations").glob("*.toml")), ids=str)
def test_shipped_ablations_can_run(path: Path) -> None:
    found = sweep.load(path, [])
    assert found.name == path.stem
    hashes = {config.hash for *_, config in found.runs}
    assert len(hashes) == len(found.runs), "two points of a sweep are the same run"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no .sweep. table"),
        (SWEEP.replace("[0.01, 0.1] }", "[0.01] }"), "needs 2 values, got 1"),
        (SWEEP.replace("seeds = [0, 3]", "seeds = [3, 3]"), "seeds are given twice"),
        (SWEEP.replace("y = [50, 60]", "y = [50]"), "x and y need equal lengths"),
        (SWEEP.replace("optimizer.lr", "optimizer.rate"), "unknown key optimizer.rate"),
        (SWEEP.replace("seeds =", "seed ="), "unknown key sweep.seed; did you mean .seeds."),
        (SWEEP.replace("y =", "Y ="), "unknown key sweep.published.0.Y; .*allowed: label"),
        (SWEEP.replace('axis = "learning rate"', ""), "axis"),
        (SWEEP.replace("[0.01, 0.1] }", "[0.01, -1] }"), "greater than or equal to 0"),
        (SWEEP.replace("0.2]", '"c"]'), "point 'c' has no place among numbers"),
        (SWEEP.replace("0.2]", "0.0]").replace("axis", "log = true\naxis"), "above 0, got 0.0"),
        (SWEEP.replace("optimizer.lr", "name"), "set cannot change 'name'"),
        (SWEEP.replace("optimizer.momentum", "label"), "set cannot change 'label'"),
        (SWEEP.replace("optimizer.lr", "seed"), 'seeds and a set of "seed" exclude each other'),
        (SWEEP.replace("optimizer.momentum", "optimizer.lr"), "along the axis and by the series"),
    ],
)
def test_bad_sweeps_are_refused_before_any_run(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, RUN + text)
