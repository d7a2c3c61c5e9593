"""What all tests have in common: one thread of torch for each process, and where chance starts.

Test processes share the cores, and torch's threads wait by spinning.
"""

import os
import signal

import pytest
import torch

# A shell's background jobs ignore Ctrl-C, and so would all the processes that the tests send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_chance() -> None:
    """No test's weights depend on how many others drew before it."""
    torch.manual_seed(0)
