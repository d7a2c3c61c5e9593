"""Style, layout, layers and types: the four checks of CONTRIBUTING.md."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["lint-imports", "--no-logo", "--no-cache"],
        ["mypy"],
    ],
    ids=["style", "layout", "layers", "types"],
)
def test_check_passes(command):
    program = BIN / command[0]
    assert program.is_file(), f"{command[0]} is missing: pip install -e '.[dev]'"
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
