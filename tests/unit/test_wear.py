"""The pulses of every single device."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import resitile as rt
from resitile.nn import AnalogLinear

GENERATOR = torch.Generator().manual_seed(3)
X = torch.rand(12, 6, 9, generator=GENERATOR) * 2 - 1
TARGET = torch.rand(6, 7, generator=GENERATOR)


def train(layer, inputs, lr):
    optimizer = rt.AnalogSGD(layer.parameters(), lr=lr)
    for x in inputs:
        optimizer.zero_grad()
        ((layer(x) - TARGET) ** 2).sum().backward()
        optimizer.step()
    return layer


def layer_of(rule, wear=True):
    layer = AnalogLinear(9, 7, bias=False, algorithm=rule, seed=1)
    layer.program(torch.zeros(7, 9))
    if wear:
        layer.count_wear()
    return layer


@pytest.mark.parametrize("name", rt.algorithms.names())
@pytest.mark.parametrize(("states", "lr"), [(4, 0.2), (600, 0.5)])
def test_the_devices_of_a_tile_receive_its_pulses(name, states, lr):
    """Few and many pulses a device: the event and the dense path, and transfers of all kinds."""
    device = rt.devices.SoftBounds(states=states)
    layer = train(layer_of(rt.algorithms.create(name, device)), X, lr)
    assert layer.wear.sum(dim=(0, 1)).tolist() == layer.pulses.tolist()
    assert int(layer.wear.min()) >= 0
    assert layer.pulses.sum() > 0


def test_constant_steps_wear_by_what_the_weights_moved():
    """One direction, no noise, far from the bounds: a device has moved a step a pulse."""
    device = rt.devices.ConstantStep(states=1000, variation="none")
    layer = layer_of(rt.algorithms.SingleTile(device))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.02)
    for _ in range(5):
        layer(X[0].abs()).sum().backward()
        optimizer.step()
    moved = np.rint(np.abs(layer.tiles[0].numpy()) / device.dw_min)
    assert layer.wear[:, :, 0].numpy() == pytest.approx(moved)
    assert len(np.unique(moved)) > 5


def test_counting_changes_no_weight():
    rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=20), tiles=3)
    counted, plain = train(layer_of(rule), X, 0.1), train(layer_of(rule, wear=False), X, 0.1)
    assert torch.equal(counted.weight, plain.weight)
    assert plain.wear is None
    assert "wear" not in plain.state_dict()


def test_it_is_part_of_the_state():
    rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=20), tiles=3)
    layer = train(layer_of(rule), X[:5], 0.1)
    loaded = layer_of(rule, wear=False)
    loaded.load_state_dict(layer.state_dict())
    twin = copy.deepcopy(layer)
    for other in (loaded, twin):
        train(other, X[5:], 0.1)
    train(layer, X[5:], 0.1)
    assert torch.equal(loaded.wear, layer.wear)
    assert torch.equal(twin.wear, layer.wear)
    assert layer.wear.sum() == layer.pulses.sum()


def test_convert_counts_for_every_layer_convolutions_too():
    rule = rt.algorithms.SingleTile(rt.devices.SoftBounds(states=50))
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(64, 3))
    model = rt.convert(model, rule, wear=True)
    optimizer = rt.AnalogSGD(model.parameters(), lr=0.3)
    for _ in range(3):
        model(torch.rand(5, 2, 6, 6, generator=GENERATOR)).square().sum().backward()
        optimizer.step()
    for layer in (model[0], model[2]):
        assert layer.wear.shape == layer.crosspoints.shape
        assert layer.wear.sum() == layer.pulses.sum() > 0
