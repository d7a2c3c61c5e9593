"""Changes that a train of pulses cannot send are cut, as hardware cuts them, and told once."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import resitile as rt

# The project ignores this very warning elsewhere.
pytestmark = pytest.mark.filterwarnings("error")
FINE = rt.devices.SoftBounds(states=1000, variation="none")  # 31 pulses are 0.062


def layer_of(algorithm=None, d_in=4, d_out=3):
    algorithm = algorithm or rt.algorithms.SingleTile(FINE)
    layer = rt.nn.AnalogLinear(d_in, d_out, bias=False, algorithm=algorithm, seed=1)
    layer.program(torch.zeros(d_out, d_in))
    return layer


def hold(layer, tile, value):
    composite = layer.composite()
    composite.w[:, :, tile] = value
    composite.refresh()


def step(layer, size, batch=10):
    optimizer = rt.AnalogSGD(layer.parameters(), lr=size)
    layer(torch.ones(batch, 4)).sum().backward()  # x and d are 1
    optimizer.step()
    return optimizer


class TestGradients:
    def test_a_cut_step_is_told_once_and_taken(self):
        layer = layer_of()
        with pytest.warns(UserWarning, match=r"^up to 100% .* vectors .* tile 0 .* 3 x 4 .*0.062"):
            optimizer = step(layer, 0.063, batch=1)
        assert np.allclose(layer.tiles[0], -0.062, atol=0.01)
        layer(torch.ones(10, 4)).sum().backward()
        optimizer.step()  # not told again: a warning would be an error here

    def test_a_step_that_a_train_holds_is_not(self):
        step(layer_of(), 0.0619)

    def test_one_vector_in_ten_may_be_cut(self):
        layer = layer_of()
        x = torch.full((10, 4), 0.1)
        x[0] = 1
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.2)
        layer(x).sum().backward()
        optimizer.step()
        share, most = layer.composite().watch.cut["gradients", 0]
        assert share == 0.1
        assert most == pytest.approx(0.062)

    def test_one_warning_names_all_layers_of_a_step(self):
        model = nn.Sequential(layer_of(d_out=4), layer_of())
        with torch.no_grad():
            model[0].program(torch.full((4, 4), 0.2))
            model[1].program(torch.full((3, 4), 0.2))
        with pytest.warns(UserWarning, match=r"4 x 4 .*; .* 3 x 4 ") as told:
            step(model, 1.0)
        assert len(told) == 1

    def test_the_line_named_is_the_users_through_a_scheduler_too(self):
        layer = layer_of()
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.1)
        torch.optim.lr_scheduler.StepLR(optimizer, 1)  # wraps optimizer.step
        layer(torch.ones(10, 4)).sum().backward()
        with pytest.warns(UserWarning, match="train of pulses") as told:
            optimizer.step()
        assert told[0].filename == __file__


class TestWrites:
    def test_a_transfer_that_asks_for_more_than_a_train_is_told_and_taken(self):
        algorithm = rt.algorithms.ResidualLearning(
            FINE, tiles=2, transfer_every=1, transfer_lr=1.0, transfer_lr_growth=1.0, columns=0
        )
        layer = layer_of(algorithm)
        hold(layer, 1, 0.5)
        said = r"^up to 100% of the columns or rows .* tile 0 .* 3 x 4 .*0.062.* transfers"
        with pytest.warns(UserWarning, match=said):
            step(layer, 0.001)
        assert np.allclose(layer.tiles[0], 0.062, atol=0.01)

    def test_a_transfer_that_a_train_holds_is_not(self):
        algorithm = rt.algorithms.ResidualLearning(
            FINE, tiles=2, transfer_every=1, transfer_lr=0.1, transfer_lr_growth=1.0, columns=0
        )
        layer = layer_of(algorithm)
        hold(layer, 1, 0.5)
        step(layer, 0.001)
        assert np.allclose(layer.tiles[0], 0.05, atol=0.012)

    def test_what_mixed_precision_cannot_send_is_told_and_waits(self):
        layer = layer_of(rt.algorithms.MixedPrecision(FINE))
        said = r"^up to 100% of the changes due in the digital store .* wait .* tile 0 .*0\.062"
        with pytest.warns(UserWarning, match=said):
            step(layer, 0.1)  # ten images: 500 pulses
        assert np.allclose(layer.state["chi"] + layer.tiles[0], -1.0, atol=0.01)

    def test_what_mixed_precision_can_send_is_not(self):
        step(layer_of(rt.algorithms.MixedPrecision(FINE)), 0.006)

    def test_rows_of_a_whole_matrix(self):
        composite = layer_of().composite()
        composite.write(0, np.full((3, 4), 0.0625, dtype=np.float32), 1.0)
        assert composite.watch.cut["writes", 0] == (1.0, pytest.approx(0.062))

    @pytest.mark.parametrize("pulses", [1, 3, 31, 32])
    def test_certain_pulses_fill_their_train_exactly(self, pulses):
        # Three pulses in a train of three are what was asked for, whatever rounding says.
        from resitile.algorithms.parts import send_pulses

        composite = layer_of().composite()
        send_pulses(composite, 0, np.arange(4), np.ones((4, 3), dtype=np.float32), pulses)
        assert not composite.watch.cut
        assert np.allclose(composite.w[..., 0], 0.002 * pulses, rtol=0.1)

    def test_lines_without_a_change_do_not_count(self):
        composite = layer_of().composite()
        change = np.zeros((3, 4), dtype=np.float32)
        change[1] = 1.0
        composite.write(0, change, 1.0)
        assert composite.watch.cut["writes", 0].share == 1.0

    @pytest.mark.parametrize("name", rt.algorithms.names())
    def test_coarse_devices_at_the_defaults_are_not_warned_of(self, name):
        device = rt.devices.SoftBounds(states=4)
        torch.manual_seed(0)
        algorithm = rt.algorithms.create(name, device)
        layer = rt.nn.AnalogLinear(6, 5, bias=False, algorithm=algorithm, seed=1)
        optimizer = rt.AnalogSGD(layer.parameters(), lr=0.05)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(40):
                optimizer.zero_grad()
                (layer(torch.randn(8, 6)) - 1).pow(2).mean().backward()
                optimizer.step()


def test_the_command_line_says_it_without_a_path(tmp_path, capfd, monkeypatch):
    from resitile.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(
        'name = "a"\n[data]\nname = "fashion-mnist-10k"\nlimit = 100\n[device]\n'
        'name = "soft_bounds"\nstates = 1000\n[algorithm]\nname = "single_tile"\n'
        "[optimizer]\nlr = 100.0\n[train]\nepochs = 1\n"
    )
    warnings.simplefilter("default")
    with pytest.raises(SystemExit) as stop:
        main(["train", "a.toml"])
    assert stop.value.code == 0
    error = capfd.readouterr().err
    assert re.search(r"^warning: up to \d+% of a mini-batch's vectors", error, re.M)
    assert "UserWarning" not in error
