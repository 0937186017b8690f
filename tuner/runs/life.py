"""The life of a run while a process works on it: whatever ends it leaves a true status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from db.records import Run, RunStatus
from db.store import Store
from farm.errors import StoreError
from tuner.request import TuneRequest
from tuner.runs.lease import leased
from tuner.runs.memory import Memory
from tuner.runs.start import OpenRun


@dataclass(slots=True)
class Life:
    """A run that this process works on.

    opened: as the store had it when this process took it up.
    sealed: it was finished before, so that nothing is measured and its status stays.
    status: how it ends, to be set by who works on it.
    """

    opened: OpenRun
    sealed: bool
    status: RunStatus = RunStatus.FAILED


@contextmanager
def living(store: Store, opened: OpenRun) -> Iterator[Life]:
    """Work on a run: no other process does meanwhile, and its end is noted, however it comes.

    An error is a failure of the run; the same as Ctrl-C is a reader of its output who went away.

    Raises OptionError: another process works on the run. Raises StoreError.
    """
    with leased(store, opened.name):
        life = _taken_up(store, opened)
        try:
            yield life
        except Exception as error:
            _end(store, life, _status_after(error))
            raise
        except BaseException:
            _end(store, life, RunStatus.INTERRUPTED)
            raise
        store.release_lease(None if life.sealed else life.status)


def _taken_up(store: Store, opened: OpenRun) -> Life:
    """The run as it is now: another process may have worked on it since it was opened."""
    run = store.run(opened.name)
    if opened.more_seconds:
        return Life(_with_more_time(store, opened, run), sealed=False)
    sealed = run.status is RunStatus.FINISHED
    if not sealed:
        store.update_run(run.name, status=RunStatus.RUNNING)
    return Life(replace(opened, run=run), sealed)


def _with_more_time(store: Store, opened: OpenRun, run: Run) -> OpenRun:
    """The run with a longer budget, open on every device."""
    request = TuneRequest.from_json(run.request)
    before, more = request.budget_seconds, opened.more_seconds
    seconds = before + more
    store.update_run(
        run.name,
        status=RunStatus.RUNNING,
        request=replace(request, budget_seconds=seconds).to_json(),
        summary=Memory.of(run).reopened(before, more).to_json(),
    )
    asked = replace(opened.checked, request=replace(opened.request, budget_seconds=seconds))
    return replace(opened, run=store.run(run.name), checked=asked)


def _status_after(error: Exception) -> RunStatus:
    return RunStatus.INTERRUPTED if isinstance(error, BrokenPipeError) else RunStatus.FAILED


def _end(store: Store, life: Life, status: RunStatus) -> None:
    """Note the end; what led to it is told, and not that the store does not take it."""
    with suppress(StoreError):
        store.release_lease(None if life.sealed else status)
