"""The commands as users run them: exit status, what is on stdout and what on stderr."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resitile.cli import main
from resitile.cli.doctor import _cache

DIGITAL = """
label = "plain torch"
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
ANALOG = (
    DIGITAL.replace('"digital"', '"residual_learning"\ntiles = 3')
    .replace("plain torch", "three tiles")
    .replace("[algorithm]", '[device]\nname = "soft_bounds"\nstates = 4\n[algorithm]')
)
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in an empty folder with two configurations: status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digital.toml").write_text(DIGITAL)
    (tmp_path / "analog.toml").write_text(ANALOG)

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        out, err = capfd.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom resitile.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'torch', 'pydantic', 'numba', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("train", "compare", "report", "doctor", "device"):
        assert command in done.stdout


def test_version(cli: Cli) -> None:
    import resitile

    assert cli("--version") == (0, f"resitile {resitile.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["trian"]),
        (["train"], ["config"]),
        (["train", "digital.toml", "--epochs", "3"], ["--epochs"]),
        (["train", "digital.toml", "--threads", "0"], ["--threads"]),
        (["train", "nothing.toml"], ["nothing.toml"]),
        (["train", "digital.toml", "--set", "train.epoch=3"], ["train.epoch", "epochs"]),
        (["train", "analog.toml", "--set", "device.states=1"], ["states", "1"]),
        (["train", "digital.toml", "--resume"], ["no run to resume"]),
        (["train", "digital.toml", "--set", "data.name=fashion"], ["'fashion'"]),
        (["train", "digital.toml", "--set", "model.name=lenet"], ["'lenet'"]),
        (["compare", "digital.toml", "digital.toml"], ["two runs"]),
        (["report", "nothing"], ["nothing", "config.toml"]),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(
    cli: Cli, tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert not (tmp_path / "runs").exists()


def test_train_prints_a_table_and_leaves_a_report(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli("train", "analog.toml", "--set", "algorithm.tiles=2")
    assert status == 0, err
    header, line, *_, where = out.splitlines()
    assert header.split()[:3] == ["run", "states", "tiles"]
    assert line.split()[:4] == ["three", "tiles", "4", "2"]
    assert where == f"report: {Path('runs/analog/report.html')}"
    assert (tmp_path / "runs/analog/report.html").is_file()
    # Not a terminal: a line when it begins and one per epoch.
    assert [line.split(":")[0] for line in err.splitlines()] == ["three tiles"] * 3
    assert "epoch 2/2" in err

    page = tmp_path / "runs/analog/report.html"
    page.write_text(page.read_text()[:3000])
    status, out, err = cli("train", "analog.toml", "--set", "algorithm.tiles=2", "--resume")
    assert status == 0
    assert "nothing to do" in err
    assert page.read_text().endswith("</html>")
    status, out, err = cli("train", "analog.toml", "--set", "algorithm.tiles=2")
    assert status == 2
    assert "--overwrite" in err


def test_train_json_is_the_summary(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli("train", "digital.toml", "--json", "--threads", "2")
    assert status == 0, err
    summary = json.loads(out)
    assert summary == json.loads((tmp_path / "runs/digital/summary.json").read_text())
    assert summary["environment"]["threads"] == 2
    assert "epoch 2/2" in err


def test_compare_puts_runs_side_by_side(cli: Cli, tmp_path: Path) -> None:
    status, out, err = cli("compare", "digital.toml", "analog.toml", "--out", "both", "--json")
    assert status == 0, err
    rows = json.loads(out)
    assert rows == json.loads((tmp_path / "both/comparison.json").read_text())
    assert [row["label"] for row in rows] == ["plain torch", "three tiles"]
    assert (tmp_path / "both/report.html").is_file()
    assert (tmp_path / "both/analog/summary.json").is_file()
    status, out, err = cli("compare", "digital.toml", "analog.toml", "--out", "both")
    assert status == 0
    assert err.count("nothing to do") == 2
    assert [line.split("  ")[0] for line in out.splitlines()[:3]] == [
        "run", "plain torch", "three tiles",
    ]  # fmt: skip
    assert out.splitlines()[-1] == f"report: {Path('both/report.html')}"
    status, out, err = cli("report", "both/digital", "both/analog", "-o", "page.html", "--json")
    assert status == 0, err
    assert [row["label"] for row in json.loads(out)] == ["plain torch", "three tiles"]
    assert (tmp_path / "page.html").is_file()


def test_two_formats_at_once_are_refused(cli: Cli) -> None:
    for command in ("report", "compare"):
        status, out, err = cli(command, "digital.toml", "--json", "--format", "csv")
        assert (status, out) == (2, "")
        assert "--json and --format csv ask for two formats" in err


def test_tiles_that_never_moved_are_named(cli: Cli) -> None:
    status, out, err = cli("train", "analog.toml", "--set", "algorithm.transfer_every=1000")
    assert status == 0, err
    assert "no pulse ever reached tile 0, 1 of " in " ".join(out.split())


def test_a_damaged_checkpoint_is_status_1(cli: Cli, tmp_path: Path) -> None:
    assert cli("train", "digital.toml")[0] == 0
    (tmp_path / "runs/digital/summary.json").unlink()
    (tmp_path / "runs/digital/checkpoints/last.pt").write_bytes(b"PK")
    status, out, err = cli("train", "digital.toml", "--resume")
    assert (status, out) == (1, "")
    assert "last.pt is damaged" in err
    assert err.count("\n") == 1


def test_ctrl_c_saves_and_the_printed_line_goes_on(tmp_path: Path) -> None:
    """A real SIGINT to a process of its own; afterwards all is as if it had never come."""
    (tmp_path / "analog.toml").write_text(ANALOG)
    command = [sys.executable, "-m", "resitile.cli", "train"]
    longer = ["analog.toml", "--set", "train.epochs=6", "--set", "data.limit=300"]
    with subprocess.Popen(
        [*command, *longer], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _wait_for_epoch(tmp_path / "runs/analog/metrics.jsonl", process)
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("stopped after ")
    _, _, hint = last.partition("go on with: resitile train ")
    assert hint == f"{Path('runs/analog/config.toml')} --resume"
    assert not (tmp_path / "runs/analog/summary.json").exists()

    done = _run([*command, *hint.split(), "--json"], tmp_path)
    whole = _run([*command, *longer, "--json", "--runs-dir", "whole"], tmp_path)
    assert _untimed(done) == _untimed(whole)
    assert _untimed_lines(tmp_path / "runs") == _untimed_lines(tmp_path / "whole")


def _wait_for_epoch(metrics: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _run(command: list[str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _untimed(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("wall_s", "ms_per_step")}


def _untimed_lines(parent: Path) -> list[dict[str, Any]]:
    lines = (parent / "analog/metrics.jsonl").read_text().splitlines()
    return [_untimed(json.loads(line)) for line in lines]


def test_doctor_tells_a_cache_folder_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    found = _cache()
    assert found["ignored"] is None
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")  # the kernels have chosen theirs before
    assert _cache() == {**found, "ignored": "/elsewhere"}
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(Path(found["path"]).parent))
    assert _cache()["ignored"] is None


def test_doctor_finds_the_kernels_healthy(cli: Cli) -> None:
    status, out, err = cli("doctor", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["healthy"] is True
    assert set(found["versions"]) >= {"resitile", "python", "torch", "numba", "numpy"}
    assert found["engine_threads"] >= 1
    assert Path(found["cache"]["path"]).is_absolute()
    assert [test["passed"] for test in found["self_test"]] == [True, True]
    status, out, _ = cli("doctor")
    assert status == 0
    assert out.count("passed:") == 2


@pytest.mark.parametrize("fault", [1.1, 0.9])
def test_doctor_notices_wrong_kernels(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, fault: float
) -> None:
    import resitile

    right = resitile.pulsed_update
    monkeypatch.setattr(
        resitile, "pulsed_update", lambda *a, **k: right(*a, **k) * fault, raising=False
    )
    status, out, _ = cli("doctor")
    assert status == 1
    assert "FAILED: mean update" in out


def test_device_list(cli: Cli) -> None:
    status, out, _ = cli("device", "list")
    assert status == 0
    assert "soft_bounds" in out
    status, out, _ = cli("device", "list", "--json")
    laws = {law["name"]: law for law in json.loads(out)}
    assert status == 0
    assert laws["soft_bounds"]["fields"]["states"] == 4
    assert laws["linear_step"]["law_fields"] == ["gamma_up", "gamma_down"]
