"""Places of the parts of pipelines: what the profiles of their devices say of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from farm.artifact.folder import MODEL_FILE
from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    GpuEngine,
    NvidiaEngine,
    OnnxRuntimeCpu,
    PackageEngine,
    Pipeline,
    PipelinePart,
    ThreadedEngine,
)
from farm.codegen.package.record import RUNNER_FILE, SHARED_FILE, excess, read_compiled
from farm.devices.profile import DeviceKind, DeviceProfile
from farm.errors import CompileError
from farm.session.of_candidate import on_gpu, part_session
from farm.session.pipeline import PartRecord
from farm.session.spec import OpenVinoSpec, SessionSpec
from workers.environments.interpreters import Interpreters
from workers.gpus.numbers import seen_number, seen_variables
from workers.meters.energy import NO_COUNTER
from workers.meters.energy_window import energy_window
from workers.nvidia.devices import opened
from workers.nvidia.nvml import Gpu, Nvml
from workers.protocol import PackageDescription, PartDescription, PipelineDescription
from workers.trials.artifacts import Artifact
from workers.trials.children import CounterFailed


class Places:
    """The devices of one worker: its own, and others that parts of a pipeline may be at.

    interpreters: of its own device.
    """

    def __init__(
        self,
        own: DeviceProfile,
        interpreters: Interpreters,
        others: Mapping[str, DeviceProfile],
    ) -> None:
        self._own = own
        self._profiles = {**others, own.name: own}
        self._interpreters = {own.name: interpreters}

    def seconds_per_packet(self, device: str = "") -> float:
        """Of a device that is emulated, by default the worker's own. Raises CompileError."""
        profile = self._profile(device or self._own.name)
        if profile.package is None:
            raise CompileError(
                f"The device profile {profile.name} has no [package] figures, and says "
                "nothing of the speed of a processor that is emulated."
            )
        return profile.package.seconds(1)

    def description(
        self, candidate: Candidate, engine: Pipeline, artifact: Artifact
    ) -> PipelineDescription:
        """How a compiled pipeline is run. Raises CompileError: a device cannot run its part."""
        assert artifact.pipeline is not None
        records, processors = artifact.pipeline.parts, list(_processors(engine))
        parts = []
        for part, record, own in zip(engine.parts, records, processors, strict=True):
            kind, spec, file = self._loading(candidate, part, record)
            packaged = isinstance(part.engine, PackageEngine)
            interpreter = "" if packaged else self._python(part)
            variables = {} if packaged else self._variables(part.device)
            parts.append(
                PartDescription(
                    place=part.place,
                    engine=kind,
                    spec=spec,
                    model=str(artifact.model.parent / record.folder / file),
                    inputs=record.inputs,
                    outputs=record.outputs,
                    is_remote=engine.overlapped or bool(interpreter) or self._sets(variables),
                    interpreter=interpreter,
                    processors=own,
                    variables=variables,
                )
            )
        return PipelineDescription(tuple(parts), engine.in_flight)

    def excess(self, engine: Pipeline, artifact: Artifact) -> str:
        """Which limit of a device a part breaks; "" if none does."""
        assert artifact.pipeline is not None
        for part, record in zip(engine.parts, artifact.pipeline.parts, strict=True):
            figures = self._profile(part.device).package
            if figures is not None and isinstance(part.engine, PackageEngine):
                package = read_compiled(artifact.model.parent / record.folder)
                if broken := excess(figures, package):
                    return f"The part at {part.place}: {broken}"
        return ""

    def energy_window(self, candidate: Candidate) -> float | None:
        """Seconds to be counted at least; None where no counter tells of all that runs it.

        A GPU's own counter knows nothing of the processor, and those of processors know of these.
        """
        if not self._would_be_counted(candidate):
            return None
        windows = [energy_window(self._profile(name)) for name in self._devices(candidate)]
        known = [window for window in windows if window is not None]
        return max(known) if len(known) == len(windows) else None

    def counted_window(self, candidate: Candidate) -> float | None:
        """The same where energy decides; None of what no counter could tell of.

        Raises CounterFailed: the counter that the run began with cannot be read any more.
        """
        window = self.energy_window(candidate)
        if window is None and self._would_be_counted(candidate):
            raise CounterFailed(NO_COUNTER)
        return window

    def gpus(self, candidates: Iterable[Candidate]) -> tuple[tuple[Nvml, Gpu], ...]:
        """NVIDIA's GPUs that candidates run on, each with the library that tells of it."""
        named = sorted({name for each in candidates for name in self._devices(each)})
        found = (opened(self._profiles[name]) for name in named if name in self._profiles)
        return tuple(each for each in found if each is not None)

    def close(self) -> None:
        """Let the environments of other devices be removed."""
        for name, interpreters in self._interpreters.items():
            if name != self._own.name:
                interpreters.close()

    def _devices(self, candidate: Candidate) -> set[str]:
        """Names of those that a candidate runs on."""
        engine = candidate.engine
        return set(engine.devices) if isinstance(engine, Pipeline) else {self._own.name}

    def _would_be_counted(self, candidate: Candidate) -> bool:
        """Whether the counters of the devices that it runs on see all of it, if they have one."""
        if isinstance(candidate.engine, NvidiaEngine):
            return not candidate.spans_devices
        profiles = [self._profile(name) for name in self._devices(candidate)]
        return all(p.kind is DeviceKind.CPU and not p.is_fake for p in profiles)

    def _loading(
        self, candidate: Candidate, part: PipelinePart, record: PartRecord
    ) -> tuple[str, dict[str, Any], str]:
        """Engine and options of a part, as a child knows them, and the file that is loaded."""
        self._check(part)
        if record.quantised and candidate.precision.quantization is not None:
            _check_floats(part)
        match part.engine:
            case CPackage():
                return "cpackage-shared", {}, SHARED_FILE
            case CPackageEmulated():
                packets = PackageDescription(self.seconds_per_packet(part.device))
                return "cpackage", asdict(packets), RUNNER_FILE
            case _:
                session = part_session(candidate, part, quantised=record.quantised)
                return *described(session, self._profile(part.device)), MODEL_FILE

    def _check(self, part: PipelinePart) -> None:
        """Raise CompileError for an engine that a device does not have."""
        engines = self._profile(part.device).engines
        if part.engine.kind not in engines:
            raise CompileError(
                f"Device {part.device} has no engine '{part.engine.kind}', which a part of the "
                f"pipeline asks for; it has {', '.join(engines)}."
            )

    def _variables(self, device: str) -> dict[str, str]:
        """Of the environment of a device's processes."""
        return seen_variables(self._profile(device))

    def _sets(self, variables: Mapping[str, str]) -> bool:
        """Whether the pipeline's own process has other values of some variables."""
        return not variables.items() <= self._variables(self._own.name).items()

    def _profile(self, device: str) -> DeviceProfile:
        if device not in self._profiles:
            known = ", ".join(sorted(self._profiles))
            raise CompileError(
                f"A part of the pipeline is at device '{device}', which this worker does not "
                f"know; it knows {known}."
            )
        return self._profiles[device]

    def _python(self, part: PipelinePart) -> str:
        """The interpreter of a part's engine; "" for the farm's own."""
        if part.device not in self._interpreters:
            self._interpreters[part.device] = Interpreters(self._profile(part.device))
        return self._interpreters[part.device].of(part.engine.kind)


def described(
    session: SessionSpec | OpenVinoSpec, profile: DeviceProfile
) -> tuple[str, dict[str, Any]]:
    """Engine and options of a session on a device, as a child knows them."""
    kind = "openvino" if isinstance(session, OpenVinoSpec) else "onnxruntime"
    return kind, asdict(on_gpu(session, seen_number(profile)))


def _check_floats(part: PipelinePart) -> None:
    """Raise CompileError where a part with quantised operators would compute them in floats."""
    if isinstance(part.engine, GpuEngine):
        raise CompileError(
            f"The part at {part.place} has quantised operators, and that engine computes in "
            "floats; keep them in float, or put them elsewhere."
        )


def _processors(engine: Pipeline) -> Iterator[tuple[int, ...]]:
    """Logical processors that the processes of overlapped parts stay on; () for any of them.

    Those with one thread that is to be pinned have one each, beside those of parts before them.
    """
    free = 0
    for part in engine.parts:
        runs = part.engine
        threads = runs.threads if isinstance(runs, ThreadedEngine) else 1
        pinned = isinstance(runs, OnnxRuntimeCpu) and runs.pinning and threads == 1
        yield (free,) if pinned and engine.overlapped else ()
        free += max(1, threads)
