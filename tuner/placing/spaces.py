"""Spaces of a search with splits in them: those that a plan proposes, or those that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from db.reader import StoreReader
from farm.candidate import Candidate, Fake, OnnxRuntimeCpu, Pipeline
from farm.devices.profile import DeviceProfile
from farm.errors import InfrastructureError
from tuner.goals import Objective
from tuner.placing.candidates import unavoidable, worthwhile
from tuner.request import TuneRequest
from tuner.runs.history import Entry
from tuner.runs.subject import Subject
from tuner.search.space import Space
from workers.jobs import DeviceFacts

Notes = tuple[str, ...]


def with_splits(
    space: Space,
    store: StoreReader,
    request: TuneRequest,
    subject: Subject,
    profiles: Sequence[DeviceProfile],
    facts: Mapping[str, DeviceFacts],
) -> tuple[Space, Notes]:
    """A space with the split that a plan proposes, and a sentence on why there is none.

    profiles: of the devices that it may use, of one machine. Nothing is said of a single device
    whose engines nobody calibrated. Plans are of latency, by a calibration with as many threads as
    the request allows.
    """
    fake = any(profile.is_fake for profile in profiles)
    if fake or request.objective is not Objective.LATENCY:
        return space, ()
    threads = request.threads
    found = worthwhile(store, facts, subject.model, subject.graph, profiles, threads)
    if not found.planned and len(profiles) == 1:
        return space, ()
    return replace(space, splits=found.candidates), found.notes


def what_became(splits: Sequence[Candidate], entries: Iterable[Entry]) -> Notes:
    """A sentence on each trial of a split that a plan proposed; none where none was."""
    tried = [entry for entry in entries if entry.candidate in splits]
    if splits and not tried:
        return ("There was no time to try that split: give a longer --budget.",)
    return tuple(map(_became, tried))


def _became(tried: Entry) -> str:
    shared = "" if isinstance(tried.candidate.engine, Pipeline) else " in one session"
    if tried.ratio is None:
        return f"That split{shared} could not be measured: {tried.message.rstrip('.')}."
    return f"In its trial that split{shared} took {tried.ratio:.2f} times as long as the baseline."


def only_splits(
    space: Space, subject: Subject, profile: DeviceProfile, beside: DeviceProfile, why: str
) -> tuple[Space, Notes]:
    """The space of a device that cannot run the whole model; its baseline is that of the other.

    why: the device's own baseline cannot be run. Raises InfrastructureError: this, where no split
    is possible either.
    """
    if not space.packages or Fake().kind in space.engines:
        raise InfrastructureError(why)
    engine = space.packages[0]
    precisions = space.package_precisions()
    found = unavoidable(subject.model, subject.graph, profile, engine, beside, precisions)
    if not found.candidates:
        raise InfrastructureError(f"{why} No part of the model fits {profile.name} either.")
    alone = replace(
        space,
        engines=(OnnxRuntimeCpu().kind,),
        packages=(),
        splits=found.candidates,
        only_splits=True,
    )
    return alone, found.notes
