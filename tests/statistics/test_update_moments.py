"""Mean, variance and correlations of one pulsed update against their closed forms."""

import math

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.tiles import Composite, PulseTrain, Tile
from tests.helpers import assert_covariance, assert_mean, assert_variance

X = np.array([1.0, -0.5, 0.2])
D = np.array([0.8, -0.3])
DW = 0.5  # wide bounds: no pulse is ever clipped
WIDE = rt.devices.ConstantStep(states=4000, w_min=-1000, w_max=1000, variation="none")
MANY = 60_000  # rows of a one-column tile: independent samples of one crosspoint
ONE_SLOT = PulseTrain(bits=1, update_management=False, bit_length_management=False)

TRAINS = {
    "default, 1 slot": (PulseTrain(), 0.3),
    "default, 4 slots": (PulseTrain(), 2.0),
    "managed, 10 slots": (PulseTrain(bits=10, bit_length_management=False), 2.0),
    "plain, 10 slots": (
        PulseTrain(bits=10, update_management=False, bit_length_management=False),
        2.0,
    ),
}


def increments(train: PulseTrain, lr: float, count: int = 3000) -> np.ndarray:
    """(count, rows, columns): one update of a zero weight under `count` seeds."""
    w = torch.zeros(2, 3)
    x = torch.tensor(X, dtype=torch.float32)[None]
    d = torch.tensor(D, dtype=torch.float32)[None]
    made = [rt.pulsed_update(w, x, d, WIDE, lr=lr, seed=s, train=train) for s in range(count)]
    return torch.stack(made).numpy()


def probabilities(train: PulseTrain, lr: float) -> tuple[int, np.ndarray, np.ndarray]:
    """Slots, and the firing probability of every column and row in each of them."""
    largest = lr * abs(X).max() * abs(D).max() / DW
    slots = math.ceil(largest) if train.bit_length_management else train.bits
    if train.update_management:
        both = math.sqrt(largest / slots)
        return slots, both * abs(X) / abs(X).max(), both * abs(D) / abs(D).max()
    factor = math.sqrt(lr / (DW * slots))
    return slots, factor * abs(X), factor * abs(D)


@pytest.mark.parametrize("name", TRAINS)
def test_one_update_has_the_moments_of_lemma_1(name):
    train, lr = TRAINS[name]
    change = increments(train, lr)
    slots, p, q = probabilities(train, lr)
    for i in range(2):
        for j in range(3):
            wanted = abs(lr * D[i] * X[j])
            expected = wanted * DW * (1 - wanted / (slots * DW))
            assert expected == pytest.approx(slots * DW**2 * p[j] * q[i] * (1 - p[j] * q[i]))
            assert_mean(change[:, i, j], -lr * D[i] * X[j])
            assert_variance(change[:, i, j], expected)


@pytest.mark.parametrize("name", TRAINS)
def test_lines_share_their_bits_within_a_row_and_a_column_only(name):
    train, lr = TRAINS[name]
    change = increments(train, lr) * np.sign(-D[:, None] * X)
    slots, p, q = probabilities(train, lr)
    row = slots * DW**2 * p[0] * p[1] * q[0] * (1 - q[0])
    column = slots * DW**2 * q[0] * q[1] * p[0] * (1 - p[0])
    assert_covariance(change[:, 0, 0], change[:, 0, 1], row)
    assert_covariance(change[:, 0, 0], change[:, 1, 0], column)
    assert_covariance(change[:, 0, 0], change[:, 1, 1], 0.0)
    assert_covariance(change[:, 0, 1], change[:, 1, 2], 0.0)


def test_vectors_of_a_batch_are_independent():
    x = torch.tensor(np.stack([X, X]), dtype=torch.float32)
    d = torch.tensor(np.stack([D, D]), dtype=torch.float32)
    lr, w = 0.3, torch.zeros(2, 3)
    change = torch.stack(
        [rt.pulsed_update(w, x, d, WIDE, lr=lr, seed=s) for s in range(3000)]
    ).numpy()
    wanted = lr * 0.8
    assert_mean(change[:, 0, 0], -2 * wanted)
    assert_variance(change[:, 0, 0], 2 * wanted * DW * (1 - wanted / DW))


def answers(device, w0: float, *, d: float, device_seed: int = 0, seed: int = 3) -> np.ndarray:
    """Changes of many crosspoints at w0 whose row fires with probability |d|, once."""
    w = torch.full((MANY, 1), w0)
    row = torch.full((1, MANY), d)
    new = rt.pulsed_update(
        w, torch.ones(1, 1), row, device,
        lr=device.dw_min, seed=seed, device_seed=device_seed, train=ONE_SLOT,
    )  # fmt: skip
    return (new - w).numpy().ravel()


def check_mean_response(device, w0: float, symmetric: float, asymmetric: float) -> None:
    """E[change] = dw F(w) - |dw| G(w) for rare pulses, in both directions."""
    for wanted in (0.2, -0.2):
        dw = wanted * device.dw_min
        change = answers(device, w0, d=-wanted)
        assert_mean(change, dw * symmetric - abs(dw) * asymmetric)


