"""Every setting of every algorithm does something: none is accepted and ignored."""

import dataclasses

import pytest
import torch

import resitile as rt
from resitile._registry import is_own
from resitile.nn import AnalogConv2d

DEVICE = rt.devices.SoftBounds(states=10)
COLUMNS = {"transfer_every": 2, "transfer_lr": 0.5, "scale_transfer_lr": True, "columns": 0}
CHOPPED = {
    "fast_lr": 0.5, **COLUMNS, "chop_prob": 0.5, "random_chop": False, "granularity": 0.3,
    "momentum": 0.5, "forget_buffer": True,
}  # fmt: skip
CHOPPED_CHANGES = {
    "fast_lr": 0.2, "transfer_every": 1, "transfer_lr": 0.9, "scale_transfer_lr": False,
    "columns": 1, "chop_prob": 0.1, "random_chop": True, "granularity": 0.1, "momentum": 0.9,
    "forget_buffer": False, "auto_granularity": 20.0, "bits": 2,
}  # fmt: skip
AUTO = {**CHOPPED, "fast_lr": 0.5, "auto_scale": True}
AUTO_CHANGES = {"auto_scale": False, "auto_momentum": 0.1, "correct_gradient_magnitudes": True}
PERIODS = {"tiles": 3, "transfer_every": 1, "transfer_ratio": 2, "columns": 0, "transfer_lr": 0.3}
# By algorithm and variant: the settings of a run, and those that must change its outcome.
CASES = {
    "single_tile": ({}, {}),
    "tiki_taka": (
        {"gamma": 0.2, "fast_lr": 0.5, **COLUMNS},
        {
            "gamma": 0.4, "fast_lr": 0.2, "transfer_every": 1, "transfer_lr": 0.9, "columns": 1,
            "scale_transfer_lr": False,
        },
    ),
    "tiki_taka_v2": (
        {"gamma": 0.2, "fast_lr": 0.5, **COLUMNS, "threshold": 0.1, "momentum": 0.5},
        {
            "gamma": 0.4, "fast_lr": 0.2, "transfer_every": 1, "transfer_lr": 0.9, "columns": 1,
            "scale_transfer_lr": False, "threshold": 0.3, "momentum": 0.9, "forget_buffer": False,
        },
    ),
    "chopped_tiki_taka": (CHOPPED, CHOPPED_CHANGES),
    "chopped_tiki_taka/auto": (AUTO, AUTO_CHANGES),
    "agad": (CHOPPED, {**CHOPPED_CHANGES, "tail_weightening": 1.0}),
    "agad/auto": (AUTO, AUTO_CHANGES),
    "mixed_precision": ({}, {"transfer_every": 3, "transfer_lr": 0.5, "granularity": 0.1}),
    "rider": (
        {"gamma": 0.2, "fast_lr": 0.5, **COLUMNS, "filter_lr": 0.3, "chop_prob": 0.3},
        {
            "gamma": 0.4, "fast_lr": 0.2, "transfer_every": 1, "transfer_lr": 0.9, "columns": 1,
            "scale_transfer_lr": False, "filter_lr": 0.1, "chop_prob": 0.0,
        },
    ),
    "residual_learning": (
        PERIODS,
        {
            "tiles": 4, "gamma": 0.3, "fast_lr": 0.2, "transfer_every": 2, "transfer_ratio": 3,
            "transfer_lr": 0.1, "transfer_lr_growth": 1.8, "scale_transfer_lr": True,
            "columns": 1,
        },
    ),
    "residual_learning/auto": (
        {"tiles": 3, "schedule": "auto", "steps_per_epoch": 40},
        {
            "steps_per_epoch": 20, "transfer_lr": 0.3, "scale_transfer_lr": True,
            "transfer_lr_growth": 1.8, "fast_lr": 0.2,
        },
    ),
    "residual_learning/adaptive": (
        {"tiles": 3, "schedule": "adaptive", "transfer_lr": 0.5},
        {
            "transfer_lr": 0.2, "scale_transfer_lr": True, "transfer_lr_growth": 1.8,
            "fast_lr": 0.2,
        },
    ),
    "residual_learning/any": ({"tiles": 3}, {"schedule": "adaptive"}),
    "gated_residual_learning": (
        {"tiles": 4, "columns": 4, "decisions": 1.0, "alarm": 0.3, "stage_steps": 40},
        {
            "tiles": 5, "weight_tiles": 2, "columns": 2, "fresh": 1.0,
            "refill": 0.4, "decisions": 0.5, "alarm": 0.1,
        },
    ),
    "gated_residual_learning/stages": (
        {
            "tiles": 5, "weight_tiles": 2, "columns": 9, "decisions": 5.0, "alarm": 0.5,
            "stage_steps": 30,
        },
        {"stage_steps": 80, "gamma": 0.3},
    ),
    "cascaded_residual_learning": (
        {
            "weight_tiles": 2, "levels": [1, 1], "pass_steps": 1.0, "passes": 1, "alarm": 0.5,
            "stage_steps": 40, "blocks": 2, "chop": 4, "gradient_tiles": 2,
        },
        {
            "weight_tiles": 1, "levels": [2, 1], "gamma": 0.3, "pass_steps": 2.0, "fresh": 1.0,
            "refill": 0.9, "passes": 2, "alarm": 0.2, "stage_steps": 80, "gradient_tiles": 1,
            "chop": 0, "blocks": 1, "settle": 0.2, "turn_steps": 2,
        },
    ),
}  # fmt: skip


