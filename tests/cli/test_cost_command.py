"""`resitile cost`: what it prints and what it refuses."""

import json
from pathlib import Path

import pytest

import resitile as rt
from resitile.cli import main
from resitile.models import LeNet5

DEMO = Path(__file__).parents[2] / "configs" / "demo"


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["cost", *arguments])
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_json_has_the_latencies_of_table_5(cli):
    status, out, err = cli("--dim", "512", "--batch", "100", "--json")
    assert (status, err) == (0, "")
    assert "Infinity" not in out and "NaN" not in out
    found = json.loads(out)
    names = ("tiki_taka_v2", "single_tile", "mixed_precision", "residual_learning")
    got = [round(found["algorithms"][name]["update_ns"], 1) for name in names]
    assert got == [56.3, 30.9, 3024.5, 95.9]
    assert found["algorithms"]["residual_learning"]["area_mm2"] is None
    assert round(found["break_even_tiles"], 2) == 7.46
    assert {row["table"] for row in found["published"]} >= {f"Table {n}" for n in (5, 6, 7, 8)}
    assert all(row["unit"] and row["source"] for row in found["primitives"])


def test_the_table_has_every_algorithm_and_the_printed_figures(cli):
    status, out, _ = cli("--published")
    assert status == 0
    (row,) = [line for line in out.splitlines() if line.startswith("MT-RL")]
    assert row.split()[1:8] == ["1.02", "0", "1,024", "90.0", "5.9", "95.9", "80.0"]
    assert row.split()[-1] == "inf"
    assert "KiB" in out and "80.2" in out and "82.146" in out  # both, and why
    assert "DISAGREES" not in out


def test_finite_tiles_and_own_constants(cli):
    arguments = ("--algorithm", "residual_learning", "--tiles", "3", "--json")
    _, out, _ = cli(*arguments, "--set", "read_ns=20", "--set", "pulse_ns=1")
    found = json.loads(out)
    assert list(found["algorithms"]) == ["residual_learning"]
    figures = found["algorithms"]["residual_learning"]
    assert figures["analog_ns"] == pytest.approx(5 * 1.75 + 20 * 0.75)
    assert figures["tiles"] == 3 and figures["area_mm2"] > 0


def test_a_network_and_its_patches(cli):
    arguments = ("--model", "lenet5", "--batch", "8", "--algorithm", "single_tile", "--json")
    plain = json.loads(cli(*arguments)[1])
    assert [*plain["settings"]["layers"].values()] == [[16, 25], [32, 400], [128, 512], [10, 128]]
    assert round(plain["algorithms"]["single_tile"]["storage_bytes"]) == 2130
    patches = json.loads(cli(*arguments, "--sample", "1,28,28")[1])["settings"]["vectors"]
    assert [*patches.values()] == [576, 64, 1, 1]
    told = "one patch stands for all of features.0, features.3"
    endless = "infinitely many tiles"
    for options, notes in (
        (("--model", "lenet5"), (told, endless)),
        (("--model", "lenet5", "--tiles", "6"), (told,)),
        (("--model", "lenet5", "--sample", "1,28,28"), (endless,)),
        (("--dim", "16"), (endless,)),
    ):
        out = cli(*options)[1]
        assert [note for note in (told, endless) if note in out] == list(notes)


RUN = """
label = "three tiles"
[data]
batch_size = 4
[device]
name = "soft_bounds"
[algorithm]
name = "residual_learning"
tiles = 3
[convert]
exclude = ["features.*"]
"""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return str(path)


def test_a_configuration_is_its_network_algorithm_and_batch(cli, run_file):
    status, out, err = cli(
        run_file, "--json", "--set", "read_ns=20", "--set", "algorithm.columns=2"
    )
    assert (status, err) == (0, "")
    (found,) = json.loads(out)["runs"]
    rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(), tiles=3, columns=2)
    model = rt.convert(LeNet5(), rule, exclude=["features.*"])
    expected = rt.estimate_cost(model, batch=4, primitives={"read_ns": 20})
    assert found["total"] == expected.total.figures()
    assert {name: layer["shape"] for name, layer in found["layers"].items()} == {
        "classifier.1": [128, 512], "classifier.3": [10, 128],
    }  # fmt: skip
    for name, cost in expected.layers.items():
        assert cost.figures().items() <= found["layers"][name].items()
    assert (found["tiles"], found["batch"]) == (3, 4)


def test_the_table_of_a_configuration_and_of_several(cli, run_file):
    status, out, _ = cli(run_file, "--sample", "1,28,28")
    assert status == 0
    assert out.startswith("three tiles: ResidualLearning, 3 tiles, batch 4\n")
    assert [line.split()[0].strip(",") for line in out.splitlines()[2:]] == [
        "classifier.1", "classifier.3", "total",
    ]  # fmt: skip
    status, out, _ = cli(run_file, run_file)
    assert status == 0
    assert [line.startswith("three tiles") for line in out.splitlines()] == [False, True, True]


