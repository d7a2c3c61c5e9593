"""The transfer schedule and the warm start of multi-tile residual learning."""

import pytest
import torch

import resitile as rt
from resitile.errors import ConfigError
from resitile.nn import AnalogLinear
from resitile.tiles import Composite

DEVICE = rt.devices.SoftBounds(states=4)


def layer_of(tiles=3, every=2, ratio=3, d_in=4, **settings):
    periods = {"transfer_every": every, "transfer_ratio": ratio}
    rule = rt.algorithms.ResidualLearning(
        DEVICE, tiles=tiles, **({} if "schedule" in settings else periods), **settings
    )
    layer = AnalogLinear(d_in, 5, bias=False, algorithm=rule, seed=0)
    layer.program(torch.zeros(5, d_in))
    return layer


def train(layer, steps, lr=0.2, optimizer=None):
    optimizer = optimizer or rt.AnalogSGD(layer.parameters(), lr=lr)
    for _ in range(steps):
        layer(torch.ones(2, layer.in_features)).sum().backward()
        optimizer.step()


@pytest.mark.parametrize(("tiles", "every", "ratio"), [(2, 1, 5), (3, 2, 3), (4, 1, 2), (6, 2, 1)])
@pytest.mark.parametrize("steps", [1, 7, 36])
def test_transfers_follow_the_periods(tiles, every, ratio, steps):
    layer = layer_of(tiles, every, ratio)
    train(layer, steps)
    finest = tiles - 1
    counts = [0] + [steps // (every * ratio ** (finest - n)) for n in range(1, tiles)]
    assert layer.transfers.tolist() == counts
    assert layer.state["column"].tolist() == [c % layer.in_features for c in counts]
    assert layer.state["steps"].item() == steps


def test_several_columns_at_a_time_and_the_whole_matrix():
    layer = layer_of(tiles=2, every=2, columns=3)
    train(layer, 4)
    assert layer.transfers.tolist() == [0, 6]
    assert layer.state["column"].tolist() == [0, 6 % 4]
    layer = layer_of(tiles=2, every=2, columns=0)
    train(layer, 4)
    assert layer.transfers.tolist() == [0, 8]
    assert layer.state["column"].tolist() == [0, 0]


def test_the_finest_tile_is_transferred_first_within_a_step():
    """With all periods 1 and certain pulses, content passes both tiles in one step."""
    device = rt.devices.ConstantStep(states=8, variation="none")
    rule = rt.algorithms.ResidualLearning(
        device, tiles=3, gamma=0.5, transfer_every=1, transfer_ratio=1,
        transfer_lr=1.0, transfer_lr_growth=1.0, columns=0,
    )  # fmt: skip
    layer = AnalogLinear(1, 2, bias=False, algorithm=rule, seed=0)
    layer.program(torch.zeros(2, 1))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.25)
    (-layer(torch.ones(1, 1)).sum()).backward()
    optimizer.step()
    assert layer.tiles.flatten().tolist() == [0.25] * 6
    assert layer.pulses.tolist() == [2, 2, 2]


def test_fast_lr_is_absolute_and_scale_transfer_lr_scales():
    fixed = layer_of(fast_lr=0.2)
    follows = layer_of()
    train(fixed, 6, lr=0.01)
    train(follows, 6, lr=0.2)
    assert torch.equal(fixed.tiles, follows.tiles)
    scaled = layer_of(fast_lr=0.2, transfer_lr=10.0, scale_transfer_lr=True)
    train(scaled, 6, lr=0.01)
    torch.testing.assert_close(scaled.tiles, fixed.tiles, rtol=1e-6, atol=1e-6)


def test_beta_grows_towards_finer_tiles():
    rule = rt.algorithms.ResidualLearning(DEVICE, transfer_lr=0.1, transfer_lr_growth=1.2)
    assert [rule.beta(n) for n in (1, 5)] == pytest.approx([0.12, 0.1 * 1.2**5])


