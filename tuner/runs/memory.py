"""What a run remembers from one invocation to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from db.records import Run
from farm.errors import StoreError
from farm.measurement import Estimate
from tuner.results import DeviceResult, Status, Verdict


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """What became of a device.

    trial, candidate, label: of the winner, the trial being its confirmation; empty without one.
    ratio: baseline latency over winner latency; None when the winner is the baseline.
    output: absolute path of the winner's folder, empty where none was written.
    """

    status: Status
    reason: str = ""
    verdict: Verdict | None = None
    trial: str = ""
    candidate: str = ""
    label: str = ""
    ratio: Estimate | None = None
    output: str = ""

    @property
    def has_gain(self) -> bool:
        """Whether the winner is another candidate than the baseline."""
        return self.verdict in (Verdict.IMPROVED, Verdict.WITHIN_LIMITS)


@dataclass(frozen=True, slots=True)
class Opening:
    """Since when, and until when, a device may be worked on: both in seconds spent on it.

    A device most often has spent more than its budget when it ends, because of what is under way.
    """

    since: float
    until: float

    @property
    def total(self) -> float:
        """Seconds of this opening."""
        return self.until - self.since


@with_config(ConfigDict(ser_json_inf_nan="strings"))  # an interval may have no bound
@dataclass(frozen=True, slots=True)
class Memory:
    """The store's ``summary`` of a run.

    data_sha256: of its data. seconds: spent on each device so far. confirmed: devices whose
    confirmation is complete, so that nothing more is measured there. devices: what became of
    each; runs of a farm before 0.2 do not have it. openings: of devices that were given more time.
    unconfirmed: absolute paths of folders with the best so far of an interruption, by device.
    unprofiled: sentences on profiles that failed, by device: a complete run takes none again.
    """

    data_sha256: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    confirmed: tuple[str, ...] = ()
    devices: dict[str, DeviceMemory] = field(default_factory=dict)
    openings: dict[str, Opening] = field(default_factory=dict)
    unconfirmed: dict[str, str] = field(default_factory=dict)
    unprofiled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text that the store keeps."""
        return _MEMORY.dump_json(self).decode()

    @classmethod
    def of(cls, run: Run) -> Memory:
        """What a run remembers. Raises StoreError: it cannot be read."""
        try:
            return _MEMORY.validate_json(run.summary or "{}")
        except ValidationError:
            raise StoreError(
                f"What the store keeps of run {run.name} cannot be read. Start a new run."
            ) from None

    def spent(self, device: str, seconds: float) -> Memory:
        """With the time that was spent on a device so far."""
        return replace(self, seconds={**self.seconds, device: seconds})

    def with_confirmed(self, device: str) -> Memory:
        """With a device whose confirmation is complete."""
        return replace(self, confirmed=tuple(dict.fromkeys((*self.confirmed, device))))

    def with_result(self, result: DeviceResult, output: str) -> Memory:
        """With what became of a device; a winner stays when a later invocation fails there."""
        known = self.devices.get(result.device)
        if known and known.status is Status.TUNED and result.status is not Status.TUNED:
            return self
        winner = result.winner
        found = DeviceMemory(
            result.status,
            result.reason,
            result.verdict,
            winner.trial_id if winner else "",
            winner.candidate_id if winner else "",
            winner.label if winner else "",
            result.ratio,
            output,
        )
        unconfirmed = {
            d: f for d, f in self.unconfirmed.items() if d != result.device or not output
        }
        devices = {**self.devices, result.device: found}
        return replace(self, devices=devices, unconfirmed=unconfirmed)

    def with_unconfirmed(self, device: str, output: str) -> Memory:
        """With the folder of the best so far of a device, which nothing has confirmed."""
        return replace(self, unconfirmed={**self.unconfirmed, device: output})

    def with_unprofiled(self, device: str, failed: tuple[str, ...]) -> Memory:
        """With what failed when the candidates of a device were profiled."""
        return replace(self, unprofiled={**self.unprofiled, device: failed})

    def opening(self, device: str, budget: float) -> Opening:
        """What a device may spend. budget: seconds that every device of the run has."""
        return self.openings.get(device) or Opening(0.0, budget)

    def reopened(self, budget: float, more: float) -> Memory:
        """With more to be measured on every device; the winners are known still.

        budget: seconds that every device had. more: seconds that every device has from now on,
        beside what is left to it.
        """
        openings = {
            device: Opening(spent, max(self.opening(device, budget).until, spent) + more)
            for device, spent in self.seconds.items()
        }
        return replace(self, confirmed=(), openings=openings)

    def champion(self, device: str) -> str:
        """The id of the candidate that was confirmed as better than the baseline; "" if none."""
        known = self.devices.get(device)
        return known.candidate if known and known.has_gain else ""


_MEMORY: TypeAdapter[Memory] = TypeAdapter(Memory)