def test_a_schedule_from_the_data_needs_no_training(cli, run_file):
    arguments = ("--set", "algorithm.schedule=auto", "--json")
    (auto,) = json.loads(cli(run_file, *arguments)[1])["runs"]
    (fewer,) = json.loads(cli(run_file, *arguments, "--set", "data.limit=100")[1])["runs"]
    assert fewer["total"]["update_ns"] > auto["total"]["update_ns"]  # more columns per mini-batch


def test_a_whole_table_is_a_setting_of_the_configuration(cli, run_file):
    table = "algorithm={class='resitile.algorithms:ResidualLearning', tiles=5}"
    status, out, err = cli(run_file, "--set", table, "--set", "label=five", "--set", "read_ns=20")
    assert (status, err) == (0, "")
    assert out.startswith("five: ResidualLearning, 5 tiles, batch 4\n")
    status, _, err = cli("--set", table)
    assert status == 2 and "is a setting of a configuration: name its file" in err


def test_reads_that_follow_the_learning_rate_take_that_of_the_file(cli, run_file):
    gated = ("--set", "algorithm.name=gated_residual_learning", "--json")
    found = {}
    for lr in (0.1, 0.5):
        (run,) = json.loads(cli(run_file, *gated, "--set", f"optimizer.lr={lr}")[1])["runs"]
        found[lr] = run["layers"]["classifier.3"]["update_ns"]
    # 128 columns, 0.03 * lr of them decided on after each mini-batch of 4: 65 ns a column, + FLOP
    per_column = 5 * 5 + 40 + 128 / 175
    expected = 0.03 * 0.4 * 128 / 4 * per_column
    assert found[0.5] - found[0.1] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dim", "4"], ["--dim does not go with a configuration"]),
        (["--batch", "4"], ["--batch", "--set data.batch_size"]),
        (["--tiles", "4"], ["--tiles", "--set algorithm.tiles"]),
        (["--set", "algorithm.gama=0.5"], ["did you mean 'gamma'"]),
        (["--set", "red_ns=1"], ["did you mean 'read_ns'"]),
        (["--sample", "3,28,28"], ["shape (3, 28, 28)", "channels"]),
        (["missing.toml"], ["no configuration file missing.toml"]),
    ],
)
def test_wrong_requests_for_a_configuration_are_refused(cli, run_file, arguments, words):
    status, out, err = cli(run_file, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


def test_a_digital_configuration_has_no_cost(cli, tmp_path):
    (tmp_path / "digital.toml").write_text('[algorithm]\nname = "digital"\n')
    status, _, err = cli("digital.toml")
    assert status == 2 and "without tiles" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "0"], ["batch", "at least 1", "got 0"]),
        (["--dim", "-2"], ["--dim"]),
        (["--tiles", "1"], ["at least 2", "inf", "'1'"]),
        (["--tiles", "4", "--algorithm", "agad"], ["--tiles is for residual_learning"]),
        (["--set", "red_ns=3"], ["red_ns", "allowed", "read_ns"]),
        (["--set", "read_ns=-3"], ["read_ns", "above 0", "-3"]),
        (["--set", "read_ns"], ["NAME=NUMBER"]),
        (["--algorithm", "tikitaka"], ["'tikitaka'", "tiki_taka"]),
        (["--samples-per-transfer", "1"], ["number of tiles"]),
        (["--model", "lenet5", "--dim", "4"], ["--dim", "--model"]),
        (["--model", "lenet"], ["'lenet'", "lenet5"]),
        (["--sample", "3,3"], ["--model"]),
        (["--set", "algorithm.tiles=3"], ["configuration", "read_ns=20"]),
        (["--model", "lenet5", "--sample", "1,x"], ["1,x"]),
        (["--set", "device_pulse_pj=1"], ["counted_cost(model, samples=..., "]),
    ],
)
def test_wrong_requests_are_refused_in_one_line(cli, arguments, words):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


def test_of_several_runs_the_digital_ones_are_left_out(cli):
    files = sorted(str(path) for path in DEMO.glob("*.toml"))
    status, out, _ = cli(*files)
    assert status == 0
    assert "left out, trains without tiles: Digital SGD" in out
    assert "MT-RL, 6 tiles" in out


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("²,28,28", "must be a shape such as 1,28,28, of whole numbers above 0"),
        ("1,٣,28", "must be a shape"),
        ("1,0,28", "must be a shape"),
        ("1,,28", "must be a shape"),
        ("9" * 5000, "must be a shape"),
        ("1,28,999999999999", "is an input of 2.8e+13 numbers, which is run"),
    ],
)
def test_samples_that_are_no_shapes(cli, shape, message):
    status, _, err = cli("--model", "lenet5", "--sample", shape)
    assert status == 2
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_products_without_energy_have_no_break_even(cli):
    status, out, _ = cli(
        "--dim", "8", "--set", "input_pj=0", "--set", "output_pj=0", "--json"
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)["break_even_tiles"] is None


def test_a_superscript_is_no_number_of_tiles(cli):
    status, _, err = cli("--dim", "8", "--tiles", "\N{SUPERSCRIPT TWO}")
    assert status == 2
    assert "must be a whole number of at least 2, or inf" in err
