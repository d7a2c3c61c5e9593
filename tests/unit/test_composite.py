"""Several tiles as one weight: consistency, programming and transfers."""

import math

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.errors import ConfigError, UpdateError
from resitile.nn import AnalogConv2d, AnalogLinear
from resitile.tiles import Composite, PulseTrain, Tile, rows
from tests.helpers import assert_covariance, assert_mean, assert_variance


@pytest.fixture(autouse=True)
def fixed_inputs():
    """Every run sees the same made-up inputs; torch's own generator is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def expected_weight(layer) -> torch.Tensor:
    """scale * sum_n gamma**n * tiles[n], summed in float64."""
    gamma = layer.algorithm.ratio ** torch.arange(len(layer.tiles), dtype=torch.float64)
    total = torch.einsum("n,nij->ij", gamma, layer.tiles.double())
    return (layer.scale.double().detach() * total).float().view(layer.weight.shape)


def residual(states=4, tiles=4, **settings):
    return rt.algorithms.ResidualLearning(
        rt.devices.SoftBounds(states=states, **settings),
        tiles=tiles,
        gamma=0.4,
        transfer_every=1,
        transfer_ratio=2,
        transfer_lr=1.0,
        columns=0,
    )


@pytest.mark.parametrize("states", [4, 400])
@pytest.mark.parametrize("scale", [1.0, "auto", "learnable"])
def test_the_weight_is_the_sum_of_its_tiles_after_many_steps(states, scale):
    layers = [
        AnalogLinear(12, 7, algorithm=residual(states), scale=scale, seed=1),
        AnalogConv2d(2, 6, 3, groups=2, padding=1, algorithm=residual(states), scale=scale, seed=2),
    ]
    inputs = [torch.randn(5, 12), torch.randn(2, 2, 5, 6)]
    for layer, x in zip(layers, inputs, strict=True):
        start = layer.tiles.clone()
        groups = [{"params": [layer.weight]}]
        if scale == "learnable":
            groups.append({"params": [layer.scale], "lr": 0.01})
        optimizer = rt.AnalogSGD(groups, lr=2.0)
        for _ in range(60):
            (layer(x) - 1).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        moved = (layer.tiles != start).flatten(1).any(1)
        assert moved.all(), "every tile must have moved for this test to say something"
        torch.testing.assert_close(layer.weight.data, expected_weight(layer), rtol=1e-6, atol=1e-7)


class TestProgram:
    def test_exact_within_the_bounds_with_one_tile(self):
        device = rt.devices.SoftBounds(states=4, variation="none")
        layer = AnalogLinear(6, 5, algorithm=rt.algorithms.SingleTile(device), scale=0.5, seed=0)
        weight = torch.rand(5, 6) - 0.5
        report = layer.program(weight)
        assert (report.clipped, report.worst) == (0, pytest.approx(0, abs=1e-7))
        torch.testing.assert_close(layer.weight.data, weight, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(layer.tiles[0], 2 * weight, rtol=1e-6, atol=1e-8)

    def test_tile_0_takes_what_fits_and_finer_tiles_the_rest(self):
        layer = AnalogLinear(3, 1, bias=False, algorithm=residual(4, 3, variation="none"), seed=0)
        report = layer.program(torch.tensor([[0.7, 1.2, -1.5]]))
        assert report.clipped == 0
        torch.testing.assert_close(layer.tiles[0], torch.tensor([[0.7, 1.0, -1.0]]))
        torch.testing.assert_close(
            layer.tiles[1], torch.tensor([[0.0, 0.5, -1.0]]), rtol=1e-5, atol=1e-6
        )
        torch.testing.assert_close(
            layer.tiles[2], torch.tensor([[0.0, 0.0, -0.1 / 0.16]]), rtol=1e-4, atol=1e-6
        )
        torch.testing.assert_close(layer.weight.data, torch.tensor([[0.7, 1.2, -1.5]]))

    def test_own_bounds_of_spread_devices_are_kept_and_clipping_is_counted(self):
        device = rt.devices.SoftBounds(states=4)
        layer = AnalogLinear(30, 20, algorithm=rt.algorithms.SingleTile(device), seed=3)
        weight = torch.full((20, 30), 0.9)
        report = layer.program(weight)
        error = (layer.weight.data - weight).abs()
        tile = layer.composite().tiles[0]
        own = torch.from_numpy(tile.crosspoints((20, 30))["w_max"])
        assert report.clipped == int((own < 0.9 - 1e-4).sum()) > 0
        assert report.worst == pytest.approx(error.max().item())
        torch.testing.assert_close(layer.weight.data, weight.minimum(own))

    @pytest.mark.parametrize("value", [1.7, -1.7])
    def test_beyond_the_nominal_range_it_refuses_and_changes_nothing(self, value):
        layer = AnalogLinear(4, 2, algorithm=residual(4, 3, variation="none"), seed=0)
        before = layer.tiles.clone()
        weight = torch.zeros(2, 4)
        weight[1, 2] = value
        with pytest.raises(ConfigError, match=r"outside what the tiles can hold, -1.56 to 1.56"):
            layer.program(weight)
        assert torch.equal(layer.tiles, before)

    @pytest.mark.parametrize("weight", [torch.full((2, 4), float("nan")), torch.zeros(4, 2)])
    def test_it_refuses_nan_and_other_shapes(self, weight):
        layer = AnalogLinear(4, 2, algorithm=residual(), seed=0)
        with pytest.raises(ConfigError, match=r"must be finite|does not fit"):
            layer.program(weight)

    def test_training_goes_on_after_programming(self):
        layer = AnalogLinear(4, 2, algorithm=residual(), seed=0)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
        layer.program(torch.zeros(2, 4))
        for _ in range(5):
            layer(torch.ones(3, 4)).sum().backward()
            optimizer.step()
        torch.testing.assert_close(layer.weight.data, expected_weight(layer), rtol=1e-6, atol=1e-7)


def composite(seed: int, source: np.ndarray, device) -> Composite:
    d_out, d_in = source.shape
    w = np.zeros((d_out, d_in, 2), dtype=np.float32)
    w[:, :, 1] = source
    made = Composite(
        [Tile(device, 0), Tile(device, 1)], w, np.zeros((d_out, d_in), dtype=np.float32),
        gamma=0.5, scale=1.0, seed=seed, counts=np.zeros((3, 2), dtype=np.int64),
    )  # fmt: skip
    made.refresh()
    return made


@pytest.mark.parametrize("lr", [0.1, 1.5])
def test_a_transfer_adds_lr_times_the_column_on_average(lr):
    device = rt.devices.ConstantStep(states=400, w_min=-100, w_max=100, variation="none")
    source = np.array([[0.5, 0.1], [-0.8, 0.2], [0.0, 0.3]], dtype=np.float32)
    moved = []
    for seed in range(3000):
        c = composite(seed, source, device)
        c.transfer(1, 0, 0, lr)
        moved.append(c.w[:, 0, 0].copy())
        assert not c.w[:, 1, 0].any()
    assert (c.w[:, :, 1] == source).all()
    assert c.transfers.tolist() == [0, 1]
    for i in range(3):
        assert_mean(np.array(moved)[:, i], lr * source[i, 0])


def test_a_transfer_keeps_the_weight_in_step_and_counts_its_pulses():
    device = rt.devices.ConstantStep(states=10, variation="none")
    source = np.full((8, 3), 1.0, dtype=np.float32)
    c = composite(1, source, device)
    c.transfer(1, 0, 2, 0.6)  # k = 3: every slot of three fires for certain
    assert c.pulses.tolist() == [24, 0]
    np.testing.assert_allclose(c.w[:, 2, 0], 0.6, rtol=1e-6)
    np.testing.assert_allclose(c.weight, c.w[:, :, 0] + 0.5 * c.w[:, :, 1], rtol=1e-6)


def test_transfers_of_nothing_move_nothing():
    device = rt.devices.SoftBounds(states=4)
    c = composite(1, np.zeros((4, 3), dtype=np.float32), device)
    c.transfer(1, 0, 0, 0.5)
    c.transfer(1, 0, 0, 0.0)
    assert not c.w.any()


@pytest.mark.parametrize("columns", [[0, 5], [-1]])
def test_columns_that_do_not_exist_are_refused_and_nothing_is_changed(columns):
    w = np.full((3, 5, 2), 0.1, np.float32)
    composite = Composite(
        [Tile(rt.devices.SoftBounds(states=4), n) for n in range(2)], w,
        np.zeros((3, 5), np.float32), gamma=0.5, scale=1.0, seed=0,
        counts=np.zeros((3, 2), np.int64),
    )  # fmt: skip
    columns = np.array(columns)
    with pytest.raises(ConfigError, match=rf"columns must lie in 0 to 4, got \[{columns[-1]}\]"):
        composite.read_sum(0, 1, columns)
    with pytest.raises(ConfigError, match="columns must lie in 0 to 4"):
        composite.write_columns(0, columns, np.ones((columns.size, 3), np.float32), 0.5)
    with pytest.raises(ConfigError, match="give 0 <= first < last <= 2"):
        composite.read_sum(1, 3, np.array([0]))
    assert not composite.updates.any() and not composite.transfers.any()
    assert (w == np.float32(0.1)).all()


NAN = np.full((3, 5), np.nan, np.float32)
BATCH = [rows(np.ones((2, 5), np.float32), np.ones((2, 3), np.float32))]
BATCH[0].measure()
TALL, WIDE = (
    [rows(np.ones((2, x), np.float32), np.ones((2, d), np.float32))] for x, d in ((5, 4), (6, 3))
)
LONG = [rows(np.ones((1, 5), np.float32), np.ones((2, 3), np.float32))]
LOW = [rows(np.ones((2, 5), np.float32), np.ones((2, 3), np.float32))]
LOW[0].row0 = 1


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("write", (0, np.ones((5, 3)), 0.5), r"shape \(d_out, d_in\) = \(3, 5\), got \(5, 3\)"),
        ("write", (0, NAN, 0.5), "holds NaN or infinity; nothing was written"),
        ("write", (2, np.ones((3, 5)), 0.5), "there is no tile 2: the 2 tiles are 0 to 1"),
        ("write", (0, np.ones((3, 5)), -0.5), "lr must be a number of at least 0, got -0.5"),
        ("write_column", (0, 0, np.ones(9), 0.5), r"shape \(columns, d_out\) = \(1, 3\), got"),
        ("write_column", (0, 5, np.ones(3), 0.5), r"columns must lie in 0 to 4, got \[5\]"),
        ("write_column", (-1, 0, np.ones(3), 0.5), "there is no tile -1"),
        ("write_columns", (0, [0, 1], np.ones((1, 3)), 0.5), r"= \(2, 3\), got \(1, 3\)"),
        ("write_columns", (0, [0.5], np.ones((1, 3)), 0.5), "columns must be whole numbers"),
        ("write_columns", (0, [[0]], np.ones((1, 3)), 0.5), "an array of 2 axes"),
        ("write_columns", (0, [0], np.ones((1, 3)), math.nan), "at least 0, got nan"),
        ("read", (0, 5), r"columns must lie in 0 to 4, got \[5\]"),
        ("read", (2, 0), "there is no tile 2"),
        ("transfer", (1, 2, 0, 0.5), "there is no tile 2"),
        ("pulse", (2, BATCH, 0.5), "there is no tile 2"),
        ("transfer", (0, 1, 0.5, 0.5), "only integers"),
        ("pulse", (0, BATCH, -0.5), "lr must be a number of at least 0"),
        ("pulse", (0, BATCH + TALL, 0.5), r"2 x 4 on rows from 0 do not fit tiles of .* \(3, 5\)"),
        ("pulse", (0, WIDE, 0.5), "2 x 6 on columns"),
        ("pulse", (0, LONG, 0.5), "1 x 5 on columns and 2 x 3"),
        ("pulse", (0, LOW, 0.5), "on rows from 1"),
        ("pulse", (0, BATCH, 0.5, PulseTrain(), "dens"), 'path must be "auto", "event" or "dense"'),
    ],
)
def test_impossible_requests_are_refused_and_nothing_is_changed(verb, arguments, message):
    """Kernels check no index: such a request would write past the arrays."""
    w, counts = np.full((3, 5, 2), 0.1, np.float32), np.zeros((3, 2), np.int64)
    composite = Composite(
        [Tile(rt.devices.SoftBounds(states=4), n) for n in range(2)], w,
        np.zeros((3, 5), np.float32), gamma=0.5, scale=1.0, seed=0, counts=counts,
    )  # fmt: skip
    with pytest.raises((ConfigError, UpdateError, IndexError), match=message):
        getattr(composite, verb)(*arguments)
    assert (w == np.float32(0.1)).all() and not counts.any()


@pytest.mark.parametrize("columns", [1, 20])
@pytest.mark.parametrize(
    "other", [np.asfortranarray, np.float64, lambda a: np.repeat(a, 2, 1)[:, ::2]]
)
def test_changes_may_come_in_any_layout_and_precision(other, columns):
    changes = np.random.default_rng(0).normal(size=(columns, 6)).astype(np.float32)
    made = []
    for given in (changes, other(changes)):
        w = np.zeros((6, 20, 1), np.float32)
        composite = Composite(
            [Tile(rt.devices.SoftBounds(states=8), 0)], w, np.zeros((6, 20), np.float32), gamma=0.5,
            scale=1.0, seed=1, counts=np.zeros((3, 1), np.int64),
        )  # fmt: skip
        composite.write_columns(0, np.arange(columns), given, 0.5)
        made.append(w)
    assert made[0].any()
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("verb", ["write", "write_columns"])
def test_both_ways_of_writing_have_cycle_noise(verb):
    """One pulse a device: the spread of what it moves is `cycle` of dw_min."""
    device = rt.devices.ConstantStep(states=64, w_min=-4.0, w_max=4.0, variation={
        "dw_min": 0.0, "w_min": 0.0, "w_max": 0.0, "up_down": 0.0, "cycle": 0.3,
    })  # fmt: skip
    layer = AnalogLinear(
        100, 100, bias=False, algorithm=rt.algorithms.SingleTile(device), scale=1.0, seed=0
    )
    layer.program(torch.zeros(100, 100))
    composite, ones = layer.composite(), np.ones((100, 100), dtype=np.float32)
    sure = rt.tiles.PulseTrain(1, update_management=False, bit_length_management=False)
    columns = () if verb == "write" else (np.arange(100),)
    getattr(composite, verb)(0, *columns, ones, device.dw_min * (1 + 1e-6), sure)
    moved = composite.w[:, :, 0] / device.dw_min
    assert layer.pulses.item() == 10_000
    assert_mean(moved, 1.0)
    assert_variance(moved, 0.09)


def test_tiles_of_a_layer_differ_in_their_devices():
    """Spread that tiles had in common could not be taken out by the finer ones."""
    device = rt.devices.SoftBounds(states=4)
    layer = AnalogLinear(
        80, 80, bias=False, algorithm=rt.algorithms.ResidualLearning(device, tiles=3), seed=0
    )
    own = [tile.crosspoints((80, 80)) for tile in layer.composite().tiles]
    for name in ("w_min", "w_max", "step_up", "step_down"):
        for a, b in ((0, 1), (1, 2), (0, 2)):
            assert_covariance(own[a][name], own[b][name], 0.0)


def test_signs_of_columns_belong_to_one_mini_batch():
    """They are read only, of the right size, and go along with a part of the mini-batch."""
    made = [rows(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)) for _ in range(2)]
    with pytest.raises(ValueError, match="read-only"):
        made[0].turned[0] = 1
    assert not made[1].turned.any()
    with pytest.raises(ConfigError, match="each of 3 columns"):
        made[0].turned = np.zeros(1, dtype=np.uint8)
    made[0].turned = [0, 1, 0]
    assert made[0].part(1, 3).turned.tolist() == [0, 1, 0]
