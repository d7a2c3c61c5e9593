"""`resitile doctor`: what is installed, and whether the kernels compute what they should."""

from typing import Any

import typer

from resitile.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Print versions, threads and the kernel cache, and test the kernels."""
    from resitile.cli.output import print_json, say

    found = {**_machine(), "cache": _cache(), "self_test": _self_test()}
    healthy = all(test["passed"] for test in found["self_test"])
    if as_json:
        print_json({**found, "healthy": healthy})
    else:
        for key, value in found["versions"].items():
            say(f"{key:<16} {value}")
        say(f"{'cpus':<16} {found['cpus']}")
        say(f"{'threads':<16} torch {found['torch_threads']}, engine {found['engine_threads']}")
        state = "writable" if found["cache"]["writable"] else "NOT writable"
        say(f"{'kernel cache':<16} {found['cache']['path']} ({state})")
        if found["cache"]["ignored"]:
            say(f"{'':<16} NUMBA_CACHE_DIR={found['cache']['ignored']} cannot be written: not used")
        if not found["cache"]["writable"]:
            say(f"{'':<16} kernels compile anew in every process; set NUMBA_CACHE_DIR to a folder")
        for test in found["self_test"]:
            say(f"{'self-test':<16} {'passed' if test['passed'] else 'FAILED'}: {test['what']}")
    if not healthy:
        raise typer.Exit(1)


def _machine() -> dict[str, Any]:
    import os

    import torch

    import resitile
    from resitile.experiments.records import environment

    versions = environment(resitile.get_num_threads())
    versions.pop("threads")
    return {
        "versions": versions,
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "engine_threads": resitile.get_num_threads(),
    }


def _cache() -> dict[str, Any]:
    import os
    import tempfile
    from pathlib import Path

    from numba.core.registry import CPUDispatcher

    from resitile.kernels import update

    kernels = [v for v in vars(update).values() if isinstance(v, CPUDispatcher)]
    path = next(Path(p) for p in (k.stats.cache_path for k in kernels) if p)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            writable = True
    except OSError:
        writable = False
    wanted = os.environ.get("NUMBA_CACHE_DIR")
    ignored = wanted if wanted and Path(wanted).resolve() not in path.resolve().parents else None
    return {"path": str(path), "writable": writable, "ignored": ignored}


def _self_test() -> list[dict[str, Any]]:
    return [_test_threads(), _test_mean()]


def _test_threads() -> dict[str, Any]:
    """The same update on 1 and on 2 threads, large enough that they share it."""
    import torch

    import resitile

    w = torch.zeros(256, 256)
    draw = torch.Generator().manual_seed(0)
    x, d = torch.rand(32, 256, generator=draw), torch.randn(32, 256, generator=draw)
    device = resitile.devices.SoftBounds(states=10)
    before = resitile.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            resitile.set_num_threads(threads)
            results.append(resitile.pulsed_update(w, x, d, device, lr=0.1, seed=1))
    finally:
        resitile.set_num_threads(before)
    moved = int((results[0] != w).sum())
    return {
        "what": f"1 and 2 threads give the same bits ({moved} devices moved)",
        "passed": moved > 0 and torch.equal(*results),
    }


def _test_mean() -> dict[str, Any]:
    """The mean of many updates of a fine device, projected on -lr * d * x^T: expected 1.

    The steps do not depend on the weight here (ConstantStep), and no crosspoint needs more pulses
    than a pulse train has, so the closed form is exact.
    """
    import torch

    import resitile

    repeats, lr = 200, 0.001
    draw = torch.Generator().manual_seed(0)
    x, d = torch.rand(1, 12, generator=draw), torch.randn(1, 8, generator=draw)
    device = resitile.devices.ConstantStep(states=20000, variation="none")
    target = (-lr * d.T @ x).double()
    shares = (
        torch.stack(
            [
                (
                    resitile.pulsed_update(torch.zeros(8, 12), x, d, device, lr=lr, seed=k) * target
                ).sum()
                for k in range(repeats)
            ]
        )
        / (target * target).sum()
    )
    mean, error = float(shares.mean()), float(shares.std()) / repeats**0.5
    z = abs(mean - 1) / max(error, 1e-12)
    return {
        "what": f"mean update is {mean:.4f} +- {error:.4f} of -lr * d * x^T "
        "(expected: 1, within 5 of these standard errors)",
        "mean": mean,
        "standard_error": error,
        "passed": z < 5 and error < 0.05,
    }
