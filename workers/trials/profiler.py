"""Profiles of a trial's candidate: kernels timed by the engine, mapped where it is compiled."""

from __future__ import annotations

import json
from dataclasses import replace

from farm.candidate import PackageEngine
from farm.errors import CompileError
from farm.host.temporary import temporary_folder
from farm.profile.kernels import MODEL_FILE, OperatorProfile
from workers.jobs import ProfileJob, TrialJob
from workers.trials.artifacts import Artifacts
from workers.trials.children import Children
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
            self._artifacts.name_for_profile(trial, artifact, folder)
            named = replace(self._trials.loading(trial, artifact), model=str(folder / MODEL_FILE))
            told = self._children.profile(trial, named, folder, seconds)
            return self._artifacts.map_kernels(trial, artifact, folder, json.dumps(told))


def _require_new(trial: TrialJob) -> None:
    """Raise CompileError for a package that is run as it was kept."""
    if trial.pinned.artifact:
        raise CompileError(
            f"The steps of {trial.candidate.label()} cannot be timed: the package would have to "
            "be built anew, and it is run as it was kept."
        )
