"""Opening runs: what is checked, what a run remembers, and when it cannot go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db.records import RunKind, RunStatus
from db.store import Store
from farm.devices.profile import load_profiles
from farm.errors import DeviceError, ModelError, NotInStore, OptionError
from tests.conftest import furnish
from tests.models import mlp, save
from tuner.request import TuneRequest
from tuner.runs.memory import Memory
from tuner.runs.start import check_request, new_run_name, resume_run, start_run

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


def test_an_unknown_run(empty: Store) -> None:
    with pytest.raises(NotInStore):
        resume_run(empty, "nobody", PROFILES)


def test_a_profile_that_went(empty: Store, request_: TuneRequest) -> None:
    opened = start_run(empty, check_request(request_, PROFILES))
    with pytest.raises(DeviceError, match="Unknown device 'fake'"):
        resume_run(empty, opened.name, {"cpu": PROFILES["cpu"]})


def test_a_device_that_is_missing_is_no_error_unless_asked(request_: TuneRequest) -> None:
    asked = replace(request_, devices=("fake", "gone"))
    assert len(check_request(asked, PROFILES).profiles) == 2
    with pytest.raises(OptionError, match=r"gone: .*remedy"):
        check_request(asked, PROFILES, require_all=True)
