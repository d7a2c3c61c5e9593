"""What TikiTaka and TikiTakaV2 do, to the last pulse."""

import pytest
import torch

import resitile as rt
from tests.exact import ABSOLUTE, DEVICE, DW, SOFT, hold, layer_of, states_equal, step


class TestTikiTakaV2:
    @pytest.mark.parametrize(
        ("momentum", "forget", "kept"),
        [
            (0.0, True, [[0.5, 0, 0, 0.99], [0, 0, 0, 0]]),
            (0.5, True, [[0.5, 0.5, -1.25, 0.99], [0.5, 0.75, -1.875, 0.99]]),
            (0.0, False, [[0.5, 0, -1.5, 0.99], [0, 0, -3, 0.98]]),
            (0.5, False, [[0.5, 0.5, -2, 0.99], [0.5, 1.0, -4, 1.48]]),
            (1.0, True, [[0.5, 1.0, -2.5, 0.99], [1.0, 2.0, -5.0, 1.98]]),
        ],
    )
    def test_one_pulse_from_the_threshold_on_and_what_h_keeps(self, momentum, forget, kept):
        rule = rt.algorithms.TikiTakaV2(
            DEVICE, columns=0, momentum=momentum, forget_buffer=forget, **ABSOLUTE
        )
        layer = layer_of(rule)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [0.5 * DW, DW, -2.5 * DW, 0.99 * DW])
        step(layer, optimizer)
        assert layer.weight.flatten().tolist() == [0, DW, -DW, 0]
        assert layer.state["buffer"].flatten().tolist() == pytest.approx(kept[0])
        step(layer, optimizer)
        assert layer.weight.flatten().tolist() == [DW, 2 * DW, -2 * DW, DW]
        assert layer.state["buffer"].flatten().tolist() == pytest.approx(kept[1])
        assert layer.pulses.tolist() == [6, 0]

    @pytest.mark.parametrize(("settings", "reads"), [
        ({}, 4), ({"threshold": 2.0}, 8), ({"transfer_lr": 0.5}, 8), ({"gamma": 0.5}, 8),
        ({"scale_transfer_lr": True}, 16), ({"threshold": 0.25}, 1),
    ])  # fmt: skip
    def test_reads_to_the_first_pulse(self, settings, reads):
        layer = layer_of(
            rt.algorithms.TikiTakaV2(DEVICE, columns=0, **{**ABSOLUTE, **settings}), (1, 1)
        )
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.25)
        hold(layer, [DW / 4])
        for _ in range(reads - 1):
            step(layer, optimizer)
        assert layer.pulses.tolist() == [0, 0]
        step(layer, optimizer)
        assert layer.pulses.tolist() == [1, 0]
        assert layer.tiles[0].item() == DW

    def test_the_threshold_is_one_of_the_tile_that_is_written(self):
        coarse = rt.devices.ConstantStep(states=32, w_min=-4.0, w_max=4.0, variation="none")
        layer = layer_of(rt.algorithms.TikiTakaV2((coarse, DEVICE), columns=0, **ABSOLUTE))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [DW, -DW, 2 * DW, 1.99 * DW])
        step(layer, optimizer)
        assert layer.weight.flatten().tolist() == [0, 0, 2 * DW, 0]


@pytest.mark.parametrize("name", ["tiki_taka", "tiki_taka_v2", "chopped_tiki_taka", "agad"])
def test_a_hidden_tile_is_no_part_of_the_weight(name):
    layer = layer_of(rt.algorithms.create(name, SOFT, fast_lr=0.5, columns=0), (5, 6))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
    g = torch.Generator().manual_seed(1)
    for _ in range(60):
        step(layer, optimizer, torch.randn(2, 6, generator=g), torch.randn(2, 5, generator=g))
        assert torch.equal(layer.weight, layer.tiles[0])
    assert layer.tiles.abs().flatten(1).amax(1).gt(0.1).all()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("every", "columns"), [(1, 1), (2, 3), (1, 0)])
def test_tiki_taka_with_gamma_is_residual_learning_with_two_tiles(batch, every, columns):
    device = rt.devices.SoftBounds(states=10)
    common = {
        "gamma": 0.4, "fast_lr": 0.3, "transfer_every": every, "transfer_lr": 0.6,
        "columns": columns, "scale_transfer_lr": True,
    }  # fmt: skip
    rules = (
        rt.algorithms.TikiTaka(device, **common),
        rt.algorithms.ResidualLearning(device, tiles=2, transfer_lr_growth=1.0, **common),
    )
    layers = [layer_of(rule, (5, 4), seed=3) for rule in rules]
    for layer in layers:
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
        g = torch.Generator().manual_seed(2)
        for _ in range(40):
            x, y = torch.randn(batch, 4, generator=g), torch.randn(batch, 5, generator=g)
            step(layer, optimizer, x, (layer(x) - y).detach())
    assert layers[0].pulses.min() > 20
    assert states_equal(*layers, but=("state_column",))
