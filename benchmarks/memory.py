"""Bytes per crosspoint of one trained tile with device spread, composite included.

    python benchmarks/memory.py

Two figures: what the layer's tensors hold, and what the process grew by (resident set) while a
2048 x 2048 layer was made, trained for a step and kept.
"""

import gc
import os
from pathlib import Path

import common
import torch

import resitile as rt

SIZE = 2048


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def build(size: int) -> rt.nn.AnalogLinear:
    """A layer on one tile of 4-state devices with the default spread, after one step."""
    rule = rt.algorithms.SingleTile(rt.devices.SoftBounds(states=4))
    layer = rt.nn.AnalogLinear(size, size, bias=False, algorithm=rule, scale="auto", seed=0)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.rand(2, size)).square().mean().backward()
    optimizer.step()
    return layer


def main() -> None:
    """Measure and report."""
    build(64)
    gc.collect()
    before = resident()
    layer = build(SIZE)
    gc.collect()
    held = sum(t.numel() * t.element_size() for t in layer.state_dict().values())
    record = {
        "tensors_bytes_per_crosspoint": held / SIZE**2,
        "resident_bytes_per_crosspoint": (resident() - before) / SIZE**2,
    }
    for name, value in record.items():
        print(f"{name}: {value:.2f}")
    common.save("memory", record)


if __name__ == "__main__":
    main()
