"""The costs that a store knows, read once: calibrations, and profiles of the very operators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from db.questions.operators.costs import ProfiledTrial, newest_calibrations, profiled_trials
from db.reader import StoreReader
from farm.candidate import Candidate, PackageEngine, StaticInt8, engine_label, from_json
from farm.costs.calibration import Calibration, CostPlace, calibration_of
from farm.costs.kernels import Wired, as_in_a_run, in_seconds, kernel_groups
from farm.costs.model import LearnedCosts, MeasuredThenRoofline, ProfiledKernels, not_calibrated
from farm.costs.operators import CostedOperator, group_signature
from farm.devices.profile import DeviceProfile
from farm.units import Seconds
from tuner.learning.kernels.stored import newest_kernels
from tuner.runs.record.operators import operators_in
from tuner.search.options import default


def read_costs(
    store: StoreReader,
    profiles: Sequence[DeviceProfile],
    machine_id: str,
    model_sha256: str = "",
    operators: Iterable[CostedOperator] = (),
    threads: int = 0,
) -> MeasuredThenRoofline:
    """What operators cost on devices of a machine.

    model_sha256, operators: of the model that is planned, whose profiles count although an older
    farm kept no signatures with them. threads: of engines, see ``newest_calibrations``.

    Raises DeviceError: a device was never calibrated. Raises StoreError.
    """
    devices = [profile.name for profile in profiles]
    records = newest_calibrations(store, devices, machine_id, threads)
    for device in devices:
        if device not in records:
            raise not_calibrated(device, threads)
    calibrations = {
        device: calibration_of(device, record.constants, record.borders)
        for device, record in records.items()
    }
    trials = profiled_trials(store, devices, machine_id)
    whole = tuple(operators)
    own = {model_sha256: {op.name: op.signature for op in whole}}
    kernels = profiled_kernels(trials, profiles, calibrations, own)
    return MeasuredThenRoofline(
        calibrations, kernels, _learned(store, machine_id, calibrations, whole, threads)
    )


def _learned(
    store: StoreReader,
    machine_id: str,
    calibrations: Mapping[str, Calibration],
    operators: Sequence[CostedOperator],
    threads: int,
) -> dict[str, LearnedCosts]:
    """What was learnt of the kernels of devices, for those of one model."""
    found: dict[str, LearnedCosts] = {}
    for device, calibration in calibrations.items():
        if learned := newest_kernels(store, device, machine_id):
            found[device] = learned.at(calibration, threads).of_model(operators)
    return found


def profiled_kernels(
    trials: Sequence[ProfiledTrial],
    profiles: Sequence[DeviceProfile],
    calibrations: Mapping[str, Calibration],
    known: Mapping[str, Mapping[str, str]],
) -> ProfiledKernels:
    """Seconds of the groups of operators in profiles, by place and signatures.

    known: signatures by name of models whose details have none, by SHA-256.
    """
    by_name = {profile.name: profile for profile in profiles}
    found: dict[CostPlace, dict[str, tuple[Seconds, ...]]] = {}
    for trial in trials:
        place = place_of(trial.device, from_json(trial.candidate), calibrations)
        if place is None or trial.device not in by_name:
            continue
        rows = found.setdefault(place, {})
        calibration = calibrations.get(trial.device)
        ends = calibration.ends_of(place) if calibration else None
        call = ends.launch if ends else 0.0
        for signature, seconds in _groups(trial, by_name[trial.device], known, call):
            rows[signature] = (*rows.get(signature, ()), seconds)
    return ProfiledKernels(found)


def place_of(
    device: str, candidate: Candidate, calibrations: Mapping[str, Calibration]
) -> CostPlace | None:
    """The place whose costs a candidate's profile shows; None where it shows none's.

    The engine's options must be those that the place was calibrated with, or else its defaults.
    """
    if candidate.callers > 1 or candidate.batch > 1 or candidate.rewritten:
        return None
    precision = _precision(candidate)
    if not precision:
        return None
    engine = candidate.engine
    place = CostPlace(device, engine.kind, precision)
    calibration = calibrations.get(device)
    constants = calibration.constants(place) if calibration else None
    if constants is not None:
        return place if engine_label(engine) == constants.options else None
    is_default = isinstance(engine, PackageEngine) or engine == default(engine.kind)
    return place if is_default else None


def _precision(candidate: Candidate) -> str:
    match candidate.precision.quantization:
        case None if candidate.keeps_precision:
            return "float32"
        case StaticInt8(products=False, keep_float=()):
            return "int8"
        case _:
            return ""


def _groups(
    trial: ProfiledTrial,
    profile: DeviceProfile,
    known: Mapping[str, Mapping[str, str]],
    call: float,
) -> Iterator[tuple[str, Seconds]]:
    """Signatures and seconds of groups of operators. call: seconds of a call of the engine."""
    own = operators_in(trial.model_details)
    signed = {name: op.signature for name, op in own.items() if op.signature}
    signed = signed or dict(known.get(trial.model_sha256, {}))
    wiring = {name: Wired(op.op_type, op.after) for name, op in own.items()}
    kernels = as_in_a_run(in_seconds(trial.kernels, profile), trial.latency, call)
    for group in kernel_groups(kernels, wiring):
        if all(name in signed for name in group.operators):
            yield group_signature([signed[name] for name in group.operators]), Seconds(group.cost)
