"""A law's code: answers that cannot be are refused, and every change makes another law."""

import math
from types import ModuleType

import numba
import numpy as np
import pytest
import torch

import resitile as rt
from resitile.devices.law_code import draws_numbers, only_arithmetic
from resitile.errors import ConfigError, UpdateError
from resitile.tiles import Tile


def law(up, down=lambda w, p: 1.0) -> type[rt.Device]:
    """A law of two functions."""
    return type(
        "Mine", (rt.Device,), {"q_up": staticmethod(up), "q_down": staticmethod(down)},
        name="mine_of_test_law_code",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("up", "message"),
    [
        (lambda w, p: -1.0, r"q_up\(w, p\) of the law Mine at w = -1 .* is -1; .* at least 0"),
        (lambda w, p: 0.5 - w, r"at w = 0\.75 with p = \(-1\.0, 1\.0\) is -0\.25"),
        (lambda w, p: 0.9 - w, r"at w = 1 with p = \(-1\.0, 1\.0\) is -0\.1"),
        (lambda w, p: math.nan, "is nan"),
        (lambda w, p: math.inf, "is inf"),
        (lambda w, p: 1 / abs(w), "fails: ZeroDivisionError"),
        (lambda w, p: p[2], "fails: IndexError"),
    ],
)
def test_answers_that_cannot_be(up, message):
    with pytest.raises(ConfigError, match=message):
        law(up)()
    with pytest.raises(ConfigError, match="q_down"):
        law(lambda w, p: 1.0, up)()


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (rt.devices.SoftBounds.q_up, True),
        (lambda w, p: (1 - w / p[1]) * (1 - p[2] * w * w), True),
        (rt.devices.create("piecewise_step", states=4).q_up, False),  # calls a function
        (lambda w, p: math.exp(-w), False),
        (lambda w, p: w**2.5, False),
        (lambda w, p: 1.0 if w > 0 else 0.5, False),
        (lambda w, p: 1.0 * (w > 0 and p[0] < w), False),
    ],
)
def test_which_laws_are_arithmetic_alone(function, expected):
    """The dense path computes these for devices without a pulse, too."""
    assert only_arithmetic(function) is expected


def test_an_answer_of_zero_at_the_bound_is_fine():
    assert law(lambda w, p: 1 - w / p[1])(w_max=0.7).states == 4
    assert 0.3 - 0.1 * 3 < 0  # and one that is below 0 by rounding
    assert law(lambda w, p: 0.3 - 0.1 * 3 * w)().states == 4


def _none(w, p):
    if not 0.3 < w < 0.4:  # where nobody looks when a device is made
        return 1.0
    return None


@pytest.mark.parametrize(
    ("up", "message"),
    [
        (lambda w, p: 1.0 if not 0.3 < w < 0.4 else 1j, r"with complex128; it must return a real"),
        (_none, r"with OptionalType\(float64\); it must return a real number for every weight"),
        (lambda w, p: "1", r"with unicode_type; it must"),
        (lambda w, p: 1.0 if not 0.3 < w < 0.4 else (1.0, 2.0), "cannot be compiled: "),
    ],
)
def test_answers_that_are_no_numbers_are_refused_before_anything_is_compiled_around_them(
    up, message
):
    for made in (law(up), law(lambda w, p: 1.0, up)):
        with pytest.raises(ConfigError, match=rf"of the law Mine \(.*test_law_code.py:.*{message}"):
            _ = Tile(made(), 0).physics


@pytest.mark.parametrize(
    "up",
    [
        lambda w, p: 1,
        lambda w, p: w < 9,
        lambda w, p: np.float64(1),
        numba.njit(lambda w, p: 1.0),
    ],
)
def test_numbers_of_every_kind_are_answers(up):
    """On one short kernel, which answers like all others: these compile for ten times as long."""
    found = Tile(law(up)(states=4, variation="none"), 0).staircases(np.array([True]))
    assert found.ravel().tolist()[-1] == 0.5


