"""Places for winners that a run would find unusable only after its whole budget."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farm.delivery.files import write_files
from farm.devices.profile import load_profiles
from farm.errors import OptionError
from tests.conftest import furnish
from tests.workers.processes import small_disk
from tuner.delivery.place import check_output
from tuner.request import TuneRequest
from tuner.runs.start import Checked, check_request


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), ("cpu",), output=str(tmp_path / "out"))
    return check_request(request, load_profiles())


def refused(checked: Checked, run: str = "", *, force: bool = False) -> str:
    with pytest.raises(OptionError) as refusal:
        check_output(checked, run, force=force)
    return str(refusal.value)


def deliver(folder: Path, model_sha256: str, **more: object) -> None:
    """A winner of the run ``other-1``."""
    request = {"model": "/models/other.onnx"}
    record = {"run": "other-1", "model_sha256": model_sha256, "request": request, **more}
    write_files(folder, {"model.onnx": b"m", "provenance.json": json.dumps(record).encode()})


def link(place: Path, target: str) -> None:
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(target)


def text(place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("place", "make", "sentence"),
    [
        ("out/cpu", lambda p: link(p, ".."), "out/cpu is a symbolic link, which a winner does no"),
        ("out/cpu", lambda p: link(p, "gone"), "out/cpu is a symbolic link, which a winner does "),
        ("out/cpu", text, "out/cpu is in the way of a winner, and no earlier winner"),
        ("out", text, "out is a file. Give another --output."),
        ("out", lambda p: link(p, "gone"), "out is a link that leads nowhere. Give another --out"),
        ("out", lambda p: link(p, "out"), "out is a link that leads nowhere. Give another --out"),
        ("out", lambda p: link(p, "/proc/self/comm"), "out is a file. Give another --output."),
    ],
)
def test_a_place_that_cannot_take_a_folder(
    checked: Checked,
    tmp_path: Path,
    place: str,
    make: Callable[[Path], None],
    sentence: str,
    *,
    force: bool,
) -> None:
    make(tmp_path / place)
    assert f"{tmp_path}/{sentence}" in refused(checked, force=force)
    assert os.path.lexists(tmp_path / place)


def test_a_link_to_a_folder_elsewhere_is_a_folder(checked: Checked, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    check_output(checked)


def test_names_that_are_too_long(checked: Checked, tmp_path: Path) -> None:
    output = str(tmp_path / "deeper" / ("o" * 250))
    long = replace(checked, request=replace(checked.request, output=output))
    assert f"the name '{'o' * 40}...' has more than 241 bytes. Give" in refused(long)
    output = "/".join([str(tmp_path), *(["o" * 200] * 30)])
    long = replace(checked, request=replace(checked.request, output=output))
    assert "(File name too long). Give another --output." in refused(long)


def test_a_disk_with_less_room_than_the_model_needs(checked: Checked, tmp_path: Path) -> None:
    with small_disk(tmp_path, "16k") as disk:
        full = replace(checked, request=replace(checked.request, output=str(disk / "out")))
        sentence = refused(full)
    assert "because the disk there has 16.0 KiB left and a winner like the model" in sentence
    assert sentence.endswith("Make room, or give another --output.")


def test_a_file_system_that_is_mounted_in_the_place(checked: Checked, tmp_path: Path) -> None:
    with small_disk(tmp_path, "1m"):
        mounted = replace(checked, request=replace(checked.request, output=str(tmp_path)))
        profile = replace(checked.profiles[0], name="small")
        sentence = refused(replace(mounted, profiles=(profile,)))
    assert sentence.startswith(f"{tmp_path}/small is where a file system is mounted")


def test_the_winner_of_another_model_stays(checked: Checked, tmp_path: Path) -> None:
    deliver(tmp_path / "out" / "cpu", "0" * 64)
    assert refused(checked) == (
        f"{tmp_path}/out/cpu holds the winner of other.onnx (run other-1), which is another "
        "model. Give another --output, or --force to replace it."
    )
    assert "holds the winner of other.onnx" in refused(checked, "another-run")
    check_output(checked, force=True)
    check_output(checked, "other-1")


def test_so_does_its_best_that_is_not_confirmed(checked: Checked, tmp_path: Path) -> None:
    deliver(tmp_path / "out" / "cpu", "0" * 64, confirmed=False)
    assert "holds the best so far, not confirmed, of other.onnx (run" in refused(checked)


def test_the_winner_of_the_same_model_is_replaced(checked: Checked, tmp_path: Path) -> None:
    deliver(tmp_path / "out" / "cpu", checked.subject.model.sha256)
    check_output(checked)


@pytest.mark.parametrize("force", [False, True])
def test_what_the_farm_did_not_write_stays(
    checked: Checked, tmp_path: Path, *, force: bool
) -> None:
    deliver(tmp_path / "out" / "cpu", checked.subject.model.sha256)
    (tmp_path / "out" / "cpu" / "thesis.txt").write_text("irreplaceable")
    sentence = refused(checked, "other-1", force=force)
    assert "out/cpu holds thesis.txt, which the farm did not write and does not de" in sentence


@pytest.mark.parametrize("record", ["", "[]", '{"run": 1}', "\x00", "[" * 99999])
def test_a_record_that_is_none(checked: Checked, tmp_path: Path, record: str) -> None:
    deliver(tmp_path / "out" / "cpu", "0" * 64)
    (tmp_path / "out" / "cpu" / "provenance.json").write_text(record)
    assert "provenance.json is not a record that the farm wrote" in refused(checked, force=True)


def test_a_run_without_an_output_is_looked_at_when_it_is_resumed(
    checked: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    default = replace(checked, request=replace(checked.request, output=""))
    check_output(default)
    link(tmp_path / "runs", "gone")
    assert "runs is a link that leads nowhere" in refused(default)
    (tmp_path / "runs").unlink()
    (tmp_path / "runs" / "run-1").mkdir(parents=True)
    link(tmp_path / "runs" / "run-1" / "cpu", "gone")
    assert "runs/run-1/cpu is a symbolic link" in refused(default, "run-1")