def other(value):
    """Another value of a setting's kind, for algorithms that have no line above."""
    return not value if isinstance(value, bool) else value + 1 if value == 0 else 2 * value


SHIPPED = [name for name, cls in rt.algorithms.classes().items() if not is_own(cls)]
for missing in {*SHIPPED} - {case.split("/")[0] for case in CASES}:  # a new file is asked, too
    made = rt.algorithms.create(missing, DEVICE)
    values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    numbers = {k: v for k, v in values.items() if isinstance(v, bool | int | float)}
    CASES[missing] = ({}, {k: other(v) for k, v in numbers.items()})
CHANGES = [(case, name) for case, (_, changes) in CASES.items() for name in changes]


def outcome(case: str, **settings):
    """Contents of all tiles, and the weight, after a short training with falling rate."""
    torch.manual_seed(0)
    rule = rt.algorithms.create(case.split("/")[0], DEVICE, **settings)
    layer = AnalogConv2d(2, 4, 2, bias=False, algorithm=rule, seed=3)
    layer.program(torch.zeros_like(layer.weight.detach()))
    optimizer = rt.AnalogSGD(layer.parameters(), lr=0.4)
    g = torch.Generator().manual_seed(1)
    for k in range(120):
        optimizer.param_groups[0]["lr"] = 0.4 if k < 90 else 0.2
        optimizer.zero_grad()
        (layer(torch.randn(4, 2, 3, 3, generator=g)) - 1).square().sum().backward()
        optimizer.step()
    return layer.crosspoints.clone(), layer.weight.detach().clone()


def test_every_setting_is_here():
    settings: dict[str, set[str]] = {}
    for case, (_, changes) in CASES.items():
        settings.setdefault(case.split("/")[0], set()).update(changes)
    for name in SHIPPED:
        fields = {field.name for field in dataclasses.fields(rt.algorithms.classes()[name])}
        assert settings.get(name, set()) == fields - {"device"}, name


_USUAL: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}


@pytest.mark.parametrize(("case", "name"), CHANGES)
def test_a_changed_setting_changes_the_outcome(case, name):
    base, changes = CASES[case]
    if case not in _USUAL:
        _USUAL[case] = outcome(case, **base)
    usual, changed = _USUAL[case], outcome(case, **{**base, name: changes[name]})
    assert (
        usual[0].shape != changed[0].shape
        or not torch.equal(usual[0], changed[0])
        or (not torch.equal(usual[1], changed[1]))
    )
