"""`convert` and back where weights, types or layers are not freshly made: no loss in silence."""

import copy
import math

import pytest
import torch
from torch import nn

import resitile as rt
from resitile.errors import ConfigError, UpdateError

DEVICE = rt.devices.SoftBounds(states=4)
EVEN = rt.devices.SoftBounds(states=4, variation="none")


def single(device: rt.devices.Device = DEVICE) -> rt.algorithms.Algorithm:
    return rt.algorithms.SingleTile(device)


def linear(value: float, d_in: int = 100) -> nn.Linear:
    layer = nn.Linear(d_in, 3)
    with torch.no_grad():
        layer.weight.fill_(0.01)
        layer.weight[0, 0] = value
    return layer


class TestFit:
    def test_small_weights_keep_the_scale_of_auto(self):
        layer = rt.convert(linear(0.2), single(), scale="fit")
        assert layer.scale.item() == pytest.approx(3 / math.sqrt(100))

    @pytest.mark.parametrize("value", [0.9, -0.9])
    def test_the_largest_weight_lies_at_the_bound_of_the_coarsest_tile(self, value):
        with pytest.raises(
            ConfigError, match=r"layer '': weights.*scale of at least 0.9 instead of 0.3"
        ):
            rt.convert(linear(value), single(EVEN))
        for algorithm in (single(EVEN), rt.algorithms.ResidualLearning(EVEN, tiles=3)):
            layer = rt.convert(linear(value), algorithm, scale="fit")
            assert layer.scale.item() == pytest.approx(0.9)
            assert layer.tiles[0, 0, 0].item() == pytest.approx(math.copysign(1, value))
            torch.testing.assert_close(layer.weight.data, linear(value).weight.data)

    def test_each_side_has_its_own_bound(self):
        lopsided = rt.devices.SoftBounds(states=4, w_min=-0.5, w_max=1.0, variation="none")
        assert rt.convert(
            linear(-0.9), single(lopsided), scale="fit"
        ).scale.item() == pytest.approx(1.8)
        assert rt.convert(linear(0.9), single(lopsided), scale="fit").scale.item() == pytest.approx(
            0.9
        )

    def test_only_the_weights_that_are_given_must_fit(self):
        """Not the ones that torch would draw for a fresh layer."""
        device = rt.devices.SoftBounds(states=10, w_min=-0.1, w_max=1.0, variation="none")
        layer = nn.Linear(25, 16)
        with torch.no_grad():
            layer.weight.uniform_(-0.05, 0.5)
        before = torch.random.get_rng_state()
        for scale in ("auto", "fit", 0.6):
            new = rt.convert(copy.deepcopy(layer), single(device), scale=scale)
            torch.testing.assert_close(new.weight.data, layer.weight.data)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_auto_leaves_room_on_the_side_of_the_nearer_bound(self):
        device = rt.devices.SoftBounds(states=10, w_min=-0.1, w_max=1.0)
        layer = rt.convert(nn.Linear(400, 30), single(device))  # a loss of a tenth would warn
        assert layer.scale.item() == pytest.approx(1.5 / 0.1 / 20)
        device = rt.devices.SoftBounds(states=10, w_min=-0.6, w_max=1.0)
        assert rt.convert(nn.Linear(400, 30), single(device)).scale.item() == pytest.approx(3 / 20)

    def test_layers_themselves_have_no_weights_to_fit(self):
        with pytest.raises(ConfigError, match='in convert also "fit"'):
            rt.nn.AnalogLinear(3, 2, algorithm=single(), scale="fit")


class TestLost:
    def test_what_narrow_devices_lose_is_told(self):
        layer = nn.Linear(50, 40)
        with torch.no_grad():
            layer.weight.uniform_(-1, 1)
        with pytest.warns(UserWarning, match=r"root mean square\): 0 (\d+)%") as told:
            model = rt.convert(nn.Sequential(layer), single(), scale=1.0)
        off = (model[0].weight.data - layer.weight.data).norm() / layer.weight.data.norm()
        assert f"0 {off:.0%}" in str(told[0].message)
        assert off > 0.1

    def test_fresh_layers_and_even_devices_lose_little(self):  # warnings are errors here
        rt.convert(nn.Sequential(nn.Linear(50, 40), nn.Conv2d(3, 8, 3)), single())
        assert rt.convert(linear(0.25), single(EVEN)).program(torch.zeros(3, 100)).lost == 0

    def test_program_tells_the_share(self):
        layer = rt.nn.AnalogLinear(30, 20, algorithm=single(), seed=1)
        found = layer.program(torch.full((20, 30), 0.9))
        off = (layer.weight.data - 0.9).double()
        assert found.lost == pytest.approx(off.square().mean().sqrt().item() / 0.9, rel=1e-5)


