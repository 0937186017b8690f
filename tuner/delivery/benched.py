"""What ``farm bench`` measured is delivered as a winner is; nothing is claimed of its speed."""

from __future__ import annotations

from db.records import Phase
from db.store import Store
from tuner.delivery.unconfirmed import measured
from tuner.delivery.winners import Provenance, deliver_entry
from tuner.results import AccuracyComparison, DeviceResult, Status
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from tuner.runs.start import OpenRun
from workers.executor import Executor


def deliver_benched(
    store: Store, executor: Executor, opened: OpenRun, journal: Journal, entry: Entry
) -> str:
    """The folder of what was measured; "" where the request names no output.

    It stands for its own baseline: what is claimed of it is its accuracy.

    Raises OptionError: the folder cannot be written. Raises InfrastructureError: it cannot be
    compiled any more.
    """
    if not opened.request.output:
        return ""
    found = measured(entry)
    result = DeviceResult(
        journal.scope.device,
        Status.TUNED,
        baseline=found,
        winner=found,
        accuracy=_accuracy(opened, entry),
    )
    provenance = Provenance(store, opened, result, entry.candidate, entry.candidate)
    job = journal.job(entry.candidate, Phase.BENCH)
    return str(deliver_entry(provenance, executor, job, entry) or "")


def _accuracy(opened: OpenRun, entry: Entry) -> AccuracyComparison | None:
    found = entry.accuracy
    if found is None:
        return None
    value, on_real_data = found.value, not opened.subject.dataset.synthetic
    return AccuracyComparison(
        found.metric, value, value, value, found.samples, on_real_data, found.worst, found.notes
    )
