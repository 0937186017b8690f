"""What a measure of accuracy says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Worst:
    """Where outputs differ most from the baseline's.

    output: its name. axis: of the output as the model gives it, so that 0 is most often the
    batch; None where the output was judged as a whole. channel: position along that axis.
    value: agreement there, as in the result. samples: how many were compared.
    """

    output: str
    axis: int | None
    channel: int | None
    value: float
    samples: int

    def __str__(self) -> str:
        """For people: ``'boxes', channel 3 of axis 1: 0.9731``."""
        where = "" if self.axis is None else f", channel {self.channel} of axis {self.axis}"
        return f"'{self.output}'{where}: {self.value:.4f}"


@dataclass(frozen=True, slots=True)
class AccuracyResult:
    """One accuracy value.

    value: None where accuracy cannot be judged; ``notes`` say why.
    low, high: Wilson's 95 % interval of a share of samples, None for other metrics.
    notes: sentences on what could not be judged, or why the value is 0.
    worst: where the value comes from, for agreement with the baseline.
    """

    metric: str
    value: float | None
    samples: int
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()
    worst: Worst | None = None
