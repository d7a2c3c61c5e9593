"""What users do every day: worker processes, threads, Ctrl-C."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import resitile as rt

SOURCE = str(Path(rt.__file__).parents[1])
WIDE = rt.devices.SoftBounds(states=50)


def big_update(seed: int) -> torch.Tensor:
    """An update that is large enough to use the engine's threads."""
    w, x, d = torch.zeros(256, 256), torch.ones(2, 256), torch.ones(2, 256)
    return rt.pulsed_update(w, x, d, WIDE, lr=0.1, seed=seed)


class Pulsed(Dataset):
    """Runs a kernel in whatever process asks for an item."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, k: int) -> torch.Tensor:
        return big_update(k)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
def test_forked_workers_after_kernels_have_run():
    before = rt.get_num_threads()
    rt.set_num_threads(2)
    try:
        expected = torch.stack([big_update(k) for k in range(4)])
        loader = DataLoader(Pulsed(), num_workers=2, multiprocessing_context="fork", timeout=40)
        assert torch.equal(torch.cat(list(loader)), expected)
        assert torch.equal(big_update(1), expected[1])
    finally:
        rt.set_num_threads(before)


def trained(seed: int) -> dict[str, torch.Tensor]:
    rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=4), tiles=3)
    layer = rt.nn.AnalogLinear(300, 256, bias=False, algorithm=rule, seed=seed)
    layer.program(torch.zeros(256, 300))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
    x = torch.randn(20, 2, 300, generator=torch.Generator().manual_seed(seed))
    for batch in x:
        (layer(batch) * batch[:, :256]).sum().backward()
        optimizer.step()
    return layer.state_dict()


def test_two_models_in_two_threads_equal_one_after_the_other():
    before = rt.get_num_threads()
    rt.set_num_threads(2)
    try:
        expected = {seed: trained(seed) for seed in (1, 2)}
        found: dict[int, dict[str, torch.Tensor]] = {}
        workers = [
            threading.Thread(target=lambda s=seed: found.update({s: trained(s)}))
            for seed in expected
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    finally:
        rt.set_num_threads(before)
    for seed, state in expected.items():
        assert all(torch.equal(state[k], found[seed][k]) for k in state)


INTERRUPTED = """
import sys, torch, resitile as rt
rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=4), tiles=4, transfer_every=1,
                                      transfer_ratio=1)
layer = rt.nn.AnalogLinear(200, 200, bias=False, algorithm=rule, scale="auto", seed=1)
optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
x = torch.randn(64, 200)
step = 0
try:
    while True:
        optimizer.zero_grad()
        layer(x).sin().sum().backward()
        optimizer.step()
        step += 1
        if step == 3:
            print("training", flush=True)
except KeyboardInterrupt:
    gamma = 0.5 ** torch.arange(4, dtype=torch.float64)
    total = torch.einsum("n,nij->ij", gamma, layer.tiles.double()) * layer.scale.double()
    torch.testing.assert_close(layer.weight.data, total.float(), rtol=1e-6, atol=1e-7)
    updates = layer.counts[0].tolist()
    assert updates[3] in (step, step + 1), (updates, step)
    assert updates == [updates[3]] * 4, "an update stopped half way"
    assert layer.state["steps"].item() == updates[3]
    print("consistent", flush=True)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_leaves_tiles_and_weight_consistent():
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "training"
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=40)
    finally:
        child.kill()
    assert "consistent" in out, err
    assert child.returncode == 7
