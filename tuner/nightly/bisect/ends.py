"""The two states that a bisection goes between: the last good one of a case, and today's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from db.night_records import Series
from farm.candidate import Candidate, PackageEngine
from farm.errors import OptionError
from farm.measurement import Metric
from tuner.nightly.states.good import engine_versions, read_good
from tuner.nightly.tonight import WATCHED
from workers.environments.resolve import NEEDS
from workers.jobs import DeviceFacts

_VERSION = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to know. good, bad: ``PACKAGE==VERSION``, or empty for what is known."""

    metric: Metric
    good: str = ""
    bad: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """One of the two states. version: of the package whose versions are gone through."""

    candidate: Candidate
    version: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Both states. package: empty where no version decides how fast the engine is."""

    package: str
    good: End
    bad: End


def find_ends(
    asked: Asked, series: Sequence[Series], today: Candidate, facts: DeviceFacts
) -> Ends:
    """Both states; versions that were asked for go before those that are known.

    series: of the case. today: its candidate.

    Raises OptionError: they cannot be told, nothing differs between them, or the metric has no
    value of each block.
    """
    if asked.metric not in WATCHED:
        raise OptionError(
            f"{asked.metric} has no value of each block that could be compared; choose one of "
            f"{', '.join(WATCHED)}."
        )
    named = [_parsed(text) for text in (asked.good, asked.bad)]
    package = _package(named, today)
    known = next(
        (each.good for each in series if each.metric is asked.metric and not each.environment), ""
    )
    good = read_good(known)
    before = good.read_candidate() if good else today
    versions = [
        text[1] if text else of_state.get(package, "")
        for text, of_state in zip(
            named,
            (good.versions if good else {}, engine_versions(today, facts.software)),
            strict=True,
        )
    ]
    if package and not all(versions):
        which = "good" if not versions[0] else "bad"
        raise OptionError(
            f"Which version of {package} was {which} is not known; give --{which} "
            f"{package}==VERSION."
        )
    ends = Ends(package, End(before, versions[0]), End(today, versions[1]))
    if ends.good == ends.bad:
        at = f" {package} {versions[0]} and" if package else ""
        raise OptionError(
            f"The last good state and today's have{at} the same candidate, so there is nothing "
            "to go through; give other versions by --good and --bad PACKAGE==VERSION."
        )
    return ends


def _package(named: Sequence[tuple[str, str] | None], today: Candidate) -> str:
    """Whose versions are gone through. Raises OptionError: two different ones, or not this."""
    engine = today.engine
    packages = () if isinstance(engine, PackageEngine) else NEEDS.get(engine.kind, ())
    asked = {text[0] for text in named if text}
    if len(asked) > 1:
        raise OptionError(
            f"--good and --bad name two packages, {' and '.join(sorted(asked))}; name one."
        )
    for package in asked:
        if not packages:
            raise OptionError(
                f"{engine.kind} runs by no package whose versions could be gone through; leave "
                "out --good and --bad."
            )
        return package
    return packages[0] if packages else ""


def _parsed(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise OptionError(
            f"'{text}' is no version of a package; write PACKAGE==VERSION, for example "
            "onnxruntime==1.31.1."
        )
    return re.sub(r"[-_.]+", "-", found[1]).lower(), found[2]
