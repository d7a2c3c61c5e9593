"""The pulsed update: its two paths, threads, update management and what it must never do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import resitile as rt
from resitile.errors import ConfigError, UpdateError
from resitile.kernels.law import sources
from resitile.kernels.lines import mean_product
from resitile.tiles import PulseTrain, Tile, composite, patches


@pytest.fixture
def threads():
    before = rt.get_num_threads()
    yield rt.set_num_threads
    rt.set_num_threads(before)


def problem(shape=(40, 30), batch=12, seed=0):
    """Weights near 0, inputs of both signs (some 0) and gradients of a made-up layer."""
    g = torch.Generator().manual_seed(seed)
    w = 0.2 * torch.rand(shape, generator=g) - 0.1
    x = torch.relu(torch.randn(batch, shape[1], generator=g))
    x[:, ::3] *= -1
    d = torch.randn(batch, shape[0], generator=g)
    return w, x, d


@pytest.mark.parametrize("variation", ["none", "default"])
@pytest.mark.parametrize("states", [4, 1200])
@pytest.mark.parametrize("lr", [0.02, 0.3])
def test_event_and_dense_path_give_the_same_bits(variation, states, lr):
    w, x, d = problem()
    w *= 0.01  # inside the smallest bounds that the spread makes
    device = rt.devices.SoftBounds(states=states, variation=variation)
    made = {
        path: rt.pulsed_update(w, x, d, device, lr=lr, seed=3, path=path)
        for path in ("event", "dense", "auto")
    }
    assert not torch.equal(made["event"], w)
    assert torch.equal(made["event"], made["dense"])
    assert torch.equal(made["event"], made["auto"])


@pytest.mark.parametrize(
    ("batch", "per_device", "path"),
    [(12, 6, "_pulse_dense"), (12, 0.5, "_pulse_events"), (3000, 6, "_pulse_events")],
)
def test_the_path_follows_the_pulses_of_a_device_and_of_a_line(
    batch, per_device, path, monkeypatch
):
    """The last is like the first layer of a LeNet-5: few devices, many vectors with few pulses."""
    w, x, d = problem(batch=batch)
    device = rt.devices.SoftBounds(states=20)
    mean = (x.abs().mean() * d.abs().mean()).item() * batch
    seen = []
    for name in ("_pulse_dense", "_pulse_events"):
        monkeypatch.setattr(composite.Composite, name, lambda *_, name=name: seen.append(name) or 0)
    rt.pulsed_update(w, x, d, device, lr=per_device * device.dw_min / mean, seed=3)
    assert seen == [path]


@pytest.mark.parametrize(
    "train",
    [
        PulseTrain(bits=32),
        PulseTrain(bits=1),
        PulseTrain(7, False, False),
        PulseTrain(7, True, False),
    ],
)
@pytest.mark.parametrize("law", ["constant_step", "linear_step", "piecewise_step"])
def test_the_paths_agree_for_every_kind_of_train(law, train):
    w, x, d = problem(seed=1)
    w *= 0.01
    device = rt.devices.create(law, states=100, cycle_noise="additive")
    event, dense = (
        rt.pulsed_update(w, x, d, device, lr=0.1, seed=4, train=train, path=path)
        for path in ("event", "dense")
    )
    assert not torch.equal(event, w)
    assert torch.equal(event, dense)


def test_the_paths_agree_where_one_vector_moves_more_devices_than_a_list_holds(threads):
    threads(2)
    w, x, d = problem((200, 90), batch=1)
    w *= 0.01
    x += 0.1
    device = rt.devices.SoftBounds(states=50)
    event, dense = (
        rt.pulsed_update(w, x, d, device, lr=5.0, seed=4, train=PulseTrain(bits=1), path=path)
        for path in ("event", "dense")
    )
    assert (event != w).sum() > 2 * 1024  # by two threads at most
    assert torch.equal(event, dense)


@pytest.mark.parametrize("path", ["event", "dense"])
def test_threads_change_no_bit(path, threads, monkeypatch):
    parts = []
    plain = composite.run
    monkeypatch.setattr(composite, "run", lambda tasks: parts.append(len(tasks)) or plain(tasks))
    w, x, d = problem((256, 257), batch=6)
    w *= 0.01
    device = rt.devices.SoftBounds(states=60)
    made = []
    for n in (1, 2, 3):
        threads(n)
        assert rt.get_num_threads() == n
        made.append(rt.pulsed_update(w, x, d, device, lr=0.1, seed=5, path=path))
    assert not torch.equal(made[0], w)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])
    assert {2, 3} <= set(parts)  # the work really was shared


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2", 1025, 2**31 - 1, 10**11])
def test_impossible_numbers_of_threads(n):
    with pytest.raises(ConfigError, match="number of threads"):
        rt.set_num_threads(n)


class TestUpdateManagement:
    """What aihwkit's update management promises."""

    @pytest.mark.parametrize("factor", [2.0**-9, 8.0, 0.3])
    def test_trading_size_between_x_and_d_changes_nothing(self, factor):
        w, x, d = problem()
        w *= 0.01
        device = rt.devices.SoftBounds(states=30)
        one = rt.pulsed_update(w, x, d, device, lr=0.1, seed=6)
        two = rt.pulsed_update(w, x * factor, d / factor, device, lr=0.1, seed=6)
        if factor == 0.3:  # rounds: thresholds differ in their last bits
            assert (one == two).float().mean() > 0.999
        else:
            assert torch.equal(one, two)

    def test_a_power_of_four_may_go_into_the_learning_rate(self):
        w, x, d = problem()
        w *= 0.01
        device = rt.devices.SoftBounds(states=30)
        one = rt.pulsed_update(w, x, d, device, lr=0.125, seed=6)
        two = rt.pulsed_update(w, 4 * x, d, device, lr=0.03125, seed=6)
        assert torch.equal(one, two)

    def test_the_largest_entry_fires_in_every_slot_of_a_whole_train(self):
        device = rt.devices.ConstantStep(states=2000, variation="none")
        w, one = torch.zeros(1, 1), torch.ones(1, 1)
        for k in (1, 5, 31):
            new = rt.pulsed_update(w, one, -one, device, lr=k * device.dw_min, seed=1)
            assert new.item() == pytest.approx(k * device.dw_min, rel=1e-5)

    def test_more_than_31_pulses_are_clipped_to_31(self):
        device = rt.devices.ConstantStep(states=2000, variation="none")
        d = torch.tensor([[-1.0, -0.5, 0.5]])
        new = rt.pulsed_update(
            torch.zeros(3, 1), torch.ones(1, 1), d, device, lr=62 * device.dw_min, seed=1
        )
        # k = 62: entries above half of the largest saturate, all at exactly 31 pulses.
        expected = torch.tensor([[31.0], [31.0], [-31.0]]) * device.dw_min
        torch.testing.assert_close(new, expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("path", ["event", "dense"])
    @pytest.mark.parametrize(("size", "lr"), [(1e10, 0.1), (1e19, 0.1), (3e38, 0.1), (1.0, 1e308)])
    def test_an_enormous_update_is_clipped_as_a_large_one_is(self, size, lr, path):
        """Its length is beyond 2**63, and its rate perhaps beyond what is finite."""
        device = rt.devices.SoftBounds(states=10)
        w, x, d = torch.zeros(3, 4), torch.ones(5, 4), torch.ones(5, 3)
        large = rt.pulsed_update(w, x, d, device, lr=1e6, seed=1, path=path)
        new = rt.pulsed_update(w, x * size, d * size, device, lr=lr, seed=1, path=path)
        assert torch.equal(new, large)
        assert (large < 0).all()

    @pytest.mark.parametrize("bits", [0, 33])
    def test_impossible_trains(self, bits):
        with pytest.raises(ConfigError, match="bits must lie in 1 to 32"):
            PulseTrain(bits=bits)


class TestWhatStaysStill:
    def test_a_learning_rate_of_zero(self):
        w, x, d = problem()
        new = rt.pulsed_update(w, x, d, rt.devices.ConstantStep(variation="none"), lr=0.0, seed=1)
        assert torch.equal(new, w)
        assert new.data_ptr() != w.data_ptr()

    @pytest.mark.parametrize("path", ["event", "dense"])
    def test_lines_that_are_zero(self, path):
        w, x, d = problem(batch=30)
        w *= 0.01
        x[:, 3], d[:, 7] = 0, 0
        device = rt.devices.SoftBounds(states=4)
        new = rt.pulsed_update(w, x, d, device, lr=0.5, seed=1, path=path)
        moved = new != w
        assert moved.any()
        assert not moved[:, 3].any()
        assert not moved[7].any()

    def test_an_empty_batch(self):
        w = torch.zeros(3, 2)
        device = rt.devices.SoftBounds()
        new = rt.pulsed_update(w, torch.zeros(0, 2), torch.zeros(0, 3), device, lr=0.5, seed=1)
        assert torch.equal(new, w)

    def test_the_arguments(self):
        w, x, d = problem()
        w *= 0.01
        before = [t.clone() for t in (w, x, d)]
        rt.pulsed_update(w, x, d, rt.devices.SoftBounds(), lr=1.0, seed=1)
        assert all(torch.equal(a, b) for a, b in zip((w, x, d), before, strict=True))

    def test_pulses_only_go_the_way_the_signs_say(self):
        w, x, d = torch.zeros(20, 20), torch.randn(1, 20), torch.randn(1, 20)
        device = rt.devices.ConstantStep(states=200, variation="none")
        new = rt.pulsed_update(w, x, d, device, lr=0.2, seed=1)
        assert (new * -(d.T @ x) >= 0).all()


def test_seeds_decide_everything():
    w, x, d = problem()
    w *= 0.01
    device = rt.devices.SoftBounds(states=30)
    runs = {
        key: rt.pulsed_update(w, x, d, device, lr=0.1, seed=key[0], device_seed=key[1])
        for key in [(1, 1), (2, 1), (1, 2)]
    }
    again = rt.pulsed_update(w, x, d, device, lr=0.1, seed=1, device_seed=1)
    assert torch.equal(runs[1, 1], again)
    assert not torch.equal(runs[1, 1], runs[2, 1])
    assert not torch.equal(runs[1, 1], runs[1, 2])


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    batch=st.integers(1, 5),
    states=st.sampled_from([2, 3, 4.5, 50, 3000]),
    law=st.sampled_from(["soft_bounds", "constant_step", "linear_step"]),
    noise=st.sampled_from(["multiplicative", "additive"]),
    lr=st.floats(1e-6, 1e3),
    seed=st.integers(0, 2**62 - 1),
    path=st.sampled_from(["auto", "event", "dense"]),
)
def test_no_weight_ever_leaves_its_own_bounds(
    rows, columns, batch, states, law, noise, lr, seed, path
):
    device = rt.devices.create(law, states=states, cycle_noise=noise)
    own = Tile(device, seed % 1000).crosspoints((rows, columns))
    generator = np.random.default_rng(seed)
    share = generator.random((rows, columns), dtype=np.float32)
    w = torch.from_numpy(
        np.clip(own["w_min"] + share * (own["w_max"] - own["w_min"]), own["w_min"], own["w_max"])
    )
    x = torch.from_numpy(generator.standard_normal((batch, columns), dtype=np.float32))
    d = torch.from_numpy(generator.standard_normal((batch, rows), dtype=np.float32))
    new = rt.pulsed_update(
        w, x, d, device, lr=lr, seed=seed, device_seed=seed % 1000, path=path
    ).numpy()
    assert (own["w_min"] <= new).all()
    assert (new <= own["w_max"]).all()


