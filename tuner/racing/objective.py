"""What is minimised, as one number per candidate and block; and the limits a winner must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from db.records import BlockSample
from farm.accuracy.metric import default_limit, own_accuracy
from farm.devices.energy import Work, counted_energy, modelled_energy
from farm.devices.profile import PowerFigures
from farm.errors import InfrastructureError
from farm.measurement import Measurement, Method, Metric
from farm.units import Seconds, format_bytes, format_joules, format_seconds
from tuner.goals import Constraints, Objective, asks_energy
from tuner.runs.history import Entry

_ROUNDING = 1e-9  # an accuracy drop of exactly the limit is allowed
_LEAST_SECONDS = 1e-9  # what no clock sees is not nothing: a ratio needs two positive numbers
METRICS = {
    Objective.LATENCY: Metric.LATENCY,
    Objective.MEMORY: Metric.PEAK_MEMORY,
    Objective.ENERGY: Metric.ENERGY,
    Objective.CPU: Metric.CPU_SECONDS,
    Objective.THROUGHPUT: Metric.THROUGHPUT,
    Objective.P99: Metric.LATENCY_P99,
    Objective.LOAD: Metric.FIRST_RESULT,
}
"""What is measured of each objective."""
COUNTED = frozenset({Metric.ENERGY, Metric.ENERGY_WINDOW, Metric.IDLE_POWER})
"""What a counter of energy tells."""
UNTOLD = "its energy is unknown: the counter does not tell it from idling"
SINGLE_RUNS = 69
"""Of a block, for the 99th percentile: the longest of 69 runs lies above it as often as below.

