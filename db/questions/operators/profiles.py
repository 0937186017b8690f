"""What ``farm results --operators`` shows of one trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from db.reader import StoreReader
from farm.errors import OptionError
from farm.measurement import Measurement, Method, Metric
from farm.profile.kernels import OperatorProfile, unmapped_share


@dataclass(frozen=True, slots=True)
class Share:
    """One kernel's part of a trial.

    share: of the seconds or packets of all kernels. seconds: that share of the trial's latency,
    which was measured without a profiler; None where there is no latency.
    """

    kernel: OperatorProfile
    share: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TrialProfile:
    """A trial with its kernels in the order in which they run.

    latency: by the trial's own method. unmapped: share in kernels without operators.
    """

    trial: str
    run: str
    device: str
    candidate: str
    latency: Measurement | None
    unmapped: float
    shares: tuple[Share, ...]

    @property
    def method(self) -> Method:
        """How what the kernels take was found."""
        return self.shares[0].kernel.method


def trial_profile(store: StoreReader, trial_id: str) -> TrialProfile:
    """The profile of a trial, by its id or the beginning of it.

    Raises NotInStore. Raises OptionError: several ids begin so, or it was not profiled.
    """
    trial = store.trial(trial_id)
    kernels = store.profile(trial.id)
    if not kernels:
        raise OptionError(
            f"Trial {trial.id} has no profile of its operators: of a run the baseline, the winner "
            "and the best candidate of every other engine have one. Measure it again, which also "
            f"profiles it: farm bench --trial {trial.id[:8]}"
        )
    measured = (m for m in store.measurements(trial.id) if m.metric is Metric.LATENCY)
    latency = next(measured, None)
    return TrialProfile(
        trial.id,
        trial.run,
        trial.device,
        store.candidate(trial.candidate_id).label,
        latency,
        unmapped_share(kernels),
        tuple(_shares(kernels, latency)),
    )


def _shares(kernels: tuple[OperatorProfile, ...], latency: Measurement | None) -> Iterator[Share]:
    whole = sum(kernel.cost for kernel in kernels)
    for kernel in kernels:
        share = kernel.cost / whole if whole else 0.0
        yield Share(kernel, share, None if latency is None else share * latency.value)
