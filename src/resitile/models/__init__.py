"""Networks as plain torch; `resitile.convert` makes them analog.

One network is one file of this folder: a class under the decorator `@model("name")`; no list
elsewhere has to be edited.
"""

from resitile._registry import import_all
from resitile.models.base import create, model, names
from resitile.models.lenet5 import LeNet5

__all__ = ["LeNet5", "create", "model", "names"]

import_all(__name__, __path__)
