"""AnalogSGD: what it applies, what it drops, what it refuses, and saved states."""

import copy
import io
import math
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils.checkpoint import checkpoint

import resitile as rt
from resitile.algorithms import auto_schedule
from resitile.errors import CheckpointError, ConfigError, UpdateError
from resitile.nn import optimizer as optimizers

X = torch.randn(40, 4, 6, generator=torch.Generator().manual_seed(1))


def rule(states=4):
    device = rt.devices.SoftBounds(states=states)
    return rt.algorithms.ResidualLearning(device, tiles=3, transfer_every=1, transfer_ratio=2)


def network(states=4) -> nn.Sequential:
    """The same small network at every call: digital norm, two analog layers."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    return rt.convert(model, rule(states), seed=7)


def sgd(model, lr=0.5, **settings):
    return rt.AnalogSGD(model.parameters(), lr=lr, **settings)


def backward(model, x):
    loss = (model(x) - 1).square().mean()
    loss.backward()
    return loss


def train(model, optimizer, batches):
    for x in batches:
        optimizer.zero_grad()
        backward(model, x)
        optimizer.step()
    return model


def same(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture
def trained():
    model = network()
    return train(model, sgd(model), X[:6])


def test_training_moves_tiles_and_digital_parameters(trained):
    start = network()
    assert not torch.equal(start[1].tiles, trained[1].tiles)
    assert not torch.equal(start[0].weight, trained[0].weight)
    assert trained[1].weight.grad is None
    assert same(trained, train(start, sgd(start), X[:6]))


class TestLearningRates:
    def test_each_group_has_its_own(self):
        model = network()
        before = copy.deepcopy(model)
        optimizer = rt.AnalogSGD(
            [{"params": model[1].parameters(), "lr": 0.0}, {"params": model[3].parameters()}],
            lr=0.5,
        )
        train(model, optimizer, X[:6])
        assert torch.equal(model[1].crosspoints, before[1].crosspoints)
        assert torch.equal(model[1].counts, before[1].counts)
        assert not torch.equal(model[3].crosspoints, before[3].crosspoints)

    def test_schedulers(self):
        scheduled, by_hand = network(), network()
        optimizer = sgd(scheduled)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
        for x in X[:3]:
            train(scheduled, optimizer, [x])
            scheduler.step()
        for lr, x in zip((0.5, 0.05, 0.005), X[:3], strict=True):
            train(by_hand, sgd(by_hand, lr), [x])
        for k in (1, 3):
            assert torch.equal(scheduled[k].crosspoints, by_hand[k].crosspoints)

    @pytest.mark.parametrize("lr", ["a", None, [0.1]])
    def test_what_is_no_number(self, lr):
        with pytest.raises(ConfigError, match="learning rate must be a number of at least 0"):
            sgd(network(), lr)

    @pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
    def test_impossible_ones(self, lr):
        model = network()
        with pytest.raises(ConfigError, match="learning rate must be a number of at least 0"):
            sgd(model, lr)
        optimizer = sgd(model)
        backward(model, X[0])
        optimizer.param_groups[0]["lr"] = lr
        before = copy.deepcopy(model)
        with pytest.raises(ConfigError, match="learning rate"):
            optimizer.step()
        assert same(model, before)

    def test_momentum_without_a_digital_parameter_is_told(self):
        rule = rt.algorithms.SingleTile(rt.devices.SoftBounds(states=4))
        layer = rt.nn.AnalogLinear(3, 2, bias=False, algorithm=rule)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        with pytest.warns(UserWarning, match="momentum and weight_decay has no effect") as told:
            optimizer.step()
        assert told[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            optimizer.step()  # it is told once
            rt.AnalogSGD(layer.parameters(), lr=0.1).step()
            grown = rt.AnalogSGD(layer.parameters(), lr=0.1, momentum=0.9)
            grown.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
            grown.step()

    def test_momentum_acts_on_digital_parameters_only(self):
        plain, heavy = network(), network()
        for model, settings in ((plain, {}), (heavy, {"momentum": 0.9, "weight_decay": 0.1})):
            for p in model[0].parameters():
                p.requires_grad_(False)
            for k in (1, 3):
                model[k].bias.requires_grad_(False)
            train(model, sgd(model, **settings), X[:5])
        assert same(plain, heavy)

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"momentum": 0.9},
            {"momentum": 0.9, "nesterov": True},
            {"weight_decay": 0.1},
            {"foreach": True},
            {"fused": True},
            {"lr": torch.tensor(0.3)},
        ],
        ids=str,
    )
    def test_digital_parameters_follow_torch_to_the_bit(self, settings):
        torch.manual_seed(4)
        ours = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
        theirs = copy.deepcopy(ours)
        settings = {"lr": 0.3, **settings}
        train(ours, rt.AnalogSGD(ours.parameters(), **settings), X[:6])
        start = copy.deepcopy(theirs)
        train(theirs, torch.optim.SGD(theirs.parameters(), **settings), X[:6])
        assert same(ours, theirs)
        assert not same(ours, start)

    @pytest.mark.parametrize(
        ("options", "own_way"),
        [({}, False), ({"momentum": 0.9}, True), ({"of_a_newer_torch": True}, True)],
    )
    def test_what_plain_steps_do_not_know_is_torchs(self, monkeypatch, options, own_way):
        called, torchs = [], optimizers._digital_step
        monkeypatch.setattr(optimizers, "_digital_step", lambda s: called.append(1) or torchs(s))
        model = network()
        optimizer = sgd(model)
        torch.optim.lr_scheduler.StepLR(optimizer, 1)  # leaves an option of its own
        optimizer.param_groups[0].update(options)
        train(model, optimizer, X[:1])
        assert bool(called) == own_way

    @pytest.mark.parametrize("second", [{}, {"weight_decay": 0.2}], ids=str)
    def test_groups_with_rates_of_their_own_follow_torch_to_the_bit(self, second):
        ours = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
        theirs = copy.deepcopy(ours)
        for model, kind in ((ours, rt.AnalogSGD), (theirs, torch.optim.SGD)):
            groups = [
                {"params": model[0].parameters(), "lr": 0.5},
                {"params": model[1].parameters(), **second},
            ]
            train(model, kind(groups, lr=0.1), X[:6])
        assert same(ours, theirs)


class TestQueue:
    def test_closure(self):
        one, two = network(), network()
        optimizer = sgd(one)
        loss = optimizer.step(lambda: backward(one, X[0]))
        assert loss.item() > 0
        assert same(one, train(two, sgd(two), X[:1]))

    def test_accumulated_batches_act_in_forward_order(self):
        model = network()
        manual = copy.deepcopy(model)
        optimizer = sgd(model)
        losses = [(model(x) - 1).square().mean() for x in X[:3]]
        for loss in reversed(losses):  # backward order must not matter
            loss.backward()
        recorded = {k: sorted(model[k].tape.queue, key=lambda r: r[0]) for k in (1, 3)}
        optimizer.step()
        for k in (1, 3):
            composite = manual[k].composite()
            state = {n: b.numpy() for n, b in manual[k].state.items()}
            for _, x, d, *_ in recorded[k]:
                vectors = manual[k].vectors(x, d)
                for v in vectors:
                    v.measure()
                manual[k].algorithm.step(composite, state, vectors, 0.5)
            assert torch.equal(manual[k].crosspoints, model[k].crosspoints)
            assert torch.equal(manual[k].weight, model[k].weight)
            assert manual[k].state["steps"].item() == 3

    @pytest.mark.parametrize("who", ["optimizer", "model"])
    def test_zero_grad_drops_what_was_recorded(self, who):
        model = network()
        before, optimizer = copy.deepcopy(model), sgd(model)
        backward(model, X[0])
        (optimizer if who == "optimizer" else model).zero_grad()
        optimizer.step()
        assert same(model, before)

    def test_a_step_is_applied_once(self):
        model = network()
        optimizer = sgd(model)
        backward(model, X[0])
        optimizer.step()
        after = copy.deepcopy(model[1])
        optimizer.step()
        assert torch.equal(model[1].counts, after.counts)
        assert torch.equal(model[1].crosspoints, after.crosspoints)

    def test_a_learning_rate_of_0_drops_the_batch(self):
        model = network()
        before, optimizer = copy.deepcopy(model), sgd(model, 0.0)
        train(model, optimizer, X[:2])
        assert same(model, before)
        optimizer.param_groups[0]["lr"] = 0.5
        optimizer.step()
        for k in (1, 3):
            assert torch.equal(model[k].counts, before[k].counts)

    def test_evaluation_in_between_changes_nothing(self):
        one, two = network(), network()
        train(one, sgd(one), X[:4])
        optimizer = sgd(two)
        for x in X[:4]:
            with torch.no_grad():
                two.eval()(x)
                two.train()
            train(two, optimizer, [x])
            with torch.inference_mode():
                two(x)
        assert same(one, two)

    def test_an_empty_batch(self):
        model = network()
        optimizer = sgd(model)
        before = copy.deepcopy(model[1])
        model(torch.zeros(0, 6)).sum().backward()
        optimizer.step()
        assert torch.equal(model[1].crosspoints, before.crosspoints)

    def test_frozen_tiles_stay(self):
        model = network()
        model[1].weight.requires_grad_(False)
        before = copy.deepcopy(model[1])
        train(model, sgd(model), X[:3])
        assert torch.equal(model[1].crosspoints, before.crosspoints)
        assert torch.equal(model[1].counts, before.counts)


class TestRefusals:
    @pytest.mark.parametrize("name", ["maximize", "differentiable"])
    def test_what_pulses_cannot_follow(self, name):
        with pytest.raises(ConfigError, match=name):
            sgd(network(), **{name: True})
        optimizer = sgd(network())
        with pytest.raises(ConfigError, match=name):
            optimizer.add_param_group({"params": nn.Linear(2, 2).weight, name: True})
        assert len(optimizer.param_groups) == 1
        with pytest.raises(TypeError):
            optimizer.add_param_group([nn.Linear(2, 2).weight])

    @pytest.mark.parametrize("name", ["maximize", "differentiable"])
    def test_what_pulses_cannot_follow_and_arrives_later(self, name):
        model = network()
        optimizer = sgd(model)
        state = optimizer.state_dict()
        state["param_groups"][0][name] = True
        optimizer.load_state_dict(state)
        backward(model, X[0])
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(ConfigError, match=name):
            optimizer.step()
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    @pytest.mark.parametrize("optimizer", [None, torch.optim.SGD])
    def test_weights_that_nobody_owns(self, optimizer):
        model = network()
        if optimizer:
            optimizer(model.parameters(), lr=0.1)
        backward(model, X[0])
        with pytest.raises(UpdateError, match=r"no optimizer owns.*AnalogSGD"):
            backward(model, X[1])

    def test_weights_whose_owner_is_gone(self):
        model = network()
        optimizer = sgd(model)
        train(model, optimizer, X[:1])
        del optimizer
        other = torch.optim.Adam(model.parameters())
        with pytest.raises(UpdateError, match=r"no optimizer owns.*AnalogSGD"):
            train(model, other, X[:2])

    def test_zero_grad_of_a_model_that_nobody_owns_hides_nothing(self):
        """A loop that trains nothing is told at its second step, whoever clears its gradients."""
        model = network()
        other = torch.optim.SGD(model.parameters(), lr=0.1)
        model.zero_grad()
        backward(model, X[0])
        other.step()
        model.zero_grad()
        model.zero_grad()  # with nothing left to drop
        with pytest.raises(UpdateError, match=r"no optimizer owns.*made before convert\(\)"):
            backward(model, X[1])
        optimizer = sgd(model)  # from now on it is owned
        optimizer.zero_grad()
        train(model, optimizer, X[:2])
        assert model[1].pulses.sum() > 0

    def test_an_owner_that_never_steps_is_told(self, monkeypatch):
        monkeypatch.setattr("resitile.nn.tape._MANY", 3)
        model = network()
        owner = sgd(model)
        other = torch.optim.Adam(model.parameters())
        for x in X[:2]:
            other.zero_grad()
            backward(model, x)
            other.step()
        with pytest.warns(UserWarning, match="3 mini-batches wait for a step") as told:
            backward(model, X[2])
        backward(model, X[3])  # once is enough
        assert len(told) == len(rt.nn.analog_layers(model))
        owner.step()  # they were recorded, and are sent

    def test_an_optimizer_that_was_copied_alone(self):
        model = network()
        alone = copy.deepcopy(sgd(model))
        for call in (alone.zero_grad, alone.step):
            with pytest.raises(UpdateError, match=r"copy\.deepcopy\(\(model, optimizer\)\)"):
                call()

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_gradients_of_inputs_alone_teach_the_tiles_nothing(self, reentrant):
        """As in torch, where neither leaves a gradient in the weights."""
        from torch.utils.checkpoint import checkpoint

        made = []
        for adversary in (False, True):
            model = network()
            optimizer = sgd(model)
            optimizer.zero_grad()
            if adversary:
                x = X[0].clone().requires_grad_()
                torch.autograd.grad(model(x).square().sum(), x)
                model(x).square().sum().backward(inputs=[x])
                assert x.grad is not None
            start = X[0].clone().requires_grad_()
            out = checkpoint(model, start, use_reentrant=True) if reentrant else model(start)
            out.square().sum().backward()
            optimizer.step()
            made.append(model)
        assert made[0][1].pulses.sum() > 0
        assert same(*made)

    def test_saliency_of_a_model_that_nobody_trains(self):
        model, x = network(), X[0].clone().requires_grad_()
        first, second = (torch.autograd.grad(model(x).sum(), x)[0] for _ in range(2))
        assert torch.equal(first, second)

    def test_a_copied_optimizer_owns_the_copied_weights(self):
        model = network()
        optimizer = sgd(model)
        again, its = copy.deepcopy((model, optimizer))
        for net, owner in ((model, optimizer), (again, its)):
            backward(net, X[0])
            backward(net, X[1])
            owner.step()
        assert same(model, again)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    @pytest.mark.parametrize("where", ["input", "gradient"])
    def test_what_is_not_finite_changes_nothing(self, bad, where):
        model = network()
        before, optimizer = copy.deepcopy(model), sgd(model)
        x = X[0].clone()
        if where == "input":
            x[0, 0] = bad
            backward(model, x)
        else:
            (model(x).sum() * bad).backward()
        with pytest.raises(UpdateError, match=r"NaN or infinity; nothing was\s+changed"):
            optimizer.step()
        assert same(model, before)
        optimizer.zero_grad()
        train(model, optimizer, X[:1])

    def test_an_input_that_was_overwritten(self):
        model = nn.Sequential(network()[1])
        optimizer = sgd(model)
        x = X[0].clone()
        backward(model, x)
        x.zero_()
        with pytest.raises(UpdateError, match="overwritten between"):
            optimizer.step()

    @pytest.mark.parametrize("unscale", [False, True])
    def test_grad_scaler(self, unscale):
        model = network()
        before, optimizer = copy.deepcopy(model), sgd(model)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(model(X[0]).sum()).backward()
        if unscale:  # of digital gradients; what the tiles recorded stays scaled
            scaler.unscale_(optimizer)
        with pytest.raises(UpdateError, match="train without GradScaler"):
            scaler.step(optimizer)
        assert same(model, before)
        optimizer.zero_grad()
        backward(model, X[0])
        optimizer.step()  # without the scaler all is well again

    def test_a_weight_that_was_written_directly(self):
        model = network()
        optimizer = sgd(model)
        with torch.no_grad():
            model[1].weight.mul_(2)
        backward(model, X[0])
        with pytest.raises(UpdateError, match=r"layer.program\(weight\)"):
            optimizer.step()

    @pytest.mark.parametrize("how", ["vector", "data", "loaded"])
    def test_a_weight_whose_memory_was_replaced(self, how):
        """Torch counts no write of that kind."""
        model = network()
        optimizer = sgd(model)
        if how == "loaded":
            model.load_state_dict(network().state_dict())
        if how == "vector":
            vector = nn.utils.parameters_to_vector(model.parameters())
            nn.utils.vector_to_parameters(vector / 2, model.parameters())
        else:
            model[1].weight.data = model[1].weight.data / 2
        backward(model, X[0])
        before = copy.deepcopy([model[1].crosspoints, model[1].bias, model[0].weight])
        with pytest.raises(UpdateError, match=r"do not hold \(off by .*layer.program\(weight\)"):
            optimizer.step()
        after = [model[1].crosspoints, model[1].bias, model[0].weight]
        assert all(map(torch.equal, before, after))
        for layer in (model[1], model[3]):
            layer.program(layer.weight)
        optimizer.step()

    def test_the_same_weight_elsewhere_in_memory(self):
        one, two = network(), network()
        for layer in (two[1], two[3]):
            layer.weight.data = layer.weight.data.clone()
        assert same(train(one, sgd(one), X[:2]), train(two, sgd(two), X[:2]))

    @pytest.mark.parametrize("weight", [nn.Parameter(torch.zeros(5, 6)), None])
    def test_another_weight_in_the_place_of_the_tiles(self, weight):
        model = network()
        with pytest.raises(ConfigError, match=r"layer.program\(weight\), or put a digital layer"):
            model[1].weight = weight
        train(model, sgd(model), X[:2])

    def test_a_penalty_on_the_weight(self):
        model = network()
        optimizer = sgd(model)
        (model(X[0]).sum() + model[1].weight.abs().sum()).backward()
        before = copy.deepcopy(model)
        with pytest.raises(UpdateError, match=r"has a gradient.*penalty.*weight.detach\(\)"):
            optimizer.step()
        assert same(model, before)
        train(model, optimizer, X[:1])


class TestSavedStates:
    @staticmethod
    def through_file(state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)

    def test_resuming_equals_going_on(self, trained):
        resumed = network()
        resumed.load_state_dict(self.through_file(trained.state_dict()))
        assert same(resumed, trained)
        for model in (trained, resumed):
            train(model, sgd(model), X[6:12])
        assert same(resumed, trained)

    def test_another_device_is_refused_and_the_model_stays(self):
        saved = rt.convert(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)), rule(10))
        model = rt.convert(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)), rule(4))
        before = copy.deepcopy(model)
        with pytest.raises(CheckpointError, match="another device or algorithm"):
            model.load_state_dict(saved.state_dict())
        assert same(model, before)

    def test_a_state_of_another_auto_gamma_is_refused(self, monkeypatch):
        device = rt.devices.SoftBounds(states=4)
        rule = rt.algorithms.ResidualLearning(device, tiles=3, gamma="auto")
        saved = rt.convert(nn.Linear(6, 5), rule).state_dict()
        model = rt.convert(nn.Linear(6, 5), rule)
        model.load_state_dict(saved)
        monkeypatch.setattr(auto_schedule, "gamma_for", lambda *_: 0.5)
        with pytest.raises(CheckpointError, match="another device or algorithm"):
            model.load_state_dict(saved)

    def test_a_refused_state_leaves_digital_layers_alone_too(self):
        saved, model = network(10), network(4)
        train(saved, sgd(saved), X[:3])
        before = copy.deepcopy(model)
        with pytest.raises(CheckpointError):
            model.load_state_dict(saved.state_dict())
        assert same(model, before)

    def test_a_weight_that_its_tiles_do_not_hold_is_refused(self, trained):
        state = copy.deepcopy(trained.state_dict())
        fresh = network()
        before = copy.deepcopy(fresh)
        for error in (0.05, math.nan):
            state["1.weight"][0, 0] += error
            with pytest.raises(CheckpointError, match=r"'1' has a weight that its tiles do not"):
                fresh.load_state_dict(state)
        for held in (100.0, -100.0, math.nan):
            state = copy.deepcopy(trained.state_dict())
            state["1.crosspoints"][0, 0, 0] = held
            with pytest.raises(CheckpointError, match=r"1 devices of tile 0 outside of their own"):
                fresh.load_state_dict(state)
        assert same(fresh, before)

    def test_a_finest_tile_that_weighs_little_refuses_no_rounding(self):
        device = rt.devices.SoftBounds(states=4)
        rule = rt.algorithms.ResidualLearning(device, tiles=5, gamma=0.03)
        layer = rt.convert(nn.Linear(60, 50), rule, seed=0)
        state = layer.state_dict()
        state["weight"] *= 1 + 1e-6
        layer.load_state_dict(state)

    @pytest.mark.parametrize("strict", [True, False])
    def test_a_digital_state_does_not_slip_past_the_tiles(self, strict):
        model = network()
        plain = rt.to_digital(model)
        with torch.no_grad():
            plain[1].weight.mul_(0.5)
        before = model[1].weight.detach().clone()
        with pytest.raises((RuntimeError, CheckpointError)):
            model.load_state_dict(plain.state_dict(), strict=strict)
        assert torch.equal(model[1].weight, before)

    @pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies_train_alike_and_apart(self, trained, how):
        twin = how(trained)
        assert same(twin, trained)
        train(twin, sgd(twin), X[6:10])
        assert not same(twin, trained)
        train(trained, sgd(trained), X[6:10])
        assert same(twin, trained)

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_a_model_is_copied_with_its_optimizer(self, how, first):
        model = network()
        pair = model, torch.optim.lr_scheduler.StepLR(sgd(model), 1).optimizer
        train(*pair, X[:3])
        twin = how(pair if first == 0 else pair[::-1])
        twin = twin if first == 0 else twin[::-1]
        train(*twin, X[3:6])
        assert not same(twin[0], model)
        train(*pair, X[3:6])
        assert same(twin[0], model)
        assert {type(p) for p in model.parameters()} == {type(p) for p in twin[0].parameters()}

    @pytest.mark.parametrize("scale", ["auto", "learnable"])
    def test_a_shallow_copy_takes_the_tiles_from_nobody(self, scale):
        layer = rt.nn.AnalogLinear(6, 3, algorithm=rule(), scale=scale, seed=0)
        optimizer, before = sgd(layer), layer.tiles.clone()
        assert torch.equal(copy.copy(layer)(X[0]), layer(X[0]))
        layer(X[0]).sum().backward()
        optimizer.step()
        assert not torch.equal(layer.tiles, before)

    @pytest.mark.parametrize("scale", ["auto", "learnable"])
    def test_copies_on_the_device_without_memory(self, scale):
        layer = rt.nn.AnalogLinear(6, 3, algorithm=rule(), scale=scale, seed=0)
        other = copy.deepcopy(copy.deepcopy(layer).to("meta")).to_empty(device="cpu")
        other.load_state_dict(layer.state_dict())
        for each in (layer, other):
            each(X[0]).sum().backward()
            sgd(each).step()
        assert same(layer, other)

    def test_a_state_of_a_scale_alone(self):
        layer = rt.nn.AnalogLinear(6, 3, algorithm=rule(), scale="learnable", seed=0)
        before = layer(X[0]).detach()
        layer.load_state_dict({"scale": 2 * layer.scale.detach()}, strict=False)
        torch.testing.assert_close(layer(X[0]).detach() - layer.bias, 2 * (before - layer.bias))
        layer(X[0]).sum().backward()
        sgd(layer).step()
        fixed = rt.nn.AnalogLinear(6, 3, algorithm=rule(), seed=0)
        fixed.load_state_dict({"scale": 2 * fixed.scale}, strict=False)
        fixed(X[0]).sum().backward()
        with pytest.raises(UpdateError, match="its tiles do not hold"):  # not with the old one
            sgd(fixed).step()


class TestTorchsTools:
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize("how", ["function", "object"])
    def test_methods_that_another_library_replaced(self, how, when):
        """Such as Accelerate's and Ray's, which wrap what torch has, before or after our import."""
        code = f"""
