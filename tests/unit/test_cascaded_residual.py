"""CascadedResidualLearning: levels in turn, gates, carries, and what a cascade gains."""

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.algorithms.evidence import half
from resitile.errors import ConfigError
from resitile.nn import AnalogConv2d
from tests.cascades import PLAIN, TILES, layer_of, train


def test_tiles_are_weight_then_levels_then_gradient():
    rule = rt.algorithms.CascadedResidualLearning(PLAIN, weight_tiles=2, levels=[2, 3])
    assert (rule.count, rule.visible) == (8, 2)
    assert [rule.span(0), rule.span(1)] == [(5, 7), (2, 5)]
    assert rt.algorithms.CascadedResidualLearning(PLAIN, weight_tiles=1, levels=(1,)).count == 3


def taken_by(layer, mini_batches):
    """Which gradient tiles, of those from 7 on, each mini-batch went to."""
    taken = []
    for k in range(mini_batches):
        before = layer.pulses.clone()
        train(layer, 1, seed=k)
        taken.append((layer.pulses - before)[7:].nonzero().flatten().tolist())
    return taken


def test_gradient_tiles_come_last_and_take_passes_in_turn():
    layer = layer_of(pass_steps=2, gradient_tiles=3)
    assert layer.algorithm.count == 10
    assert [layer.algorithm.span(0), layer.algorithm.span(1)] == [(5, 7), (2, 5)]
    # a pass takes two mini-batches
    assert taken_by(layer, 8) == [[0], [0], [1], [1], [2], [2], [0], [0]]


def test_turns_may_be_shorter_than_passes():
    every = layer_of(pass_steps=6, gradient_tiles=3, turn_steps=1)
    assert taken_by(every, 5) == [[0], [1], [2], [0], [1]]
    second = layer_of(pass_steps=6, gradient_tiles=3, turn_steps=2)
    assert taken_by(second, 7) == [[0], [0], [1], [1], [2], [2], [0]]


def test_a_turn_is_counted_in_blocks_of_a_convolution():
    rule = rt.algorithms.CascadedResidualLearning(
        PLAIN, **TILES, pass_steps=4, gradient_tiles=4, turn_steps=1, blocks=2
    )
    layer = AnalogConv2d(1, 5, 2, bias=False, algorithm=rule, seed=0, scale=0.7)
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    layer(images).square().sum().backward()
    rt.AnalogSGD(layer.parameters(), lr=0.1).step()
    assert (layer.pulses[7:] > 0).tolist() == [True, True, False, False]


@pytest.mark.parametrize("turn_steps", [None, 1, 2])
def test_a_gradient_tile_is_renewed_as_often_in_a_turn_of_any_length(turn_steps):
    layer = layer_of(30, 30, pass_steps=4, gradient_tiles=2, fresh=1.0, turn_steps=turn_steps)
    train(layer, 200, batch=8)
    turns = 100 / (turn_steps or 4)  # of each tile; two pulses are one renewal
    assert layer.pulses[7:].numpy() / (turns * 900) == pytest.approx(2, rel=0.15)


def test_the_sum_of_the_gradient_tiles_is_read_once():
    layer = layer_of(pass_steps=1, gradient_tiles=2, passes=1000, refill=1.0)
    layer.tiles[7][:], layer.tiles[8][:] = 0.9, -0.9  # each alone would be pulsed onto the level
    train(layer, 1, quiet=True)
    assert layer.pulses[5:7].sum() == 0
    layer.tiles[8][:] = 0.9
    train(layer, 1, quiet=True)
    assert layer.pulses[5:7].sum() > 0
    assert layer.transfers[8] == 2 * layer.in_features
    assert layer.transfers[7] == 0


def noise_renews(gradient_tiles):
    """Pulses per pass and device of the first level, the gates being shut."""
    settings = {"alarm": 1e-12, "pass_steps": 2, "refill": 0.5}
    layer = layer_of(40, 40, gradient_tiles=gradient_tiles, **settings)
    train(layer, 12, batch=4)
    layer.pulses.zero_()
    train(layer, 400, batch=4, seed=1)
    return layer.pulses[5:7].sum().item() / (200 * 1600)


def test_reads_of_noise_renew_evidence_by_refill():
    """Half a device of 4 states is a pulse; pulses of a vector share signs, which adds a fifth."""
    one, three = noise_renews(1), noise_renews(3)
    assert 1 < one < 1.3
    assert three == pytest.approx(one, rel=0.1)


def test_a_finer_gradient_tile_gets_as_many_renewals():
    fine = rt.devices.SoftBounds(states=20, variation="none")
    devices = [PLAIN] * 7 + [fine, PLAIN]
    layer = layer_of(30, 30, devices, pass_steps=2, gradient_tiles=2, fresh=1.0)
    train(layer, 200, batch=8)
    # fresh / D pulses a pass, D = 0.5 and 0.1, and every tile has every other of 100 passes.
    assert layer.pulses[8] / (50 * 900) == pytest.approx(2, rel=0.15)
    assert layer.pulses[7] / (50 * 900) == pytest.approx(10, rel=0.15)


