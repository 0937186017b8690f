"""Pages of single trials: one of them, or two side by side."""

from __future__ import annotations

from collections.abc import Iterator

from db.reader import StoreReader
from db.records import Trial
from farm.errors import FarmError
from farm.units import counted
from reports.pages.section import Page, Section, table
from reports.pages.sections.operators import Called, gains, operators
from reports.tables.cells import MISSING, quantity, time_cell
from tuner.bench import compare_recorded
from tuner.explain.of_trials import ask, explain


def trial_page(store: StoreReader, trial_id: str) -> Page:
    """What is known of a trial. trial_id: or its beginning. Raises NotInStore, OptionError."""
    trial = store.trial(trial_id)
    label = store.candidate(trial.candidate_id).label
    subtitle = f"{label} on {trial.device}, run {trial.run}, {time_cell(trial.created_at)} UTC"
    called = Called("trial", "baseline")
    sections = (_measured(store, trial, "measured"), *_explained(store, trial, "", called))
    return Page(f"Trial {trial.id}", subtitle, sections)


def compared_page(store: StoreReader, first: str, second: str) -> Page:
    """Two trials: ids, or their beginnings. Raises NotInStore, OptionError."""
    pair = store.trial(first), store.trial(second)
    labels = [store.candidate(each.candidate_id).label for each in pair]
    return Page(
        f"Trial {pair[0].id} beside {pair[1].id}",
        f"{labels[0]} beside {labels[1]}",
        (
            _ratio(store, pair),
            _measured(store, pair[0], "first"),
            _measured(store, pair[1], "second"),
            *_explained(store, pair[0], pair[1].id, Called("first", "second")),
        ),
    )


def _ratio(store: StoreReader, pair: tuple[Trial, Trial]) -> Section:
    """How many times as fast the second is, where they ran side by side."""
    try:
        found = compare_recorded(store, *pair)
    except FarmError as error:
        summary = str(error)
    else:
        summary = (
            f"The second is {found.ratio.value:.2f} times as fast as the first (95 % interval "
            f"{found.ratio.low:.2f} to {found.ratio.high:.2f}), by "
            f"{counted(found.pairs, 'block')} in which both ran; p = {found.p_value:.2g}."
        )
    command = f"farm compare {pair[0].id} {pair[1].id}"
    return Section("ratio", "Which is faster", summary, commands=(command,))


def _measured(store: StoreReader, trial: Trial, name: str) -> Section:
    rows = [
        (
            str(each.metric),
            quantity(each.value, each.unit),
            MISSING if each.low is None else quantity(each.low, each.unit),
            MISSING if each.high is None else quantity(each.high, each.unit),
            str(each.method),
            f"{len(each.samples):,}",
        )
        for each in store.measurements(trial.id)
    ]
    said = f": {trial.message}" if trial.message else ""
    columns = ("metric", "value", "low", "high", "method", "samples")
    return Section(
        name,
        f"Trial {trial.id[:16]}",
        f"{store.candidate(trial.candidate_id).label} on {trial.device}, phase {trial.phase}, "
        f"run {trial.run}: {trial.outcome or 'pending'}{said}",
        table=table(columns, rows, "value,low,high,samples"),
        commands=(f"farm bench --trial {trial.id}",),
    )


def _explained(
    store: StoreReader, trial: Trial, against: str, called: Called
) -> Iterator[Section]:
    try:
        found = explain(store, ask(store, trial.id, against))
    except (FarmError, ValueError) as error:
        yield Section("operators", "Operators", f"Nothing can be told of them: {error}")
        return
    yield operators("", found, called)
    yield gains("", found, called)
