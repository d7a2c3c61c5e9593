"""Test processes share the cores: torch's threads wait by spinning, so each process gets one."""

import os
import signal

import torch

# A shell's background jobs ignore Ctrl-C, and so would all the processes that the tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