def test_only_the_weight_tiles_make_the_weight():
    layer = layer_of(gamma=0.3, stage_steps=30, pass_steps=1, passes=1, alarm=0.5)
    train(layer, 60)
    assert (layer.tiles.abs().sum((1, 2)) > 0).all()
    expected = 0.7 * (layer.tiles[0] + 0.3 * layer.tiles[1])
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_passes_and_levels_take_their_turns():
    """Levels (2, 3), 2 passes a decision, no gate that opens: who is written, who is read."""
    layer = layer_of(d_in=6, d_out=200, levels=(2, 3), pass_steps=2, passes=2, alarm=1e-12)
    written = []
    for k in range(16):
        before = layer.pulses.clone()
        train(layer, 1, seed=k)
        written.append([n for n in (5, 6) if layer.pulses[n] > before[n]])
    assert written[2:] == [[5 + k // 2 % 2] for k in range(2, 16)]
    # 8 passes: 8 reads of each column of the gradient tile, 4 of level one, 2 of level two.
    assert layer.transfers.tolist() == [0, 0, 0, 0, 2 * 6, 0, 4 * 6, 8 * 6]
    assert layer.state["passes"].tolist() == [8]


class TestDecisions:
    def decide(self, evidence, level, turn, lr=0.1, device=PLAIN, **settings):
        """The layer after one quiet pass, its number `turn` from 1, with this evidence."""
        rule = {"levels": (2, 3), "pass_steps": 1, "passes": 2} | settings
        layer = layer_of(d_in=2, d_out=3, device=device, **rule)
        layer.state["passes"].fill_(turn - 1)
        layer.state["largest"].fill_(0.1)
        first, last = layer.algorithm.span(level)
        with torch.no_grad():
            layer.crosspoints[:, :, first:last] = torch.as_tensor(evidence)[:, :, None]
        train(layer, 1, lr=lr, quiet=True)
        return layer

    def evidence(self, gate):
        over, under = gate + 1e-3, gate - 1e-3
        return torch.tensor([[over, -over], [under, -under], [0.0, 0.9]])

    def test_the_first_level_hands_on_to_the_second_and_is_cleared(self):
        gate = rt.algorithms.CascadedResidualLearning(PLAIN, **TILES).gate(0)
        assert gate == pytest.approx(0.67, abs=0.01)
        content = self.evidence(gate)
        layer = self.decide(content, level=0, turn=2)
        # After 2 passes level one has its first decision, which goes to tile 1 of three.
        assert layer.tiles[3].tolist() == [[0.5, -0.5], [0, 0], [0, 0.5]]
        assert (layer.tiles[[0, 1, 2, 4]] == 0).all()
        fired = torch.tensor([[1.0, -1], [0, 0], [0, 1]])
        cleared = content - 0.5 * (fired + content * fired.abs())  # one soft-bounds pulse back
        for n in (5, 6):
            torch.testing.assert_close(layer.tiles[n], cleared)

    def test_the_last_level_moves_the_weight_and_is_cleared(self):
        gate = rt.algorithms.CascadedResidualLearning(PLAIN, **TILES).gate(1)
        layer = self.decide(self.evidence(gate), level=1, turn=4)
        assert layer.tiles[0].tolist() == [[0.5, -0.5], [0, 0], [0, 0.5]]
        assert (layer.tiles[1] == 0).all()
        assert (layer.tiles[2:5, 0].abs() < 0.3).all()
        assert layer.pulses.tolist()[:2] == [3, 0]

    def test_between_decisions_nothing_is_read(self):
        layer = self.decide(torch.full((3, 2), 0.95), level=1, turn=2)
        assert (layer.tiles[:2] == 0).all()
        assert layer.transfers.tolist()[:5] == [0] * 5

    def test_the_gates_close_as_the_learning_rate_falls(self):
        rule = rt.algorithms.CascadedResidualLearning(PLAIN, **TILES)
        half_way = (rule.gate(1) + rule.gate(1, 0.025)) / 2
        content = torch.full((3, 2), half_way)
        assert (self.decide(content, level=1, turn=4).tiles[0] == 0.5).all()
        assert (self.decide(content, level=1, turn=4, lr=0.025).tiles[0] == 0).all()
        # Only its course matters, not its size.
        layer = self.decide(content, level=1, turn=4, lr=40.0)
        assert (layer.tiles[0] == 0.5).all()
        assert layer.state["largest"].item() == 40.0

    def test_the_gates_close_in_the_course_of_a_stage_but_the_last(self):
        rule = rt.algorithms.CascadedResidualLearning(PLAIN, **TILES)
        half_way = (rule.gate(1) + rule.gate(1, 0.025)) / 2
        content = torch.full((3, 2), half_way)

        def moved(step, tile):
            settings = {"weight_tiles": 3, "settle": 0.25, "stage_steps": 1000}
            layer = layer_of(d_in=2, d_out=3, pass_steps=1, passes=1, **settings)
            layer.state["steps"].fill_(step)
            with torch.no_grad():
                layer.crosspoints[:, :, 3:6] = content[:, :, None]
            train(layer, 1, quiet=True)
            return bool((layer.tiles[tile] == 0.5).all())

        assert [moved(0, 0), moved(999, 0), moved(1000, 1), moved(1999, 1)] == [1, 0, 1, 0]
        assert [moved(2000, 2), moved(2999, 2), moved(5000, 2)] == [1, 1, 1]

    def test_the_stage_chooses_the_tile(self):
        layer = layer_of(d_in=2, d_out=3, pass_steps=1, passes=1, stage_steps=3)
        layer.state["steps"].fill_(3)
        with torch.no_grad():
            layer.crosspoints[:, :, 2:5] = 0.9
        train(layer, 1, quiet=True)
        assert (layer.tiles[0] == 0).all()
        assert (layer.tiles[1] == 0.5).all()

    def test_finer_devices_get_as_many_pulses_as_renew_half_of_them(self):
        fine = rt.devices.SoftBounds(states=20, variation="none")
        assert half(fine) == 5
        layer = self.decide(torch.full((3, 2), 0.9), level=0, turn=2, device=fine)
        torch.testing.assert_close(layer.tiles[3], torch.full((3, 2), 1 - 0.9**5))
        assert layer.pulses[3] == 5 * 6
        # The weight gets one pulse only: there, fine is good.
        layer = self.decide(torch.full((3, 2), 0.9), level=1, turn=4, device=fine)
        torch.testing.assert_close(layer.tiles[0], torch.full((3, 2), 0.1))


@pytest.mark.parametrize(
    ("gradient_tiles", "share", "first", "second"),
    [
        (1, 1.0, (0.17, 0.23), (0.015, 0.04)),
        (1, 0.1, (0.05, 0.1), (0, 0.005)),
        (3, 1.0, (0.28, 0.36), (0.04, 0.08)),
    ],
)
def test_noise_passes_the_gates_as_documented(gradient_tiles, share, first, second):
    """Through the layer, default spread: the shares of docs/gates.md."""
    layer = layer_of(
        40, 40, rt.devices.SoftBounds(states=4), weight_tiles=1, levels=(3, 3), stage_steps=10**9,
        gradient_tiles=gradient_tiles,
    )  # fmt: skip
    train(layer, 5, lr=0.1, batch=4)
    train(layer, 800, lr=0.1 * share, batch=4, seed=1)
    weight, second_level = layer.pulses[0].item(), layer.pulses[1:4].sum().item()
    # Each pulse of the weight sends one back to each of the three tiles above.
    opened = (second_level - 3 * weight) / (layer.transfers[6].item() * 40)
    assert first[0] < opened < first[1]
    assert second[0] <= weight / (layer.transfers[3].item() * 40) < second[1]


@pytest.mark.parametrize(("states", "level"), [(4, 0), (4, 1), (10, 0), (20, 1)])
def test_the_gate_fits_tiles_that_random_bursts_fill(states, level):
    """The Beta is an approximation, a third of slack."""
    device = rt.devices.SoftBounds(states=states, variation="none")
    rule = rt.algorithms.CascadedResidualLearning(device, alarm=0.1, **TILES)
    tiles = rule.levels[level]
    rng = np.random.default_rng(0)
    w = np.zeros((tiles, 40_000))
    for _ in range(60):
        up = rng.random(w.shape) < 0.5
        for _ in range(half(device)):
            w += device.dw_min * np.where(up, 1 - w, -1 - w)
    assert 0.067 < (np.abs(w.mean(0)) > rule.gate(level)).mean() < 0.133


def purity(levels, passes, alarm):
    """Drift of the weight per pulse, for gradients whose mean is 3 % of their spread."""
    layer = layer_of(
        60, 60, weight_tiles=1, levels=levels, passes=passes, alarm=alarm, pass_steps=2
    )
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    g = torch.Generator().manual_seed(1)
    for _ in range(600):
        x, d = (torch.randn(4, 60, generator=g) + 0.03**0.5 for _ in range(2))
        (layer(x) * d).sum().backward()
        optimizer.step()
    return -layer.tiles[0].mean().item() / (layer.pulses[0].item() / 3600)


def test_gates_in_a_row_tell_a_drift_from_noise_better_than_one():
    """The same five evidence tiles, in a row and side by side: 0.24 against 0.10 were measured."""
    one, two = purity((5,), 16, 0.02), purity((2, 3), 4, 0.1)
    assert 0.06 < one < 0.14
    assert two > 1.7 * one


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"chop": -1}, "chop must be a whole number of at least 0, got -1"),
        ({"chop": 1.5}, "chop must be a whole number"),
        ({"settle": 0}, "settle must be above 0, got 0"),
        ({"settle": 2}, r"settle must be a number in \[0, 1\], got 2"),
        ({"blocks": 0}, "blocks must be a whole number of at least 1, got 0"),
        ({"levels": []}, r"levels must be .* got \[\]"),
        ({"levels": 3}, "levels must be .* got 3"),
        ({"levels": "23"}, "levels must be .* got '23'"),
        ({"levels": b"23"}, "levels must be .* got b'23'"),
        ({"levels": [2, 0]}, r"every entry of levels must be .* got 0"),
        ({"levels": [2, 1.5]}, r"every entry of levels must be .* got 1.5"),
        ({"levels": [60, 10]}, "make 74 tiles, at most are 64"),
        ({"weight_tiles": 0}, "weight_tiles must be"),
        ({"gamma": 1.0}, r"gamma must be a number in \(0, 1\), got 1"),
        ({"alarm": 0}, r"alarm must be a number in \(0, 1\), got 0"),
        ({"fresh": 0}, "fresh must be a number above 0, got 0"),
        ({"refill": 0}, "refill must be above 0, got 0"),
        ({"refill": 1.5}, r"refill must be a number in \[0, 1\], got 1.5"),
        ({"pass_steps": 0.5}, "pass_steps must be a number of at least 1, got 0.5"),
        ({"passes": 0}, "passes must be"),
        ({"gradient_tiles": 0}, r"gradient_tiles must be a whole number in \[1, 62\], got 0"),
        ({"gradient_tiles": 60}, "make 69 tiles, at most are 64; lower one of them"),
        ({"turn_steps": 0}, "turn_steps must be a whole number of at least 1, got 0"),
        ({"stage_steps": 0}, "stage_steps must be"),
        ({"device": rt.devices.SoftBounds(states=2), "levels": [1]}, "2 states holds noise up to"),
    ],
)
def test_impossible_settings_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        rt.algorithms.CascadedResidualLearning(**{"device": PLAIN} | settings)


