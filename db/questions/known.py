"""Whether a store knows what it is asked about: a name that does not exist is no empty answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.questions.views import Subject
from db.reader import StoreReader, models_called
from db.schema import ModelRow, RankingRow, TrialRow
from farm.errors import NotInStore
from farm.text import did_you_mean

_NEAREST_OF = 1000  # names of models


def check_known(
    store: StoreReader, subject: Subject, others: Callable[[], Iterable[str]]
) -> Subject:
    """The subject, whose model and devices are known.

    others: names of devices that nothing needs to be stored of; asked where one is not.

    Raises NotInStore: there is none of that name; the nearest one is offered.
    """
    with store.reading() as session:
        if subject.model is not None:
            _check_model(session, subject.model, store.place)
        ranked = set(session.scalars(select(RankingRow.device).distinct()))
        for device in subject.devices:
            if device not in ranked and device not in (known := ranked.union(others())):
                _check_device(session, device, known, store.place)
    return subject


def _check_model(session: Session, name: str, place: str) -> None:
    if session.scalar(models_called(name).limit(1)) is not None:
        return
    names = session.scalars(select(ModelRow.name).distinct().limit(_NEAREST_OF))
    raise NotInStore(
        f"There is no model {name!r} in the store at {place}. "
        f"{did_you_mean(name, names)}`farm runs` lists what there is."
    )


def _check_device(session: Session, name: str, known: Iterable[str], place: str) -> None:
    if session.scalar(select(TrialRow.id).where(TrialRow.device == name).limit(1)) is not None:
        return  # all of its trials failed
    raise NotInStore(
        f"There is no device {name!r}, neither here nor in the store at {place}. "
        f"{did_you_mean(name, sorted(known))}`farm devices` lists those of this machine."
    )
