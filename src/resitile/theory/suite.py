"""All measurements of `resitile theory`, by name, and the files they leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resitile._pictures import write_figure
from resitile.errors import ConfigError, did_you_mean
from resitile.theory import measure, toy
from resitile.theory.schedules import nested_times

PARTS = ("floor", "contraction", "tiles", "schedule")
Say = Callable[[str], None]


def run(parts: list[str], *, quick: bool = False, seed: int = 0, say: Say = lambda _: None) -> dict[
    str, Any
]:  # fmt: skip
    """Measure the named parts; `quick` takes fewer copies, points and steps.

    Raises:
        ConfigError: if a part is unknown.
    """
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"no part is called {part!r}; {did_you_mean(part, PARTS)}")
    wanted = [part for part in PARTS if part in parts or not parts]
    makers = {"floor": _floor, "contraction": _contraction, "tiles": _tiles, "schedule": _schedule}
    records = {part: makers[part](quick, seed, say) for part in wanted}
    return {"quick": quick, "seed": seed, **records}


def _floor(quick: bool, seed: int, say: Say) -> dict[str, Any]:
    count = 128 if quick else 512
    fine = (40, 130, 400) if quick else measure.FINE
    record = measure.floor_sweep(fine=fine, count=count, seed=seed, say=say)
    states = (4, 20) if quick else (4, 10, 20, 40, 100)
    record["theorem_2"] = measure.lower_bound_sweep(states, count, seed, say)
    return record


def _contraction(quick: bool, seed: int, say: Say) -> dict[str, Any]:
    count = 128 if quick else 2048
    finest = [
        measure.finest_contraction(sigma=sigma, count=count, seed=seed, say=say)
        for sigma in (0.0, 1.0)
    ]
    return {"finest": finest, "coarse": measure.coarse_contraction(count=count, seed=seed, say=say)}


def _tiles(quick: bool, seed: int, say: Say) -> dict[str, Any]:
    found: dict[str, Any] = {"published": list(toy.PUBLISHED), "target_ratio": toy.TARGET_RATIO}
    found["protocols"] = {}
    for key, protocol in toy.PROTOCOLS.items():
        if quick:
            protocol = toy.shortened(protocol)
        count = 128 if quick else 512
        found["protocols"][key] = toy.tiles_sweep(protocol, count=count, seed=seed, say=say)
    return found


def _schedule(quick: bool, seed: int, say: Say) -> dict[str, Any]:
    del quick, seed, say  # exact, and done at once
    return {"lengths": [2, 2, 2], "updates": nested_times([2, 2, 2], 16)}


def write(records: dict[str, Any], out: Path) -> list[Path]:
    """theory.json and a PNG and an SVG of each picture; returns the files."""
    from resitile.theory import figures

    out.mkdir(parents=True, exist_ok=True)
    drawn = {}
    if "floor" in records:
        drawn["floor"] = figures.floor_figure(records["floor"])
    if "contraction" in records:
        part = records["contraction"]
        drawn["contraction"] = figures.contraction_figure(part["finest"], part["coarse"])
    if "tiles" in records:
        part = records["tiles"]
        drawn["tiles"] = figures.tiles_figure(part["protocols"], part["published"])
        drawn["time"] = figures.time_figure(part["protocols"]["warm"])
    page = out / "theory.json"
    page.write_text(json.dumps(records, indent=1) + "\n")
    written = [page]
    for name, figure in drawn.items():
        for kind in ("png", "svg"):
            written.append(out / f"{name}.{kind}")
            write_figure(figure, written[-1])
    return written
