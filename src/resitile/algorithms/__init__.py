"""Training algorithms: which tile is pulsed with what, and when. One file each."""

from resitile._registry import import_all
from resitile.algorithms.base import Algorithm, create, names

import_all(__name__, list(__path__))

from resitile.algorithms.residual_learning import ResidualLearning  # noqa: E402
from resitile.algorithms.single_tile import SingleTile  # noqa: E402

__all__ = ["Algorithm", "ResidualLearning", "SingleTile", "create", "names"]