def test_every_tile_may_have_its_own_device():
    devices = [rt.devices.ConstantStep(states=s, variation="none") for s in (4, 10, 40)]
    rule = rt.algorithms.ResidualLearning(devices, tiles=3, transfer_every=1, transfer_ratio=1)
    layer = AnalogLinear(4, 5, bias=False, algorithm=rule, seed=0)
    layer.program(torch.zeros(5, 4))
    train(layer, 30)
    for tile, device in zip(layer.tiles, devices, strict=True):
        steps = tile / device.dw_min
        assert tile.any()
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
    with pytest.raises(ConfigError, match="2 devices for 3 tiles"):
        rt.algorithms.ResidualLearning(devices[:2], tiles=3)


class TestAutoSchedule:
    @pytest.mark.parametrize(
        ("states", "low", "high"), [(4, 0.49, 0.51), (10, 0.33, 0.40), (16, 0.28, 0.33)]
    )
    def test_gamma_covers_the_spread_of_noise(self, states, low, high):
        rule = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=states), gamma="auto")
        assert low < rule.ratio < high
        spread = rt.theory.stationary_spread(2 / states)
        assert rule.ratio / (1 - rule.ratio) == pytest.approx(3**0.5 * spread)

    @pytest.mark.parametrize(("states", "tiles"), [(4, 2), (4, 3), (4, 4), (10, 3)])
    def test_with_few_tiles_gamma_keeps_the_finest_one_quiet(self, states, tiles):
        device = rt.devices.SoftBounds(states=states)
        rule = rt.algorithms.ResidualLearning(device, tiles=tiles, gamma="auto")
        spread = rt.theory.stationary_spread(2 / states)
        assert rule.ratio ** (tiles - 1) * spread == pytest.approx(0.02)
        assert rule.ratio < rt.algorithms.ResidualLearning(device, tiles=9, gamma="auto").ratio

    def test_gamma_looks_at_the_finest_devices(self):
        coarse, fine = (rt.devices.SoftBounds(states=states) for states in (4, 100))
        rules = [
            rt.algorithms.ResidualLearning([coarse, last], tiles=2, gamma="auto").ratio
            for last in (coarse, fine)
        ]
        spread = rt.theory.stationary_spread(2 / 100)
        assert rules == [pytest.approx(0.02 / 3**-0.5), pytest.approx(0.02 / spread)]

    def test_it_fills_the_tiles_in_turn_and_then_lets_them_rest(self):
        layer = layer_of(tiles=4, every=2, ratio=5, schedule="auto", steps_per_epoch=4)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
        for k in range(3):
            train(layer, 4, optimizer=optimizer)
            passes = 11  # over 4 columns in every epoch
            updates = [passes * 4 * (n <= k) for n in range(3)]
            assert layer.counts[0].tolist() == [*updates, 4 * (k + 1)]
            assert layer.transfers.tolist() == [0, 0, 0, passes * 4 * (k + 1)]
            assert layer.state["stage"].item() == k
        coarse = layer.tiles[:3].clone()
        train(layer, 5, optimizer=optimizer)
        assert layer.state["stage"].item() == 3
        assert torch.equal(layer.tiles[:3], coarse)
        assert layer.counts[0].tolist()[3] == 17

    @pytest.mark.parametrize("states", [3, 4, 10, 100])
    def test_steps_make_up_for_the_smaller_reads_of_fine_devices(self, states, monkeypatch):
        """std of (11): 0.577 with 4 states; the step was chosen there."""
        device = rt.devices.SoftBounds(states=states)
        rule = rt.algorithms.ResidualLearning(device, tiles=3, schedule="auto", steps_per_epoch=3)
        layer = AnalogLinear(4, 5, bias=False, algorithm=rule, seed=0)
        steps = []
        monkeypatch.setattr(Composite, "transfer", lambda *a: steps.append(a[4]))
        train(layer, 2)
        dw = 2 / states
        expected = 0.1 * 1.2**2 * (0.5 / 1.5) ** 0.5 / (dw / (2 - dw)) ** 0.5
        assert steps == pytest.approx([expected] * len(steps))
        assert len(steps) > 4
        assert states != 4 or steps[0] == 0.1 * 1.2**2  # to the bit

    def test_every_column_has_its_turn_also_where_an_epoch_has_many_steps(self):
        layer = layer_of(tiles=3, d_in=3, schedule="auto", steps_per_epoch=330)
        train(layer, 330)
        assert layer.counts[0].tolist() == [33, 0, 330]

    def test_it_needs_steps_and_stands_alone(self):
        layer = layer_of(schedule="auto")
        with pytest.raises(ConfigError, match="needs steps_per_epoch"):
            train(layer, 1)
        with pytest.raises(ConfigError, match="schedule='auto' decides itself"):
            rt.WarmStart(layer_of(schedule="auto", steps_per_epoch=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": "best"}, 'gamma must be a number or "auto"'),
        ({"schedule": "slow"}, 'schedule must be "periods", "auto" or "adaptive"'),
        ({"steps_per_epoch": 3}, 'steps_per_epoch is for schedule="auto" only'),
        ({"schedule": "auto", "steps_per_epoch": 0}, "steps_per_epoch must be a whole number"),
        ({"schedule": "auto", "transfer_every": 1}, "transfer_every has no meaning"),
        ({"tiles": 1}, "tiles must be a whole number"),
        ({"tiles": 2.0}, "tiles must be a whole number"),
        ({"gamma": 0.0}, "gamma must lie in"),
        ({"gamma": 1.0}, "gamma must lie in"),
        ({"fast_lr": -0.1}, "fast_lr must be a number"),
        ({"transfer_every": 0}, "transfer_every must be a whole number"),
        ({"transfer_ratio": 0}, "transfer_ratio must be a whole number"),
        ({"transfer_lr": float("nan")}, "transfer_lr must be a number"),
        ({"columns": -1}, "columns must be a whole number"),
        ({"scale_transfer_lr": 1}, "scale_transfer_lr must be true or false"),
        ({"device": "soft_bounds"}, "needs a device"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigError, match=message):
        rt.algorithms.ResidualLearning(**{"device": DEVICE, **settings})


def test_unknown_settings():
    with pytest.raises(ConfigError, match="no setting 'gama'; did you mean 'gamma'"):
        rt.algorithms.create("residual_learning", DEVICE, gama=0.5)
    with pytest.raises(ConfigError, match="did you mean 'residual_learning'"):
        rt.algorithms.create("residual_lerning", DEVICE)


def test_steps_that_no_number_holds():
    for growth in (1e5, 1e7):
        with pytest.raises(ConfigError, match="lower the growth"):
            rt.algorithms.ResidualLearning(DEVICE, tiles=64, transfer_lr_growth=growth)
    rt.algorithms.ResidualLearning(DEVICE, tiles=64, transfer_lr_growth=1.2)


class TestWarmStart:
    def test_its_step_scales_as_that_of_the_chain(self):
        fixed = layer_of(every=1, fast_lr=0.2)
        scaled = layer_of(every=1, fast_lr=0.2, scale_transfer_lr=True)
        for layer, step in ((fixed, 0.3), (scaled, 30.0)):
            rt.WarmStart(layer, stage=100, transfer_lr=step)
            train(layer, 8, lr=0.01)
        assert fixed.transfers.tolist() == [0, 0, 8]
        assert fixed.tiles[0].any()
        torch.testing.assert_close(scaled.tiles, fixed.tiles, rtol=1e-6, atol=1e-6)

    def test_without_a_step_of_its_own_it_takes_that_of_the_chain(self):
        layer = layer_of()
        rt.WarmStart(layer, transfer_lr=0.7)
        rt.WarmStart(layer)
        assert layer.state["warm_lr"].item() == layer.algorithm.beta(2)

    def test_stages_send_the_finest_tile_straight_to_tile_k(self):
        layer = layer_of(tiles=4, every=1, ratio=1)
        layer.program(torch.zeros(5, 4))
        warm = rt.WarmStart(layer, stage=1, transfer_every=2)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
        updates = [0, 0, 0, 0]
        for k in range(3):
            assert (warm.stage, warm.finished) == (k, False)
            train(layer, 6, optimizer=optimizer)
            updates[k] += 3
            updates[3] += 6
            assert layer.counts[0].tolist() == updates
            assert layer.transfers.tolist() == [0, 0, 0, 3 * (k + 1)]
            warm.step(1.0)
        assert warm.finished
        train(layer, 2, optimizer=optimizer)
        assert layer.transfers.tolist() == [0, 2, 2, 9 + 2]

    def test_a_number_of_calls_per_stage(self):
        warm = rt.WarmStart(layer_of(tiles=3), stage=2)
        stages = []
        for _ in range(6):
            warm.step(1.0)
            stages.append(warm.stage)
        assert stages == [0, 1, 1, 2, 2, 2]

    def test_aggressive_stages_end_at_the_first_rise_and_clear_the_history(self):
        warm = rt.WarmStart(layer_of(tiles=6))
        for loss in (3.0, 2.0, 1.0, 1.0):
            warm.step(loss)
        assert (warm.stage, len(warm.losses)) == (0, 4)
        warm.step(1.5)
        assert (warm.stage, warm.losses) == (1, [])
        warm.step(9.0)  # after a switch one value alone is no rise
        assert warm.stage == 1

    def test_later_stages_need_two_rises_in_five_differences(self):
        warm = rt.WarmStart(layer_of(tiles=7))
        for _ in range(4):
            warm.step(1.0)
            warm.step(2.0)
        assert warm.stage == 4
        for loss in (5.0, 6.0, 5.0, 4.0, 3.0):  # four differences: too few to tell
            warm.step(loss)
        assert warm.stage == 4
        warm.step(2.0)  # one rise of five
        assert warm.stage == 4
        warm.step(2.5)  # the first rise has left the window
        assert warm.stage == 4
        warm.step(2.6)
        assert (warm.stage, warm.losses) == (5, [])

    def test_its_step_and_period_are_its_own(self):
        layer = layer_of(transfer_lr=0.1, transfer_lr_growth=2.0)
        rt.WarmStart(layer, transfer_every=4)
        assert layer.state["warm_lr"].item() == pytest.approx(0.4)
        rt.WarmStart(layer, transfer_every=4, transfer_lr=0.7)
        assert layer.state["warm_lr"].item() == pytest.approx(0.7)
        assert layer.state["warm_every"].item() == 4

    def test_state_goes_through_a_dict(self):
        layer = layer_of(tiles=6)
        warm = rt.WarmStart(layer)
        for loss in (1.0, 2.0, 3.0, 2.0):
            warm.step(loss)
        copy_layer = layer_of(tiles=6)
        copy = rt.WarmStart(copy_layer)
        copy.load_state_dict(warm.state_dict())
        assert (copy.stage, copy.losses) == (warm.stage, warm.losses) == (1, [3.0, 2.0])
        assert copy_layer.state["stage"].item() == 1
        warm.step(2.5)
        copy.step(2.5)
        assert copy.stage == warm.stage == 2
        with pytest.raises(ConfigError, match="saved with stage='plateau'"):
            rt.WarmStart(layer_of(tiles=6), stage=1).load_state_dict(warm.state_dict())

    def test_refusals(self):
        single = AnalogLinear(2, 2, algorithm=rt.algorithms.SingleTile(DEVICE), seed=0)
        with pytest.raises(ConfigError, match="1 analog layers and none of them does"):
            rt.WarmStart(single)
        mixed = torch.nn.Sequential(layer_of(tiles=2), layer_of(tiles=3))
        with pytest.raises(ConfigError, match="equally many tiles"):
            rt.WarmStart(mixed)
        for settings in ({"stage": 0}, {"stage": "plateu"}, {"transfer_every": 0}):
            with pytest.raises(ConfigError, match="must be"):
                rt.WarmStart(layer_of(), **settings)
        with pytest.raises(ConfigError, match="loss must be finite"):
            rt.WarmStart(layer_of()).step(float("nan"))
        for loss in ("a", None, torch.zeros(2)):
            with pytest.raises(ConfigError, match="loss must be a number"):
                rt.WarmStart(layer_of()).step(loss)
