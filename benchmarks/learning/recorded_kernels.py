"""What a recorded store knows of kernels: for scripts that learn from a part of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.learning.recorded_store import DEVICE
from db.questions.operators.costs import all_calibrations, profiled_trials
from db.reader import StoreReader
from farm.costs.calibration import Calibration
from farm.costs.roofline import cache_limits
from farm.devices.profile import load_profiles
from tuner.learning.kernels.costs import LearnedKernels, learn_kernels
from tuner.learning.kernels.rows import KernelRow, rows_of, rows_of_trials
from tuner.learning.kernels.stored import by_threads, calls_in


@dataclass(frozen=True, slots=True)
class RecordedKernels:
    """Those of one machine.

    caches: bytes of each level. calibrations: by their threads. probes: kernels of calibrations.
    profiled: kernels of models, by the ids of their trials.
    """

    cores: int
    caches: Sequence[float]
    calibrations: Mapping[int, Calibration]
    probes: Sequence[KernelRow]
    profiled: Mapping[str, Sequence[KernelRow]]

    @classmethod
    def of(cls, store: StoreReader, machine_id: str) -> RecordedKernels:
        """What a store has. Raises StoreError."""
        machine, profile = store.machine(machine_id), load_profiles()[DEVICE]
        records = all_calibrations(store, DEVICE, machine_id)
        trials = profiled_trials(store, [DEVICE], machine_id)
        known = by_threads(DEVICE, records)
        calls = calls_in(known.values())
        return cls(
            machine.cores,
            cache_limits(json.loads(machine.details).get("caches", "")),
            known,
            [row for record in records for row in rows_of(DEVICE, record.details)],
            {t.trial: tuple(rows_of_trials([t], [profile], machine.cores, calls)) for t in trials},
        )

    @property
    def of_models(self) -> list[KernelRow]:
        """All kernels of models."""
        return [row for rows in self.profiled.values() for row in rows]

    def learned(self, rows: Iterable[KernelRow]) -> LearnedKernels:
        """What these kernels of models and those of the calibrations teach together."""
        return learn_kernels(DEVICE, [*self.probes, *rows], self.caches, self.calibrations)
