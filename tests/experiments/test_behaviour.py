"""Recorded runs are runs of this code: an algorithm that sends other pulses needs new records."""

import json
import math
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "record_behaviour.py"))
CONFIGS = {SCRIPT["name"](path): path for path in SCRIPT["configs"]()}
EXPECTED = json.loads(SCRIPT["OUT"].read_text())
# Rounding of another processor ends in other pulses: a tenth at most, other seeds a third.
SHARE, SIGMAS = 0.3, 6


def test_every_analog_configuration_is_measured() -> None:
    assert set(CONFIGS) - set(EXPECTED) == {"fashion-mnist-4-states/digital"}
    assert not set(EXPECTED) - set(CONFIGS)


@pytest.mark.parametrize("name", EXPECTED)
def test_pulses_and_reads_are_those_of_the_record(name: str) -> None:
    found = SCRIPT["measure"](CONFIGS[name])
    off = [
        f"{key} of {layer}, tile {n}: {now}, recorded {before}"
        for key, layers in EXPECTED[name].items()
        for layer, tiles in layers.items()
        for n, (before, now) in enumerate(zip(tiles, found[key][layer], strict=True))
        if abs(before - now) > SHARE * max(before, now) + SIGMAS * math.sqrt(max(before, now))
    ]
    assert not off, (
        f"{name} behaves unlike its records; if that is meant, python scripts/record_behaviour.py, "
        f"and run again what docs/results.md says of it: {'; '.join(off)}"
    )
