"""What is minimised, as one number per candidate and block; and the limits a winner must hold."""

from __future__ import annotations

from dataclasses import dataclass

from db.records import BlockSample
from farm.accuracy.metric import default_limit
from farm.device import PowerFigures
from farm.energy import Work, counted_energy, modelled_energy
from farm.measurement import Measurement, Method, Metric
from farm.units import Seconds, format_bytes, format_joules, format_seconds
from tuner.request import Constraints, Objective
from tuner.runs.history import Entry

_ROUNDING = 1e-9  # an accuracy drop of exactly the limit is allowed
_LEAST_SECONDS = 1e-9  # what no clock sees is not nothing: a ratio needs two positive numbers
METRICS = {
    Objective.LATENCY: Metric.LATENCY,
    Objective.MEMORY: Metric.PEAK_MEMORY,
    Objective.ENERGY: Metric.ENERGY,
    Objective.CPU: Metric.CPU_SECONDS,
    Objective.THROUGHPUT: Metric.THROUGHPUT,
}
"""What is measured of each objective."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores candidates on one device.

    power: the profile's figures; without them energy is unknown and cannot be the objective.
    """

    objective: Objective
    constraints: Constraints
    work: Work
    power: PowerFigures | None

    @property
    def counts_results(self) -> bool:
        """Whether it matters how many results come in a second."""
        limited = self.constraints.min_throughput is not None
        return limited or self.objective is Objective.THROUGHPUT

    def energy(self, entry: Entry, seconds: float) -> float | None:
        """Modelled joules of one run."""
        if self.power is None:
            return None
        packets = entry.value(Metric.PACKETS)
        if packets is not None:
            vector = entry.value(Metric.VECTOR_INSTRUCTIONS) or 0.0
            return counted_energy(self.power, packets, vector, Seconds(seconds))
        return modelled_energy(self.power, self.work, entry.candidate, Seconds(seconds))

    def of_sample(self, entry: Entry, sample: BlockSample) -> float:
        """The objective in one block, less is better, above 0.

        Seconds, bytes (at least one page), joules, processor seconds, or for a throughput the
        seconds from one result to the next.
        """
        match self.objective:
            case Objective.LATENCY:
                return sample.seconds
            case Objective.THROUGHPUT:
                return sample.seconds / entry.candidate.callers
            case Objective.CPU if entry.candidate.is_counted:
                return sample.seconds  # of its one thread, which waits for nobody
            case Objective.CPU:
                return max(_LEAST_SECONDS, sample.cpu_seconds)
            case Objective.MEMORY:
                return max(4096.0, float(sample.peak_bytes or 0))
            case Objective.ENERGY:
                return self.energy(entry, sample.seconds) or sample.seconds

    def quick(self, entry: Entry) -> float | None:
        """The objective by the trial's first, quick measurements."""
        seconds, peak = entry.value(Metric.LATENCY), entry.value(Metric.PEAK_MEMORY)
        if seconds is None:
            return None
        cpu = entry.value(Metric.CPU_SECONDS) or 0.0
        sample = BlockSample(entry.trial_id, seconds, cpu, 1, 0, int(peak or 0))
        return self.of_sample(entry, sample)

    def energy_measurement(self, entry: Entry, seconds: float) -> Measurement | None:
        """Modelled energy as a measurement, marked as such."""
        joules = self.energy(entry, seconds)
        return None if joules is None else Measurement(Metric.ENERGY, joules, Method.MODELLED)

    def broken_limit(self, entry: Entry, original: Entry) -> str:
        """Which limit an entry breaks, as a sentence; empty if it holds them all.

        original: the model as the user gave it: the baseline, or what does not fit the device.
        """
        return self._broken_accuracy(entry, original) or self._broken_resource(entry)

    def _broken_accuracy(self, entry: Entry, original: Entry) -> str:
        accuracy, reference = entry.value(Metric.ACCURACY), original.value(Metric.ACCURACY)
        if accuracy is not None and reference is not None:
            limit, drop = self._accuracy_limit(entry), reference - accuracy
            if drop > limit + _ROUNDING:
                worst = entry.accuracy and entry.accuracy.worst
                where = f" (worst: {worst})" if worst else ""
                return (
                    f"accuracy {accuracy:.4f} is {drop:.4f} below the baseline's "
                    f"{reference:.4f}{where}; the limit is {limit:g}"
                )
        elif entry.is_unjudged and not self._may_be_unjudged(entry):
            return (
                "its accuracy cannot be judged, and only candidates of the model's own precision "
                "may win then; --allow-unjudged lifts that"
            )
        return ""

    def _accuracy_limit(self, entry: Entry) -> float:
        given = self.constraints.max_accuracy_drop
        if given is not None:
            return given
        return default_limit(entry.accuracy.metric if entry.accuracy else "")

    def _may_be_unjudged(self, entry: Entry) -> bool:
        return self.constraints.allow_unjudged or entry.candidate.keeps_precision

    def _broken_resource(self, entry: Entry) -> str:
        limits = self.constraints
        peak, seconds = entry.value(Metric.PEAK_MEMORY), entry.value(Metric.LATENCY)
        if limits.max_memory is not None and peak is not None and peak > limits.max_memory:
            limit = format_bytes(limits.max_memory)
            return f"peak memory {format_bytes(peak)} is above the limit of {limit}"
        if seconds is None:
            return ""
        if limits.max_latency is not None and seconds > limits.max_latency:
            limit = format_seconds(limits.max_latency)
            return f"latency {format_seconds(seconds)} is above the limit of {limit}"
        cpu = seconds if entry.candidate.is_counted else entry.value(Metric.CPU_SECONDS)
        if limits.max_cpu is not None and cpu is not None and cpu > limits.max_cpu:
            limit = format_seconds(limits.max_cpu)
            return f"processor time {format_seconds(cpu)} is above the limit of {limit}"
        rate = entry.candidate.callers / seconds
        if limits.min_throughput is not None and rate < limits.min_throughput:
            return f"throughput {rate:.4g} /s is below the limit of {limits.min_throughput:g} /s"
        joules = self.energy(entry, seconds)
        if limits.max_energy is not None and joules is not None and joules > limits.max_energy:
            limit = format_joules(limits.max_energy)
            return f"modelled energy {format_joules(joules)} is above the limit of {limit}"
        return ""
