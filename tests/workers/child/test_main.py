"""What a child does before it times anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from workers.child import main
from workers.child.main import Runner
from workers.engines.session import Array, Feeds, NotAsPlannedError, Session


class Cold(Session):
    """Notes who has run it, and gives every other caller a session of its own."""

    def __init__(self, others: Sequence[Cold] = ()) -> None:
        self.assignment = {"cold": 1}
        self.least_loops = 2
        self._others = others
        self.ran_in: list[threading.Thread] = []
        self.loops: list[int] = []

    def run(self, feeds: Feeds) -> list[Array]:
        return []

    def set_feeds(self, feeds: Feeds) -> None:
        pass

    def timed(self, loops: int) -> int:
        self.ran_in.append(threading.current_thread())
        self.loops.append(loops)
        return 10_000_000 * loops

    @contextmanager
    def callers(self, count: int) -> Iterator[Sequence[Session]]:
        yield [self, *self._others][:count]


def throughput(runner: Runner) -> None:
    runner.throughput(2, 0.001)


def slow_sample(runner: Runner) -> None:
    runner._is_slow = True
    runner.sample(2, callers=2)


@pytest.mark.parametrize("measure", [throughput, slow_sample])
def test_the_first_run_of_every_caller_comes_before(measure: Callable[[Runner], None]) -> None:
    other, runner = Cold(), Runner()
    session = Cold([other])
    runner._session = session
    measure(runner)
    assert other.ran_in[0] is threading.main_thread(), "callers call in threads of their own"
    assert other.loops[0] == other.least_loops


def test_what_has_run_runs_no_more_for_it() -> None:
    session, runner = Cold(), Runner()
    session._others = [session]
    runner._session = session
    slow_sample(runner)
    assert threading.main_thread() not in session.ran_in


class Strayed(Cold):
    """Runs, and turns out to be another one than was asked for."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self._calls = calls

    def run(self, feeds: Feeds) -> list[Array]:
        self._calls.append("run")
        return []

    def verify(self) -> None:
        self._calls.append("verified")
        raise NotAsPlannedError("it strayed.")


def test_what_is_loaded_is_verified_once_its_loading_was_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(main, "_session_factory", lambda *_: lambda: Strayed(calls))
    with pytest.raises(NotAsPlannedError, match="it strayed"):
        Runner().load("onnxruntime", {}, "model.onnx", "")
    assert calls == ["run", "verified"]
