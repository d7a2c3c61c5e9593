"""What the algorithms do to the last pulse, on devices that leave nothing to chance.

`ConstantStep` without variation moves by dw_min = 0.125 a pulse, exactly; inputs and gradients of
+-1 with a step of dw_min fire every line for certain, exactly once.
"""

import math

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.errors import ConfigError
from resitile.nn import AnalogConv2d, AnalogLinear

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
    """Write the contents of tile 1 behind the algorithm's back."""
    layer.tiles[1][...] = torch.tensor(values).view(layer.tiles[1].shape)


def states_equal(a, b, *, but=()):
    one, two = a.state_dict(), b.state_dict()
    names = [n for n in one if n in two and n not in ("fingerprint", *but)]
    assert {"weight", "crosspoints", "counts"} <= {*names, *but}
    return all(torch.equal(one[n].flatten(), two[n].flatten()) for n in names)


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


class TestChoppers:
    def test_a_read_gets_its_sign_back_and_signs_flip_at_the_right_reads(self):
        rule = rt.algorithms.ChoppedTikiTaka(
            DEVICE, chop_prob=0.3, random_chop=False, columns=0, granularity=16.0, **ABSOLUTE
        )
        assert rule.period == 4
        layer = layer_of(rule, (1, 2))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [DW, -2 * DW])
        seen, turned = [], []
        for _ in range(10):
            step(layer, optimizer)
            seen.append((16 * layer.state["buffer"][0]).tolist())
            turned.append(layer.state["turned"].tolist())
        up, down = [1, 2, 3, 4, 3, 2, 1, 0, 1, 2], [-2, -4, -6, -8, -6, -4, -2, 0, -2, -4]
        assert seen == [[float(a), float(b)] for a, b in zip(up, down, strict=True)]
        assert turned == [[0, 0]] * 3 + [[1, 1]] * 4 + [[0, 0]] * 3
        assert layer.pulses.tolist() == [0, 0]

    @pytest.mark.parametrize("algorithm", [rt.algorithms.ChoppedTikiTaka, rt.algorithms.AGAD])
    def test_the_gradient_meets_a_turned_column_with_the_other_sign(self, algorithm):
        rule = algorithm(
            DEVICE, chop_prob=0.5, random_chop=False, columns=1, fast_lr=DW, transfer_lr=0.0
        )
        layer = layer_of(rule, (2, 2))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        d = torch.tensor([[1.0, -1.0]])
        contents = []
        for _ in range(6):
            step(layer, optimizer, d=d)
            contents.append((layer.tiles[1][1] / DW).tolist())
            assert torch.equal(layer.tiles[1][0], -layer.tiles[1][1])
        # Columns are read in turn: column 0 turns after its second read (step 3), 1 a step later.
        assert contents == [[1, 1], [2, 2], [3, 3], [2, 4], [1, 3], [0, 2]]

    def test_column_signs_without_flips_are_tiki_taka_v2(self):
        g = torch.Generator().manual_seed(5)
        data = [(torch.randn(2, 4, generator=g), torch.randn(2, 5, generator=g)) for _ in range(40)]
        common = {"fast_lr": 0.3, "transfer_lr": 1.5, "momentum": 0.3, "scale_transfer_lr": False}
        layers = [
            layer_of(rt.algorithms.ChoppedTikiTaka(SOFT, chop_prob=0.0, **common), (5, 4)),
            layer_of(rt.algorithms.TikiTakaV2(SOFT, **common), (5, 4)),
        ]
        for layer in layers:
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
            for x, d in data:
                step(layer, optimizer, x, d)
        assert layers[0].pulses[0] > 5
        assert states_equal(*layers)

    @pytest.mark.parametrize(("prob", "flips"), [(0.0, 0), (1.0, 30)])
    def test_certain_random_flips(self, prob, flips):
        layer = layer_of(rt.algorithms.ChoppedTikiTaka(DEVICE, chop_prob=prob, fast_lr=0.0), (1, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        changes, before = 0, 0
        for _ in range(30):
            step(layer, optimizer)
            changes += int(layer.state["turned"][0] != before)
            before = int(layer.state["turned"][0])
        assert changes == flips
        assert layer.state["reads"].tolist() == [30]

    def test_random_flips_come_at_their_rate(self):
        layer = layer_of(
            rt.algorithms.ChoppedTikiTaka(DEVICE, chop_prob=0.2, columns=0, fast_lr=0.0), (1, 40)
        )
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        before, flips, alone = layer.state["turned"].clone(), 0, 0
        for _ in range(50):
            step(layer, optimizer)
            changed = int((layer.state["turned"] != before).sum())
            flips += changed
            alone += 0 < changed < 40
            before = layer.state["turned"].clone()
        assert alone > 40, "columns flip independently of one another"
        assert abs(flips - 400) < 5 * math.sqrt(2000 * 0.2 * 0.8)

    @pytest.mark.parametrize(("settings", "worth"), [
        ({}, 1.0), ({"granularity": 4.0}, 0.25), ({"auto_granularity": 20.0}, 0.5),
        ({"auto_granularity": 20.0, "columns": 1}, 1.0),
        ({"scale_transfer_lr": True}, 0.5), ({"transfer_lr": 0.1}, 0.1),
        ({"correct_gradient_magnitudes": True, "fast_lr": 0.25}, 2.0),
    ])  # fmt: skip
    def test_what_a_read_is_worth(self, settings, worth):
        """C's dw_min is twice A's; every 10 mini-batches both columns are read, or one of them."""
        coarse = rt.devices.ConstantStep(states=32, w_min=-4.0, w_max=4.0, variation="none")
        rule = rt.algorithms.ChoppedTikiTaka(
            (coarse, DEVICE), **{**ABSOLUTE, "columns": 2, "transfer_every": 10, **settings}
        )
        layer = layer_of(rule, (1, 2))
        found = DW * rule.worth(layer.composite(), rule.fast_lr, lr=0.5)
        assert found == pytest.approx(worth)

    def test_auto_scale_fills_the_pulse_train(self):
        rule = rt.algorithms.ChoppedTikiTaka(
            DEVICE, fast_lr=1.0, auto_scale=True, bits=7, auto_momentum=0.75, transfer_lr=0.0
        )
        layer = layer_of(rule, (1, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        step(layer, optimizer, torch.tensor([[2.0]]), torch.tensor([[0.01]]))
        assert layer.tiles[1].item() == -7 * DW
        assert layer.state["largest"].tolist() == pytest.approx([2.0, 0.01])
        step(layer, optimizer, torch.tensor([[4.0]]), torch.tensor([[0.05]]))
        assert layer.state["largest"].tolist() == pytest.approx([2.5, 0.02])


class TestAGAD:
    def test_reference_silence_and_signs_follow_the_reads(self):
        """Against the rule written out for one device: period 3, the mean takes 2/3 of a read."""
        rule = rt.algorithms.AGAD(
            DEVICE, chop_prob=1 / 3, tail_weightening=2.0, columns=0, momentum=0.5, **ABSOLUTE
        )
        assert rule.period == 3
        layer = layer_of(rule, (1, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        rng = np.random.default_rng(0)
        held = mean = reference = weight = 0.0
        sign, flipped, sent = 1, False, 0
        for read in range(40):
            content = float(rng.integers(-8, 9)) * DW / 4
            hold(layer, [content])
            step(layer, optimizer)
            if flipped:
                reference = mean
            held += sign * (content - reference) / DW
            if abs(held) >= 1:
                if read > 3:  # the first period and the first read with a reference are silent
                    weight += math.copysign(DW, held)
                    sent += 1
                held *= 0.5
            mean += 2 / 3 * (content - mean)
            flipped = read % 3 == 2
            sign = -sign if flipped else sign
            assert layer.weight.item() == weight, read
            assert layer.state["buffer"].item() == pytest.approx(held, abs=1e-4)
            assert layer.state["reference"].item() == pytest.approx(reference, abs=1e-5)
            assert layer.state["mean"].item() == pytest.approx(mean, abs=1e-5)
            assert bool(layer.state["turned"][0]) == (sign < 0)
        assert sent > 10

    def test_a_constant_offset_sends_nothing_once_the_reference_has_it(self):
        rule = rt.algorithms.AGAD(DEVICE, chop_prob=0.25, columns=0, **ABSOLUTE)
        layer = layer_of(rule, (3, 2))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [DW * k for k in (-3, -2, -1, 1, 2, 3)])
        for _ in range(50):
            step(layer, optimizer)
        assert layer.pulses.tolist() == [0, 0]
        assert torch.equal(layer.state["reference"], layer.tiles[1])

    def test_programming_a_weight_starts_the_reference_and_the_silence_again(self):
        rule = rt.algorithms.AGAD(DEVICE, chop_prob=0.25, columns=0, **ABSOLUTE)
        layer = layer_of(rule, (3, 2))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [DW * k for k in (-3, -2, -1, 1, 2, 3)])
        for _ in range(18):
            step(layer, optimizer)
        layer.program(torch.full((3, 2), DW))
        hold(layer, [DW * k for k in (3, 2, 1, -1, -2, -3)])
        for _ in range(30):
            step(layer, optimizer)
        assert layer.pulses.tolist() == [0, 0]
        assert torch.equal(layer.weight, torch.full((3, 2), DW))
        assert torch.equal(layer.state["reference"], layer.tiles[1])


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


class TestRIDER:
    def test_the_low_pass_and_the_weight_that_is_seen(self):
        rule = rt.algorithms.RIDER(
            DEVICE, gamma=0.25, filter_lr=0.5, columns=0, fast_lr=0.0, transfer_lr=0.0
        )
        layer = layer_of(rule, (2, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [1.0, -2.0])
        for q in (0.5, 0.75, 0.875):
            step(layer, optimizer)
            assert layer.state["filtered"].flatten().tolist() == [q, -2 * q]
            expected = [0.25 * (1 - q), -0.5 * (1 - q)]
            assert layer.weight.flatten().tolist() == pytest.approx(expected)

    def test_transfers_take_what_p_gained_over_q(self):
        rule = rt.algorithms.RIDER(
            DEVICE, filter_lr=0.5, columns=0, fast_lr=0.0, transfer_lr=2.0, scale_transfer_lr=False
        )
        layer = layer_of(rule, (2, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        hold(layer, [1.0, -1.0])
        step(layer, optimizer)  # Q = 0.5 of P: 2 * 0.5 = 8 pulses
        assert (layer.tiles[0].flatten() / DW).tolist() == [8, -8]

    def test_the_copy_of_q_is_renewed_and_the_sign_taken_at_a_flip(self):
        """E-RIDER with a flip after every transfer."""
        rule = rt.algorithms.RIDER(
            DEVICE, gamma=0.5, filter_lr=0.5, chop_prob=1.0, columns=0, fast_lr=DW,
            transfer_lr=1.0, scale_transfer_lr=False,
        )  # fmt: skip
        layer = layer_of(rule, (2, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        d = torch.tensor([[-1.0, 1.0]])
        step(layer, optimizer, d=d)  # P = (DW, -DW); the copy of Q is still 0: one pulse
        assert (layer.tiles[1].flatten() / DW).tolist() == [1, -1]
        assert (layer.tiles[0].flatten() / DW).tolist() == [1, -1]
        assert (layer.state["reference"].flatten() / DW).tolist() == [0.5, -0.5]
        assert layer.state["turned"].tolist() == [1]
        assert (layer.weight.flatten() / DW).tolist() == [1 - 0.25, -1 + 0.25]
        step(layer, optimizer, d=d)  # P goes back to 0; what it gained, -0.5, counts as +0.5
        assert layer.tiles[1].flatten().tolist() == [0, 0]
        moved = (layer.tiles[0].flatten() / DW).tolist()
        assert moved[0] in (1, 2) and moved[1] in (-1, -2)
        assert layer.state["turned"].tolist() == [0]


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


WRONG = [
    ("tiki_taka", {"gamma": 1.0}, r"gamma must lie in \[0, 1\), got 1.0"),
    ("tiki_taka", {"gamma": -0.1}, "gamma must be a number of at least 0, got -0.1"),
    ("tiki_taka", {"transfer_every": 0}, "transfer_every must be a whole number of at least 1"),
    ("tiki_taka", {"transfer_every": 1.5}, "transfer_every must be a whole number.*got 1.5"),
    ("tiki_taka", {"transfer_lr": math.nan}, "transfer_lr must be a number.*got nan"),
    ("tiki_taka", {"transfer_lr": math.inf}, "transfer_lr must be a number.*got inf"),
    ("tiki_taka", {"fast_lr": -1}, "fast_lr must be a number of at least 0, got -1"),
    ("tiki_taka", {"fast_lr": "0.1"}, "fast_lr must be a number of at least 0, got '0.1'"),
    ("tiki_taka", {"scale_transfer_lr": 1}, "scale_transfer_lr must be true or false, got 1"),
    ("tiki_taka", {"columns": -1}, "columns must be a whole number of at least 0, got -1"),
    ("tiki_taka_v2", {"threshold": 0.0}, "threshold must be above 0, got 0"),
    ("tiki_taka_v2", {"momentum": 1.1}, r"momentum must be a number in \[0, 1\], got 1.1"),
    ("tiki_taka_v2", {"forget_buffer": None}, "forget_buffer must be true or false, got None"),
    ("tiki_taka_v2", {"gamma": 2}, r"gamma must lie in \[0, 1\), got 2"),
    ("chopped_tiki_taka", {"chop_prob": 1.01}, r"chop_prob must be a number in \[0, 1\]"),
    ("chopped_tiki_taka", {"random_chop": "no"}, "random_chop must be true or false, got 'no'"),
    ("chopped_tiki_taka", {"granularity": 0}, "granularity must be above 0, got 0"),
    ("chopped_tiki_taka", {"auto_granularity": -1}, "auto_granularity must be.*got -1"),
    ("chopped_tiki_taka", {"auto_momentum": 1}, r"auto_momentum must lie in \[0, 1\), got 1"),
    ("chopped_tiki_taka", {"auto_scale": 0}, "auto_scale must be true or false, got 0"),
    ("chopped_tiki_taka", {"correct_gradient_magnitudes": 2}, "must be true or false, got 2"),
    ("chopped_tiki_taka", {"bits": 33}, r"bits must be a whole number in \[1, 32\], got 33"),
    ("chopped_tiki_taka", {"bits": True}, "bits must be a whole number.*got True"),
    ("chopped_tiki_taka", {"momentum": -0.5}, r"momentum must be a number in \[0, 1\]"),
    ("agad", {"chop_prob": 0}, "chop_prob must be a number in .*got 0"),
    ("agad", {"tail_weightening": -1}, "tail_weightening must be a number of at least 0"),
    ("mixed_precision", {"granularity": 0}, "granularity must be above 0, got 0; None takes"),
    ("mixed_precision", {"transfer_every": -2}, "transfer_every must be.*at least 1, got -2"),
    ("mixed_precision", {"transfer_lr": "x"}, "transfer_lr must be a number.*got 'x'"),
    ("rider", {"gamma": 0}, r"gamma must lie in \(0, 1\], got 0"),
    ("rider", {"gamma": 1.2}, r"gamma must be a number in \[0, 1\], got 1.2"),
    ("rider", {"filter_lr": 1.5}, r"filter_lr must be a number in \[0, 1\], got 1.5"),
    ("rider", {"chop_prob": -0.1}, r"chop_prob must be a number in \[0, 1\], got -0.1"),
    ("residual_learning", {"tiles": 1}, r"tiles must be a whole number in \[2, 64\], got 1"),
    ("residual_learning", {"gamma": 1}, r"gamma must lie in \(0, 1\), got 1"),
    ("residual_learning", {"transfer_ratio": 0}, "transfer_ratio must be.*at least 1, got 0"),
    ("residual_learning", {"transfer_lr_growth": -1}, "transfer_lr_growth must be.*got -1"),
]


@pytest.mark.parametrize(("name", "settings", "message"), WRONG)
def test_impossible_settings_name_value_and_range(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        rt.algorithms.create(name, SOFT, **settings)


@pytest.mark.parametrize("name", ["tiki_taka", "tiki_taka_v2", "agad", "rider"])
def test_devices_per_tile_must_be_as_many_as_tiles(name):
    with pytest.raises(ConfigError, match="3 devices for 2 tiles: give one device, or one per"):
        rt.algorithms.create(name, [SOFT] * 3)
