"""A thread that works while its owner waits, so that the owner hears Ctrl-C at once.

Python's signal handlers run between two instructions of the main thread, and a driver may be in
one instruction for hours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
GRACE_SECONDS = 0.4


class SideThread:
    """Carries out calls one after another. It never keeps the process from ending."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, work: Callable[[], _T], interrupt: Callable[[], object]) -> _T:
        """What ``work`` returns or raises, once it and what was asked before are done.

        interrupt: told, in another thread, where the waiting ends before the work does, as by
        Ctrl-C. The work then has ``GRACE_SECONDS`` to end.
        """
        future: Future[_T] = Future()
        self._calls.put(partial(_carry_out, future, work))
        try:
            return future.result()
        except BaseException:
            if not future.done():
                threading.Thread(target=interrupt, daemon=True).start()
                wait([future], GRACE_SECONDS)
            raise

    def end(self, work: Callable[[], None]) -> None:
        """Do this last; waits ``GRACE_SECONDS`` for it, and leaves it behind after that."""
        future: Future[None] = Future()
        self._calls.put(partial(_carry_out, future, work))
        self._calls.put(None)
        wait([future], GRACE_SECONDS)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _carry_out(future: Future[_T], work: Callable[[], _T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  (it is raised where the result is waited for)
        future.set_exception(error)
