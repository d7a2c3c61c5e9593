"""What an import costs, and that every module can be the first one to be imported."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "numba", "matplotlib", "scipy", "pooch", "tensorboard")

LOADED_AFTER_HELP = """
import json, sys
from resitile.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
"""

IMPORT_EACH_FIRST = """
import os, pkgutil, sys, traceback
import torch, numba, matplotlib, numpy  # once, before the forks: they are the slow part
import resitile
names = [m.name for m in pkgutil.walk_packages(resitile.__path__, 'resitile.', lambda _: None)]
# Walking imports packages; every child begins without them.
for name in [n for n in sys.modules if n.partition('.')[0] == 'resitile']:
    del sys.modules[name]
failed = []
for name in names:
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(len(names))
sys.exit(f'cannot be imported first: {failed}' if failed else 0)
"""

TRAIN_SAVE_LOAD = """
import sys, torch, resitile as rt
from torch import nn
rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=4), tiles=2)
model = rt.convert(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), rule, seed=1)
optimizer = rt.AnalogSGD(model.parameters(), lr=0.5, momentum=0.5)
heard = []
optimizer.register_state_dict_pre_hook(lambda _: heard.append('save'))
optimizer.register_load_state_dict_pre_hook(lambda *_: heard.append('load'))
model(torch.ones(2, 3)).square().sum().backward()
optimizer.step()
optimizer.zero_grad()
saved = optimizer.state_dict()
momentum = [s['momentum_buffer'].clone() for s in saved['state'].values()]
assert len(momentum) == 3, momentum
for state in optimizer.state.values():
    state['momentum_buffer'].zero_()
optimizer.load_state_dict(saved)
assert heard == ['save', 'load'], heard
print('torch._dynamo' in sys.modules)
import torch._dynamo
assert optimizer.state_dict()['state'].keys() == saved['state'].keys()
rt.AnalogSGD(model.parameters(), lr=0.5)
"""


def _python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["train", "--help"], ["compare", "--help"]]
)
def test_help_is_quick(arguments):
    loaded = json.loads(_python(LOADED_AFTER_HELP, *arguments).splitlines()[-1])
    assert not set(HEAVY) & set(loaded)


def test_importing_the_package_imports_nothing_heavy():
    loaded = _python("import resitile, sys; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_every_public_name_is_there():
    _python("import resitile as rt\nfor name in rt.__all__: getattr(rt, name)")


def test_every_module_can_be_imported_first():
    assert int(_python(IMPORT_EACH_FIRST).split()[-1]) > 40


def test_training_does_not_import_torchs_compiler():
    assert _python(TRAIN_SAVE_LOAD).split() == ["False"]
