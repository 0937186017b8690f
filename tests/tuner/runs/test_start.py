"""Opening runs: what is checked, what a run remembers, and when it cannot go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from db.records import Phase, RunKind, RunStatus
from db.store import Store
from farm.devices.profile import Availability, DeviceProfile, load_profiles
from farm.errors import DeviceError, ModelError, NotInStore, OptionError
from tests.conftest import furnish
from tests.models import mlp, save
from tests.tuner.imagined import BASELINE, ImaginedExecutor
from tuner.goals import Constraints, Objective
from tuner.request import TuneRequest
from tuner.runs.memory import Memory
from tuner.runs.record.journal import Journal
from tuner.runs.start import (
    OpenRun,
    check_request,
    new_run_name,
    open_journal,
    resume_run,
    start_run,
)
from workers.jobs import DeviceFacts

PROFILES = load_profiles()
PROFILES |= {"gone": replace(PROFILES["fake"], name="gone", interpreter="/nowhere/python")}


@pytest.fixture
def request_(tmp_path: Path) -> TuneRequest:
    furnish(tmp_path)
    data = str(tmp_path / "data.npz")
    return TuneRequest(str(tmp_path / "model.onnx"), ("fake",), data, seed=7)


@pytest.fixture
def empty() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


def test_a_new_run_is_in_the_store_with_its_model(empty: Store, request_: TuneRequest) -> None:
    opened = start_run(empty, check_request(request_, PROFILES))
    run = empty.run(opened.name)
    assert (run.kind, run.status, run.seed) == (RunKind.TUNE, RunStatus.INTERRUPTED, 7), (
        "no process yet"
    )
    model = empty.model(run.model_sha256)
    assert (model.name, model.operators) == ("model", 8)
    assert model.macs > 0
    assert empty.machine(run.machine_id).cores >= 1
    assert Memory.of(run).data_sha256 == opened.subject.dataset.sha256
    assert [profile.name for profile in opened.profiles] == ["fake"]


def test_a_run_is_resumed_as_it_was(empty: Store, request_: TuneRequest) -> None:
    opened = start_run(empty, check_request(request_, PROFILES))
    resumed = resume_run(empty, opened.name, PROFILES)
    assert resumed.request == request_
    assert resumed.subject.workload.key == opened.subject.workload.key
    elsewhere = resume_run(empty, opened.name, PROFILES, output="/elsewhere")
    assert elsewhere.request == replace(request_, output="/elsewhere")


def test_runs_of_one_second_have_names_of_their_own(empty: Store, request_: TuneRequest) -> None:
    checked = check_request(request_, PROFILES)
    names = [start_run(empty, checked).name for _ in range(3)]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("model", "name"),
    [("kws", "kws-"), ("a b/c:d", "a-b-c-d-"), ("...", "model-"), ("日本", "model-")],
)
def test_names_fit_for_folders(model: str, name: str) -> None:
    assert new_run_name(model).startswith(name + "20")


def test_another_model_cannot_be_resumed(
    empty: Store, request_: TuneRequest, tmp_path: Path
) -> None:
    opened = start_run(empty, check_request(replace(request_, data=""), PROFILES))
    save(mlp(), tmp_path)
    with pytest.raises(OptionError, match="is not the model it was started with"):
        resume_run(empty, opened.name, PROFILES)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ModelError):
        resume_run(empty, opened.name, PROFILES)


def test_other_data_cannot_be_resumed(empty: Store, request_: TuneRequest, tmp_path: Path) -> None:
    opened = start_run(empty, check_request(request_, PROFILES))
    images = np.load(tmp_path / "data.npz")["image"]
    np.savez(tmp_path / "data.npz", image=images + 1)
    with pytest.raises(OptionError, match="is not the data it was started with"):
        resume_run(empty, opened.name, PROFILES)


def test_a_bench_is_not_resumed(empty: Store, request_: TuneRequest) -> None:
    opened = start_run(empty, check_request(request_, PROFILES), RunKind.BENCH)
    with pytest.raises(OptionError, match="only `farm tune` can be resumed"):
        resume_run(empty, opened.name, PROFILES)


def test_the_beginning_of_a_name_means_what_can_be_resumed(
    empty: Store, request_: TuneRequest
) -> None:
    checked = check_request(request_, PROFILES)
    for _ in range(2):
        start_run(empty, checked, RunKind.BENCH)
    opened = start_run(empty, checked)
    assert resume_run(empty, opened.name[:2], PROFILES).name == opened.name


def test_an_unknown_run(empty: Store) -> None:
    with pytest.raises(NotInStore):
        resume_run(empty, "nobody", PROFILES)


def test_a_profile_that_went(empty: Store, request_: TuneRequest) -> None:
    opened = start_run(empty, check_request(request_, PROFILES))
    with pytest.raises(DeviceError, match="Unknown device 'fake'"):
        resume_run(empty, opened.name, {"cpu": PROFILES["cpu"]})


def test_energy_needs_a_counter_or_figures(request_: TuneRequest) -> None:
    bare = {"fake": replace(PROFILES["fake"], power=None)}

    def there(profile: DeviceProfile, *, counts: bool) -> Availability:
        return Availability(available=True, counts_energy=counts)

    for asked in (
        replace(request_, objective=Objective.ENERGY),
        replace(request_, constraints=Constraints(max_energy=1.0)),
    ):
        assert check_request(asked, bare, availability=partial(there, counts=True))
        assert check_request(asked, PROFILES, availability=partial(there, counts=False))
        with pytest.raises(OptionError) as told:
            check_request(asked, bare, availability=partial(there, counts=False))
        assert str(told.value) == (
            "The energy of fake is unknown: it has no counter that can be read, and its device "
            "profile has no [power] figures. Add them, or leave out --objective energy and "
            "--max-energy."
        )


def test_energy_is_counted_as_the_run_began(empty: Store, request_: TuneRequest) -> None:
    """A run that was begun by modelled energy is not resumed by a counter: that would mix both."""
    executor = ImaginedExecutor()
    facts = replace(executor.describe("fake"), energy_window=5.0)

    def journal(opened: OpenRun, facts: DeviceFacts = facts) -> Journal:
        machine = executor  # answers at once
        return open_journal(empty, machine, opened, PROFILES["fake"], facts)  # type: ignore[arg-type]

    plain = start_run(empty, check_request(request_, PROFILES))
    assert journal(plain).scope.energy_window is None, "nobody asks for it"
    asked = check_request(replace(request_, objective=Objective.ENERGY), PROFILES)
    counted, modelled = start_run(empty, asked), start_run(empty, asked)
    assert journal(counted).scope.energy_window == 5.0
    assert list(journal(counted).run_trials([BASELINE], Phase.SEARCH))
    assert journal(counted).scope.energy_window == 5.0
    bare = journal(modelled, replace(facts, energy_window=None))
    assert list(bare.run_trials([BASELINE], Phase.SEARCH))
    assert journal(modelled).scope.energy_window is None
    with pytest.raises(OptionError, match="began by the energy that a counter of fake told"):
        journal(counted, replace(facts, energy_window=None))


def test_a_device_that_is_missing_is_no_error_unless_asked(request_: TuneRequest) -> None:
    asked = replace(request_, devices=("fake", "gone"))
    assert len(check_request(asked, PROFILES).profiles) == 2
    with pytest.raises(OptionError, match=r"gone: .*remedy"):
        check_request(asked, PROFILES, require_all=True)
