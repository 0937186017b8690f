"""What people say of a change: expected, a bug, or noise."""

from __future__ import annotations

from dataclasses import replace

from db.night_records import ChangePoint, ChangeState, Series
from db.questions.nightly.nights import change_called, values_of
from db.records import utc_now
from db.store import Store
from farm.errors import OptionError
from tuner.nightly.details import details_of


def triage(
    store: Store, change_id: str, state: ChangeState, note: str = ""
) -> tuple[ChangePoint, Series]:
    """Note what a change is.

    Expected: the state that was measured when it was found is the good one from now on. A bug
    stays a regression until it is gone. Noise: it counts as refuted.

    Raises NotInStore, OptionError: no such change, or one of an environment is expected.
    """
    change, series = change_called(store, change_id)
    if state is ChangeState.EXPECTED:
        if series.environment:
            raise OptionError(
                f"Change {change.id} is what environment {series.environment} would bring; it is "
                "expected once that is today's software."
            )
        found = next(
            (v for v in values_of(store, series.id) if v.night == change.found_night), None
        )
        if found is None:
            raise OptionError(f"The night {change.found_night} is not in the store any more.")
        series = replace(series, good=details_of(found).now.to_json())
        store.add_series(series)
    change = replace(change, state=state, note=note, triaged_at=utc_now())
    store.add_change(change)
    return change, series
