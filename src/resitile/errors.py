"""Every error that resitile raises on purpose.

All derive from `ResitileError`, so a caller can catch the package's own complaints and
nothing else. The command line turns `ConfigError` and `DataError` into exit status 2 (the
request was wrong) and everything else into 1 (it failed on the way).
"""


class ResitileError(Exception):
    """Base class of the errors below."""


class ConfigError(ResitileError, ValueError):
    """A setting that cannot work: names the value, what is allowed and the remedy."""


class DataError(ResitileError):
    """A data file that is missing, damaged or not the one that was asked for."""


class CheckpointError(ResitileError):
    """A saved state that is damaged or belongs to another model, device or algorithm."""


class UpdateError(ResitileError, RuntimeError):
    """An update that cannot be carried out: NaN gradients, no owner, wrong shapes."""
