"""What is to be said beside what a candidate takes, by the devices that run it."""

from __future__ import annotations

from collections.abc import Mapping

from farm.candidate import Candidate, Pipeline
from farm.devices.profile import DeviceProfile


def caveats(
    profile: DeviceProfile, candidate: Candidate, known: Mapping[str, DeviceProfile]
) -> tuple[str, ...]:
    """Sentences of a candidate's device, and of those that only parts of it are at.

    known: profiles by name; of a part elsewhere nothing is said.
    """
    parts = candidate.engine.devices if isinstance(candidate.engine, Pipeline) else ()
    others = (known[name] for name in dict.fromkeys(parts) if name in known)
    return tuple(dict.fromkeys(each.caveat for each in (profile, *others) if each.caveat))
