"""What the store keeps of a night's value beside its columns, as JSON text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from db.night_records import NightValue
from farm.errors import StoreError
from farm.measurement import Estimate
from tuner.nightly.states.good import GoodState


@with_config(ConfigDict(ser_json_inf_nan="strings"))  # an interval may have no bound
@dataclass(frozen=True, slots=True)
class Details:
    """Of one series on one night.

    good: key of the state that it was compared with; empty on a first night. now: what was
    measured, ready to become the good state. against: what it was compared with.
    environment: the installed environment of the suite that ``now`` ran in, "" for today's.
    machine: the fingerprint's id. label: of the candidate. ratio, noise, pairs: see ``Tonight``.
    seconds: that the case took. judged: false until the nights before were asked, too.
    change: id of the change point that the night raised, or that is open. nights: that counted.
    """

    good: str
    now: GoodState
    against: GoodState
    environment: str = ""
    machine: str = ""
    label: str = ""
    ratio: Estimate | None = None
    noise: float = 0.0
    pairs: int = 0
    seconds: float = 0.0
    judged: bool = False
    sentence: str = ""
    change: str = ""
    nights: int = 0
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> str:
        """The text that the store keeps."""
        return _DETAILS.dump_json(self).decode()


def details_of(value: NightValue) -> Details:
    """What is kept of a value. Raises StoreError: this version cannot read it."""
    found: Details = _read(_DETAILS, value.details, f"night {value.night}")
    return found


@dataclass(frozen=True, slots=True)
class Failed:
    """A case, or an environment of the suite where ``case`` is empty, that was not measured."""

    case: str
    sentence: str
    environment: str = ""


@dataclass(frozen=True, slots=True)
class NightDetails:
    """Of a night. path: of the suite's file. machine: the fingerprint's id and its one line."""

    path: str = ""
    machine: str = ""
    described: str = ""
    failed: tuple[Failed, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The text that the store keeps."""
        return _NIGHT.dump_json(self).decode()


def night_details(text: str, night: str) -> NightDetails:
    """What is kept of a night. Raises StoreError: this version cannot read it."""
    found: NightDetails = _read(_NIGHT, text, f"night {night}")
    return found


_DETAILS: TypeAdapter[Details] = TypeAdapter(Details)
_NIGHT: TypeAdapter[NightDetails] = TypeAdapter(NightDetails)


def _read(adapter: TypeAdapter[Any], text: str, what: str) -> Any:  # noqa: ANN401
    try:
        return adapter.validate_json(text)
    except ValidationError:
        raise StoreError(
            f"What the store keeps of {what} cannot be read by this version of the farm."
        ) from None
