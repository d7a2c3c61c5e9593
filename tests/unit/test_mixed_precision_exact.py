"""What MixedPrecision does, to the last pulse."""

import pytest
import torch

import resitile as rt
from resitile.errors import UpdateError
from resitile.nn import AnalogLinear
from tests.exact import DEVICE, DW, layer_of, step


class TestMixedPrecision:
    @pytest.mark.parametrize("granularity", [None, 2 * DW])
    def test_no_gradient_is_lost(self, granularity):
        """With one column all pulses are certain: weight + chi = -lr * sum of gradients."""
        rule = rt.algorithms.MixedPrecision(DEVICE, granularity=granularity)
        layer = layer_of(rule, (5, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.07)
        total, unit = torch.zeros(5, 1, dtype=torch.float64), granularity or DW
        g = torch.Generator().manual_seed(3)
        for _ in range(50):
            x, d = torch.randn(3, 1, generator=g), torch.randn(3, 5, generator=g)
            step(layer, optimizer, x, d)
            total -= 0.07 * (d.T @ x).double()
            made = layer.weight.double() + layer.state["chi"].double()
            torch.testing.assert_close(made, total, atol=1e-5, rtol=0)
            assert layer.state["chi"].abs().max() < unit
            assert torch.equal(layer.weight, unit * (layer.weight / unit).round())
        assert layer.pulses.item() > 20

    def test_the_largest_entry_of_a_row_gets_exactly_its_pulses(self):
        layer = layer_of(rt.algorithms.MixedPrecision(DEVICE), (3, 4))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        x = DW * torch.tensor([[5.3, -5.6, 2.2, 0.9]])
        step(layer, optimizer, x, torch.tensor([[-1.0, 1.0, 0.1]]))
        assert (layer.weight[:2, :2] / DW).tolist() == [[5, -5], [-5, 5]]
        assert layer.weight[2].tolist() == [0, 0, 0, 0]
        assert layer.weight[:, 3].tolist() == [0, 0, 0]
        left = torch.tensor([0.3, -0.6, 0.2, 0.9]) * DW
        assert torch.allclose(layer.state["chi"][0], left, atol=1e-6)

    @pytest.mark.parametrize("states", [7, 20, 63, 100, 200, 1200])
    def test_every_dw_min_sends_one_pulse_for_one_unit(self, states):
        device = rt.devices.ConstantStep(states=states, variation="none")
        layer = layer_of(rt.algorithms.MixedPrecision(device), (64, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        step(layer, optimizer, torch.tensor([[1.5 * device.dw_min]]))
        assert layer.pulses.item() == 64
        assert torch.allclose(layer.weight, torch.full((64, 1), -device.dw_min))

    def test_pulses_wait_for_the_period(self):
        rule = rt.algorithms.MixedPrecision(DEVICE, transfer_every=3)
        layer = layer_of(rule, (2, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=DW)
        for _ in range(2):
            step(layer, optimizer)
            assert layer.pulses.item() == 0
        step(layer, optimizer)
        assert layer.weight.flatten().tolist() == [-3 * DW] * 2
        assert layer.state["chi"].abs().max() == 0


def test_a_change_that_chi_cannot_hold_is_refused():
    rule = rt.algorithms.MixedPrecision(DEVICE)
    layer = AnalogLinear(3, 2, bias=False, algorithm=rule, seed=0)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=1e30)
    before = layer.state["chi"].clone()
    (1e3 * layer(torch.full((1, 3), 1e5)).sum()).backward()
    with pytest.raises(UpdateError, match="more than chi can hold"):
        optimizer.step()
    assert torch.equal(layer.state["chi"], before)