def test_every_level_has_the_gate_of_its_own_devices():
    """One device per tile: weight, level two (three tiles), level one (two), gradient."""
    fine = rt.devices.SoftBounds(states=20, w_min=-0.5, w_max=0.5)
    rule = rt.algorithms.CascadedResidualLearning([PLAIN] * 5 + [fine] * 2 + [PLAIN], **TILES)
    like = rt.algorithms.CascadedResidualLearning(fine, **TILES)
    plain = rt.algorithms.CascadedResidualLearning(PLAIN, **TILES)
    assert rule.gate(0) == like.gate(0) < 0.5
    assert rule.gate(1) == plain.gate(1)
    with pytest.raises(ConfigError, match="7 devices for 8 tiles"):
        rt.algorithms.CascadedResidualLearning([PLAIN] * 7, **TILES)


def test_a_resumed_layer_goes_on_to_the_bit_in_the_middle_of_a_pass_and_of_a_schedule():
    settings = {
        "pass_steps": 3, "passes": 2, "stage_steps": 20, "alarm": 0.3, "gradient_tiles": 3,
        "chop": 3, "settle": 0.5, "turn_steps": 2,
    }  # fmt: skip
    made = []
    for resumed in (False, True):
        torch.manual_seed(0)
        layer = layer_of(10, 8, rt.devices.SoftBounds(states=4), **settings)
        train(layer, 13, lr=0.1)
        train(layer, 12, lr=0.02, seed=1)
        assert layer.state["due"].item() > 0 and layer.state["passes"].item() == 8
        if resumed:
            other = layer_of(10, 8, rt.devices.SoftBounds(states=4), **settings)
            other.load_state_dict(layer.state_dict())
            layer = other
        train(layer, 40, lr=0.02, seed=2)
        made.append(layer.state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert made[0]["crosspoints"][:, :, 0].abs().sum() > 0


def test_a_new_weight_forgets_the_largest_learning_rate():
    layer = layer_of(pass_steps=2)
    train(layer, 3, lr=0.1)
    layer.program(torch.zeros(5, 4))
    train(layer, 1, lr=0.01)
    assert layer.state["largest"].item() == 0.01


def test_a_list_of_a_file_and_a_tuple_are_the_same_rule():
    made = [rt.algorithms.CascadedResidualLearning(PLAIN, levels=x) for x in ([2, 3], (2, 3))]
    assert made[0] == made[1]
