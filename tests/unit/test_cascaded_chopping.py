"""CascadedResidualLearning: signs that flip, and convolutions whose columns are read more often."""

import pytest
import torch

import resitile as rt
from resitile.nn import AnalogConv2d
from tests.cascades import PLAIN, TILES, layer_of, train


class TestChopping:
    """Signs that flip, so that what is false about a device averages out."""

    def test_each_level_flips_in_its_own_time_and_the_weight_never(self):
        rule = rt.algorithms.CascadedResidualLearning(PLAIN, chop=3, passes=2, **TILES)
        assert [rule.sign(0, t) for t in range(8)] == [1, 1, 1, -1, -1, -1, 1, 1]
        assert [rule.sign(1, t) for t in (0, 11, 12, 23, 24)] == [1, 1, -1, -1, 1]
        assert {rule.sign(2, t) for t in range(50)} == {1}
        assert rt.algorithms.CascadedResidualLearning(PLAIN, **TILES).sign(0, 10**6) == 1

    def test_gradients_flip_column_by_column_as_these_are_read(self):
        """Half of the columns are read after each mini-batch, and flip after two reads."""
        layer = layer_of(d_in=4, d_out=400, pass_steps=2, passes=9, chop=2, alarm=1e-12, fresh=9.0)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
        signs = []
        for _ in range(10):
            with torch.no_grad():
                layer.crosspoints[:, :, -1] = 0
            layer(torch.ones(1, 4)).sum().backward()  # x and d are 1: the tile would go down
            optimizer.step()
            mean = layer.tiles[-1].mean(0)
            signs.append((mean.sign() * (mean.abs() > 0.5)).int().tolist())
        down, up = [-1] * 4, [1] * 4
        # 0: cleared after the read with which the sign flips.
        there, back = [[0, 0, -1, -1], [1, 1, 0, 0]], [[0, 0, 1, 1], [-1, -1, 0, 0]]
        assert signs == [down, down, *there, up, up, *back, down, down]

    @pytest.mark.parametrize(("level", "turn"), [(0, 4), (1, 16)])
    def test_a_level_is_cleared_when_its_sign_flips(self, level, turn):
        layer = layer_of(d_in=2, d_out=2, pass_steps=1, passes=2, chop=4, alarm=1e-12)
        layer.state["passes"].fill_(turn - 1)
        first, last = layer.algorithm.span(level)
        content = torch.tensor([[0.8, -0.8], [0.2, 0.0]])
        with torch.no_grad():
            layer.crosspoints[:, :, first:last] = content[:, :, None]
        train(layer, 1, quiet=True)
        after = torch.tensor([[0.8 - 0.9, -0.8 + 0.9], [0.2, 0.0]])
        for n in range(first, last):
            torch.testing.assert_close(layer.tiles[n], after)
        untouched = layer_of(d_in=2, d_out=2, pass_steps=1, passes=2, chop=4, alarm=1e-12)
        untouched.state["passes"].fill_(turn)
        with torch.no_grad():
            untouched.crosspoints[:, :, first:last] = content[:, :, None]
        train(untouched, 1, quiet=True)
        torch.testing.assert_close(untouched.tiles[last - 1], content)

    @staticmethod
    def drift(chop, mean, up_down=0.0):
        """Mean of the weight's tile, over time and in square, evidence being on biased devices."""
        biased = rt.devices.SoftBounds(states=4, variation="none", up_down=up_down)
        devices = [PLAIN] + [biased] * 5
        layer = layer_of(
            40, 40, devices, weight_tiles=1, levels=(2, 2), passes=2, pass_steps=1, chop=chop
        )
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
        g = torch.Generator().manual_seed(1)
        means = []
        for _ in range(128 * 3):  # level two flips every 64 passes
            x, d = (torch.randn(4, 40, generator=g) + mean**0.5 for _ in range(2))
            (layer(x) * d).sum().backward()
            optimizer.step()
            means.append(layer.tiles[0].mean())
        late = torch.stack(means[128:])
        return late.mean().item(), late.square().mean().sqrt().item()

    def test_a_bias_of_the_devices_cancels(self):
        """In square, too, not only on average: it does not swing with the flips."""
        assert self.drift(0, 0.0, up_down=0.2)[0] > 0.7
        mean, size = self.drift(16, 0.0, up_down=0.2)
        assert abs(mean) < 0.15
        assert size < 0.3

    def test_a_mean_of_the_gradients_stays(self):
        """Down the gradient, as without (-0.37 over a longer time), and in spite of a bias."""
        assert -0.55 < self.drift(16, 0.05)[0] < -0.2
        assert self.drift(16, 0.05, up_down=0.2)[0] < -0.1


class TestBlocks:
    @staticmethod
    def conv(groups=1, **settings):
        rule = rt.algorithms.CascadedResidualLearning(
            rt.devices.SoftBounds(states=4), **TILES | {"pass_steps": 1, "passes": 1} | settings
        )
        layer = AnalogConv2d(2, 4, 3, groups=groups, bias=False, algorithm=rule, seed=0, scale=0.5)
        layer.state["steps"].fill_(1000)  # past the first averages
        layer.state["strength"].fill_(20.0)
        return layer

    @pytest.mark.parametrize(("chop", "groups"), [(0, 1), (3, 1), (3, 2)])
    def test_blocks_of_a_mini_batch_are_as_if_they_came_alone(self, chop, groups):
        torch.manual_seed(0)
        x, d = torch.randn(20, 4, 2, 6, 6), torch.randn(20, 4, 4, 4, 4)
        whole, alone = self.conv(groups, blocks=2, chop=chop), self.conv(groups, chop=chop)
        alone.load_state_dict(whole.state_dict() | {"fingerprint": alone.fingerprint})
        for layer, cut in ((whole, 4), (alone, 2)):
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
            for xs, ds in zip(x, d, strict=True):
                for a in range(0, 4, cut):
                    (layer(xs[a : a + cut]) * ds[a : a + cut]).sum().backward()
                optimizer.step()
        assert torch.equal(whole.crosspoints, alone.crosspoints)
        assert whole.tiles[0].abs().sum() > 0
        assert whole.state["passes"].item() == alone.state["passes"].item() == 40
        assert (whole.state["steps"].item(), alone.state["steps"].item()) == (1020, 1040)

    def test_there_are_no_more_blocks_than_samples_and_none_in_a_linear_layer(self):
        layer = self.conv(blocks=8)
        (layer(torch.randn(3, 2, 6, 6))).sum().backward()
        rt.AnalogSGD(layer.parameters(), lr=0.1).step()
        assert layer.state["passes"].item() == 3
        linear = layer_of(pass_steps=1, blocks=8)
        train(linear, 5)
        assert linear.state["passes"].item() == 5

    def test_reads_are_counted_and_told_beforehand(self):
        rule = {"chop": 4, "passes": 2, "levels": (2, 2), "gradient_tiles": 2}
        for blocks, vectors in ((1, 1), (2, 16)):
            layer = self.conv(blocks=blocks, **rule)
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
            for _ in range(64):
                (layer(torch.randn(2, 2, 6, 6))).sum().backward()
                optimizer.step()
            told = layer.algorithm.reads(rt.cost.Layer(4, 18, batch=2, vectors=vectors))
            assert layer.transfers.sum().item() == pytest.approx(told * 128, rel=0.01), blocks
        linear = rt.cost.Layer(4, 18, batch=2, vectors=1)
        assert self.conv(blocks=2).algorithm.reads(linear) == self.conv().algorithm.reads(linear)
