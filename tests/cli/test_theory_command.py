"""`resitile theory`: what it prints, what it writes and what it refuses."""

import json

import pytest

from resitile.cli import main


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["theory", *arguments])
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_schedule_is_a_table_and_a_file(cli, tmp_path):
    status, out, err = cli("--only", "schedule", "--out", "here")
    assert (status, err) == (0, "")
    (row,) = [line.split() for line in out.splitlines() if line.startswith("t_2")]
    assert row[:9] == ["t_2", "0", "1", "1", "2", "2", "3", "3", "4"]
    saved = json.loads((tmp_path / "here" / "theory.json").read_text())
    assert saved["schedule"]["updates"][3][:4] == [0, 1, 2, 3]


def test_quick_measurements_and_their_pictures(cli, tmp_path):
    status, out, err = cli("--quick", "--only", "floor", "--only", "contraction", "--json")
    assert status == 0
    assert "floor: 40 states" in err
    records = json.loads(out)
    assert records == json.loads((tmp_path / "theory" / "theory.json").read_text())
    assert records["floor"]["slope"]["value"] == pytest.approx(1, abs=0.1)
    names = {path.name for path in (tmp_path / "theory").iterdir()}
    assert names == {
        "theory.json", "floor.png", "floor.svg", "contraction.png", "contraction.svg",
    }  # fmt: skip


def test_quick_toy(cli):
    status, out, _ = cli("--quick", "--only", "tiles")
    assert status == 0
    assert "chain as printed" in out
    assert "4.50e-05" in out  # published, 2 tiles


def test_an_unknown_part_is_refused(cli):
    status, out, err = cli("--only", "flor")
    assert (status, out) == (2, "")
    assert "'flor'" in err and "floor, contraction, tiles, schedule" in err


def test_a_file_in_the_way_is_refused(cli, tmp_path):
    (tmp_path / "taken").write_text("")
    status, _, err = cli("--out", "taken", "--only", "schedule")
    assert status == 2
    assert "taken is a file" in err