def test_numbers_that_only_single_devices_spoil_are_blamed_on_the_law():
    """Beyond the nominal bound, where a device with a wider one goes, the root does not exist."""
    device = law(lambda w, p: (1 - w * w) ** 0.5)(states=3)
    layer = rt.nn.AnalogLinear(
        20, 10, algorithm=rt.algorithms.SingleTile(device), scale=1.0, seed=0
    )
    optimizer = rt.AnalogSGD(layer.parameters(), lr=1.0)

    def train() -> None:
        for _ in range(200):
            optimizer.zero_grad()
            (layer(torch.ones(4, 20)) - 99).pow(2).mean().backward()
            optimizer.step()

    with pytest.raises(UpdateError, match=r"devices of tile 0 hold NaN .* the law of Mine\(stat"):
        train()


def _pole(w, p):
    return 1.0 + (0.0 * p[1]) / (w - 0.125)  # 0 / 0 at a weight at which nobody looks


def test_a_law_that_divides_by_zero_spoils_only_what_is_pulsed():
    device = law(_pole)(states=20, variation="none")
    w = torch.full((8, 16), 0.125)
    x, d = torch.ones(4, 16), -torch.ones(4, 8)
    x[:, 3] = 0
    event, dense = (
        rt.pulsed_update(w, x, d, device, lr=0.1, seed=1, path=path) for path in ("event", "dense")
    )
    assert torch.equal(event[:, 3], w[:, 3])
    assert event.isnan().sum() == 8 * 15
    assert torch.equal(event.isnan(), dense.isnan())


def test_a_law_that_spoils_devices_is_told_though_the_loss_does_not_show_it():
    layer = rt.nn.AnalogLinear(
        4, 3, algorithm=rt.algorithms.SingleTile(law(_pole)(states=20, variation="none")),
        scale=1.0, seed=0,
    )  # fmt: skip
    layer.program(torch.full((3, 4), 0.125))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.5)
    (-layer(torch.ones(2, 4))).sum().backward()
    with pytest.raises(UpdateError, match="12 devices of tile 0 hold NaN"):
        optimizer.step()


def _id(**scope) -> str:
    """The id of a law that looks into `scope`."""
    exec("def up(w, p): return table[0] * other.gain * 0 + 1 - w / p[1]", scope)
    return law(scope["up"]).law_id()


def test_every_number_a_law_looks_up_is_part_of_it():
    def other(gain: float) -> ModuleType:
        made = ModuleType("other")
        made.gain = gain
        return made

    table = np.linspace(0, 1, 5000)
    first = _id(table=table, other=other(1.0))
    assert first == _id(table=table.copy(), other=other(1.0))
    edited = table.copy()
    edited[2500] += 1e-12
    assert first != _id(table=edited, other=other(1.0))
    assert first != _id(table=table.astype(np.float32), other=other(1.0))
    assert first != _id(table=table, other=other(2.0))
    assert _id(table=(table, 1), other=None) != _id(table=(edited, 1), other=None)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (lambda w, p: 1 - 0.5 * w, lambda w, p: 1 - 0.25 * w),
        (lambda w, p: 1 - math.sin(w), lambda w, p: 1 - math.tanh(w)),
        (lambda w, p, gain=0.5: 1 - gain * w, lambda w, p, gain=0.25: 1 - gain * w),
    ],
)
def test_every_edit_makes_another_law(before, after):
    assert law(before).law_id() != law(after).law_id()
    assert law(lambda w, p: 1.0, before).law_id() != law(lambda w, p: 1.0, after).law_id()


def test_functions_around_a_law_may_be_plain_python():
    def inner(w):
        return 0.5 * w

    def helper(w):
        return 1 - inner(w)

    assert Tile(law(lambda w, p: helper(w))(), 0).physics


def test_the_id_of_what_numpy_does_is_the_same_in_every_process():
    scope = {"interp": np.interp}
    exec("def up(w, p): return interp(w, (-1.0, 1.0), (1.0, 1.0))", scope)
    assert "0x" not in repr(scope["up"].__code__.co_consts)
    assert law(scope["up"]).law_id() == law(scope["up"]).law_id()


def test_tables_beside_numpy_are_no_random_numbers():
    random, up, np_ = np.linspace(-1, 1, 9), np.linspace(2, 0, 9), np

    def q(w, p):  # a table of that name is none either
        return np_.interp(w, random, up) + np.exp(w)

    def dice(w, p):
        return np.random.rand()  # noqa: NPY002

    def of_a_generator(w, p):
        return drawn(0.0, 1.0)

    from random import uniform as drawn

    assert not draws_numbers(q)
    assert draws_numbers(dice)
    assert draws_numbers(of_a_generator)
