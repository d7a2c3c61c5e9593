"""Networks: their shapes, and weights that depend on the seed only."""

import pytest
import torch
from torch import nn

from resitile import models
from resitile.errors import ConfigError


class Own(nn.Linear):
    """A network from outside the package."""

    def __init__(self):
        super().__init__(3, 2)


class Wide(nn.Linear):
    def __init__(self, width: int) -> None:
        super().__init__(4, width)


class Broken(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, -1)


def not_a_network():
    return 7


def test_names():
    assert models.names() == ["lenet5"]


def test_lenet5_has_the_sizes_of_the_paper():
    net = models.LeNet5()
    sizes = [tuple(p.shape) for p in net.parameters() if p.dim() > 1]
    assert sizes == [(16, 1, 5, 5), (32, 16, 5, 5), (128, 512), (10, 128)]
    assert sum(p.numel() for p in net.parameters()) == 80_202


def test_lenet5_gives_log_probabilities():
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    out = models.create("lenet5", seed=0)(images)
    assert out.shape == (3, 10)
    assert torch.allclose(out.exp().sum(1), torch.ones(3), atol=1e-6)


def test_lenet5_layers_act_in_the_order_of_the_paper():
    """Against the same net written out with functions."""
    net = models.create("lenet5", seed=5)
    images = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    w = list(net.parameters())
    pool, tanh, conv = nn.functional.max_pool2d, torch.tanh, nn.functional.conv2d
    x = pool(tanh(conv(images, w[0], w[1])), 2)
    x = tanh(pool(tanh(conv(x, w[2], w[3])), 2)).reshape(2, 512)
    x = tanh(x @ w[4].T + w[5]) @ w[6].T + w[7]
    assert torch.allclose(net(images), x.log_softmax(1), atol=1e-5)


def _weights(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_a_seed_fixes_the_weights_and_spares_the_global_generator():
    before = torch.random.get_rng_state()
    first = _weights(models.create("lenet5", seed=3))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(_weights(models.create("lenet5", seed=3)), first)
    assert not torch.equal(_weights(models.create("lenet5", seed=4)), first)


def test_without_a_seed_the_global_generator_decides():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = _weights(models.create("lenet5"))
        second = _weights(models.create("lenet5"))
    assert torch.equal(first, _weights(models.create("lenet5", seed=3)))
    assert not torch.equal(first, second)


def test_a_network_of_ones_own():
    assert isinstance(models.create(f"{__name__}:Own", seed=0), nn.Linear)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lenet", "did you mean 'lenet5'. allowed: lenet5, or your own"),
        ("resnet", r"no model is called 'resnet'"),
        ("no.such.module:Net", "cannot be imported"),
        ("resitile.models:Nothing", "cannot be imported"),
        (":Net", "cannot be imported"),
        (f"{__name__}:Wide", r"constructor has others \(missing a required argument: 'width'\)"),
        (f"{__name__}:nn", "name a class of networks, or a function"),
        (
            f"{__name__}:Broken",
            r"cannot be made: .*test_models\.py:\d+: RuntimeError: Trying to cr",
        ),
        (f"{__name__}:not_a_network", r"gave 7; it must give a torch\.nn\.Module"),
    ],
)
def test_what_is_no_network_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        models.create(name)
