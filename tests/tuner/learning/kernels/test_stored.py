"""What was learnt of kernels, in a store and out of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from db.costs.versions import newest_cost_model
from db.store import Store
from farm.costs.calibration import CostPlace, constants_json, ends_json
from farm.costs.model import MeasuredThenRoofline
from farm.devices.profile import load_profiles
from farm.errors import StoreError
from farm.prediction import Basis
from tests.db.samples import CALIBRATION, MACHINE, SOFTWARE
from tests.farm.costs.test_calibration import CALIBRATION as FOUND
from tests.tuner.learning.kernels.values import CACHES, convolution, law, law_rows
from tuner.learning.kernels.costs import FORMAT, LearnedKernels, learn_kernels
from tuner.learning.kernels.rows import plain_rows
from tuner.learning.kernels.stored import learn_from_store, newest_kernels

CPU = load_profiles()["cpu"]
PLACE = CostPlace("cpu", "onnxruntime-cpu")
ASKED = (convolution(24, 40, 16),)


@pytest.fixture
def store() -> Store:
    """With a calibration that shows kernels of networks."""
    opened = Store.open(":memory:")
    opened.add_machine(MACHINE)
    opened.add_software(SOFTWARE)
    details = json.dumps({"notes": [], "kernels": plain_rows(law_rows(6, 20))})
    opened.add_calibration(
        replace(
            CALIBRATION,
            constants=constants_json(FOUND),
            borders=ends_json(FOUND),
            details=details,
        )
    )
    return opened


def test_a_calibration_alone_teaches(store: Store) -> None:
    with store:
        assert newest_kernels(store, "cpu", MACHINE.id) is None
        assert learn_from_store(store, CPU, MACHINE.id, SOFTWARE.id) is not None
        learned = newest_kernels(store, "cpu", MACHINE.id)
    assert learned is not None
    costs = MeasuredThenRoofline({"cpu": FOUND}, learned={"cpu": learned.at(FOUND)})
    found = costs.cost(ASKED, PLACE)
    assert found.basis is Basis.LEARNED
    assert found.value == pytest.approx(law(ASKED[0]), rel=0.3)


def test_nothing_is_kept_twice_of_the_same(store: Store) -> None:
    with store:
        learned = learn_from_store(store, CPU, MACHINE.id, SOFTWARE.id)
        assert learned is not None
        first = newest_cost_model(store, "cpu", MACHINE.id, FORMAT)
        again = learn_from_store(store, CPU, MACHINE.id, SOFTWARE.id)
        assert again is not None
        assert again.content() == learned.content()
        assert newest_cost_model(store, "cpu", MACHINE.id, FORMAT) == first


def test_places_and_options_that_were_not_seen_have_no_learned_cost() -> None:
    learned = learn_kernels("cpu", law_rows(6, 20), CACHES).at(FOUND)
    assert learned.cost(ASKED, PLACE) is not None
    assert learned.cost(ASKED, replace(PLACE, precision="int8")) is None
    assert learned.cost(ASKED, replace(PLACE, device="gpu")) is None
    other = replace(learned, options={"onnxruntime-cpu": "onnxruntime-cpu graph=none"})
    assert other.cost(ASKED, PLACE) == learned.cost(ASKED, PLACE), "of what it does without them"


def test_a_model_that_does_worse_than_the_roofline_is_not_used() -> None:
    learned = learn_kernels("cpu", law_rows(6, 20), CACHES)
    ((key, model),) = learned.models.items()
    worse = replace(model, quality=replace(model.quality, error=9.0))
    assert LearnedKernels("cpu", {key: worse}).cost(ASKED, PLACE) is None


def test_what_is_not_its_own_content_is_said() -> None:
    with pytest.raises(StoreError, match="learnt of kernels cannot be read"):
        LearnedKernels.of_content(b"something else")
