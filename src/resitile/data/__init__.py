"""Data sets: real images by name, verified by hash, in memory.

One data set is one file of this folder: a function `(data_dir) -> Dataset` under the
decorator `@dataset("name")`; no list elsewhere has to be edited.
"""

from resitile._registry import import_all
from resitile.data.base import Dataset, dataset, load, names
from resitile.data.split import split

__all__ = ["Dataset", "dataset", "load", "names", "split"]

import_all(__name__, __path__)
