"""Small cascaded layers, and noise to train them with."""

import torch

import resitile as rt
from resitile.nn import AnalogLinear

PLAIN = rt.devices.SoftBounds(states=4, variation="none")
TILES = {"weight_tiles": 2, "levels": (2, 3)}


def layer_of(d_in=4, d_out=5, device=PLAIN, **settings):
    rule = rt.algorithms.CascadedResidualLearning(device, **TILES | settings)
    layer = AnalogLinear(d_in, d_out, bias=False, algorithm=rule, seed=0, scale=0.7)
    layer.program(torch.zeros(d_out, d_in))
    return layer


def train(layer, steps, lr=0.1, batch=2, seed=0, quiet=False):
    optimizer = rt.AnalogSGD(layer.parameters(), lr=lr)
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(batch, layer.in_features, generator=g)
        d = torch.randn(batch, layer.out_features, generator=g)
        (layer(x * (not quiet)) * d).sum().backward()
        optimizer.step()
