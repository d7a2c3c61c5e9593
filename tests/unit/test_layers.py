"""Analog layers against torch's own, the patches they record, and conversion."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import resitile as rt
from resitile.errors import ConfigError, UpdateError
from resitile.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from tests.helpers import assert_mean

FINE = rt.devices.ConstantStep(states=100_000, w_min=-100, w_max=100, variation="none")
RULE = rt.algorithms.SingleTile(FINE)
FOUR = rt.algorithms.ResidualLearning(rt.devices.SoftBounds(states=4, variation="none"), tiles=3)

CONVOLUTIONS = [
    (AnalogConv1d, (4, 6, 3), {}, (2, 4, 9)),
    (AnalogConv1d, (4, 6, 3), {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}, (2, 4, 11)),
    (AnalogConv1d, (2, 3, 4), {"padding": "same", "bias": False}, (2, 2, 7)),
    (AnalogConv1d, (2, 3, 3), {"padding": 2, "padding_mode": "circular"}, (2, 2, 7)),
    (AnalogConv2d, (3, 5, 3), {}, (2, 3, 6, 7)),
    (AnalogConv2d, (3, 5, (3, 2)), {"stride": (2, 1), "padding": (1, 2)}, (2, 3, 7, 6)),
    (AnalogConv2d, (4, 6, 3), {"groups": 2, "dilation": (1, 2), "padding": 1}, (2, 4, 6, 7)),
    (AnalogConv2d, (4, 4, 3), {"groups": 4, "stride": 2}, (2, 4, 7, 7)),
    (AnalogConv2d, (2, 3, (4, 3)), {"padding": "same", "dilation": 2}, (2, 2, 6, 7)),
    (AnalogConv2d, (2, 3, 3), {"padding": "valid"}, (2, 2, 5, 5)),
    (AnalogConv2d, (2, 3, 3), {"padding": 1, "padding_mode": "reflect"}, (2, 2, 5, 6)),
    (AnalogConv2d, (2, 3, 3), {"padding": (2, 1), "padding_mode": "replicate"}, (2, 2, 5, 6)),
    (AnalogConv2d, (2, 3, 3), {"padding": "same", "padding_mode": "circular"}, (2, 2, 5, 6)),
    (AnalogConv3d, (2, 4, 2), {"stride": (1, 2, 1), "padding": 1}, (2, 2, 4, 5, 3)),
    (AnalogConv3d, (2, 4, (1, 2, 3)), {"groups": 2, "dilation": (1, 1, 2)}, (1, 2, 3, 4, 6)),
]


@pytest.fixture(autouse=True)
def fixed_inputs():
    """Every run sees the same made-up inputs; torch's own generator is left alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def twin(layer) -> nn.Module:
    """Torch's own layer with the same weights."""
    made = rt.to_digital(layer)
    assert type(made) in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return made


def compare(layer, x: torch.Tensor) -> None:
    plain, owner = twin(layer), rt.AnalogSGD(layer.parameters())
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    ya, yb = layer(a), plain(b)
    torch.testing.assert_close(ya, yb, rtol=1e-5, atol=1e-6)
    d = torch.randn_like(yb)
    ya.backward(d)
    yb.backward(d)
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)
    if plain.bias is not None:
        torch.testing.assert_close(layer.bias.grad, plain.bias.grad, rtol=1e-5, atol=1e-5)
    assert layer.weight.grad is None
    owner.zero_grad()


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_torch(shape, bias):
    compare(AnalogLinear(5, 4, bias, algorithm=RULE, seed=0), torch.randn(shape))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("kind", "sizes", "settings", "shape"), CONVOLUTIONS)
def test_convolutions_equal_torch(kind, sizes, settings, shape):
    layer = kind(*sizes, **settings, algorithm=RULE, seed=0)
    compare(layer, torch.randn(shape))
    compare(layer, torch.randn(shape[1:]))


def away_from_zero(x: torch.Tensor) -> torch.Tensor:
    """Entries of size 0.5 to 1.5: each moves its crosspoint often enough to be judged."""
    return x.sign() * (0.5 + torch.rand_like(x))


