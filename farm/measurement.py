"""Measured values and what became of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """Where a number comes from. Methods are never mixed in one ranking without saying so."""

    MEASURED = "measured"  # a clock or a hardware counter
    EMULATED = "emulated"  # counted by an instruction-level emulator
    MODELLED = "modelled"  # computed from a model of the device
    PLANNED = "planned"  # exact by construction, like a static arena


class Metric(StrEnum):
    """What is measured; the value's unit is fixed by the metric (``UNITS``)."""

    LATENCY = "latency"
    LATENCY_P50 = "latency_p50"
    LATENCY_P90 = "latency_p90"
    LATENCY_P99 = "latency_p99"
    CPU_SECONDS = "cpu_seconds"  # processor time of one run, of all its threads together
    THROUGHPUT = "throughput"
    WITH_TRANSFERS = "with_transfers"  # latency from and to the host, of what computes elsewhere
    PEAK_MEMORY = "peak_memory"
    DEVICE_MEMORY = "device_memory"  # of the process, in the memory of a device of its own
    DEVICE_CLOCK = "device_clock"  # of such a device, right after runs
    ENERGY = "energy"
    ENERGY_WINDOW = "energy_window"  # how long the runs took whose energy a counter told
    IDLE_POWER = "idle_power"  # of the machine just before, subtracted from that energy
    ACCURACY = "accuracy"
    LOAD_TIME = "load_time"
    FIRST_RESULT = "first_result"  # from the beginning of loading to the first outputs
    MODEL_SIZE = "model_size"
    PACKETS = "packets"  # of one run: what is issued together, in one cycle at best
    VECTOR_INSTRUCTIONS = "vector_instructions"  # of one run, on 128 bytes at a time
    ARENA = "arena"  # static memory of a package: its tensors and the scratch of its kernels


UNITS: dict[Metric, str] = {
    Metric.LATENCY: "s",
    Metric.LATENCY_P50: "s",
    Metric.LATENCY_P90: "s",
    Metric.LATENCY_P99: "s",
    Metric.CPU_SECONDS: "s",
    Metric.THROUGHPUT: "1/s",
    Metric.WITH_TRANSFERS: "s",
    Metric.PEAK_MEMORY: "B",
    Metric.DEVICE_MEMORY: "B",
    Metric.DEVICE_CLOCK: "Hz",
    Metric.ENERGY: "J",
    Metric.ENERGY_WINDOW: "s",
    Metric.IDLE_POWER: "W",
    Metric.ACCURACY: "1",
    Metric.LOAD_TIME: "s",
    Metric.FIRST_RESULT: "s",
    Metric.MODEL_SIZE: "B",
    Metric.PACKETS: "packet",
    Metric.VECTOR_INSTRUCTIONS: "instruction",
    Metric.ARENA: "B",
}


class Outcome(StrEnum):
    """What became of a trial. Only an infrastructure error is tried again."""

    OK = "ok"
    REJECTED = "rejected"
    COMPILE_ERROR = "compile-error"
    RUN_ERROR = "run-error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out-of-memory"
    INFRASTRUCTURE_ERROR = "infrastructure-error"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one trial.

    value: in the metric's unit. low, high: confidence interval, where there is one.
    samples: the raw values behind it, in the same unit and in the order they were taken.
    """

    metric: Metric
    value: float
    method: Method
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of ``value``, ``low``, ``high`` and ``samples``."""
        return UNITS[self.metric]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with a confidence interval, ``low <= value <= high``."""

    value: float
    low: float
    high: float
