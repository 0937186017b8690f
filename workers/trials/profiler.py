"""Profiles of a trial's candidate: kernels timed by the engine, mapped where it is compiled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from farm.candidate import PackageEngine
from farm.errors import CompileError
from farm.host.temporary import temporary_folder
from farm.profile.kernels import MODEL_FILE, OperatorProfile
from farm.profile.tags import with_tags_replaced
from workers.jobs import ProfileJob, TrialJob
from workers.trials.artifacts import Artifacts
from workers.trials.children import Children, Loading
from workers.trials.process import ChildError
from workers.trials.trial import TrialRunner


class Profiler:
    """Profiles the candidates of one worker."""

    def __init__(self, children: Children, artifacts: Artifacts, trials: TrialRunner) -> None:
        self._children = children
        self._artifacts = artifacts
        self._trials = trials

    def run(self, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        """The kernels of a candidate in the order in which they run; none of the fake engine.

        Raises ChildError, CompileError.
        """
        trial, seconds = job.trial, job.seconds
        if isinstance(trial.candidate.engine, PackageEngine):  # built anew, so as to be timed
            _require_new(trial)
            with temporary_folder("profile") as folder:
                return self._artifacts.profile_package(trial, folder, seconds)
        artifact = self._trials.compiled(trial)
        if artifact is None:
            return ()
        if artifact.pipeline is not None:
            raise CompileError(
                f"The kernels of {trial.candidate.label()} are not timed: they are of several "
                "engines. What each part takes is in its trial."
            )
        with temporary_folder("profile") as folder:
            names = self._artifacts.name_for_profile(trial, artifact, folder)
            named = in_copy(self._trials.loading(trial, artifact), folder / MODEL_FILE, names)
            with _in_own_names(names):
                told = self._children.profile(trial, named, folder, seconds)
            return self._artifacts.map_kernels(trial, artifact, folder, json.dumps(told))


def in_copy(loading: Loading, model: Path, names: Mapping[str, str]) -> Loading:
    """The same of a copy that has other names for its operators, by those that they had."""
    spec = dict(loading.spec)
    if spec.get("on_cpu"):
        spec["on_cpu"] = [names[name] for name in spec["on_cpu"]]
    return replace(loading, spec=spec, model=str(model))


@contextmanager
def _in_own_names(names: Mapping[str, str]) -> Iterator[None]:
    """What fails names operators as the artifact does. names: as ``in_copy`` takes them."""
    try:
        yield
    except ChildError as error:
        own = {tag: name for name, tag in names.items()}
        raise ChildError(error.outcome, with_tags_replaced(error.message, own)) from None


def _require_new(trial: TrialJob) -> None:
    """Raise CompileError for a package that is run as it was kept."""
    if trial.pinned.artifact:
        raise CompileError(
            f"The steps of {trial.candidate.label()} cannot be timed: the package would have to "
            "be built anew, and it is run as it was kept."
        )
