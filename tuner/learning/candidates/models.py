"""The cost models of whole candidates on one device: fitted to rows, kept as arrays."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from farm.candidate import PackageEngine
from farm.errors import DeviceError, StoreError
from farm.units import Seconds
from tuner.learning.archives import archive_of, arrays_of
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.failures import Failures
from tuner.learning.candidates.features import (
    OF_BYTES,
    OF_SECONDS,
    Encoder,
    Row,
    columns,
    row_of,
)
from tuner.learning.candidates.memory import EngineMemory, sizes_of
from tuner.learning.candidates.quantity import Quantity
from tuner.learning.candidates.rows import Tried, chosen
from tuner.learning.report import HeldOut

Array = NDArray[np.float64]

LATENCY, CPU, MEMORY, ENERGY = "latency", "cpu_seconds", "peak_memory", "energy"
_LEAST_SECONDS = 1e-9
_LEAST_ROWS = 20  # with an energy: it is learnt where a counter tells it


@dataclass(frozen=True, slots=True)
class CandidateModels:
    """What was learnt of whole candidates.

    quiet: seconds of the sentinel on a quiet machine: seconds are learnt over those of the
    sentinel of their blocks; None where no blocks ran. quantities: by name; energy may be missing.
    memory: what peak memory is simply. failures: how likely a candidate is to fail.
    tried: candidates that it all rests on. held_out: latencies of models that were left out, with
    what was said of them then. left_out: how many candidates taught nothing, by the reason. The
    last two are not part of the state.
    """

    encoder: Encoder
    quiet: Seconds | None
    quantities: Mapping[str, Quantity]
    memory: EngineMemory
    failures: Failures
    tried: int
    held_out: tuple[HeldOut, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def fit(
        cls, tried: Sequence[Tried], estimator: Estimator, like: CandidateModels | None = None
    ) -> Self:
        """The models of these candidates of models. like: an earlier version, to begin with.

        Those of engines or devices that nothing is known of teach nothing. Raises DeviceError: of
        all of them nothing is known.
        """
        kept, rows, left_out = _known(chosen(tried), estimator)
        encoder = Encoder.of(rows)
        inputs = encoder.matrix(rows)
        quiet = _quiet(kept)
        memory = EngineMemory.fit(
            [(t.subject, t.candidate, t.trial.peak_bytes)
             for t in kept if t.trial.peak_bytes and not _is_package(t)]
        )  # fmt: skip
        table = _Table(inputs, rows, kept)
        known = like.quantities if like is not None else {}
        latency = table.of_seconds([t.trial.seconds for t in kept], quiet, known.get(LATENCY))
        quantities = {
            LATENCY: latency,
            CPU: table.of_seconds(
                [t.trial.cpu_seconds for t in kept], quiet, known.get(CPU, latency)
            ),
            MEMORY: table.of_memory(memory, known.get(MEMORY)),
        }
        if sum(_joules(t) is not None for t in kept) >= _LEAST_ROWS:
            quantities[ENERGY] = table.of_energy(known.get(ENERGY))
        failures = Failures.fit(
            inputs, np.array([t.failed for t in kept], float), table.models, columns()
        )
        held_out = table.held_out(quantities[LATENCY], quiet)
        return cls(encoder, quiet, quantities, memory, failures, len(tried), held_out, left_out)

    def state(self) -> bytes:
        """An archive of arrays, without pickles."""
        told = {
            "known": self.encoder.known,
            "quiet": self.quiet,
            "quantities": sorted(self.quantities),
            "memory": self.memory.factors,
            "tried": self.tried,
        }
        arrays = {f"failures/{name}": array for name, array in self.failures.state().items()}
        for name, quantity in self.quantities.items():
            arrays |= quantity.state(name)
        return archive_of({"told": np.array(json.dumps(told)), **arrays})

    @classmethod
    def of_state(cls, state: bytes) -> Self:
        """The models that gave this state. Raises StoreError: it is none."""
        try:
            arrays = arrays_of(state)
            told = json.loads(str(arrays.pop("told")))
            begin = "failures/"
            failures = {n.removeprefix(begin): a for n, a in arrays.items() if n.startswith(begin)}
            return cls(
                Encoder(tuple(map(tuple, told["known"]))),
                told["quiet"],
                {name: Quantity.of_state(name, arrays) for name in told["quantities"]},
                EngineMemory(tuple((kind, tuple(factors)) for kind, factors in told["memory"])),
                Failures.of_state(failures),
                told["tried"],
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(
                "The cost model of whole candidates in the store cannot be read: "
                f"{type(error).__name__} {error}. It is fitted again after the next run."
            ) from None


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows as a matrix, with the trials that they are of."""

    inputs: Array
    rows: Sequence[Row]
    tried: Sequence[Tried]

    @property
    def models(self) -> list[str]:
        """Of each row."""
        return [t.subject.sha256 for t in self.tried]

    def of_seconds(
        self, values: Sequence[float | None], quiet: Seconds | None, like: Quantity | None
    ) -> Quantity:
        """A quantity in seconds, over the sentinel of each trial's blocks."""
        targets = [
            math.log(max(_LEAST_SECONDS, value) * _calm(t, quiet))
            if value and not t.failed
            else None
            for value, t in zip(values, self.tried, strict=True)
        ]
        return self._quantity(targets, [row.numbers[0] for row in self.rows], OF_SECONDS, like)

    def held_out(self, latency: Quantity, quiet: Seconds | None) -> tuple[HeldOut, ...]:
        """What was said of latencies whose models were left out, beside what was measured."""
        said = latency.quality.left_out if latency.quality else None
        if said is None:
            return ()
        told = [t for t in self.tried if t.trial.seconds and not t.failed]
        return tuple(
            HeldOut(
                t.name,
                t.candidate.label(),
                math.exp(middle),
                math.exp(middle - reach),
                math.exp(middle + reach),
                (t.trial.seconds or 0.0) * _calm(t, quiet),
            )
            for t, middle, reach in zip(told, said.middle, said.reach, strict=True)
        )

    def of_memory(self, memory: EngineMemory, like: Quantity | None) -> Quantity:
        """Peak memory of engines; that of packages is planned."""
        sizes = {t.subject.sha256: sizes_of(t.subject) for t in self.tried}
        return self._quantity(
            [
                math.log(t.trial.peak_bytes)
                if t.trial.peak_bytes and not t.failed and not _is_package(t)
                else None
                for t in self.tried
            ],
            [math.log(memory.bytes_of(sizes[t.subject.sha256], t.candidate)) for t in self.tried],
            OF_BYTES,
            like,
        )

    def of_energy(self, like: Quantity | None) -> Quantity:
        """Joules by a counter."""
        return self._quantity(
            [None if (told := _joules(t)) is None else math.log(told) for t in self.tried],
            [row.numbers[0] for row in self.rows],
            OF_SECONDS,
            like,
        )

    def _quantity(
        self,
        targets: Sequence[float | None],
        simple: Sequence[float],
        which: Sequence[int],
        like: Quantity | None,
    ) -> Quantity:
        told = [at for at, target in enumerate(targets) if target is not None]
        return Quantity.fit(
            self.inputs[told],
            np.array([targets[at] for at in told], np.float64),
            np.array([simple[at] for at in told], np.float64),
            [self.tried[at].subject.sha256 for at in told],
            which,
            like,
        )


