"""Accuracy of a loaded artifact: its outputs against labels, or against the float model's."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.accuracy import AccuracyResult, accuracy, choose_metric, load_metric
from farm.candidate import Candidate, Fake, GraphLevel, OnnxRuntimeCpu
from farm.engines import session_spec
from farm.errors import OptionError
from farm.measurement import Outcome
from workers.jobs import TrialJob
from workers.trials.cache import Cache
from workers.trials.children import Children, LoadedChild, Loading
from workers.trials.process import ChildError


class Checker:
    """Checks the accuracy of the artifacts of one worker."""

    def __init__(self, cache: Cache, children: Children) -> None:
        self._cache = cache
        self._children = children
        self._metrics: dict[str, str] = {}

    def use_metric(self, workload_key: str, metric: str) -> None:
        """Check a workload with the user's own metric ``module:function``; empty chooses one."""
        self._metrics[workload_key] = metric

    def check(self, job: TrialJob, child: LoadedChild) -> AccuracyResult | None:
        """Accuracy on the job's part; None for the fake engine, which computes nothing.

        Raises ChildError, also when the model itself cannot be run for its reference outputs, or
        when the user's metric fails. Raises DataError: the labels do not suit the outputs.
        """
        if isinstance(job.candidate.engine, Fake):
            return None
        reference = self._reference(job)
        path = self._children.scratch / f"{job.trial_id}.outputs.npz"
        child.evaluate(path)
        outputs = _read_outputs(path)
        path.unlink()
        label_file = self._cache.labels(job.workload_key, job.part)
        labels = np.load(label_file, allow_pickle=False) if label_file.exists() else None
        name = self._metrics.get(job.workload_key, "")
        metric = load_metric(name) if name else choose_metric(reference, labels)
        try:
            return accuracy(metric, outputs, reference, labels)
        except OptionError as error:
            raise ChildError(Outcome.RUN_ERROR, str(error)) from None

    def _reference(self, job: TrialJob) -> list[NDArray[Any]]:
        """Outputs of the model as the user gave it, by ONNX Runtime's CPU provider."""
        path = self._cache.reference(job.workload_key, job.part)
        if not path.exists():
            with self._cache.complete_file(path) as draft:
                self._write_reference(job, draft)
        return _read_outputs(path)

    def _write_reference(self, job: TrialJob, path: Path) -> None:
        """At the highest graph level that does not fail. Raises ChildError of the first."""
        failures = []
        for level in (GraphLevel.ALL, GraphLevel.BASIC, GraphLevel.NONE):
            try:
                return self._write_outputs(job, path, level)
            except ChildError as error:
                failures.append(error)
                if error.outcome is not Outcome.RUN_ERROR:
                    break
        first = failures[0]
        raise ChildError(
            first.outcome,
            "the model as it was given, on ONNX Runtime's CPU provider, gives no reference "
            f"outputs: {first.message}",
        )

    def _write_outputs(self, job: TrialJob, path: Path, level: GraphLevel) -> None:
        """What the model as it was given makes of a part of the data. Raises ChildError."""
        engine = OnnxRuntimeCpu(threads=1, graph_level=level)
        loading = Loading(
            "onnxruntime",
            asdict(session_spec(Candidate(engine))),
            str(self._cache.model(job.workload_key)),
            str(self._cache.inputs(job.workload_key, job.part)),
        )
        child = self._children.load("reference", loading, job.limits)
        try:
            child.evaluate(path)
        finally:
            child.kill()


def _read_outputs(path: Path) -> list[NDArray[Any]]:
    """The outputs that a child wrote, in the model's order, each [samples, ...]."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
        return [archive[f"o{i}"] for i in range(len(archive.files))]
