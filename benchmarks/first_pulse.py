"""Time to the first pulse beyond importing torch, with a cold and with a warm kernel cache.

python benchmarks/first_pulse.py
"""

import json
import os
import subprocess
import sys
import tempfile

import common

CODE = """
import time, torch
start = time.perf_counter()
import resitile as rt
rule = rt.algorithms.SingleTile(rt.devices.SoftBounds(states=4))
layer = rt.nn.AnalogLinear(64, 64, algorithm=rule, seed=0)
optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
layer(torch.ones(4, 64)).sum().backward()
optimizer.step()
assert int(layer.pulses.sum()) > 0
print(time.perf_counter() - start)
"""


def main() -> None:
    """Measure once cold and three times warm, each in a process of its own."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        seconds = [
            float(
                subprocess.run(
                    [sys.executable, "-c", CODE],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for _ in range(4)
        ]
    record = {"cold_s": seconds[0], "warm_s": sorted(seconds[1:])[1]}
    print(json.dumps(record))
    common.save("first_pulse", record)


if __name__ == "__main__":
    main()
