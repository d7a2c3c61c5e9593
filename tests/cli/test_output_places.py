"""Places that cannot be written: one line that says so, before anything is computed."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from resitile.cli import main
from resitile.errors import ConfigError, ResitileError
from resitile.experiments.config import load
from resitile.experiments.records import RunFolder
from resitile.experiments.rules import begin
from resitile.reports import write_report
from tests.experiments.conftest import DIGITAL


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, a file in the way, and an unfinished run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(DIGITAL)
    (tmp_path / "taken").write_text("treasure")
    (tmp_path / "shut").mkdir()
    access = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda p, m: Path(p).name != "shut" and access(p, m))
    folder = tmp_path / "runs" / "old"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('name = "old"\n[algorithm]\nname = "digital"\n')
    (folder / "metrics.jsonl").write_text("")
    return folder


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("plan --states 1", "states must be at least 2"),
        ("plan --states 4 --model nope", "no model is called 'nope'"),
        ("plan --states 4 --digital-accuracy 7", "digital_accuracy must lie in"),
        ("plan --states 4 --digital-accuracy 7 --measure 1", "digital_accuracy must lie in"),
        ("plan --states 4 --measure 1", "plan.toml exists"),
        ("device plot --states 1", "states must be at least 2"),
        ("device plot --states 4", "soft_bounds-4.svg exists"),
        ("device fit mine.csv", "there is no file mine.csv"),
        ("device fit pulses.csv --law nope", "no device law is called 'nope'"),
        ("device fit pulses.csv", "pulses.svg exists"),
    ],
)
def test_what_was_asked_is_looked_at_before_a_file_in_the_way(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    command: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("plan.toml", "soft_bounds-4.svg", "mine.toml", "pulses.svg"):
        Path(name).write_text("mine")
    Path("pulses.csv").write_text("up,down\n1,4\n2,3\n3,2\n4,1\n")
    with pytest.raises(SystemExit) as left:
        main(command.split())
    assert left.value.code == 2
    assert message in capfd.readouterr().err


def test_pictures_of_several_devices_go_beside_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beside that of the fit which wrote the device, as docs/devices.md has them."""
    monkeypatch.chdir(tmp_path)
    Path("base.toml").write_text('[device]\nname = "soft_bounds"\nstates = 8\n')
    Path("base.svg").write_text("the fit")
    for asked in ("base.toml", "--states 4", "--states 12.5"):
        with pytest.raises(SystemExit) as left:
            main(["device", "plot", *asked.split()])
        assert not left.value.code
    assert {path.name for path in tmp_path.glob("*.svg")} == {
        "base.svg", "base-device.svg", "soft_bounds-4.svg", "soft_bounds-12.5.svg",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("report runs/old -o taken/x.html", "cannot make the folder taken: "),
        ("report runs/old -o taken/deep/x.html", "taken is no folder; name another place"),
        ("report runs/old -o .", "--out . is a folder; name the page, such as report.html"),
        ("theory --quick --only schedule -o taken/x", "taken is no folder; name another place"),
        ("theory --quick --only schedule -o taken", "taken is a file"),
        ("report runs/old runs/../runs/old", "is named twice"),
        ("plan --states 4 -o taken/x.toml", "cannot make the folder taken: "),
        ("device plot --states 4 -o taken/x.svg", "cannot make the folder taken: "),
        (
            "plan --states 4 --steps-per-epoch 9 -o shut/x.toml",
            "shut is not writable; name another",
        ),
        ("device plot --states 4 -o shut/x.svg", "shut is not writable; name another place"),
        ("train tiny.toml --runs-dir taken/x", "taken is no folder; name another place"),
        ("train tiny.toml --runs-dir " + 300 * "a", "cannot look into"),
        ("compare tiny.toml --out taken", "cannot make the folder taken: "),
        ("compare tiny.toml --out taken/x", "taken is no folder; name another place"),
        ("compare tiny.toml --name ../x", "name='../x' cannot be a folder name"),
        ("compare tiny.toml --name " + 300 * "a", "at most 200 letters"),
    ],
)
def test_a_place_that_cannot_be_is_one_line(
    run: Path, capfd: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(command.split())
    out, err = capfd.readouterr()
    assert (left.value.code, out) == (2, "")
    lines = [line for line in err.splitlines() if not line.startswith("tiny: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "--resume" not in err
    assert Path("taken").read_text() == "treasure"
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        "runs",
        "shut",
        "taken",
        "tiny.toml",
    ]


@pytest.mark.parametrize("command", ["theory --quick", "tune tiny.toml"])
def test_a_seed_that_is_too_large_is_refused(
    run: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--seed", str(2**62)])
    assert left.value.code == 2
    err = capfd.readouterr().err
    assert "--seed" in err
    assert str(2**62 - 1) in err


def test_a_report_says_why_its_page_cannot_be_written(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot make \.: Is a directory; name another place"):
        write_report([run], Path())


def test_a_page_that_fails_while_it_is_written_leaves_the_old_one(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    page = run / "report.html"
    page.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResitileError, match=r"cannot make .*No space left.*; free some space"):
        write_report([run], page)
    assert page.read_text() == "old"
    assert not list(run.glob(".report*"))


def test_a_run_folder_that_cannot_be_made_has_nothing_to_resume(run: Path) -> None:
    config = load(Path("tiny.toml"))
    with pytest.raises(ResitileError, match=r"cannot make .*name another place") as caught:
        begin(config, RunFolder(Path("taken/tiny")), None, resume=False)  # type: ignore[arg-type]
    assert "--resume" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_one_line(more: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "resitile.cli", "device", "list", *more],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: cannot write to the standard output: No space left")


def test_a_picture_that_fails_while_it_is_written_is_one_line(
    run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of a plan is out before: it may have taken hours."""
    from matplotlib.figure import Figure

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(SystemExit) as left:
        main(["plan", "--states", "4", "--steps-per-epoch", "9", "-o", "here.toml"])
    out, err = capfd.readouterr()
    assert left.value.code == 2
    assert "MT-RL, 6 tiles" in out
    assert err.splitlines()[-1].startswith("error: cannot write the picture here.svg: No space")


def test_json_has_no_infinity(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["plan", "--states", "4", "--steps-per-epoch", "9", "--json", "-o", "here.toml"])
    found = json.loads(capfd.readouterr().out, parse_constant=pytest.fail)
    assert any(choice["most"] is None for choice in found["choices"])
