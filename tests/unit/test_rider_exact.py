"""What RIDER does, to the last pulse."""

import pytest
import torch

import resitile as rt
from tests.exact import DEVICE, DW, hold, layer_of, step


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
        step(layer, optimizer)  # P over Q as it was, 0
        assert layer.tiles[0].flatten().tolist() == [2, -2]
        step(layer, optimizer)  # Q = 0.5 of P now
        assert layer.tiles[0].flatten().tolist() == [3, -3]

    def test_the_sign_flips_with_its_probability(self):
        rule = rt.algorithms.RIDER(DEVICE, chop_prob=0.2, fast_lr=0.0, transfer_lr=0.0)
        layer = layer_of(rule, (2, 1))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)
        flips, before = 0, 0
        for _ in range(600):
            step(layer, optimizer)
            now = int(layer.state["turned"][0])
            flips, before = flips + (now != before), now
        assert abs(flips - 120) < 5 * (600 * 0.2 * 0.8) ** 0.5

    def test_a_weight_can_be_programmed_while_the_sign_is_flipped(self):
        soft = rt.devices.SoftBounds(states=10, variation="none")
        rule = rt.algorithms.RIDER(soft, gamma=0.5, chop_prob=1.0)
        layer = layer_of(rule, (2, 1))
        step(layer, rt.AnalogSGD(layer.parameters(), lr=1e-6))
        assert layer.state["turned"].all()
        wanted = torch.full_like(layer.weight.detach(), 1.2) * layer.scale  # W = 1, P = -0.4
        layer.program(wanted)
        torch.testing.assert_close(layer.weight.detach(), wanted)

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
