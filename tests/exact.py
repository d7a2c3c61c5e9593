"""Devices that leave nothing to chance, and layers of them, for tests to the last pulse.

`ConstantStep` without variation moves by dw_min = 0.125 a pulse, exactly; inputs and gradients of
+-1 with a step of dw_min fire every line for certain, exactly once.
"""

import torch

import resitile as rt
from resitile.nn import AnalogLinear

DW = 0.125
DEVICE = rt.devices.ConstantStep(states=64, w_min=-4.0, w_max=4.0, variation="none")
SOFT = rt.devices.SoftBounds(states=16, variation="none")
ALGORITHMS = [
    "single_tile", "tiki_taka", "tiki_taka_v2", "chopped_tiki_taka", "agad", "mixed_precision",
    "residual_learning", "rider",
]  # fmt: skip
ABSOLUTE = {"fast_lr": 0.0, "transfer_lr": 1.0, "scale_transfer_lr": False}


def layer_of(rule, shape=(4, 1), seed=0, **settings):
    """An analog layer that holds zeros; its weight is what the tiles hold."""
    layer = AnalogLinear(
        shape[1], shape[0], bias=False, algorithm=rule, scale=1.0, seed=seed, **settings
    )
    layer.program(torch.zeros(shape))
    return layer


def step(layer, optimizer, x=None, d=None):
    """One mini-batch whose output gradient is d, whatever the weight."""
    x = torch.ones(1, layer.in_features) if x is None else x
    d = torch.ones(len(x), layer.out_features) if d is None else d
    (layer(x) * d).sum().backward()
    optimizer.step()


def hold(layer, values):
    """Write the contents of tile 1 behind the algorithm's back; the weight follows."""
    views = layer._views()
    layer.tiles[1][...] = torch.tensor(values).view(layer.tiles[1].shape)
    layer.algorithm.compose(*views)


def states_equal(a, b, *, but=()):
    one, two = a.state_dict(), b.state_dict()
    names = [n for n in one if n in two and n not in ("fingerprint", *but)]
    assert {"weight", "crosspoints", "counts"} <= {*names, *but}
    return all(torch.equal(one[n].flatten(), two[n].flatten()) for n in names)
