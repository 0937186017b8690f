"""Waiting for calls that may never return, as Ray's do when the head is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

_TICK_SECONDS = 0.5
_T = TypeVar("_T")


def patiently(call: Callable[[], _T], tick: Callable[[], None]) -> _T:
    """Carry out a call in a thread, and wait for it as long as ``tick`` raises nothing.

    tick: called twice a second. When it raises, the thread is left behind; it ends with the
    process at the latest. Raises what the call or ``tick`` raises.
    """
    done: Future[_T] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # noqa: BLE001  (raised again in the waiting thread)
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        ready, _ = wait([done], timeout=_TICK_SECONDS)
        if ready:
            return done.result()
        tick()


class Deadline:
    """A tick that raises TimeoutError after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._ticks = seconds / _TICK_SECONDS

    def __call__(self) -> None:
        """Count one tick."""
        self._ticks -= 1
        if self._ticks < 0:
            raise TimeoutError
