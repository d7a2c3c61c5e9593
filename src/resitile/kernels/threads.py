"""The engine's own threads. Kernels release the GIL, so plain Python threads run them side by side.

Numba's parallel back ends are not used on purpose: one aborts when two Python threads enter it,
another when a process forks after it has run; a pool of Python threads does neither, and the
kernels compile faster.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from resitile.errors import ConfigError

MOST = 1024  # threads: more than any machine has, and fewer than its libraries die of
# `signal.signal` puts enumerations around its C module: ten times what the call itself takes.
_calls = getattr(signal, "_signal", signal)
_get_handler, _set_handler = _calls.getsignal, _calls.signal
_SIGINT = int(signal.SIGINT)
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let the engine use `n` threads (1 to 1024); results do not depend on it."""
    global _threads, _pool
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST:
        raise ConfigError(
            f"the number of threads must be a whole number from 1 to {MOST}, got {n!r}"
        )
    with _lock:
        _threads, _pool = n, None


def get_num_threads() -> int:
    """How many threads the engine uses."""
    return _threads


def _forget_pool() -> None:
    """A forked child has none of its parent's threads: it starts a pool of its own if it needs."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def run(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run independent tasks on the engine's threads, the caller's own among them.

    All tasks have ended when this returns or raises. A task may call `run` itself.
    """
    global _pool
    threads = min(_threads, len(tasks))
    if threads <= 1:
        return [task() for task in tasks]
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(_threads - 1, thread_name_prefix="resitile")
        pool = _pool
    results: list[Any] = [None] * len(tasks)
    waiting = iter(range(len(tasks)))
    take = threading.Lock()

    def work() -> None:
        while True:
            with take:
                k = next(waiting, None)
            if k is None:
                return
            results[k] = tasks[k]()

    helpers: list[Future[None]] = [pool.submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        # A helper that never started (all threads busy, as in a nested call) has nothing to do.
        errors = [h.exception() for h in helpers if not h.cancel()]
    for error in errors:
        if error is not None:
            raise error
    return results


class uninterrupted:
    """Holds back Ctrl-C until the `with` block has ended, so that no update stops half way."""

    def __enter__(self) -> None:
        self._pending: list[tuple[int, Any]] = []
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = _get_handler(_SIGINT)
        if self._before is not None:
            _set_handler(_SIGINT, self._hold)

    def _hold(self, number: int, frame: Any) -> None:
        self._pending.append((number, frame))

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            _set_handler(_SIGINT, self._before)
        if self._pending and callable(self._before):
            self._before(*self._pending[0])