def _joules(tried: Tried) -> float | None:
    """What a counter told of it; None of what it did not tell from idling.

    Stores of before hold that as 0. It is not learnt from, nor counted as if it were.
    """
    told = tried.trial.joules
    return told if told is not None and told > 0.0 and not tried.failed else None


def _known(
    tried: Sequence[Tried], estimator: Estimator
) -> tuple[list[Tried], list[Row], dict[str, int]]:
    """Those that can be estimated, with their rows; how many cannot, by the reason.

    Raises DeviceError: none can.
    """
    kept: list[Tried] = []
    rows: list[Row] = []
    reasons: Counter[str] = Counter()
    for each in tried:
        of = each.subject, each.candidate
        try:
            rows.append(row_of(*of, estimator.estimate(*of, unseen=True)))
        except DeviceError as error:
            reasons[str(error)] += 1
        else:
            kept.append(each)
    if reasons and not kept:
        raise DeviceError(next(iter(reasons)))
    return kept, rows, dict(reasons)


def _is_package(tried: Tried) -> bool:
    return isinstance(tried.candidate.engine, PackageEngine)


def _quiet(tried: Sequence[Tried]) -> Seconds | None:
    """The least that the sentinel took in a trial: what else runs only adds to it."""
    found = [t.trial.sentinel for t in tried if t.trial.sentinel]
    return Seconds(min(found)) if found else None


def _calm(tried: Tried, quiet: Seconds | None) -> float:
    """What seconds of a trial are multiplied by, to be those of a quiet machine."""
    sentinel = tried.trial.sentinel
    is_counted = tried.candidate.is_counted
    return quiet / sentinel if quiet and sentinel and not is_counted else 1.0