class TestRefusals:
    W, X, D = torch.zeros(3, 2), torch.ones(4, 2), torch.ones(4, 3)
    DEVICE = rt.devices.SoftBounds(variation="none")

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    @pytest.mark.parametrize("which", ["x", "d", "w"])
    def test_not_finite(self, bad, which):
        given = {"w": self.W.clone(), "x": self.X.clone(), "d": self.D.clone()}
        given[which][-1, -1] = bad
        with pytest.raises(UpdateError, match="NaN or infinity"):
            rt.pulsed_update(**given, device=self.DEVICE, lr=0.1, seed=0)

    @pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
    def test_learning_rates(self, lr):
        with pytest.raises(ConfigError, match="lr must be a number of at least 0"):
            rt.pulsed_update(self.W, self.X, self.D, self.DEVICE, lr=lr, seed=0)

    @pytest.mark.parametrize(
        "shapes", [((3, 2), (4, 3), (4, 3)), ((3, 2), (4, 2), (5, 3)), ((2,), (4, 2), (4, 3))]
    )
    def test_shapes(self, shapes):
        with pytest.raises(ConfigError, match="d_out, d_in"):
            rt.pulsed_update(*(torch.zeros(s) for s in shapes), self.DEVICE, lr=0.1, seed=0)

    @pytest.mark.parametrize(
        "settings",
        [
            {"seed": -1},
            {"seed": 1.0},
            {"seed": 2**62},
            {"seed": True},
            {"seed": 0, "device_seed": -1},
        ],
    )
    def test_seeds(self, settings):
        with pytest.raises(ConfigError, match="seed must be a whole number"):
            rt.pulsed_update(self.W, self.X, self.D, self.DEVICE, lr=0.1, **settings)

    def test_weights_outside_the_bounds(self):
        with pytest.raises(ConfigError, match=r"bounds \[-1, 1\], got 0 to 1.5"):
            rt.pulsed_update(1.5 * torch.eye(3, 2), self.X, self.D, self.DEVICE, lr=0.1, seed=0)

    def test_unknown_path(self):
        with pytest.raises(ConfigError, match='"auto", "event" or "dense"'):
            rt.pulsed_update(self.W, self.X, self.D, self.DEVICE, lr=0.1, seed=0, path="fast")


@pytest.mark.parametrize("batch", [1, 3, 40])
def test_the_strength_of_a_mini_batch_is_that_of_its_vectors(batch):
    """`auto` picks some of them; where there are few it picks all."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 2, 6, 5)).astype(np.float32)
    d = rng.normal(size=(batch, 4, 1, 2)).astype(np.float32)
    (v,) = patches(x, d, kernel=(3, 2), stride=(2, 2), dilation=(2, 1))
    assert v.d.shape == (batch, 4, v.starts.size)
    x_mean = np.abs(v.x[:, v.starts[:, None] + v.offset]).mean(2)
    product = x_mean * np.abs(v.d).mean(1)
    found = mean_product(sources(), v.x, v.starts, v.offset, v.d)
    if batch <= 3:
        assert found == pytest.approx(product.mean(), rel=1e-6)
    else:
        assert product.min() < found < product.max()
        assert found == pytest.approx(product.mean(), rel=0.3)
