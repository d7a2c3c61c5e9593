"""GatedResidualLearning: which tile holds what, when the gate opens, and what a decision does."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.algorithms import evidence
from resitile.algorithms.auto_schedule import spread_of
from resitile.algorithms.evidence import columns_due, counters, renewing_step
from resitile.errors import ConfigError
from resitile.nn import AnalogLinear
from resitile.tiles import Composite, Tile
from resitile.tiles.vectors import rows
from tests.helpers import assert_mean

PLAIN = rt.devices.SoftBounds(states=4, variation="none")


def layer_of(d_in=4, d_out=5, device=PLAIN, **settings):
    rule = rt.algorithms.GatedResidualLearning(device, **settings)
    layer = AnalogLinear(d_in, d_out, bias=False, algorithm=rule, seed=0, scale=0.7)
    layer.program(torch.zeros(d_out, d_in))
    return layer


def train(layer, steps, lr=0.1, batch=2, seed=0):
    optimizer = rt.AnalogSGD(layer.parameters(), lr=lr)
    g = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        x = torch.randn(batch, layer.in_features, generator=g)
        d = torch.randn(batch, layer.out_features, generator=g)
        (layer(x) * d).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("tiles", "chosen", "made"), [(3, None, 1), (6, None, 2), (8, None, 2), (9, None, 3), (6, 4, 4)]
)
def test_only_the_coarse_tiles_make_the_weight(tiles, chosen, made):
    layer = layer_of(tiles=tiles, weight_tiles=chosen, gamma=0.3, stage_steps=5, alarm=0.5)
    assert layer.algorithm.visible == made
    train(layer, 40, lr=10.0)
    assert (layer.tiles.abs().sum((1, 2)) > 0).all()
    factors = 0.7 * 0.3 ** torch.arange(made)
    expected = (factors[:, None, None] * layer.tiles[:made]).sum(0)
    torch.testing.assert_close(layer.weight.detach(), expected)


def test_a_weight_is_programmed_into_the_visible_tiles():
    layer = layer_of(tiles=6, gamma=0.5)
    weight = 0.7 * (2.8 * torch.rand(5, 4) - 1.4)
    layer.program(weight)
    torch.testing.assert_close(layer.weight.detach(), weight)
    assert (layer.tiles[2:] == 0).all()


def test_passes_go_to_the_evidence_tiles_in_turn():
    layer = layer_of(d_in=6, d_out=200, tiles=6, columns=3, decisions=1e-6, refill=0.5)
    seen = []
    for k in range(14):  # two mini-batches a pass: tiles 2, 2, 3, 3, 4, 4, 2, ...
        before = layer.pulses.clone()
        train(layer, 1, seed=k)
        seen.append([n for n in (2, 3, 4) if layer.pulses[n] > before[n]])
    assert seen[2:] == [[2 + k // 2 % 3] for k in range(2, 14)]
    assert layer.transfers.tolist() == [0, 0, 0, 0, 0, 14 * 3]
    assert layer.state["passes"].tolist() == [7, 0]


def test_a_pass_that_ends_in_the_middle_of_a_mini_batch():
    layer = layer_of(d_in=5, tiles=4, columns=3, decisions=1e-6)
    train(layer, 7)
    assert layer.transfers[-1] == 21
    assert layer.state["column"][0] == 21 % 5
    assert layer.state["passes"][0] == 21 // 5


class TestDecisions:
    def decide(self, evidence, stage=0, device=PLAIN, **settings):
        """The visible tiles after one mini-batch with these contents of three evidence tiles."""
        layer = layer_of(
            d_in=2, d_out=3, device=device, tiles=6, decisions=10.0, stage_steps=100, **settings
        )
        layer.state["steps"].fill_(100 * stage)
        with torch.no_grad():
            layer.crosspoints[:, :, 2:5] = torch.as_tensor(evidence)
        # Inputs of 0: no gradient, so that nothing is added to the evidence.
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
        layer(torch.zeros(1, 2)).sum().backward()
        optimizer.step()
        return layer

    def test_one_pulse_where_the_mean_passes_the_gate_and_none_elsewhere(self):
        gate = rt.algorithms.GatedResidualLearning(PLAIN).gate
        assert 0.7 < gate < 0.8
        over, under = gate + 1e-3, gate - 1e-3
        mean = torch.tensor([[over, -over], [under, -under], [0.0, 1.0]])
        # Single tiles may say more or less than their mean.
        evidence = torch.stack([mean + 0.1, mean - 0.3, mean + 0.2], dim=-1)
        layer = self.decide(evidence)
        assert layer.tiles[0].tolist() == [[0.5, -0.5], [0, 0], [0, 0.5]]
        assert (layer.tiles[1] == 0).all()
        assert layer.pulses.tolist()[:2] == [3, 0]
        assert layer.transfers[4] == 2  # both columns were read, once, for all evidence tiles

    def test_the_stage_chooses_the_tile(self):
        layer = self.decide(torch.full((3, 2, 3), 0.9), stage=1)
        assert (layer.tiles[0] == 0).all()
        assert layer.tiles[1].tolist() == [[0.5, 0.5]] * 3
        assert layer.state["stage"] == 1
        last = self.decide(torch.full((3, 2, 3), 0.9), stage=7)
        assert last.state["stage"] == 1

    def test_the_pace_follows_the_learning_rate(self):
        for lr, decided in ((0.1, 10), (0.05, 5), (0.0, 0)):
            layer = layer_of(d_in=50, tiles=6, decisions=0.1)
            train(layer, 20, lr=lr)
            assert layer.transfers[4].item() == pytest.approx(decided, abs=1)


class TestTheGate:
    def test_for_one_tile_of_four_states_it_is_that_of_the_uniform_distribution(self):
        rule = rt.algorithms.GatedResidualLearning(PLAIN, tiles=3, alarm=0.08)
        assert rule.gate == pytest.approx(0.92)

    @pytest.mark.parametrize(("evidence", "states"), [(1, 4), (3, 4), (4, 4), (2, 10)])
    def test_noise_passes_it_about_as_often_as_asked(self, evidence, states):
        """Tiles that random pulses fill, against `alarm`; the Beta is exact for one tile only."""
        device = rt.devices.SoftBounds(states=states, variation="none")
        rule = rt.algorithms.GatedResidualLearning(
            device, tiles=evidence + 2, weight_tiles=1, alarm=0.05
        )
        rng = np.random.default_rng(0)
        pulses = 3 * states + 40
        ups = rng.random((pulses, evidence, 40_000)) < 0.5
        w = np.zeros((evidence, 40_000))
        for up in ups:
            w += device.dw_min * np.where(up, 1 - w, -1 - w)
        passed = np.abs(w.mean(0)) > rule.gate
        if evidence == 1:
            assert_mean(passed, 0.05)
        assert 0.03 < passed.mean() < 0.07

    def test_it_follows_the_spread_of_the_evidence_devices(self):
        gates = [
            rt.algorithms.GatedResidualLearning(rt.devices.SoftBounds(states=s), tiles=6).gate
            for s in (4, 10, 100)
        ]
        assert gates == sorted(gates, reverse=True)
        fine = rt.devices.SoftBounds(states=100)
        normal = 2.5758 * spread_of(fine) / math.sqrt(3)  # of many states the Beta is normal
        assert gates[2] == pytest.approx(normal, rel=0.02)


def test_the_gradient_tile_is_renewed_between_two_reads():
    """fresh renewals of 1 / D pulses each, whatever layer, states and size of the gradients."""
    for states, fresh in ((4, 1.0), (4, 3.0), (10, 1.0)):
        device = rt.devices.SoftBounds(states=states, variation="none")
        layer = layer_of(
            d_in=40, d_out=60, device=device, tiles=6, columns=8, fresh=fresh, decisions=1e-6
        )
        train(layer, 100, batch=4)  # 20 passes
        per_read = layer.pulses[-1].item() / (40 * 60) / 20
        wanted = fresh * states / 2
        assert per_read == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize(("states", "refill"), [(4, 0.125), (4, 0.5), (10, 0.25)])
def test_a_pass_of_noise_renews_its_part_of_an_evidence_tile(states, refill):
    device = rt.devices.SoftBounds(states=states, variation="none")
    layer = layer_of(
        d_in=40, d_out=60, device=device, tiles=6, columns=8, fresh=1.0, refill=refill,
        decisions=1e-6,
    )  # fmt: skip
    train(layer, 50, batch=8)
    before = layer.pulses[2:5].sum().item()
    train(layer, 100, batch=8, seed=1)  # 20 passes
    per_pass = (layer.pulses[2:5].sum().item() - before) / (40 * 60) / 20
    assert per_pass == pytest.approx(refill * states / 2, rel=0.1)


def test_noise_opens_the_gate_a_few_times_as_often_as_independent_pulses_would():
    """Through the layer, default spread: about 4 % at alarm 0.01 (docs/gates.md: 4.2 %)."""
    layer = layer_of(40, 60, rt.devices.SoftBounds(states=4), columns=8, decisions=1e-9)
    train(layer, 150, batch=4)
    shares = []
    for k in range(20):
        train(layer, 10, batch=4, seed=k + 1)
        mean = layer.tiles[2:5].mean(0)
        shares.append((mean.abs() > layer.algorithm.gate).float().mean().item())
    assert 0.02 < np.mean(shares) < 0.055


def test_gradients_are_as_strong_as_in_the_mean_of_the_last_mini_batches(monkeypatch):
    weight, state = SimpleNamespace(tiles=[Tile(PLAIN, 0)], w=np.zeros((3, 2, 1))), counters(1)
    steps = []
    for k, now in enumerate([2.0, 4.0, 3.0, 1.0]):  # means 2, 3, 3 and 2.5
        monkeypatch.setattr(evidence, "mean_pulses", lambda *_, now=now: now)
        state["steps"][0] = k + 1
        steps.append(renewing_step(weight, state, [], 1.0))
    assert steps == pytest.approx([2 / 2, 2 / 4, 2 / 3, 2 / 2.5])  # two pulses are one renewal
    state["steps"][0] = 10**6  # as long as there have been 100
    monkeypatch.setattr(evidence, "mean_pulses", lambda *_: 102.5)
    renewing_step(weight, state, [], 1.0)
    assert state["strength"] == pytest.approx(3.5)


@pytest.mark.parametrize("busy", [1.0, 0.3])  # as behind rectifiers and pooling, in convolutions
def test_a_renewal_is_so_many_pulses_per_device_however_sparse_the_lines(busy):
    g = np.random.default_rng(0)
    x, d = (
        (g.normal(size=(400, k)) * (g.random((400, k)) < busy)).astype(np.float32) for k in (12, 9)
    )
    layer = AnalogLinear(12, 9, bias=False, algorithm=rt.algorithms.SingleTile(PLAIN), seed=0)
    layer.program(torch.zeros(9, 12))
    vectors = rows(x, d)
    vectors.measure()
    state = counters(1)
    state["steps"][0] = 1
    composite = layer.composite()
    composite.pulse(0, [vectors], renewing_step(composite, state, [vectors], 5.0))
    # A renewal is 1 / D = 2 pulses; the means of x and d are their product's but for chance.
    assert layer.pulses.item() / 108 == pytest.approx(10, rel=0.1)


def test_after_a_quiet_time_the_gradient_tile_is_not_flooded():
    layer = layer_of(d_in=40, d_out=60, tiles=6, columns=8)
    train(layer, 100, batch=4)
    usual = layer.pulses[-1].item() / 100
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    for _ in range(1000):
        (layer(torch.randn(4, 40)) * 0).sum().backward()
        optimizer.step()
    before = layer.pulses[-1].item()
    train(layer, 10, batch=4, seed=1)
    assert layer.pulses[-1].item() - before < 2 * 10 * usual


def test_a_layer_whose_gradients_have_died_asks_for_no_infinite_step():
    layer = layer_of(tiles=6, columns=2)
    train(layer, 3)
    layer.state["strength"].fill_(5e-324)  # what is left of it after 70,000 mini-batches of zeros
    before = layer.crosspoints.clone()
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    (layer(torch.zeros(4, 4)) * 0).sum().backward()
    optimizer.step()
    assert torch.equal(layer.crosspoints[..., -1], before[..., -1])


def test_mixed_evidence_devices_open_the_gate_by_their_joint_spread():
    fine, coarse = rt.devices.SoftBounds(states=100), rt.devices.SoftBounds(states=4)
    gates = [
        rt.algorithms.GatedResidualLearning(devices, tiles=5, weight_tiles=1).gate
        for devices in (coarse, [coarse, fine, coarse, coarse, fine], [coarse, *[fine] * 4])
    ]
    assert gates == sorted(gates, reverse=True)
    assert gates[0] > gates[1] + 0.05 > gates[2] + 0.3


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tiles": 2}, "tiles must be"),
        ({"tiles": 6, "weight_tiles": 5}, r"weight_tiles must be .* in \[1, 4\]"),
        ({"gamma": 1.0}, r"gamma must be a number in \(0, 1\), got 1"),
        ({"gamma": "auto"}, r"gamma must be a number in \(0, 1\), got 'auto'"),
        ({"alarm": 0}, r"alarm must be a number in \(0, 1\), got 0"),
        ({"fresh": 0}, "fresh must be a number above 0, got 0"),
        ({"decisions": -1}, "decisions must be a number above 0, got -1"),
        ({"decisions": float("inf")}, "decisions must be a number above 0 .*, got inf"),
        ({"columns": 0}, "columns must be"),
        ({"stage_steps": 0}, "stage_steps must be"),
        ({"refill": 0.0}, "refill must be a number above 0"),
        ({"device": rt.devices.SoftBounds(states=2), "tiles": 3}, "2 states holds noise up to"),
    ],
)
def test_impossible_settings_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        rt.algorithms.GatedResidualLearning(**{"device": PLAIN} | settings)


@pytest.mark.parametrize("visible", [0, -1, 5, 1.5, True])
def test_the_number_of_visible_tiles_is_checked(visible):
    w = np.zeros((3, 5, 4), dtype=np.float32)
    with pytest.raises(ConfigError, match=r"visible must be a whole number in \[1, 4\]"):
        Composite(
            [Tile(PLAIN, n) for n in range(4)], w, np.zeros((3, 5), np.float32), gamma=0.5,
            scale=1.0, seed=0, counts=np.zeros((3, 4), np.int64), visible=visible,
        )  # fmt: skip


def test_a_sum_of_tiles_is_one_read():
    w = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32)
    composite = Composite(
        [Tile(PLAIN, n) for n in range(4)], w, np.zeros((3, 5), np.float32), gamma=0.5, scale=1.0,
        seed=0, counts=np.zeros((3, 4), np.int64), visible=1,
    )  # fmt: skip
    columns = np.array([4, 0])
    found = composite.read_sum(1, 4, columns)
    np.testing.assert_allclose(found, (w[:, :, 1] + w[:, :, 2] + w[:, :, 3])[:, columns].T)
    assert composite.transfers.tolist() == [0, 0, 0, 2]
    composite.refresh()
    np.testing.assert_array_equal(composite.weight, w[:, :, 0])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shape", "columns"),
    [
        ((3, 6), [5, 0, 1, 5]),
        ((40, 300), [*range(3, 290, 2), *range(100)]),  # several blocks, columns twice
        ((3, 700), [*range(700)]),  # a wide one
        ((300, 80), [*range(80)]),  # for two threads
    ],
)
def test_several_columns_at_once_are_the_same_as_one_after_the_other(shape, columns, threads):
    rng = np.random.default_rng(1)
    changes = rng.normal(size=(len(columns), shape[0])).astype(np.float32)
    changes[0] = 0
    device = rt.devices.SoftBounds(states=8, cycle_noise="additive")
    made, before = [], rt.get_num_threads()
    for at_once in (True, False):
        arrays = [np.zeros((*shape, 2), np.float32), np.zeros((*shape, 2), np.int32)]
        weight, counts = np.zeros(shape, np.float32), np.zeros((3, 2), np.int64)
        composite = Composite(
            [Tile(device, n) for n in range(2)], arrays[0], weight, gamma=0.5, scale=1.0, seed=3,
            counts=counts, wear=arrays[1],
        )  # fmt: skip
        if at_once:
            rt.set_num_threads(threads)
            composite.write_columns(1, np.array(columns), changes, 0.3)
            rt.set_num_threads(before)
        else:
            for column, change in zip(columns, changes, strict=True):
                composite.write_column(1, column, change, 0.3)
        assert arrays[1].sum() == counts[1].sum() > 0
        made.append((*arrays, weight, counts))
    assert (made[0][0][..., 1] > 0).any() and (made[0][0][..., 1] < 0).any()
    assert not made[0][0][..., 0].any()
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_warm_start_is_refused():
    with pytest.raises(ConfigError, match="train by ResidualLearning"):
        rt.WarmStart(layer_of(), stage=1)


def test_what_is_due_is_carried_over_by_one_column_at_most():
    """Of more than a pass at a time the rest is dropped: a rate that falls is obeyed at once."""
    state = counters(1)
    assert sum(c.size for _, c in columns_due(state, 0, 30.0, 8)) == 8
    assert state["due"].item() == 1.0
    assert sum(c.size for _, c in columns_due(state, 0, 0.5, 8)) == 1


@pytest.mark.parametrize("name", ["gated_residual_learning", "cascaded_residual_learning"])
def test_an_enormous_input_is_survived(name):
    """The sum of such sizes is more than float32 holds; what follows is trained as ever."""
    rule = rt.algorithms.create(name, rt.devices.SoftBounds(states=4))
    layer = AnalogLinear(8, 4, bias=False, algorithm=rule, seed=0)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    for size in (3e38, 1.0, 1.0):
        optimizer.zero_grad()
        (layer(torch.full((2, 8), size)) * 1e-30).sum().backward()
        optimizer.step()
    assert np.isfinite(layer.state["strength"].item())