class TestCarriedOver:
    def test_attributes_buffers_and_modules_of_users(self):
        layer = nn.Linear(4, 3)
        layer.is_projection = True
        layer.register_buffer("mask", torch.ones(3))
        layer.register_buffer("cache", torch.zeros(2), persistent=False)
        layer.low_rank = nn.Linear(4, 1)
        layer.gain = nn.Parameter(torch.ones(3))
        new = rt.convert(nn.Sequential(layer), single(), exclude="*.low_rank")[0]
        assert new.is_projection
        assert new.mask is layer.mask
        assert new.low_rank is layer.low_rank
        assert new.gain is layer.gain
        assert {"mask", "gain", "low_rank.weight"} < set(new.state_dict())
        assert "cache" not in new.state_dict()
        assert new.algorithm == single()
        old = rt.to_digital(nn.Sequential(new))[0]
        assert old.is_projection
        assert set(old.state_dict()) == set(layer.state_dict())
        assert set(dict(old.named_buffers())) == {"mask", "cache"}
        assert not {"algorithm", "tape", "digital_dtype"} & set(vars(old))

    @pytest.mark.parametrize(
        "name", ["scale", "algorithm", "tiles", "program", "crosspoints", "state_steps"]
    )
    def test_names_that_analog_layers_use_are_refused(self, name):
        model = nn.Sequential(nn.Linear(4, 3))
        told = rf"layer '0': it has an attribute '{name}' of its own"
        setattr(model[0], name, 0.5)
        with pytest.raises(ConfigError, match=told):
            rt.convert(model, single())
        del model[0].__dict__[name]
        model[0].register_buffer(name, torch.ones(1))
        with pytest.raises(ConfigError, match=told):
            rt.convert(model, single())
        assert type(model[0]) is nn.Linear

    def test_a_hook_goes_back_with_its_handle(self):
        model = nn.Sequential(nn.Linear(4, 3))
        calls = []
        handle = model[0].register_forward_hook(lambda *_: calls.append(1))
        rt.convert(model, single())(torch.ones(4))
        handle.remove()
        model(torch.ones(4))
        assert len(calls) == 1

    def test_a_forward_of_its_own_is_refused(self):
        model = nn.Sequential(nn.Linear(4, 3))
        model[0].forward = lambda x: x
        with pytest.raises(ConfigError, match=r"layer '0' has a forward of its own"):
            rt.convert(model, single())


class TestBack:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_the_type_of_before(self, dtype):
        model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2)).to(dtype)
        x = torch.randn(5, 4, dtype=dtype)
        analog = rt.convert(model, single(), exclude="2")
        back = rt.to_digital(analog)
        assert {p.dtype for p in back.parameters()} == {dtype}
        torch.testing.assert_close(back(x), analog(x), rtol=0.02, atol=0.02)

    @pytest.mark.parametrize("keep", [lambda m: [m], lambda m: {"a": (1, [m])}, lambda m: [[[m]]]])
    def test_layers_in_plain_lists_are_refused_both_ways(self, keep):
        model = nn.Sequential(nn.Linear(4, 3))
        model.kept = keep(model[0])
        with pytest.raises(
            ConfigError, match=r"layer '0' is also kept in 'kept', a plain .*convert"
        ):
            rt.convert(model, single())
        del model.kept
        rt.convert(model, single())
        model.kept = keep(model[0])
        with pytest.raises(
            ConfigError, match=r"layer '0' is also kept in 'kept', a plain .*to_digital"
        ):
            rt.to_digital(model)

    def test_a_list_that_holds_itself(self):
        model = nn.Sequential(nn.Linear(4, 3))
        model.kept = [1]
        model.kept.append(model.kept)
        rt.convert(model, single())


class TestLazy:
    def test_a_layer_without_shape_is_refused_until_it_has_one(self):
        model = nn.Sequential(nn.Linear(4, 5), nn.LazyLinear(3))
        with pytest.raises(ConfigError, match="'1' is a LazyLinear that has met no input"):
            rt.convert(model, single())
        with pytest.raises(ConfigError, match="'1' is a LazyLinear that has met no input"):
            rt.estimate_cost(model, algorithm=single())
        model(torch.randn(2, 4))
        rt.convert(model, single())
        assert type(model[1]) is rt.nn.AnalogLinear

    def test_described_as_such(self):
        model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.LazyLinear(3))
        text = rt.nn.describe(rt.convert(model, single(), exclude="1"))
        stayed = "LazyLinear, without shape until an input comes: 0 (1)"
        assert f"digital parameters: 0\n  {stayed}" in text


def test_an_initialisation_of_weight_data_after_convert_is_refused():
    """Torch counts no such write; the usual `model.apply(init)` of a GPT is one."""
    layer = rt.convert(nn.Linear(4, 3), single())
    layer.weight.data.normal_(0, 0.02)
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
    layer(torch.randn(2, 4)).sum().backward()
    held = layer.crosspoints.clone()
    with pytest.raises(UpdateError, match=r"initialise before convert\(\)"):
        optimizer.step()
    assert torch.equal(layer.crosspoints, held)
