"""An explanation as values: two sides, what was found in their kernels, what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from db.records import Phase
from farm.candidate import Candidate
from farm.measurement import Estimate, Measurement, Method, Outcome
from farm.profile.kernels import OperatorProfile
from tuner.racing.statistics import Comparison


@dataclass(frozen=True, slots=True)
class TimedKernel:
    """A kernel of a profile: see ``farm.profile.kernels.OperatorProfile``.

    seconds: of one run, the profiler's own time subtracted. Where packets were counted, by its
    share of them in the latency of the trial.
    """

    name: str
    kind: str
    operators: tuple[str, ...]
    precision: str
    seconds: float


def timed(
    profile: Sequence[OperatorProfile], latency: Measurement | None
) -> tuple[TimedKernel, ...]:
    """The kernels of a trial of this latency, in the order in which they run."""
    whole = sum(kernel.cost for kernel in profile)
    each_packet = latency.value / whole if latency and whole else 0.0
    return tuple(
        TimedKernel(
            each.kernel,
            each.kind,
            each.operators,
            each.precision,
            each.cost * each_packet if each.seconds is None else each.seconds,
        )
        for each in profile
    )


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    trial: what was asked for. measured: the trial of the same candidate whose latency and kernels
    these are: itself, or its confirmation, or a new one (``--measure``).
    kernels: in the order in which they run; empty where they were not profiled. method: how what
    they take was found, None without kernels.
    notes: what the compiler said, in sentences. assignment: operators per execution provider.
    phase: in which it was measured.
    """

    trial: str
    measured: str
    run: str
    device: str
    candidate: Candidate
    label: str
    outcome: Outcome | None
    message: str
    latency: Measurement | None
    kernels: tuple[TimedKernel, ...] = ()
    method: Method | None = None
    notes: tuple[str, ...] = ()
    assignment: Mapping[str, int] = field(default_factory=dict)
    phase: Phase = Phase.SEARCH

    @property
    def place(self) -> str:
        """Device and engine: ``cpu/onnxruntime-cpu``."""
        return f"{self.device}/{self.candidate.engine.kind}"

    @cached_property
    def seconds(self) -> float:
        """Of all kernels together."""
        return sum(kernel.seconds for kernel in self.kernels)

    def share(self, seconds: float) -> float:
        """Of the seconds of all kernels."""
        return seconds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """Operators that kernels of either side run as one.

    name, op_type: of the one that has most to do; "" where kernels could not be mapped, or an
    older farm stored the model. fused: names of the others.
    kernel, against_kernel: kinds of the kernels, the longest first; "" where nothing is run.
    seconds: of one run of the trial, what is converted for these operators included.
    against_seconds: of the other side, None where there is none.
    """

    name: str
    op_type: str
    fused: tuple[str, ...]
    place: str
    kernel: str
    seconds: float
    share: float
    against_place: str = ""
    against_kernel: str = ""
    against_seconds: float | None = None

    @property
    def size(self) -> int:
        """How many operators they are."""
        return 1 + len(self.fused) if self.name else 0


@dataclass(frozen=True, slots=True)
class Conversion:
    """A kernel that stands for no operator: it changes the format or layout of what one reads."""

    kernel: str
    kind: str
    operators: tuple[str, ...]
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Unfused:
    """An operator that computes in float between a dequantisation and a quantisation.

    kernels: kinds, in the order in which they run. seconds: of all of them.
    """

    name: str
    op_type: str
    kernels: tuple[str, ...]
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Fallback:
    """What did not run as it was planned.

    name: of an operator; "" where the engine tells only how many there are.
    planned, computed: a precision, or an execution provider. reason: "" where nobody told it.
    share: of the seconds; None where it is unknown.
    """

    name: str
    operators: int
    planned: str
    computed: str
    reason: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the tuner decided about a candidate, as one sentence.

    what: ``proposed``, ``failed``, ``rejected``, ``not raced``, ``dropped``, ``stayed``, ``led``,
    ``raced``, ``confirmed``, ``not confirmed`` or ``won``.
    race: its number. blocks: after how many. ratio: of the objective, over who led or, of a
    prediction and of a confirmation, over the baseline; above 1 is worse. p_value: of no
    difference.
    """

    what: str
    why: str
    race: int | None = None
    blocks: int | None = None
    ratio: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a trial is as fast as it is.

    against: None where there is nothing to compare with. is_baseline: of ``against``, of its run.
    comparison: of blocks in which both ran side by side, the ratio being how many times as fast
    the trial is; None where there are too few. confirmed: what the run's confirmation found of
    that, where its blocks are not in the store any more. notes: sentences about what is shown.
    """

    sentence: str
    trial: Side
    against: Side | None
    comparison: Comparison | None
    operators: tuple[OperatorRow, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    unfused: tuple[Unfused, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()
    confirmed: Estimate | None = None