def check_recorded(layer, x: torch.Tensor, lr: float = 0.005, seeds: int = 250) -> None:
    """The mean pulsed change over seeds is -lr times torch's weight gradient, entry by entry."""
    plain, x = twin(layer), away_from_zero(x)
    start = copy.deepcopy(layer.state_dict())
    y = plain(x)
    d = away_from_zero(torch.randn_like(y))
    y.backward(d)
    optimizer = rt.AnalogSGD([layer.weight], lr=lr)
    changes = []
    for seed in range(seeds):
        start["seeds"][0] = seed
        layer.load_state_dict(start)
        layer(x).backward(d)
        optimizer.step()
        changes.append((layer.weight.detach() - start["weight"]).numpy().copy())
    changes = np.array(changes).reshape(seeds, -1)
    for k, expected in enumerate((-lr * plain.weight.grad).flatten().tolist()):
        assert_mean(changes[:, k], expected)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(("kind", "sizes", "settings", "shape"), CONVOLUTIONS)
def test_recorded_patches_give_torchs_gradient_on_average(kind, sizes, settings, shape):
    check_recorded(kind(*sizes, **settings, algorithm=RULE, seed=0), torch.randn(shape))


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
def test_recorded_rows_give_torchs_gradient_on_average(shape):
    check_recorded(AnalogLinear(5, 4, algorithm=RULE, seed=0), torch.randn(shape))


def test_a_wrong_gradient_is_found():
    layer = AnalogLinear(5, 4, algorithm=RULE, seed=0)
    layer.vectors = lambda x, d: AnalogLinear.vectors(layer, x.flip(-1), d)
    with pytest.raises(AssertionError, match="z ="):
        check_recorded(layer, torch.randn(3, 5))


