"""What a `step` of the user's own can do wrong is told, not trained with."""

import numpy as np
import pytest
import torch

import resitile as rt
from resitile.algorithms.base import Algorithm
from resitile.cost import Layer, Work
from resitile.errors import ConfigError, UpdateError

FINE = rt.devices.ConstantStep(states=2000, variation="none")
DEVICE = rt.devices.SoftBounds(states=10, variation="none")


def algorithm(step, **parts):
    """A class of its own with this step, as a user would write it."""
    body = {"step": step, "__annotations__": {}, **parts}
    body["__module__"] = __name__
    return type("Own", (Algorithm,), body, name="own_step_of_a_test")


def trained(step, device=FINE, batch=None, d_in=6, **parts):
    layer = rt.nn.AnalogLinear(d_in, 4, bias=False, algorithm=algorithm(step, **parts)(device))
    layer.program(torch.zeros(4, d_in))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.01)
    torch.manual_seed(0)
    x = torch.rand(5, d_in) if batch is None else batch
    layer(x).sum().backward()
    optimizer.step()
    return layer


def test_a_change_that_is_not_finite_is_told_with_its_algorithm_and_layer():
    def broken(self, weight, state, batch, lr):
        weight.write(0, np.full((4, 6), np.nan), lr)

    with pytest.raises(UpdateError, match=r"Own, layer of \(4, 6\): a change holds NaN"):
        trained(broken)


class TestVectors:
    @pytest.mark.parametrize("which", ["x", "d"])
    @pytest.mark.parametrize("factor", [-4.0, 0.25])
    def test_a_new_x_or_d_counts_as_measured_ones_do(self, which, factor):
        def scaled(self, weight, state, batch, lr):
            for v in batch:
                setattr(v, which, factor * getattr(v, which))
            weight.pulse(0, batch, lr)

        batch = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
        found = trained(scaled, batch=batch).tiles.sum().item()  # of 1200 pulses or more
        assert found == pytest.approx(-0.01 * factor * 4 * batch.sum().item(), rel=0.12)

    @pytest.mark.parametrize("layer", ["linear", "convolution"])
    def test_the_users_own_data_cannot_be_written_to(self, layer):
        def greedy(self, weight, state, batch, lr):
            for v in batch:
                v.x *= 0.5  # numpy writes in place before it assigns

        images = torch.ones(3, 2, 5, 5)
        kept = images.clone()
        rule = algorithm(greedy)(DEVICE)
        if layer == "linear":
            made, data = rt.nn.AnalogLinear(5, 2, False, algorithm=rule), images[..., 0]
        else:
            made, data = rt.nn.AnalogConv2d(2, 2, 3, bias=False, algorithm=rule), images
        optimizer = rt.AnalogSGD(made.parameters(), lr=0.1)
        made(data).sum().backward()
        with pytest.raises(ConfigError, match=r"step fails at .*test_own_steps.*read-only"):
            optimizer.step()
        assert torch.equal(images, kept)

    def test_what_is_not_finite_moves_nothing(self):
        def spoilt(self, weight, state, batch, lr):
            batch[0].d = batch[0].d * np.nan
            weight.pulse(0, batch, lr)

        with pytest.raises(UpdateError, match="NaN or infinity"):
            trained(spoilt)

    def test_another_shape_is_refused(self):
        def cut(self, weight, state, batch, lr):
            batch[0].x = batch[0].x[:2]

        with pytest.raises(ConfigError, match=r"of its shape, \(5, 6\), got \(2, 6\)"):
            trained(cut)

    def test_one_mini_batch_is_a_list(self):
        def bare(self, weight, state, batch, lr):
            weight.pulse(0, batch[0], lr)

        with pytest.raises(ConfigError, match=r"Own, layer of \(4, 6\): pulse takes a list"):
            trained(bare)


class TestByHand:
    def test_a_weight_that_the_tiles_do_not_hold(self):
        def cached(self, weight, state, batch, lr):
            weight.weight[...] = 0.25

        with pytest.raises(ConfigError, match=r"a weight that the tiles do not hold .*refresh\(\)"):
            trained(cached)

    @pytest.mark.parametrize(
        ("value", "error", "text"),
        [
            (13.7, ConfigError, "step left 1 devices of tile 0 outside of their own bounds"),
            (np.nan, UpdateError, "1 devices of tile 0 hold NaN .*written by hand"),
        ],
    )
    def test_contents_where_no_pulse_leads(self, value, error, text):
        def pushed(self, weight, state, batch, lr):
            weight.w[1, 2, 0] = value
            weight.refresh()

        with pytest.raises(error, match=text):
            trained(pushed)

    def test_contents_within_the_bounds_may_be_written(self):
        def reset(self, weight, state, batch, lr):
            weight.w[...] = 0.5
            weight.refresh()

        assert (trained(reset).tiles == 0.5).all()

    def test_an_error_names_class_layer_and_line(self):
        def broken(self, weight, state, batch, lr):
            return 1 / 0

        with pytest.raises(ConfigError, match=r"Own, .*: step fails at .*py:\d+: ZeroDivision"):
            trained(broken)

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (lambda w, b: w.pulse(0.0, b, 0.1), "there is no tile 0.0"),
            (lambda w, b: w.pulse(0, b, "0.1"), "lr must be a number of at least 0, got '0.1'"),
            (lambda w, b: w.uniform(1.5), r"uniform takes whole numbers .*got \(1.5,\)"),
            (lambda w, b: w.uniform(2**70), "uniform takes whole numbers"),
        ],
    )
    def test_arguments_of_verbs(self, call, text):
        def wrong(self, weight, state, batch, lr):
            call(weight, batch)

        with pytest.raises(ConfigError, match=text):
            trained(wrong)


