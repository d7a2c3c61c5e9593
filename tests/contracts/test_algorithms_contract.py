"""What every registered algorithm must keep, where its claim is true: many states."""

import copy
import io

import pytest
import torch

import resitile as rt
from resitile.errors import ConfigError
from resitile.nn import AnalogLinear

ALGORITHMS = [
    name
    for name in rt.algorithms.names()
    if type(rt.algorithms.create(name, rt.devices.SoftBounds())).__module__.startswith("resitile.")
]
# Settings that make another algorithm of one, as name/setting.
VARIANTS = ["residual_learning/adaptive"]
FINE = rt.devices.SoftBounds(states=2000, variation="none")
G = torch.Generator().manual_seed(0)
# Settings under which 400 steps are enough; other algorithms must do with their defaults.
SETTINGS = {
    "residual_learning": {"tiles": 3, "transfer_every": 1, "transfer_ratio": 2},
    "residual_learning/adaptive": {"tiles": 3, "schedule": "adaptive"},
    # One pulse per read: of 2000 states, 400 reads of every column reach 0.4.
    "tiki_taka_v2": {"columns": 0},
    # Devices this fine hardly forget: the fast tile must turn quickly when its sign does.
    "chopped_tiki_taka": {"columns": 0, "chop_prob": 0.02, "fast_lr": 1.0},
    "agad": {"columns": 0},
    # Pulses this small need a decision about every device after each mini-batch.
    "gated_residual_learning": {"tiles": 3, "decisions": 10.0},
    "cascaded_residual_learning": {"levels": [1], "pass_steps": 1, "passes": 1},
}
TARGET = 0.6 * torch.rand(6, 8, generator=G) - 0.3
X = torch.randn(400, 4, 8, generator=G)


def layer_of(name, device=FINE, shape=(6, 8)):
    rule = rt.algorithms.create(name.split("/")[0], device, **SETTINGS.get(name, {}))
    layer = AnalogLinear(shape[1], shape[0], bias=False, algorithm=rule, seed=5)
    layer.program(torch.zeros(shape))
    return layer


def train(layer, inputs, target=TARGET, lr=0.1):
    optimizer = rt.AnalogSGD(layer.parameters(), lr=lr)
    for x in inputs:
        loss = (layer(x) - x @ target.T).square().sum(1).mean() / 2
        loss.backward()
        optimizer.step()
    return layer


def same(a, b):
    one, two = a.state_dict(), b.state_dict()
    return all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture
def threads():
    before = rt.get_num_threads()
    yield rt.set_num_threads
    rt.set_num_threads(before)


@pytest.mark.parametrize("name", ALGORITHMS + VARIANTS)
class TestEveryAlgorithm:
    def test_it_learns_least_squares_with_many_states(self, name):
        layer = train(layer_of(name), X)
        error = (layer.weight - TARGET).square().mean().item()
        assert error < TARGET.square().mean().item() / 10

    def test_a_learning_rate_of_0_changes_nothing(self, name):
        layer = layer_of(name)
        before = copy.deepcopy(layer)
        assert same(train(layer, X[:3], lr=0.0), before)

    def test_the_same_seed_gives_the_same_bits(self, name):
        assert same(train(layer_of(name), X[:30]), train(layer_of(name), X[:30]))

    def test_its_state_goes_through_a_file(self, name):
        device = rt.devices.SoftBounds(states=10)
        layer = train(layer_of(name, device), X[:17])
        file = io.BytesIO()
        torch.save(layer.state_dict(), file)
        file.seek(0)
        resumed = layer_of(name, device)
        resumed.load_state_dict(torch.load(file, weights_only=True))
        assert same(layer, resumed)
        assert same(train(layer, X[17:40]), train(resumed, X[17:40]))

    def test_threads_change_no_bit(self, name, threads):
        target = torch.zeros(256, 260)
        target[::3] = 0.2
        inputs = torch.randn(4, 3, 260, generator=torch.Generator().manual_seed(2))
        made = []
        for n in (1, 2):
            threads(n)
            layer = layer_of(name, rt.devices.SoftBounds(states=50), (256, 260))
            optimizer = rt.AnalogSGD(layer.parameters(), lr=0.3)
            for x in inputs:
                # The gradient does not depend on the weight: torch's own products may round
                # differently, what the engine adds may not.
                (layer(x) * (x @ target.T)).sum().backward()
                optimizer.step()
            made.append(layer)
        assert made[0].pulses.sum() > 0
        assert same(*made)

    def test_frozen_settings_by_name(self, name):
        name = name.split("/")[0]
        rule = rt.algorithms.create(name, FINE)
        assert rule == rt.algorithms.create(name, FINE)
        assert len(rule.devices()) == rule.count
        assert name == type(rule).name
        with pytest.raises(rt.errors.ConfigError, match="has no setting 'learning_rate'"):
            rt.algorithms.create(name, FINE, learning_rate=1)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_unknown_settings_are_refused_with_the_nearest_name(name):
    rule = rt.algorithms.create(name, FINE)
    for make in (
        lambda **s: type(rule)(FINE, **s),
        lambda **s: rt.algorithms.create(name, FINE, **s),
    ):
        for setting in SETTINGS.get(name, {}):
            with pytest.raises(ConfigError, match=f"did you mean '{setting}'"):
                make(**{setting[:-1]: 1})
        with pytest.raises(ConfigError, match="no setting 'zzz'; allowed: "):
            make(zzz=1)
