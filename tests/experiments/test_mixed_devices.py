"""One device per tile: `[[device]]`, coarsest first, from the file to the report."""

import csv
import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from resitile.devices import LinearStep, SoftBounds
from resitile.errors import ConfigError
from resitile.experiments.config import Config, load, parse
from resitile.experiments.observer import Observer
from resitile.experiments.records import RunFolder
from resitile.experiments.runner import run
from resitile.reports import as_csv, groups, table, write_report
from tests.experiments.test_resume import Crash, contents

MIXED = """
[data]
limit = 60
validation = 0.3
batch_size = 4
[[device]]
name = "soft_bounds"
states = 4
[[device]]
name = "linear_step"
states = 10
variation = { w_max = 0.1 }
[[device]]
name = "soft_bounds"
states = 20.0
[algorithm]
name = "residual_learning"
tiles = 3
transfer_every = 1
transfer_ratio = 2
[train]
epochs = 2
threads = 1
"""


def mixed(tmp_path: Path, *overrides: str) -> Config:
    path = tmp_path / "mixed.toml"
    path.write_text(MIXED)
    return load(path, overrides)


def devices_of(config: Config) -> tuple[Any, ...]:
    rule = config.rule()
    assert rule is not None
    return rule.devices()


def test_tiles_get_their_devices_coarsest_first(tmp_path: Path) -> None:
    assert devices_of(mixed(tmp_path)) == (
        SoftBounds(states=4),
        LinearStep(states=10, variation={"w_max": 0.1}),
        SoftBounds(states=20.0),
    )


def test_the_resolved_file_gives_the_same_run(tmp_path: Path) -> None:
    config = mixed(tmp_path)
    written = tomllib.loads(config.toml())
    assert [part["name"] for part in written["device"]] == [
        "soft_bounds", "linear_step", "soft_bounds",
    ]  # fmt: skip
    assert written["device"][1]["variation"] == {"w_max": 0.1}
    again = parse(written)
    assert again.toml() == config.toml()
    assert again.hash == config.hash
    assert config.differences(mixed(tmp_path, "device.1.states=12")) == [
        "device.1.states: 10 -> 12"
    ]
    assert mixed(tmp_path, "device.2.states=20").hash == config.hash


def test_the_same_device_for_every_tile_is_the_setting_device(tmp_path: Path) -> None:
    whole = 'device={name="soft_bounds", states=4}'
    same = mixed(tmp_path, *(f"device.{n}=" + whole.partition("=")[2] for n in range(3)))
    assert same.hash == mixed(tmp_path, whole).hash
    assert same.toml() == mixed(tmp_path, whole).toml()


def test_settings_from_outside_change_one_tile_or_all(tmp_path: Path) -> None:
    one = devices_of(mixed(tmp_path, "device.1.states=12"))
    assert [device.states for device in one] == [4, 12, 20]
    every = devices_of(mixed(tmp_path, "device.variation=none"))
    assert [device.variation for device in every] == ["none"] * 3
    assert [device.states for device in every] == [4, 10, 20]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("algorithm.tiles=4", "3 devices for 4 tiles: give one device, or one per tile, coarsest"),
        ("device.3.states=4", r"device has the tables 0 to 2, got 3"),
        ("device.1.stats=4", "'linear_step' has no field 'stats'; did you mean 'states'"),
        ('device.1={name="linear"}', "did you mean 'linear_step'"),
        ("device.1={states=4}", r"device\.1\.name is missing"),
        ("device.1=4", r"device\.1 must be a table, got 4"),
        ("device=[]", "device .*at least 1"),
        ("device=4", "device must be a table, got 4"),
    ],
)
def test_wrong_devices_are_refused(tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed(tmp_path, setting)


class CrashAt(Observer):
    def step(self, position: Any, loss: float) -> None:
        if position.steps == 15:  # in the second epoch
            raise Crash


def test_a_run_trains_resumes_and_reports(tmp_path: Path) -> None:
    config = mixed(tmp_path)
    run(config, tmp_path / "whole")
    with pytest.raises(Crash):
        run(config, tmp_path / "parts", observer=CrashAt())
    (row,) = table([tmp_path / "parts" / "mixed"])
    assert (row["status"], row["states"]) == ("unfinished", [4, 10, 20])
    again = load(RunFolder(tmp_path / "parts" / "mixed").config)
    summary = run(again, tmp_path / "parts", resume=True)
    folders = [tmp_path / name / "mixed" for name in ("whole", "parts")]
    assert contents(folders[0]) == contents(folders[1])
    assert summary["states"] == [4, 10, 20]
    assert summary["device"].split("; ")[0] == "SoftBounds(states=4)"

    other = run(mixed(tmp_path, "name=other", "device.2.states=50"), tmp_path)
    assert other["states"] == [4, 10, 50]
    both = [folders[0], tmp_path / "other"]
    lines = groups(table(both))
    shown = [line["states"] for line in csv.DictReader(io.StringIO(as_csv(lines)))]
    assert shown == ["4, 10, 20", "4, 10, 50"]
    page = write_report(both, tmp_path / "report.html").read_text()
    assert "4, 10, 20" in page
    assert "device.2.states" in page
    assert "device.1.states" not in page  # the same in both
