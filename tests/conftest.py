"""Test processes share the cores: torch's threads wait by spinning, so each process gets one."""

import os

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