class TestPrecision:
    def test_weights_are_float32_whatever_the_default(self):
        torch.set_default_dtype(torch.float64)
        try:
            layer = AnalogLinear(5, 4, algorithm=FOUR, scale="auto", seed=0)
            assert layer.weight.dtype == layer.crosspoints.dtype == torch.float32
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
            y = layer(torch.randn(3, 5))
            assert y.dtype == torch.float64
            y.sum().backward()
            optimizer.step()
        finally:
            torch.set_default_dtype(torch.float32)

    def test_autocast_and_double_inputs(self):
        layer = AnalogLinear(5, 4, algorithm=RULE, seed=0)
        x = torch.randn(3, 5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y, expected = layer(x), twin(layer)(x)
        torch.testing.assert_close(y, expected.float(), rtol=2e-2, atol=2e-2)
        assert layer(x.double()).dtype == torch.float64

    @pytest.mark.parametrize("kind", ["linear", "conv"])
    def test_backward_inside_autocast_is_float32(self, kind):
        if kind == "linear":
            layer, x = AnalogLinear(5, 4, algorithm=RULE, seed=0), torch.randn(3, 5)
        else:
            layer, x = AnalogConv2d(3, 8, 3, algorithm=RULE, seed=0), torch.randn(2, 3, 6, 6)
        found = []
        for inside in (False, True):
            layer.discard()
            start = x.clone().requires_grad_()
            loss = layer(start).square().sum()
            with torch.autocast("cpu", enabled=inside, dtype=torch.bfloat16):
                loss.backward()
            found.append(start.grad)
        assert torch.equal(*found)

    def test_other_dtypes_are_refused(self):
        model = nn.Sequential(AnalogLinear(5, 4, algorithm=RULE, seed=0))
        for change in (model.double, model.half):
            with pytest.raises(ConfigError, match="analog weights are float32"):
                change()
        assert model[0].weight.dtype == torch.float32

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
    def test_inputs_that_are_no_real_numbers_are_refused(self, dtype):
        layer = AnalogLinear(5, 4, algorithm=RULE, seed=0)
        with pytest.raises(ConfigError, match=f"takes real floating-point numbers, got {dtype}"):
            layer(torch.ones(2, 5).to(dtype))

    def test_memory_format(self):
        model = nn.Sequential(AnalogConv2d(3, 4, 3, algorithm=RULE, seed=0))
        model = model.to(memory_format=torch.channels_last)
        optimizer = rt.AnalogSGD(model.parameters(), lr=0.1)
        model(torch.randn(2, 3, 5, 5)).sum().backward()
        optimizer.step()


class TestScale:
    def test_auto_and_numbers(self):
        layer = AnalogLinear(16, 4, algorithm=FOUR, scale="auto", seed=0)
        assert layer.scale.item() == pytest.approx(3 / 4)
        assert not layer.scale.requires_grad
        assert AnalogLinear(16, 4, algorithm=FOUR, scale=2, seed=0).scale.item() == 2

    @pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "atuo", None, True])
    def test_impossible_scales(self, scale):
        with pytest.raises(ConfigError, match="scale must be a number above 0"):
            AnalogLinear(4, 4, algorithm=FOUR, scale=scale, seed=0)

    @pytest.mark.parametrize("bias", [True, False])
    def test_a_learnable_scale_has_the_gradient_of_finite_differences(self, bias):
        layer = AnalogConv2d(2, 3, 3, bias=bias, algorithm=FOUR, scale="learnable", seed=0)
        x, plain = torch.randn(2, 2, 5, 5).double(), twin(layer).double()
        layer(x).sin().sum().backward()
        tiles_sum = plain.weight.data / layer.scale.item()

        def loss(scale):
            plain.weight.data = scale * tiles_sum
            return plain(x).sin().sum().item()

        s, h = layer.scale.item(), 1e-4
        assert layer.scale.grad.item() == pytest.approx(
            (loss(s + h) - loss(s - h)) / (2 * h), rel=1e-3, abs=1e-3
        )

    def test_the_weight_follows_a_learnt_scale(self):
        layer = AnalogLinear(6, 3, algorithm=FOUR, scale="learnable", seed=0)
        before = layer.scale.item()
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.01)
        layer(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
        assert layer.scale.item() != before
        gamma = 0.5 ** torch.arange(3.0)
        expected = layer.scale.detach() * torch.einsum("n,nij->ij", gamma, layer.tiles)
        torch.testing.assert_close(layer.weight.data, expected, rtol=1e-6, atol=1e-7)

    def test_the_weight_of_frozen_tiles_follows_a_learnt_scale(self):
        layer = AnalogLinear(6, 3, algorithm=FOUR, scale="learnable", seed=0)
        layer.weight.requires_grad_(False)
        before = layer.tiles.clone()
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.01)
        layer(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
        assert torch.equal(layer.tiles, before)
        gamma = 0.5 ** torch.arange(3.0)
        expected = layer.scale.detach() * torch.einsum("n,nij->ij", gamma, layer.tiles)
        torch.testing.assert_close(layer.weight.data, expected, rtol=1e-6, atol=1e-7)

    def test_a_scale_that_another_optimizer_moved_counts_at_once(self):
        layer = AnalogLinear(6, 3, bias=False, algorithm=FOUR, scale="learnable", seed=0)
        x = torch.randn(4, 6)
        before = layer(x).detach()
        with torch.no_grad():
            layer.scale *= 3
        torch.testing.assert_close(layer(x).detach(), 3 * before)

    @pytest.mark.parametrize("how", ["copied", "saved", "digital", "counted", "programmed"])
    def test_a_scale_that_another_optimizer_moved_last(self, how):
        """The weight follows at the next forward pass; what is read off before has it, too."""
        layer = AnalogLinear(6, 3, algorithm=FOUR, scale="learnable", seed=0)
        fresh, x = copy.deepcopy(layer), torch.randn(4, 6)
        with torch.no_grad():
            layer.scale.mul_(1.1)
        if how == "copied":
            other = copy.deepcopy(layer)
        elif how == "saved":
            other = fresh
            other.load_state_dict(copy.deepcopy(layer.state_dict()))
        elif how == "digital":
            other = rt.to_digital(layer)
        else:
            other = rt.to_digital(layer)
            if how == "counted":
                layer.count_wear()
            else:
                layer.program(other.weight / 2)
                other.weight.data /= 2
        torch.testing.assert_close(other(x), layer(x))
        gamma = 0.5 ** torch.arange(3.0)
        expected = layer.scale.detach() * torch.einsum("n,nij->ij", gamma, layer.tiles)
        torch.testing.assert_close(layer.weight.data, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(other.weight.data, expected, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("value", [math.nan, -1.0])
    def test_a_scale_that_diverged_can_be_looked_at(self, value):
        layer = AnalogLinear(6, 3, algorithm=FOUR, scale="learnable", seed=0)
        with torch.no_grad():
            layer.scale.fill_(value)
        saved = layer.state_dict()["scale"]
        torch.testing.assert_close(saved, torch.tensor(value), equal_nan=True)
        torch.testing.assert_close(copy.deepcopy(layer).scale.detach(), saved, equal_nan=True)
        with pytest.raises(UpdateError, match="must stay above 0"):
            layer(torch.ones(1, 6))

    def test_a_layer_with_a_learnt_scale_can_be_printed(self):
        layer = AnalogLinear(6, 3, algorithm=FOUR, scale="learnable", seed=0)
        assert "scale=" in repr(layer)
        assert "scale" in rt.nn.describe(layer)


class TestSeeds:
    def test_the_same_seed_gives_the_same_training(self):
        weight, x = torch.zeros(4, 5), torch.randn(3, 5)

        def trained(seed):
            layer = AnalogLinear(5, 4, algorithm=FOUR, seed=seed)
            layer.program(weight)
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
            for _ in range(5):
                layer(x).sum().backward()
                optimizer.step()
            return layer.tiles

        assert torch.equal(trained(1), trained(1))
        assert not torch.equal(trained(1), trained(2))

    def test_none_draws_one_from_torch_and_stores_it(self):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            one, two = (AnalogLinear(2, 2, algorithm=FOUR) for _ in range(2))
            torch.manual_seed(5)
            again = AnalogLinear(2, 2, algorithm=FOUR)
        assert torch.equal(one.seeds, again.seeds)
        assert not torch.equal(one.seeds, two.seeds)
        assert "seeds" in one.state_dict()

    @pytest.mark.parametrize("seed", [-1, 2**62, 1.5, True])
    def test_impossible_seeds(self, seed):
        with pytest.raises(ConfigError, match="seed must be a whole number"):
            AnalogLinear(2, 2, algorithm=FOUR, seed=seed)

    def test_impossible_algorithms_and_converters(self):
        with pytest.raises(ConfigError, match="algorithm must be one of"):
            AnalogLinear(2, 2, algorithm=FINE)
        with pytest.raises(ConfigError, match="converters are not modelled yet"):
            AnalogLinear(2, 2, algorithm=FOUR, io="ideal")


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)
    )


class TestConvert:
    def test_everything_with_its_weights(self):
        plain = net()
        model = rt.convert(copy.deepcopy(plain), FOUR, seed=1)
        assert list(rt.nn.analog_layers(model)) == ["0", "3", "5"]
        x = torch.randn(2, 1, 6, 6)
        torch.testing.assert_close(model(x), plain(x), rtol=1e-4, atol=1e-5)
        back = rt.to_digital(model)
        assert not rt.nn.analog_layers(back)
        assert [type(m) for m in back] == [type(m) for m in plain]
        torch.testing.assert_close(back(x), model(x))
        assert len({tuple(m.seeds.tolist()) for m in rt.nn.analog_layers(model).values()}) == 3

    def test_in_place_and_without_touching_torchs_generator(self):
        model = net()
        state = torch.random.get_rng_state()
        assert rt.convert(model, FOUR) is model
        rt.to_digital(model)
        assert torch.equal(state, torch.random.get_rng_state())

    @pytest.mark.parametrize("given", [[0], 0, [None]])
    def test_patterns_are_texts(self, given):
        with pytest.raises(ConfigError, match=r"patterns of layers' names.*got"):
            rt.convert(net(), FOUR, exclude=given)
        with pytest.raises(ConfigError, match="wear must be true or false, got 'yes'"):
            rt.convert(net(), FOUR, wear="yes")

    def test_include_and_exclude(self):
        assert list(rt.nn.analog_layers(rt.convert(net(), FOUR, include="[35]"))) == ["3", "5"]
        assert list(rt.nn.analog_layers(rt.convert(net(), FOUR, exclude=["0", "5"]))) == ["3"]

    def test_a_single_layer(self):
        assert isinstance(rt.convert(nn.Linear(3, 2), FOUR), AnalogLinear)

    def test_frozen_layers_stay_frozen(self):
        model = net()
        model[3].weight.requires_grad_(False)
        rt.convert(model, FOUR)
        assert not model[3].weight.requires_grad
        assert model[5].weight.requires_grad

    @pytest.mark.parametrize(
        "settings", [{"include": "7"}, {"exclude": "conv*"}, {"include": ["0", "x"]}]
    )
    def test_patterns_that_match_nothing(self, settings):
        model = net()
        with pytest.raises(ConfigError, match="matches no module; convertible layers are: 0, 3, 5"):
            rt.convert(model, FOUR, **settings)
        assert not rt.nn.analog_layers(model)

    def test_nothing_to_convert(self):
        with pytest.raises(ConfigError, match="no layer to convert"):
            rt.convert(nn.Sequential(nn.ReLU()), FOUR)
        with pytest.raises(ConfigError, match="is analog already"):
            rt.convert(rt.convert(net(), FOUR), FOUR)

    def test_tied_weights_are_named(self):
        model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "out": nn.Linear(4, 5)})
        model["out"].weight = model["embed"].weight
        with pytest.raises(ConfigError, match=r"'out' is tied \(embed.weight, out.weight\)"):
            rt.convert(model, FOUR)

    def test_parametrized_weights_are_named(self):
        model = nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2)), nn.Linear(2, 2))
        with pytest.raises(ConfigError, match=r"[Pp]arametrized"):
            rt.convert(model, FOUR, include="0")

    def test_attention_is_named(self):
        model = nn.Sequential(nn.MultiheadAttention(4, 2), nn.Linear(4, 4))
        with pytest.raises(ConfigError, match=r"MultiheadAttention .* exclude=\['0.out_proj'\]"):
            rt.convert(model, FOUR)

    @pytest.mark.parametrize("view", [torch.t, lambda w: w.t()[:, 1:3].t().t()])
    def test_a_transpose_or_a_part_of_a_weight_is_tied_to_it(self, view):
        a = nn.Linear(6, 4, bias=False)
        part = view(a.weight)
        b = nn.Linear(part.shape[1], part.shape[0], bias=False)
        b.weight = nn.Parameter(part)
        with pytest.raises(ConfigError, match=r"'0' is tied \(0\.weight, 1\.weight\)"):
            rt.convert(nn.Sequential(a, b), FOUR)

    def test_memory_that_numpy_shares_is_tied(self):
        rows = np.zeros((5, 6), dtype=np.float32)
        layers = nn.Linear(6, 4, bias=False), nn.Linear(6, 4, bias=False)
        for k, layer in enumerate(layers):
            layer.weight = nn.Parameter(torch.from_numpy(rows[k : k + 4]))
        with pytest.raises(ConfigError, match=r"'0' is tied \(0\.weight, 1\.weight\)"):
            rt.convert(nn.Sequential(*layers), FOUR)

    @pytest.mark.parametrize("cut", [lambda w, k: w[:, 3 * k : 3 * k + 3], lambda w, k: w[k::2]])
    def test_parts_of_one_matrix_that_share_no_number_are_not_tied(self, cut):
        whole = torch.zeros(4, 6)
        layers = [nn.Linear(1, 1, bias=False) for _ in range(2)]
        for k, layer in enumerate(layers):
            layer.weight = nn.Parameter(cut(whole, k))
        rt.convert(nn.ModuleList(layers), FOUR)

    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
    def test_parameters_without_memory_of_their_own_stand_in_no_way(self):
        model = nn.Sequential(nn.Linear(3, 2))
        ragged = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
        model.register_parameter("ragged", nn.Parameter(ragged))
        model.register_parameter("sparse", nn.Parameter(torch.eye(3).to_sparse()))
        model.register_parameter("wide", nn.Parameter(torch.zeros(1, 3).expand(4, 3)))
        rt.convert(model, FOUR)

    def test_slices_of_one_vector_are_not_tied(self):
        model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
        vector = nn.utils.parameters_to_vector(model.parameters()).detach()
        nn.utils.vector_to_parameters(vector, model.parameters())
        rt.convert(model, FOUR)

    def test_tied_biases_are_named(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].bias = model[0].bias
        with pytest.raises(ConfigError, match=r"bias of layer '0' is tied \(0\.bias, 1\.bias\)"):
            rt.convert(model, RULE)

    def test_weights_that_are_computed_or_not_real_are_named(self):
        from torch.nn.utils import prune, spectral_norm

        for layer in (spectral_norm(nn.Linear(3, 3)), prune.identity(nn.Linear(3, 3), "weight")):
            with pytest.raises(ConfigError, match=r"weight of layer '0' is .*(computed|no param)"):
                rt.convert(nn.Sequential(layer), RULE)
        with pytest.raises(ConfigError, match=r"layer '0' is torch\.complex64"):
            rt.convert(nn.Sequential(nn.Linear(3, 3, dtype=torch.complex64)), RULE)

    def test_hooks_stay(self):
        model, seen = nn.Sequential(nn.Linear(3, 3)), []
        model[0].register_forward_pre_hook(lambda *_: seen.append("before"))
        handle = model[0].register_forward_hook(lambda *a: a[2] * 0)
        model[0].register_full_backward_hook(lambda *_: seen.append("back"))
        rt.convert(model, RULE)
        x = torch.ones(2, 3, requires_grad=True)
        out = model(x)
        assert not out.any()
        out.sum().backward()
        assert seen == ["before", "back"]
        handle.remove()
        assert model(x).any()

    @pytest.mark.parametrize("seed", [None, -1, 1.5, True, 2**70])
    def test_impossible_seeds_of_a_model(self, seed):
        with pytest.raises(ConfigError, match=r"seed must be a whole number in \[0, 2\*\*62\)"):
            rt.convert(nn.Sequential(nn.Linear(3, 3)), RULE, seed=seed)

    def test_weights_beyond_the_range_leave_the_model_whole(self):
        model = net()
        model[5].weight.data.fill_(10.0)
        with pytest.raises(ConfigError, match="outside what the tiles can hold"):
            rt.convert(model, FOUR)
        assert not rt.nn.analog_layers(model)

    def test_a_layer_used_twice_is_one_layer(self):
        shared = nn.Linear(3, 3)
        model = rt.convert(nn.Sequential(shared, nn.ReLU(), shared), FOUR)
        assert isinstance(model[0], AnalogLinear)
        assert model[0] is model[2]
        back = rt.to_digital(model)
        assert type(back[2]) is nn.Linear

    @pytest.mark.parametrize(
        ("patterns", "message"),
        [
            ({"exclude": "enc"}, r"'enc' \(Sequential\), but no .* write \"enc.\*\""),
            ({"include": ["head", "enc"]}, r"'enc' \(Sequential\), but no"),
            ({"include": ["head", "rnn"]}, r"'rnn' \(LSTM\), but no .* leave it out"),
            ({"scale": 1e-3}, r"layer 'enc.0': weights from .* lie outside"),
        ],
    )
    def test_what_would_select_nothing_or_does_not_fit_is_named(self, patterns, message):
        parts = {"enc": nn.Sequential(nn.Linear(4, 4)), "rnn": nn.LSTM(4, 4), "head": net()[-1]}
        model = nn.ModuleDict(parts)
        with pytest.raises(ConfigError, match=message):
            rt.convert(model, FOUR, **patterns)
        assert not rt.nn.analog_layers(model)
        assert list(rt.nn.analog_layers(rt.convert(model, FOUR, exclude=["rnn", "head"]))) == [
            "enc.0"
        ]

    @pytest.mark.parametrize("keep", [list, tuple, lambda layers: dict(enumerate(layers))])
    def test_layers_kept_in_plain_containers_are_refused(self, keep):
        model = net()
        model.order = keep([model[3]])
        with pytest.raises(ConfigError, match=r"layer '3' is also kept in 'order', a plain"):
            rt.convert(model, FOUR)
        assert not rt.nn.analog_layers(model)
        rt.convert(model, FOUR, exclude="3")

    def test_the_table_names_what_is_analog(self):
        text = rt.nn.describe(rt.convert(net(), FOUR, exclude="5"))
        assert "8 x 64" in text
        assert "4 x 9" in text
        assert text.count(repr(FOUR)) == 1  # long settings once for all layers that share them
        assert text.splitlines()[-3:] == [
            "digital parameters: 39",
            "  biases and scales of analog layers: 12 (0, 3)",
            "  Linear: 27 (5)",
        ]
        many = nn.Sequential(*(nn.BatchNorm1d(2) for _ in range(5)), nn.Linear(2, 2, bias=False))
        text = rt.nn.describe(rt.convert(many, FOUR))
        assert text.splitlines()[-1] == "  BatchNorm1d: 20 (0, 1, 2, 3, ...)"

    def test_layers_converted_one_by_one_have_their_own_randomness(self):
        whole, parts = net(), net()
        rt.convert(whole, RULE, seed=3)
        names = list(rt.nn.analog_layers(whole))
        for name in names:
            rt.convert(parts, RULE, seed=3, include=name)
        seeds = [parts.get_submodule(name).seeds.tolist() for name in names]
        assert seeds == [whole.get_submodule(name).seeds.tolist() for name in names]
        assert len(set(map(tuple, seeds))) == len(names) > 1

    def test_a_layer_that_was_replaced_takes_no_other_layers_randomness(self):
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        rt.convert(model, RULE, seed=3)
        model[0] = nn.Linear(3, 3)
        rt.convert(model, RULE, seed=3)
        assert model[0].seeds[0] != model[1].seeds[0]

    @pytest.mark.filterwarnings("ignore:Initializing zero-element")
    @pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
    def test_a_layer_without_crosspoints(self, shape):
        with pytest.raises(ConfigError, match=r"no crosspoint: .* exclude"):
            rt.convert(nn.Sequential(nn.Linear(*shape)), RULE)


