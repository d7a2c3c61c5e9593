"""From a measured pulse response to a device: a CSV file in, a law with its numbers out."""

from resitile.fitting.doubts import warnings
from resitile.fitting.fit import Fitted, fit
from resitile.fitting.measurement import Train, read_trains
from resitile.fitting.nominal import Candidate

__all__ = ["Candidate", "Fitted", "Train", "fit", "read_trains", "warnings"]
