"""Ctrl-C that waits for the end of a step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """A run was asked to stop and has saved where it stands; the text says where.

    Attributes:
        summary: of the run, if the request came so late that it is whole; else None.
    """

    def __init__(self, text: str, summary: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.summary = summary


class StopRequest:
    """Whether somebody has asked the run to stop."""

    asked = False


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Take Ctrl-C and SIGTERM as a request; a second one interrupts at once.

    Outside the main thread Python delivers no signals, so there the request is never made.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        if request.asked:
            raise KeyboardInterrupt
        request.asked = True

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
        yield request
    finally:
        for taken, handler in before.items():
            signal.signal(taken, signal.SIG_DFL if handler is None else handler)