@pytest.mark.parametrize("w0", [-0.6, 0.0, 0.25, 0.8])
def test_soft_bounds_pull_the_mean_as_f_and_g_say(w0):
    device = rt.devices.SoftBounds(states=20, variation="none")
    assert device.symmetric(w0) == pytest.approx(1.0)
    assert device.asymmetric(w0) == pytest.approx(w0)
    check_mean_response(device, w0, symmetric=1.0, asymmetric=w0)


def test_soft_bounds_with_unequal_bounds_and_bias():
    device = rt.devices.SoftBounds(states=20, w_min=-0.5, w_max=2.0, up_down=0.2, variation="none")
    w0 = 0.4
    up, down = 1 - w0 / 2.0, 0.8 * (1 + w0 / 0.5)
    check_mean_response(device, w0, (down + up) / 2, (down - up) / 2)


def check_cycle_noise(device, w0: float, cycle: float, *, additive: bool) -> None:
    """One pulse up at every crosspoint: mean step and its cycle-to-cycle variance."""
    change = answers(device, w0, d=-1.0)
    step = device.dw_min * (1 - w0)
    assert_mean(change, step)
    assert_variance(change, (cycle * (device.dw_min if additive else step)) ** 2)


QUIET = {"dw_min": 0, "w_min": 0, "w_max": 0, "up_down": 0}


@pytest.mark.parametrize("kind", ["multiplicative", "additive"])
@pytest.mark.parametrize("w0", [0.0, 0.5])
def test_cycle_noise_variance(kind, w0):
    device = rt.devices.SoftBounds(states=40, variation={**QUIET, "cycle": 0.25}, cycle_noise=kind)
    check_cycle_noise(device, w0, 0.25, additive=kind == "additive")


def test_cycle_noise_of_neighbours_and_of_pulses_is_uncorrelated():
    device = rt.devices.ConstantStep(states=40, variation={**QUIET, "cycle": 0.25})
    first, second = (answers(device, 0.0, d=-1.0, seed=s) for s in (3, 4))
    assert_covariance(first[1:], first[:-1], 0.0)
    assert_covariance(first, second, 0.0)
    w = torch.zeros(300, 200)
    wide = rt.pulsed_update(
        w, torch.ones(1, 200), torch.full((1, 300), -1.0), device,
        lr=device.dw_min, seed=5, train=ONE_SLOT,
    ).numpy()  # fmt: skip
    for a, b in ((wide[1:], wide[:-1]), (wide[:, 1:], wide[:, :-1])):
        assert_covariance(a, b, 0.0)


@pytest.mark.parametrize("pulses", [1, 4])
@pytest.mark.parametrize("columns", [1, 30])
def test_columns_are_written_with_the_same_noise_up_and_down(columns, pulses):
    """Sure pulses, so that nothing but cycle-to-cycle noise varies; every pulse has its own."""
    device = rt.devices.ConstantStep(
        states=4000, w_min=-1000, w_max=1000, variation={**QUIET, "cycle": 0.3}
    )
    d_out = 60_000 // columns
    w, change = np.zeros((d_out, columns, 1), np.float32), np.ones((columns, d_out), np.float32)
    change[:, 1::2] = -1
    composite = Composite(
        [Tile(device, 5)], w, np.zeros((d_out, columns), np.float32), gamma=0.5, scale=1.0, seed=2,
        counts=np.zeros((3, 1), np.int64),
    )  # fmt: skip
    sure = PulseTrain(pulses, update_management=False, bit_length_management=False)
    composite.write_columns(0, np.arange(columns), change, pulses * DW * (1 + 1e-6), sure)
    assert composite.pulses[0] == pulses * w.size
    deviates = (w[:, :, 0] * change.T / DW - pulses) / (0.3 * math.sqrt(pulses))
    for part in (deviates[::2], deviates[1::2]):
        assert_mean(part, 0.0)
        assert_variance(part, 1.0)
    assert_covariance(deviates[:-1], deviates[1:], 0.0)
    if columns > 1:
        assert_covariance(deviates[:, :-1], deviates[:, 1:], 0.0)


def check_spread(device, spread: dict[str, float] | None = None) -> None:
    """Every crosspoint's parameters against the declared normal law."""
    s = spread or device.spread()
    own = Tile(device, 7).crosspoints((300, 300))
    assert_mean(own["w_max"], device.w_max)
    assert_mean(own["w_min"], device.w_min)
    assert_variance(own["w_max"], (s["w_max"] * device.w_max) ** 2)
    assert_variance(own["w_min"], (s["w_min"] * device.w_min) ** 2)
    dw = device.dw_min
    for name, nominal in (("step_up", device.step_up), ("step_down", device.step_down)):
        assert_mean(own[name], nominal)
        assert_variance(own[name], dw**2 * (s["dw_min"] ** 2 + s["up_down"] ** 2))
    both = dw**2 * (s["dw_min"] ** 2 - s["up_down"] ** 2)
    assert_covariance(own["step_up"], own["step_down"], both)
    assert_covariance(own["step_up"], own["w_max"], 0.0)
    assert_covariance(own["w_min"], own["w_max"], 0.0)


