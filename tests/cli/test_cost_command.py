"""`resitile cost`: what it prints and what it refuses."""

import json

import pytest

from resitile.cli import main


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--batch", "0"], ["batch", "at least 1", "got 0"]),
        (["--dim", "-2"], ["--dim"]),
        (["--tiles", "1"], ["at least 2", "inf", "'1'"]),
        (["--set", "red_ns=3"], ["red_ns", "allowed", "read_ns"]),
        (["--set", "read_ns=-3"], ["read_ns", "above 0", "-3"]),
        (["--set", "read_ns"], ["NAME=NUMBER"]),
        (["--algorithm", "tikitaka"], ["'tikitaka'", "tiki_taka"]),
        (["--samples-per-transfer", "1"], ["number of tiles"]),
        (["--model", "lenet5", "--dim", "4"], ["--dim", "--model"]),
        (["--model", "lenet"], ["'lenet'", "lenet5"]),
        (["--sample", "3,3"], ["--model"]),
        (["--model", "lenet5", "--sample", "1,x"], ["1,x"]),
    ],
)
def test_wrong_requests_are_refused_in_one_line(cli, arguments, words):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err
