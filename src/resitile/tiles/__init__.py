"""Crossbar arrays: one tile of devices, and the composite weight that several tiles form."""

from resitile.tiles.composite import Composite
from resitile.tiles.programming import Programmed, program
from resitile.tiles.tile import PulseTrain, Tile
from resitile.tiles.vectors import Vectors, patches, rows

__all__ = ["Composite", "Programmed", "PulseTrain", "Tile", "Vectors", "patches", "program", "rows"]