import functools, torch
if {when == "after"}:
    import resitile.nn.optimizer
torchs, heard = torch.optim.Optimizer.state_dict, []
@functools.wraps(torchs)
def state_dict(self):
    heard.append(self)
    return torchs(self)
class Bound:
    def __get__(self, optimizer, cls):
        return functools.partial(state_dict, optimizer)
torch.optim.Optimizer.state_dict = state_dict if {how == "function"} else Bound()
import resitile
resitile.AnalogSGD([torch.nn.Parameter(torch.zeros(1))]).state_dict()
assert len(heard) == 1
"""
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_another_default_dtype(self):
        one = network()
        train(one, sgd(one), X[:4])
        two = network()
        torch.set_default_dtype(torch.float64)
        try:
            train(two, sgd(two), X[:4])
        finally:
            torch.set_default_dtype(torch.float32)
        assert same(one, two)

    @pytest.mark.parametrize("reentrant", [True, False])
    def test_activation_checkpointing(self, reentrant):
        one, two = network(), network()
        train(one, sgd(one), X[:4])
        optimizer = sgd(two)
        for x in X[:4]:
            optimizer.zero_grad()
            start = x.clone().requires_grad_()
            y = checkpoint(two, start, use_reentrant=reentrant)
            (y - 1).square().mean().backward()
            optimizer.step()
        assert same(one, two)

    def test_averaged_model(self):
        model = network()
        optimizer, averaged = sgd(model), torch.optim.swa_utils.AveragedModel(model)
        seen = []
        for x in X[:3]:
            train(model, optimizer, [x])
            averaged.update_parameters(model)
            seen.append(model[1].weight.detach().clone())
        torch.testing.assert_close(averaged.module[1].weight.data, torch.stack(seen).mean(0))
        assert averaged(X[0]).shape == (4, 2)

    @pytest.mark.parametrize("scale", ["auto", "learnable"])
    @pytest.mark.parametrize("kind", ["linear", "conv"])
    def test_functional_call_with_other_weights_is_digital(self, kind, scale):
        layers = {"linear": nn.Linear(6, 5), "conv": nn.Conv2d(2, 3, (2, 3), padding=1, groups=1)}
        x = X[0] if kind == "linear" else X[:8].reshape(4, 2, 4, 6)
        model = rt.convert(nn.Sequential(layers[kind]), rule(), scale=scale)
        weights = {name: p.detach() / 2 for name, p in model.named_parameters()}
        given = copy.deepcopy(weights)
        plain = rt.to_digital(model)
        found, expected = (
            torch.func.grad(lambda w, m=m: torch.func.functional_call(m, w, (x,)).sin().sum())(
                {name: weights[name] for name, _ in m.named_parameters()}
            )
            for m in (model, plain)
        )
        for name, gradient in expected.items():
            assert gradient.any()
            torch.testing.assert_close(found[name], gradient)
        assert not model[0].tape.queue
        torch.func.functional_call(model, weights, (x,))
        assert all(torch.equal(weights[name], given[name]) for name in given)
        copied = {name: copy.deepcopy(p) for name, p in model.named_parameters()}
        torch.testing.assert_close(torch.func.functional_call(model, copied, (x,)), model(x))
        torch.func.functional_call(model, dict(model.named_parameters()), (x,)).sum().backward()
        assert len(model[0].tape.queue) == 1

    def test_transforms_of_functions_are_refused_in_torchs_words(self):
        model, start = network(), network()
        with pytest.raises(RuntimeError, match="must override the setup_context"):
            torch.func.vmap(model)(X[:3])
        assert same(model, start)
        assert not model[1].tape.queue

    @pytest.mark.filterwarnings("ignore")  # torch warns of itself
    def test_a_compiled_model_learns_the_same(self, trained):
        model = network()
        compiled, optimizer = torch.compile(model, backend="eager"), sgd(model)
        train(compiled, optimizer, X[:6])
        assert same(model, trained)

    @pytest.mark.parametrize(
        "change",
        [
            nn.utils.parametrizations.spectral_norm,
            lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
        ],
    )
    def test_what_makes_the_weight_no_parameter(self, change):
        model = network()
        change(model[1])
        with pytest.raises(ConfigError, match=r"'weight' of an analog layer is no parameter"):
            model(X[0])

    def test_gradient_clipping_leaves_pulses_alone(self):
        one, two = network(), network()
        for model, clip in ((one, False), (two, True)):
            optimizer = rt.AnalogSGD([model[1].weight, model[3].weight], lr=0.5)
            for x in X[:3]:
                optimizer.zero_grad()
                backward(model, x)
                if clip:
                    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
                optimizer.step()
        assert torch.equal(one[1].crosspoints, two[1].crosspoints)

    @pytest.mark.parametrize("where", ["own", "global"])
    def test_step_hooks_run_once(self, where):
        model, called = network(), []
        optimizer = sgd(model)
        if where == "own":
            before, after = optimizer.register_step_pre_hook, optimizer.register_step_post_hook
        else:
            before = register_optimizer_step_pre_hook
            after = register_optimizer_step_post_hook

        def tell(name):
            # The tiles have moved when the hook behind the step is called, not before.
            return lambda *_: called.append((name, int(model[1].pulses.sum())))

        handles = [before(tell("before")), after(tell("after"))]
        try:
            train(model, optimizer, X[:1])
        finally:
            for handle in handles:
                handle.remove()
        pulses = int(model[1].pulses.sum())
        assert pulses > 0
        assert called == [("before", 0), ("after", pulses)]
        train(model, optimizer, X[:1])
        assert len(called) == 2

    def test_a_subclass_with_its_own_step_runs_hooks_once(self):
        class Mine(rt.AnalogSGD):
            def step(self, closure=None):
                return super().step(closure)

        model, called = network(), []
        optimizer = Mine(model.parameters(), lr=0.5)
        optimizer.register_step_pre_hook(lambda *_: called.append("before"))
        optimizer.register_step_post_hook(lambda *_: called.append("after"))
        train(model, optimizer, X[:1])
        assert called == ["before", "after"]

    def test_a_profiler_sees_the_optimizer(self):
        model = network()
        optimizer = sgd(model)
        with torch.profiler.profile() as profile:
            train(model, optimizer, X[:2])
        counts = {event.key: event.count for event in profile.key_averages()}
        assert counts["Optimizer.step#AnalogSGD.step"] == 2
        assert counts["Optimizer.zero_grad#AnalogSGD.zero_grad"] == 2

    @pytest.mark.parametrize("whose", ["optimizer", "model"])
    def test_zero_grad_to_zeros_leaves_no_gradient_of_the_tiles(self, whose):
        model = network()
        optimizer = sgd(model)
        (model(X[0]).sum() + model[1].weight.abs().sum()).backward()
        (optimizer if whose == "optimizer" else model).zero_grad(set_to_none=False)
        backward(model, X[0])
        optimizer.step()

    @pytest.mark.parametrize("to_none", [True, False])
    def test_zero_grad(self, to_none):
        model = network()
        optimizer = sgd(model)
        backward(model, X[0])
        optimizer.zero_grad(to_none)
        bias = model[1].bias.grad
        assert bias is None if to_none else not bias.any()
        assert not model[1].tape.queue


@pytest.mark.parametrize("apart", [False, True])
def test_an_output_gradient_that_a_parameters_gradient_shares_is_not_used_when_overwritten(apart):
    """Torch gives both the same memory where no sum over a batch lies between."""
    rule = rt.algorithms.SingleTile(rt.devices.ConstantStep(states=1000))
    layer, offset = (
        rt.nn.AnalogLinear(4, 8, algorithm=rule, seed=0),
        nn.Parameter(torch.zeros(6, 8)),
    )
    optimizer = rt.AnalogSGD([*layer.parameters(), offset], lr=0.1)
    out = layer(torch.randn(1, 6, 4))
    ((out * 1 if apart else out) + offset.unsqueeze(0)).square().sum().backward()
    nn.utils.clip_grad_norm_([offset], 1e-3)
    if apart:
        optimizer.step()
        assert layer.pulses.sum() > 0
        return
    with pytest.raises(UpdateError, match=r"output gradient .* write layer\(x\) \* 1 \+ parameter"):
        optimizer.step()
    assert layer.pulses.sum() == 0