class TestSettings:
    @pytest.mark.parametrize(
        ("kind", "value", "text"),
        [
            (bool, "false", "setting must be true or false, got 'false'"),
            (int, 2.5, "setting must be a whole number, got 2.5"),
            (int, True, "setting must be a whole number, got True"),
            (float, "x", "setting must be a number, got 'x'"),
            (str, 1, "setting must be a text, got 1"),
        ],
    )
    def test_types_are_those_declared(self, kind, value, text):
        parts = {"__annotations__": {"setting": kind}, "setting": kind()}
        cls = algorithm(lambda self, weight, state, batch, lr: None, **parts)
        cls(DEVICE)
        with pytest.raises(ConfigError, match=text):
            cls(DEVICE, setting=value)

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("count", 0, r"count must be a whole number in \[1, 10000\], got 0"),
            ("count", 2.0, "count must be a whole number"),
            ("ratio", -0.5, "ratio must be a number of at least 0, got -0.5"),
            ("ratio", "0.5", "ratio must be a number"),
            ("ratio", float("nan"), "ratio must be a number"),
        ],
    )
    def test_count_and_ratio(self, name, value, text):
        parts = {name: property(lambda self: value)}
        cls = algorithm(lambda self, weight, state, batch, lr: None, **parts)
        with pytest.raises(ConfigError, match=text):
            cls(DEVICE)


class TestWork:
    @pytest.mark.parametrize(
        ("change", "text"),
        [
            (
                {"periods": -1.0},
                "periods of a Work must be a finite number of at least 0, got -1.0",
            ),
            ({"flops": float("nan")}, "flops of a Work must be a finite number"),
            ({"reads": float("inf")}, "reads of a Work must be a finite number"),
            ({"tiles": 0}, "tiles of a Work must be a number of at least 1, got 0"),
            ({"visible": 0}, "visible of a Work must be a number of at least 1, got 0"),
            ({"storage": "1"}, "storage of a Work must be a finite number"),
        ],
    )
    def test_numbers_that_no_update_takes(self, change, text):
        with pytest.raises(ConfigError, match=text):
            Work(**{"periods": 1.0, "reads": 0.0, "flops": 1.0, "storage": 1.0, **change})

    def test_something_else_than_work(self):
        cls = algorithm(lambda self, w, s, b, lr: None, work=lambda self, layer, reads: None)
        with pytest.raises(ConfigError, match=r"work of Own must return a resitile\.cost\.Work"):
            cls(DEVICE).cost(Layer(4, 4))


class TestMixedPrecision:
    @pytest.mark.parametrize("states", [20000, 20 / 0.7 * 1000])  # dw_min 1e-4 and 7e-5
    def test_what_a_train_cannot_hold_waits(self, states):
        """100 pulses leave in four transfers; none is lost."""
        device = rt.devices.ConstantStep(states=states, variation="none")
        dw = device.dw_min
        layer = rt.nn.AnalogLinear(
            2, 1, bias=False, algorithm=rt.algorithms.MixedPrecision(device), scale=1.0
        )
        layer.program(torch.zeros(1, 2))
        optimizer = rt.AnalogSGD(layer.parameters(), lr=100.001 * dw)
        layer(torch.tensor([[1.0, 0.1]])).sum().backward()  # 100 and 10 pulses
        optimizer.step()
        sent = []
        for _ in range(4):
            sent.append(layer.tiles[0, 0].clone())
            optimizer.zero_grad()
            (layer(torch.ones(1, 2)) * 0).sum().backward()
            optimizer.step()
        assert [round(-float(s[0]) / dw) for s in sent] == [31, 62, 93, 100]
        assert -float(sent[0][1]) / dw == pytest.approx(10, abs=10)  # Binomial(31, 10 / 31)
        assert layer.state["chi"].abs().max() < dw


class TestTypes:
    def test_functions_say_what_they_take(self):
        w = torch.zeros(2, 3)
        x, d = torch.ones(4, 3), torch.ones(4, 2)
        for name, arguments in (
            ("w", (w.numpy(), x, d)), ("x", (w, x.numpy(), d)), ("d", (w, x, d.numpy())),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match=f"{name} must be a tensor, got ndarray"):
                rt.pulsed_update(*arguments, DEVICE, lr=0.1, seed=0)
        with pytest.raises(ConfigError, match=r"lr must be a number .* got tensor"):
            rt.pulsed_update(w, x, d, DEVICE, lr=torch.tensor(0.1), seed=0)
        with pytest.raises(ConfigError, match="a tile needs a device"):
            rt.pulsed_update(w, x, d, rt.devices.SoftBounds, lr=0.1, seed=0)
        layer = rt.nn.AnalogLinear(3, 2, algorithm=rt.algorithms.SingleTile(DEVICE))
        with pytest.raises(ConfigError, match="a weight to program must be a tensor, got ndarray"):
            layer.program(w.numpy())
        with pytest.raises(ConfigError, match="convert takes a torch module, got None"):
            rt.convert(None, rt.algorithms.SingleTile(DEVICE))