def test_second_derivatives_are_refused():
    x = torch.randn(4, 6, requires_grad=True)
    y = AnalogLinear(6, 3, algorithm=FOUR, seed=0)(x).square().sum()
    (slope,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.square().sum().backward()


def test_backward_after_an_update_of_the_same_weights_is_refused():
    layer = AnalogLinear(3, 3, algorithm=RULE, seed=0)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    x = torch.randn(2, 3, requires_grad=True)
    late = layer(x).sum()
    layer(x).sum().backward()
    optimizer.step()
    with pytest.raises(UpdateError, match="between a forward pass and its backward pass"):
        late.backward()


class TestAutoScale:
    """Over the reach of what makes the weight: gamma^n times that of its tiles."""

    device = rt.devices.SoftBounds(states=10)

    def wide(self, reach):
        return self.device.replace(w_min=-reach, w_max=reach)

    def scale(self, algorithm):
        layer = rt.convert(nn.Sequential(nn.Linear(64, 8)), algorithm)[0]
        return float(layer.scale)

    def test_hidden_tiles_have_no_part_in_it(self):
        wide = self.wide(3.1)
        for rule in (
            rt.algorithms.TikiTakaV2([self.device, wide]),
            rt.algorithms.GatedResidualLearning([self.device, wide, wide], tiles=3),
        ):
            assert self.scale(rule) == pytest.approx(3 / 8)

    @pytest.mark.parametrize(("reach", "expected"), [(10.0, 3 / 8), (20.0, 3 / 16)])
    def test_finer_tiles_count_by_their_share(self, reach, expected):
        rule = rt.algorithms.ResidualLearning([self.device, self.wide(reach)], tiles=2, gamma=0.1)
        assert self.scale(rule) == pytest.approx(expected)


def test_copies_under_inference_mode():
    model = rt.convert(
        nn.Sequential(nn.Linear(6, 4)), rt.algorithms.SingleTile(rt.devices.SoftBounds())
    )
    x = torch.rand(2, 6)
    with torch.inference_mode():
        digital, twin = rt.to_digital(model), copy.deepcopy(model)
        made = rt.convert(
            nn.Sequential(nn.Linear(6, 4)), rt.algorithms.SingleTile(rt.devices.SoftBounds())
        )
        assert made(x).shape == (2, 4)
        torch.testing.assert_close(digital(x), model(x))
        torch.testing.assert_close(twin(x), model(x))
