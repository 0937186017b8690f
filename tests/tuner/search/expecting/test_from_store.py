"""What a store says of similar models: of such machines, before the run began, and no later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from db.records import utc_now
from db.store import Store
from farm.devices.energy import Work
from farm.units import Bytes
from tests.db.samples import MACHINE, MODEL, RUN
from tests.tuner.imagined import BASELINE, DEVICE, Imagined, ImaginedExecutor, fakes
from tuner.goals import Constraints, Objective
from tuner.racing.objective import Scorer
from tuner.search.expecting.cold import ColdPrior
from tuner.search.expecting.from_store import Wanted, prior_from_store
from tuner.search.space import Space

SPACE = Space(("fake",), 2)
COLD = ColdPrior(SPACE)
FAST, SLOW = fakes(0.5, 0.9)
NEW = replace(MODEL, sha256="f" * 64, name="new")


@pytest.fixture
def tuned(store: Store) -> Store:
    """A store in which a model was tuned."""
    Imagined(store, ImaginedExecutor(), (FAST, SLOW)).search()
    return store


def wanted(**changes: object) -> Wanted:
    scorer = Scorer(Objective.LATENCY, Constraints(), Work(0, Bytes(0), Bytes(0)), None)
    until = utc_now() + timedelta(seconds=5)
    return replace(Wanted(NEW, DEVICE, MACHINE, until, BASELINE, scorer), **changes)


def test_a_like_model_begins_warm(tuned: Store) -> None:
    fast, slow = prior_from_store(tuned, wanted(), COLD).expect([FAST, SLOW])
    assert fast.ratio == pytest.approx(0.5, rel=0.15)
    assert slow.ratio == pytest.approx(0.9, rel=0.15)
    assert fast.rows == slow.rows == 3
    assert fast.spread < 0.3


def test_an_empty_store_begins_cold(store: Store) -> None:
    assert prior_from_store(store, wanted(), COLD) is COLD


def test_only_what_there_was_when_the_run_began_counts(tuned: Store) -> None:
    assert prior_from_store(tuned, wanted(until=RUN.created_at), COLD) is COLD
    between = prior_from_store(
        tuned, wanted(until=RUN.created_at + timedelta(microseconds=1)), COLD
    )
    assert between is COLD, "it had begun, and measured nothing"


def test_it_stays_the_same_while_more_is_measured(tuned: Store) -> None:
    asked = wanted(until=utc_now())
    before = prior_from_store(tuned, asked, COLD).expect([FAST, SLOW])
    Imagined(tuned, ImaginedExecutor(), (FAST, SLOW, *fakes(0.1, 0.2, 0.3))).search()
    assert prior_from_store(tuned, asked, COLD).expect([FAST, SLOW]) == before


def test_another_processor_says_nothing(tuned: Store) -> None:
    for machine in (replace(MACHINE, cpu="another"), replace(MACHINE, cores=64)):
        assert prior_from_store(tuned, wanted(machine=machine), COLD) is COLD


def test_nor_does_another_device_or_an_unlike_model(tuned: Store) -> None:
    assert prior_from_store(tuned, wanted(device="other"), COLD) is COLD
    unlike = replace(NEW, details='{"operators": {"x": ["Loop", false]}}')
    assert prior_from_store(tuned, wanted(model=unlike), COLD) is COLD


def test_energy_of_another_model_is_none_of_this(tuned: Store) -> None:
    energy = replace(wanted().scorer, objective=Objective.ENERGY)
    assert prior_from_store(tuned, wanted(scorer=energy), COLD) is COLD
