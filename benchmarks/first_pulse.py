"""Time to the first pulse beyond importing torch, with a cold and with a warm kernel cache.

Of an update with many pulses a device (the dense path) and of one with few (the path of events).

python benchmarks/first_pulse.py
"""

import json
import os
import subprocess
import sys
import tempfile

import common

CODE = """
import sys, time, torch
start = time.perf_counter()
import resitile as rt
rule = rt.algorithms.SingleTile(rt.devices.SoftBounds(states=4))
layer = rt.nn.AnalogLinear(64, 64, algorithm=rule, seed=0)
optimizer = rt.AnalogSGD(layer.parameters(), lr=float(sys.argv[1]))
layer(torch.ones(4, 64)).sum().backward()
optimizer.step()
assert int(layer.pulses.sum()) > 0
print(time.perf_counter() - start)
"""


STEPS = {"dense": "1.0", "event": "0.05"}  # learning rates at which each path is taken


def seconds(lr: str, cache: str) -> float:
    """One start in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, lr],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def main() -> None:
    """Measure each path once cold and three times warm."""
    record = {}
    for path, lr in STEPS.items():
        with tempfile.TemporaryDirectory() as cache:
            cold, *warm = [seconds(lr, cache) for _ in range(4)]
        record[path] = {"cold_s": cold, "warm_s": sorted(warm)[1]}
    print(json.dumps(record))
    common.save("first_pulse", record)


if __name__ == "__main__":
    main()
