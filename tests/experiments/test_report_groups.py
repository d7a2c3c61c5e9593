"""Which runs a table puts on one line."""

from pathlib import Path
from typing import Any

from resitile.reports.records import Run


def run_of(seed: int = 0, **algorithm: Any) -> Run:
    config = {"name": f"s{seed}", "seed": seed, "algorithm": {"name": "a", **algorithm}}
    return Run(Path(), config, "", [], [], None)


def test_seeds_share_a_line_and_settings_do_not() -> None:
    assert run_of(0).group == run_of(1).group
    assert run_of(tiles=2).group != run_of(tiles=3).group


def test_a_setting_that_older_records_lack_means_its_default() -> None:
    assert run_of(gradient_tiles=1).group == run_of(1).group
    assert run_of(gradient_tiles=3).group != run_of().group
