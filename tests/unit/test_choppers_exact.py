"""What ChoppedTikiTaka and AGAD do, to the last pulse."""

import math

import numpy as np
import pytest
import torch

import resitile as rt
from tests.exact import ABSOLUTE, DEVICE, DW, SOFT, hold, layer_of, states_equal, step


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