SPREADS = [
    {"dw_min": 0.2, "w_min": 0.1, "w_max": 0.25, "up_down": 0.05},
    {"dw_min": 0.1, "w_min": 0.2, "w_max": 0.05, "up_down": 0.1},
]


@pytest.mark.parametrize("variation", SPREADS)
@pytest.mark.parametrize("up_down", [0.0, 0.15, -0.15])
def test_device_spread_has_the_declared_moments(variation, up_down):
    check_spread(
        rt.devices.SoftBounds(
            states=10, w_min=-0.6, w_max=1.2, up_down=up_down, variation=variation
        )
    )


def test_log_normal_steps():
    device = rt.devices.SoftBounds(
        states=10, log_normal=True, variation={"dw_min": 0.3, "up_down": 0}
    )
    steps = Tile(device, 1).crosspoints((300, 300))["step_up"]
    logs = np.log(steps / device.dw_min)
    assert_mean(logs, 0.0)
    assert_variance(logs, 0.3**2)
    assert_mean(steps, device.dw_min * math.exp(0.3**2 / 2))


def test_neighbouring_crosspoints_tiles_and_seeds_are_uncorrelated():
    device = rt.devices.SoftBounds(states=10, variation=SPREADS[0])
    own, other = (Tile(device, s).crosspoints((300, 300)) for s in (0, 1))
    for name in ("w_min", "w_max", "step_up"):
        a = own[name]
        assert_covariance(a[1:], a[:-1], 0.0)
        assert_covariance(a[:, 1:], a[:, :-1], 0.0)
        assert_covariance(a, other[name], 0.0)
    assert_covariance(own["w_max"].ravel()[1:], own["step_up"].ravel()[:-1], 0.0)


def test_spread_of_a_laws_own_field():
    device = rt.devices.LinearStep(gamma_up=0.6, variation={"gamma_up": 0.1})
    own = Tile(device, 2).crosspoints((300, 300))
    assert_mean(own["gamma_up"], 0.6)
    assert_variance(own["gamma_up"], 0.06**2)
    np.testing.assert_allclose(own["gamma_down"], 0.5)
    assert_covariance(own["gamma_up"], own["step_up"], 0.0)


@pytest.fixture(scope="module")
def faulty():
    """Soft bounds with a factor on the step, and q_up, q_down swapped on request."""

    class Faulty(rt.Device, name="faulty_soft_bounds"):
        factor: float = 1.0
        swap: float = 0.0

        @staticmethod
        def q_up(w, p):
            return p[2] * (1 - w / (p[0] if p[3] > 0 else p[1]))

        @staticmethod
        def q_down(w, p):
            return p[2] * (1 - w / (p[1] if p[3] > 0 else p[0]))

    return Faulty


class TestTheChecksFailOnFaults:
    """Planted faults: each must be found by the very check that the sound build passes."""

    def test_sound_law_passes(self, faulty):
        check_mean_response(faulty(states=20, variation="none"), 0.25, 1.0, 0.25)

    def test_swapped_responses(self, faulty):
        device = faulty(states=20, swap=1, variation="none")
        check_mean_response(device, 0.0, 1.0, 0.0)  # at 0 the two are alike
        with pytest.raises(AssertionError, match="z ="):
            check_mean_response(device, 0.25, symmetric=1.0, asymmetric=0.25)

    def test_step_too_large_by_a_tenth(self, faulty):
        device = faulty(states=20, factor=1.1, variation="none")
        with pytest.raises(AssertionError, match="z ="):
            check_mean_response(device, 0.25, symmetric=1.0, asymmetric=0.25)

    @pytest.mark.parametrize("planted", [0.0, 0.23, 0.27])
    def test_wrong_cycle_noise(self, planted):
        device = rt.devices.SoftBounds(states=40, variation={**QUIET, "cycle": planted})
        with pytest.raises(AssertionError, match="variance"):
            check_cycle_noise(device, 0.0, 0.25, additive=False)

    def test_additive_noise_taken_for_multiplicative(self):
        device = rt.devices.SoftBounds(
            states=40, variation={**QUIET, "cycle": 0.25}, cycle_noise="additive"
        )
        with pytest.raises(AssertionError, match="variance"):
            check_cycle_noise(device, 0.5, 0.25, additive=False)

    @pytest.mark.parametrize("entry", ["dw_min", "w_min", "w_max"])
    def test_wrong_spread(self, entry):
        real = rt.devices.SoftBounds(states=10, variation={**QUIET, entry: 0.18})
        with pytest.raises(AssertionError, match="variance"):
            check_spread(real, spread={**QUIET, entry: 0.2})
