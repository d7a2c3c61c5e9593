"""What every algorithm refuses."""

import math

import pytest

import resitile as rt
from resitile.errors import ConfigError
from tests.exact import SOFT

WRONG = [
    ("tiki_taka", {"gamma": 1.0}, r"gamma must lie in \[0, 1\), got 1.0"),
    ("tiki_taka", {"gamma": -0.1}, "gamma must be a number of at least 0, got -0.1"),
    ("tiki_taka", {"transfer_every": 0}, "transfer_every must be a whole number of at least 1"),
    ("tiki_taka", {"transfer_every": 1.5}, "transfer_every must be a whole number.*got 1.5"),
    ("tiki_taka", {"transfer_lr": math.nan}, "transfer_lr must be a number.*got nan"),
    ("tiki_taka", {"transfer_lr": math.inf}, "transfer_lr must be a number.*got inf"),
    ("tiki_taka", {"fast_lr": -1}, "fast_lr must be a number of at least 0, got -1"),
    ("tiki_taka", {"fast_lr": "0.1"}, "fast_lr must be a number of at least 0, got '0.1'"),
    ("tiki_taka", {"scale_transfer_lr": 1}, "scale_transfer_lr must be true or false, got 1"),
    ("tiki_taka", {"columns": -1}, r"columns must be a whole number in \[0, 100000\], got -1"),
    ("residual_learning", {"columns": 10**9}, r"in \[0, 100000\], got 1000000000"),
    ("tiki_taka_v2", {"threshold": 0.0}, "threshold must be above 0, got 0"),
    ("tiki_taka_v2", {"momentum": 1.1}, r"momentum must be a number in \[0, 1\], got 1.1"),
    ("tiki_taka_v2", {"forget_buffer": None}, "forget_buffer must be true or false, got None"),
    ("tiki_taka_v2", {"gamma": 2}, r"gamma must lie in \[0, 1\), got 2"),
    ("chopped_tiki_taka", {"chop_prob": 1.01}, r"chop_prob must be a number in \[0, 1\]"),
    ("chopped_tiki_taka", {"random_chop": "no"}, "random_chop must be true or false, got 'no'"),
    ("chopped_tiki_taka", {"granularity": 0}, "granularity must be above 0, got 0"),
    ("chopped_tiki_taka", {"auto_granularity": -1}, "auto_granularity must be.*got -1"),
    ("chopped_tiki_taka", {"auto_momentum": 1}, r"auto_momentum must lie in \[0, 1\), got 1"),
    ("chopped_tiki_taka", {"auto_scale": 0}, "auto_scale must be true or false, got 0"),
    ("chopped_tiki_taka", {"correct_gradient_magnitudes": 2}, "must be true or false, got 2"),
    ("chopped_tiki_taka", {"bits": 33}, r"bits must be a whole number in \[1, 32\], got 33"),
    ("chopped_tiki_taka", {"bits": True}, "bits must be a whole number.*got True"),
    (
        "chopped_tiki_taka",
        {"transfer_every": 10**30},
        r"of at least 1 and at most 1e\+15, got 10000",
    ),
    ("chopped_tiki_taka", {"transfer_lr": 10**400}, r"of at least 0 and at most 1e\+30, got 10000"),
    ("chopped_tiki_taka", {"transfer_lr": 1e39}, r"of at least 0 and at most 1e\+30, got 1e\+39"),
    ("chopped_tiki_taka", {"chop_prob": 1e-320}, "chop_prob must be at least 1e-15, got 1e-320"),
    ("chopped_tiki_taka", {"granularity": 1e-320}, "granularity must be at least 1e-15, got 1e-"),
    ("chopped_tiki_taka", {"momentum": -0.5}, r"momentum must be a number in \[0, 1\]"),
    ("agad", {"chop_prob": 0}, "chop_prob must be a number in .*got 0"),
    ("agad", {"tail_weightening": -1}, "tail_weightening must be a number of at least 0"),
    ("mixed_precision", {"granularity": 0}, "granularity must be above 0, got 0; None takes"),
    ("mixed_precision", {"transfer_every": -2}, "transfer_every must be.*at least 1, got -2"),
    ("mixed_precision", {"transfer_lr": "x"}, "transfer_lr must be a number.*got 'x'"),
    ("rider", {"gamma": 0}, r"gamma must lie in \(0, 1\], got 0"),
    ("rider", {"gamma": 1.2}, r"gamma must lie in \(0, 1\], got 1.2"),
    ("rider", {"filter_lr": 1.5}, r"filter_lr must be a number in \[0, 1\], got 1.5"),
    ("rider", {"chop_prob": -0.1}, r"chop_prob must be a number in \[0, 1\], got -0.1"),
    ("residual_learning", {"tiles": 1}, r"tiles must be a whole number in \[2, 64\], got 1"),
    ("residual_learning", {"gamma": 1}, r"gamma must lie in \(0, 1\), got 1"),
    ("residual_learning", {"transfer_ratio": 0}, "transfer_ratio must be.*at least 1, got 0"),
    ("residual_learning", {"transfer_lr_growth": -1}, "transfer_lr_growth must be.*got -1"),
]


@pytest.mark.parametrize(("name", "settings", "message"), WRONG)
def test_impossible_settings_name_value_and_range(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        rt.algorithms.create(name, SOFT, **settings)


@pytest.mark.parametrize("name", ["tiki_taka", "tiki_taka_v2", "agad", "rider"])
def test_devices_per_tile_must_be_as_many_as_tiles(name):
    with pytest.raises(ConfigError, match="3 devices for 2 tiles: give one device, or one per"):
        rt.algorithms.create(name, [SOFT] * 3)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("gated", "gated_residual_learning"), ("residual", "residual_learning"), ("agd", "agad")],
)
def test_the_beginning_of_a_name_is_enough_for_a_hint(name, meant):
    with pytest.raises(ConfigError, match=f"did you mean '{meant}'"):
        rt.algorithms.create(name, SOFT)
