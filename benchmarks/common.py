"""What the benchmarks share: alternating measurement, environment, records."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

# aihwkit's best setting: with more BLAS threads it is three times slower. torch is told below.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import torch

import resitile as rt


def use_threads(n: int) -> None:
    """Give torch and the engine `n` threads each."""
    torch.set_num_threads(n)
    rt.set_num_threads(n)


def alternate(
    contenders: dict[str, Callable[[], None]], rounds: int, per_round: int = 1
) -> dict[str, list[float]]:
    """Seconds of every call, the contenders taking turns so that drift of the machine cancels."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            for _ in range(per_round):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return times


def report(name: str, times: dict[str, list[float]], against: str, **extra: Any) -> None:
    """Print medians and ratios, and keep them under results/benchmarks."""
    base = statistics.median(times[against])
    rows = {
        key: {
            "median_ms": 1e3 * statistics.median(values),
            "ratio": statistics.median(values) / base,
            "calls": len(values),
        }
        for key, values in times.items()
    }
    print(f"{name} (ratio against {against})")
    for key, row in rows.items():
        print(
            f"  {key:<28} {row['median_ms']:9.3f} ms   {row['ratio']:7.3f}x   {row['calls']} calls"
        )
    save(name, {"against": against, "rows": rows, **extra})


def save(name: str, record: dict[str, Any]) -> None:
    """Write a record with the environment it was taken in."""
    folder = Path(__file__).parent.parent / "results" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    record["environment"] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": version("numba"),
        "resitile": rt.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
    }
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
