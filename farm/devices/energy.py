"""Energy of one run, modelled from a device profile, for machines without an energy counter.

E = P_static t + Σ macs e_mac + Σ bytes e_byte: the static term dominates on processors of the
size of a laptop's, and arithmetic alone underestimates real devices by orders of magnitude.
Where a processor's packets are counted, the sums are over packets and vector instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

from farm.candidate import Candidate, DynamicInt8, StaticInt8, WeightOnlyInt4
from farm.devices.profile import PowerFigures
from farm.model.formats import float_bytes
from farm.units import Bytes, Joules, Seconds


@dataclass(frozen=True, slots=True)
class Work:
    """What one run of a model does. macs: multiply-accumulates.

    weight_bytes, activation_bytes: of all operators in the model's own floats, each tensor counted
    at every operator that reads or writes it.
    """

    macs: int
    weight_bytes: Bytes
    activation_bytes: Bytes


def modelled_energy(
    power: PowerFigures, work: Work, candidate: Candidate, seconds: Seconds
) -> Joules:
    """Joules of one run that takes ``seconds``. work: of one sample."""
    arithmetic, weight_share, activation_share = _number_formats(candidate)
    per_mac = power.joules_per_mac.get(arithmetic, power.joules_per_mac.get("float32", 0.0))
    traffic = (
        work.weight_bytes * weight_share
        + candidate.batch * work.activation_bytes * activation_share
    )
    dynamic = candidate.batch * work.macs * per_mac + traffic * power.joules_per_byte
    return Joules(power.static_watts * seconds + dynamic)


def counted_energy(
    power: PowerFigures, packets: float, vector_instructions: float, seconds: Seconds
) -> Joules:
    """Joules of one run that executes so much and takes ``seconds``."""
    dynamic = packets * power.joules_per_packet
    dynamic += vector_instructions * power.joules_per_vector_instruction
    return Joules(power.static_watts * seconds + dynamic)


def _number_formats(candidate: Candidate) -> tuple[str, float, float]:
    """Arithmetic of the matrix work; bytes of weights and activations against the model's own."""
    float_type = candidate.precision.float_type
    own_bytes = float_bytes(candidate.precision.given.float_type)
    float_share = float_bytes(float_type) / own_bytes
    match candidate.precision.quantization:
        case None:
            return str(float_type), float_share, float_share
        case StaticInt8():
            return "int8", 1 / own_bytes, 1 / own_bytes
        case DynamicInt8():
            return "int8", 1 / own_bytes, float_share
        case WeightOnlyInt4(accuracy_level=level):
            return ("int8" if level == 4 else str(float_type)), 0.5 / own_bytes, float_share
