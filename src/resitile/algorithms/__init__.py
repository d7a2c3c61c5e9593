"""Training algorithms: which tile is pulsed with what, and when. One file each."""

from resitile._registry import import_all
from resitile.algorithms.base import Algorithm, classes, create, names

import_all(__name__, list(__path__))

from resitile.algorithms.agad import AGAD  # noqa: E402
from resitile.algorithms.cascaded_residual import CascadedResidualLearning  # noqa: E402
from resitile.algorithms.chopped_tiki_taka import ChoppedTikiTaka  # noqa: E402
from resitile.algorithms.gated_residual import GatedResidualLearning  # noqa: E402
from resitile.algorithms.mixed_precision import MixedPrecision  # noqa: E402
from resitile.algorithms.residual_learning import ResidualLearning  # noqa: E402
from resitile.algorithms.rider import RIDER  # noqa: E402
from resitile.algorithms.single_tile import SingleTile  # noqa: E402
from resitile.algorithms.state import SavedState, first_state  # noqa: E402
from resitile.algorithms.tiki_taka import TikiTaka  # noqa: E402
from resitile.algorithms.tiki_taka_v2 import TikiTakaV2  # noqa: E402

__all__ = [
    "AGAD",
    "RIDER",
    "Algorithm",
    "CascadedResidualLearning",
    "ChoppedTikiTaka",
    "GatedResidualLearning",
    "MixedPrecision",
    "ResidualLearning",
    "SavedState",
    "SingleTile",
    "TikiTaka",
    "TikiTakaV2",
    "classes",
    "create",
    "first_state",
    "names",
]
