"""Every algorithm on convolutions, to the last pulse."""

import pytest
import torch

import resitile as rt
from resitile.nn import AnalogConv2d
from tests.exact import ALGORITHMS, SOFT, layer_of, states_equal, step


class TestConvolutions:
    """A convolution is the linear layer of its patches, to the bit."""

    @pytest.mark.parametrize("name", ALGORITHMS)
    def test_a_convolution_is_the_linear_layer_of_its_patches(self, name):
        settings = {"columns": 0} if name not in ("single_tile", "mixed_precision") else {}
        if name == "residual_learning":
            settings |= {"tiles": 3, "transfer_every": 1, "transfer_ratio": 2, "transfer_lr": 1.0}
        if name in ("chopped_tiki_taka", "agad"):
            settings |= {"chop_prob": 0.5, "fast_lr": 0.3}
        device = rt.devices.SoftBounds(states=10)
        rule = rt.algorithms.create(name, device, **settings)
        linear = layer_of(rule, (3, 8), seed=4)
        conv = AnalogConv2d(2, 3, 2, bias=False, algorithm=rule, scale=1.0, seed=4)
        conv.program(torch.zeros(3, 2, 2, 2))
        optimizers = [rt.AnalogSGD(m.parameters(), lr=0.5) for m in (linear, conv)]
        g = torch.Generator().manual_seed(6)
        for _ in range(15):
            x = torch.randn(2, 2, 4, 4, generator=g)
            d = torch.randn(2, 3, 3, 3, generator=g)
            (conv(x) * d).sum().backward()
            optimizers[1].step()
            rows = torch.nn.functional.unfold(x, 2).transpose(1, 2).reshape(18, 8)
            step(linear, optimizers[0], rows, d.flatten(2).transpose(1, 2).reshape(18, 3))
        assert conv.pulses.min() > 10
        assert states_equal(linear, conv)

    @pytest.mark.parametrize(
        "name", ["single_tile", "tiki_taka_v2", "chopped_tiki_taka", "agad", "rider"]
    )
    def test_a_group_without_gradient_does_not_move(self, name):
        settings = {} if name == "single_tile" else {"columns": 0}
        rule = rt.algorithms.create(name, SOFT, **settings)
        conv = AnalogConv2d(4, 6, 2, groups=2, bias=False, algorithm=rule, scale=1.0, seed=4)
        conv.program(torch.zeros(6, 2, 2, 2))
        optimizer = rt.AnalogSGD(conv.parameters(), lr=0.5)
        g = torch.Generator().manual_seed(7)
        for _ in range(20):
            d = torch.randn(2, 6, 3, 3, generator=g)
            d[:, :3] = 0
            (conv(torch.randn(2, 4, 4, 4, generator=g)) * d).sum().backward()
            optimizer.step()
        moved = conv.tiles.view(-1, 6, 8).abs().sum((0, 2))
        assert moved[:3].tolist() == [0, 0, 0]
        assert (moved[3:] > 0.1).all()

    def test_mixed_precision_gathers_the_gradient_of_a_grouped_convolution(self):
        coarse = rt.devices.SoftBounds(states=2, variation="none")
        rule = rt.algorithms.MixedPrecision(coarse)
        conv = AnalogConv2d(
            4, 6, 2, groups=2, stride=2, padding=1, bias=False, algorithm=rule, scale=1.0, seed=4
        )
        start = 0.1 * torch.randn(6, 2, 2, 2, generator=torch.Generator().manual_seed(8))
        conv.program(start)
        plain = torch.nn.Conv2d(4, 6, 2, groups=2, stride=2, padding=1, bias=False)
        plain.weight.data.copy_(start)
        optimizer = rt.AnalogSGD(conv.parameters(), lr=1e-3)
        g = torch.Generator().manual_seed(9)
        for _ in range(3):
            x = torch.randn(2, 4, 5, 5, generator=g)
            plain(x).square().sum().backward()
            conv(x).square().sum().backward()
            optimizer.step()
        assert conv.pulses.item() == 0
        chi = conv.state["chi"].view(6, 2, 2, 2)
        torch.testing.assert_close(chi, -1e-3 * plain.weight.grad, atol=1e-6, rtol=1e-4)
