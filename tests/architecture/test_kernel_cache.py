"""No kernel may be served from the cache of another version of the sources.

Numba's disk cache watches the file of the cached function only. An argument whose type carries a
hash of all kernel sources (`law.py`) makes an edited one another function.
"""

import importlib
import inspect
import pkgutil

import numba
from numba.core.caching import NullCache

import resitile.kernels

# They call nothing outside their own file.
ALONE = {"compose", "log_likelihood", "_clipped", "_follow"}


def cached():
    for module in pkgutil.iter_modules(resitile.kernels.__path__, "resitile.kernels."):
        for name, found in vars(importlib.import_module(module.name)).items():
            kind = type(getattr(found, "_cache", None))
            if isinstance(found, numba.core.dispatcher.Dispatcher) and kind is not NullCache:
                yield name, found


def test_every_cached_kernel_takes_the_sources():
    kernels = dict(cached())
    assert {"pulse_events", "measure_rows", "list_columns", "pulse_columns"} <= set(kernels)
    first = {
        name: next(iter(inspect.signature(k.py_func).parameters)) for name, k in kernels.items()
    }
    assert {name for name, p in first.items() if p not in ("law", "sources")} == ALONE