0.99 ** 69 = 1/2, whatever the distribution. The median over blocks is thus that percentile, and
the interval of the median is its interval.
"""


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores candidates on one device.

    power: the profile's figures, by which energy is modelled. energy_window: seconds that a
    counter counts each candidate's energy for, where there is one and energy decides: then nothing
    is ranked by modelled energy. With neither energy is unknown, and cannot be the objective.
    """

    objective: Objective
    constraints: Constraints
    work: Work
    power: PowerFigures | None
    energy_window: float | None = None

    @property
    def counts_results(self) -> bool:
        """Whether it matters how many results come in a second."""
        limited = self.constraints.min_throughput is not None
        return limited or self.objective is Objective.THROUGHPUT

    @property
    def is_net(self) -> bool:
        """Whether the objective is a net energy: what is left of it may be 0 and below."""
        return self.races_by_counter

    @property
    def races_by_counter(self) -> bool:
        """Whether each block of a race tells energy; where that is only limited, trials do."""
        return self.counts_energy and self.objective is Objective.ENERGY

    def race_energy_seconds(self, members: int) -> float:
        """What counting adds to a block: a window each, and half of one idle at each end."""
        return (1.0 + members) * (self.energy_window or 0.0) if self.races_by_counter else 0.0

    @property
    def pair_energy_seconds(self) -> float:
        """The same of a pair of the confirmation, which tells energy wherever that decides."""
        return 3.0 * (self.energy_window or 0.0) if self.counts_energy else 0.0

    @property
    def told_by_blocks(self) -> frozenset[Metric]:
        """What blocks say, and nothing that is measured afterwards is to replace."""
        told = {Metric.THROUGHPUT} if self.counts_results else set()
        told |= {Metric.LATENCY_P99} if self.single_runs else set()
        return frozenset(told | (COUNTED if self.counts_energy else set()))

    @property
    def counts_energy(self) -> bool:
        """Whether energy decides, and is that of a counter."""
        asked = asks_energy(self.objective, self.constraints)
        return asked and self.energy_window is not None

    @property
    def single_runs(self) -> int:
        """How many runs of each member of a block are to be timed one by one."""
        asked = self.objective is Objective.P99 or self.constraints.max_p99 is not None
        return SINGLE_RUNS if asked else 0

    def energy(self, entry: Entry, seconds: float) -> float | None:
        """Modelled joules of one run; None of what runs on several devices.

        The figures are one device's.
        """
        candidate = entry.candidate
        is_mixed = candidate.is_modelled and not candidate.is_counted
        if self.power is None or is_mixed or candidate.spans_devices:
            return None
        packets = entry.value(Metric.PACKETS)
        if packets is not None:
            vector = entry.value(Metric.VECTOR_INSTRUCTIONS) or 0.0
            return counted_energy(self.power, packets, vector, Seconds(seconds))
        return modelled_energy(self.power, self.work, candidate, Seconds(seconds))

    def of_sample(self, entry: Entry, sample: BlockSample) -> float:
        """The objective in one block, less is better, above 0; a counted energy as it is.

        Seconds, bytes (at least one page), joules, processor seconds; for a throughput the seconds
        from one result to the next, for the 99th percentile the longest of ``SINGLE_RUNS``.
        """
        match self.objective:
            case Objective.LATENCY:
                return sample.seconds
            case Objective.THROUGHPUT:
                return 1.0 / entry.candidate.results_per_second(sample.seconds)
            case Objective.P99:  # where runs are counted all are alike
                return sample.longest_seconds or sample.seconds
            case Objective.LOAD:
                assert sample.load_seconds is not None, "every block began with fresh processes"
                return sample.load_seconds
            case Objective.CPU if entry.candidate.is_counted:
                return sample.seconds  # of its one thread, which waits for nobody
            case Objective.CPU:
                return max(_LEAST_SECONDS, sample.cpu_seconds)
            case Objective.MEMORY:
                return max(4096.0, float(sample.peak_bytes or 0))
            case Objective.ENERGY if self.counts_energy:
                assert sample.joules is not None, "the energy of every member was counted"
                return sample.joules
            case Objective.ENERGY:
                return self.energy(entry, sample.seconds) or sample.seconds

    def quick(self, entry: Entry) -> float | None:
        """The objective by the trial's first, quick measurements."""
        seconds, peak = entry.value(Metric.LATENCY), entry.value(Metric.PEAK_MEMORY)
        joules = entry.value(Metric.ENERGY)
        is_counted = self.objective is Objective.ENERGY and self.counts_energy
        if seconds is None or (is_counted and joules is None):
            return None
        cpu = entry.value(Metric.CPU_SECONDS) or 0.0
        load = entry.value(Metric.FIRST_RESULT) or seconds
        told = BlockSample(entry.trial_id, seconds, cpu, 1, 0, int(peak or 0))
        sample = replace(told, load_seconds=load, joules=joules)
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
        accuracy, found = entry.value(Metric.ACCURACY), original.value(Metric.ACCURACY)
        is_judged = found is not None and not entry.is_unjudged
        reference = own_accuracy(_metric(entry), found)
        if accuracy is not None and reference is not None:
            limit, drop = self._accuracy_limit(entry), reference - accuracy
            if drop > limit + _ROUNDING:
                worst = entry.accuracy and entry.accuracy.worst
                where = f" (worst: {worst})" if worst else ""
                return (
                    f"accuracy {accuracy:.4f} is {drop:.4f} below the baseline's "
                    f"{reference:.4f}{where}; the limit is {limit:g}"
                )
        if entry.accuracy is not None and not is_judged and not self._may_be_unjudged(entry):
            return (
                "its accuracy cannot be judged, and only candidates of the model's own precision "
                "may win then; --allow-unjudged lifts that"
            )
        return ""

    def _accuracy_limit(self, entry: Entry) -> float:
        given = self.constraints.max_accuracy_drop
        if given is not None:
            return given
        return default_limit(_metric(entry))

    def _may_be_unjudged(self, entry: Entry) -> bool:
        return self.constraints.allow_unjudged or entry.candidate.keeps_precision

    def _broken_resource(self, entry: Entry) -> str:
        told = (sentence for sentence in self._limits_held(entry) if sentence)
        return next(told, "")

    def _limits_held(self, entry: Entry) -> Iterator[str]:
        """For each limit a sentence if it is broken; what was not measured breaks none.

        But for an energy that is asked for: of several devices nothing tells it.
        """
        limits, value = self.constraints, entry.value
        seconds = value(Metric.LATENCY)
        yield _above("peak memory", value(Metric.PEAK_MEMORY), limits.max_memory, format_bytes)
        on_device = value(Metric.DEVICE_MEMORY)
        yield _above("memory of the device", on_device, limits.max_memory, format_bytes)
        yield _above("latency", seconds, limits.max_latency, format_seconds)
        load = value(Metric.FIRST_RESULT)
        yield _above("time to the first outputs", load, limits.max_load, format_seconds)
        if seconds is None:
            return
        counted = entry.candidate.is_counted  # one thread, and every run like every other
        cpu = seconds if counted else value(Metric.CPU_SECONDS)
        yield _above("processor time", cpu, limits.max_cpu, format_seconds)
        p99 = seconds if counted else value(Metric.LATENCY_P99)
        yield _above("99th percentile of latency", p99, limits.max_p99, format_seconds)
        rate = entry.candidate.results_per_second(seconds)
        if limits.min_throughput is not None and rate < limits.min_throughput:
            yield f"throughput {rate:.4g} /s is below the limit of {limits.min_throughput:g} /s"
        if asks_energy(self.objective, limits):
            yield self._broken_energy(entry, seconds)

    def _broken_energy(self, entry: Entry, seconds: float) -> str:
        how = Method.MEASURED if self.counts_energy else Method.MODELLED
        joules = self.energy(entry, seconds)
        if self.counts_energy:
            joules = entry.value(Metric.ENERGY)
        if joules is None and entry.candidate.spans_devices:
            of_one = "the counter is" if self.counts_energy else "the figures are"
            return f"its energy is unknown: it runs on several devices, and {of_one} of one"
        if joules is None and self.counts_energy:
            return UNTOLD
        return _above(f"{how} energy", joules, self.constraints.max_energy, format_joules)


def require_energy(scorer: Scorer, baseline: Entry) -> None:
    """Raise InfrastructureError where energy decides, and no counter tells the baseline's."""
    if scorer.counts_energy and baseline.value(Metric.ENERGY) is None:
        raise InfrastructureError(
            "the counter does not tell the energy of the baseline from idling, so that nothing "
            "can be compared with it; measure on a quieter machine, or leave out --objective "
            "energy and --max-energy"
        )


def _metric(entry: Entry) -> str:
    return entry.accuracy.metric if entry.accuracy else ""


def _above(
    what: str, value: float | None, limit: float | None, shown: Callable[[float], str]
) -> str:
    if value is None or limit is None or value <= limit:
        return ""
    return f"{what} {shown(value)} is above the limit of {shown(limit)}"
