"""Accuracy of a loaded artifact: its outputs against labels, or against the float model's."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from farm.accuracy.evaluate import accuracy
from farm.accuracy.metric import choose_metric, load_metric
from farm.accuracy.outputs import Reference
from farm.accuracy.result import AccuracyResult
from farm.candidate import Candidate, Fake, GraphLevel, OnnxRuntimeCpu
from farm.errors import OptionError
from farm.measurement import Outcome
from farm.session.of_candidate import session_spec
from workers.answers import read_answers
from workers.jobs import TrialJob, Workload
from workers.trials.children import Children, LoadedChild, Loading
from workers.trials.process import ChildError
from workers.trials.stored.cache import Cache


class Checker:
    """Checks the accuracy of the artifacts of one worker."""

    def __init__(self, cache: Cache, children: Children) -> None:
        self._cache = cache
        self._children = children
        self._workloads: dict[str, Workload] = {}

    def use(self, workload: Workload) -> None:
        """Take what a workload says of its metric and its model; its files are in the cache."""
        self._workloads[workload.key] = replace(workload, model=b"", parts={}, labels={})

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
        outputs = read_answers(path)
        path.unlink()
        label_file = self._cache.labels(job.workload_key, job.part)
        labels = np.load(label_file, allow_pickle=False) if label_file.exists() else None
        asked = self._workloads[job.workload_key]
        metric = (
            load_metric(asked.metric, asked.metric_source)
            if asked.metric
            else choose_metric(reference, labels)
        )
        try:
            return accuracy(metric, outputs, reference, labels)
        except OptionError as error:
            raise ChildError(Outcome.RUN_ERROR, str(error)) from None

    def _reference(self, job: TrialJob) -> Reference:
        """Outputs of the model as the user gave it, by ONNX Runtime's CPU provider."""
        workload = self._workloads[job.workload_key]
        folder = self._cache.references(job.workload_key, job.part)
        # Models that answer differently are asked twice.
        names = ("first.npz", "again.npz") if workload.random else ("first.npz",)
        with self._cache.complete(folder) as draft:
            if draft is not None:
                self._write_references(job, [draft / name for name in names])
        first, *again = (read_answers(folder / name) for name in names)
        return Reference(first, workload.outputs, again[0] if again else None, workload.random)

    def _write_references(self, job: TrialJob, files: list[Path]) -> None:
        """At the highest graph level that does not fail. Raises ChildError of the first."""
        failures = []
        for level in (GraphLevel.ALL, GraphLevel.BASIC, GraphLevel.NONE):
            try:
                return self._write_outputs(job, files, level)
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

    def _write_outputs(self, job: TrialJob, files: list[Path], level: GraphLevel) -> None:
        """Run the model once per file, in one session, so that random numbers go on.

        Raises ChildError.
        """
        engine = OnnxRuntimeCpu(threads=1, graph_level=level)
        loading = Loading(
            "onnxruntime",
            asdict(session_spec(Candidate(engine))),
            str(self._cache.model(job.workload_key)),
            str(self._cache.inputs(job.workload_key, job.part)),
        )
        child = self._children.load("reference", loading, job.limits)
        try:
            for file in files:
                child.evaluate(file)
        finally:
            child.kill()
