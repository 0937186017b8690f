"""Files that a night is written into: whole, or as they were."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import parse

import pytest

from farm.errors import OptionError
from reports.nightly.files import SUMMARY_VARIABLE, check_places, write_reports
from reports.nightly.markdown import markdown
from tests.reports.nightly.values import FINE, NIGHT
from tests.workers.processes import small_disk


@pytest.fixture(autouse=True)
def no_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SUMMARY_VARIABLE, raising=False)


def test_both_files(tmp_path: Path) -> None:
    junit, summary = tmp_path / "night.xml", tmp_path / "night.md"
    junit.write_text("an earlier night")
    check_places(junit, summary)
    write_reports(NIGHT, junit, summary)
    assert parse(junit).getroot().tag == "testsuites"
    assert summary.read_text() == markdown(NIGHT)
    assert {path.name for path in tmp_path.iterdir()} == {"night.xml", "night.md"}


def test_nothing_is_written_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_places(None, None)
    write_reports(NIGHT, None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_summary_of_a_job_is_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = tmp_path / "summary.md"
    shown.write_text("# Before\n")
    monkeypatch.setenv(SUMMARY_VARIABLE, str(shown))
    write_reports(NIGHT, None, None)
    write_reports(FINE, None, None)
    assert shown.read_text() == f"# Before\n{markdown(NIGHT)}{markdown(FINE)}"


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere" / "night.xml"
    sentence = f"--junit {nowhere} cannot be written: there is no folder {nowhere.parent}."
    with pytest.raises(OptionError) as refused:
        check_places(nowhere, None)
    assert str(refused.value) == sentence
    with pytest.raises(OptionError) as refused:
        check_places(None, tmp_path)
    assert str(refused.value) == f"--markdown {tmp_path} is a folder; name a file."
    with pytest.raises(OptionError) as refused:
        write_reports(NIGHT, nowhere, None)
    assert str(refused.value) == f"--junit {nowhere} cannot be written: No such file or directory."
    monkeypatch.setenv(SUMMARY_VARIABLE, str(nowhere))
    with pytest.raises(OptionError) as refused:
        write_reports(NIGHT, None, None)
    assert str(refused.value) == (
        f"The job's summary (GITHUB_STEP_SUMMARY) {nowhere} cannot be written: No such file or "
        "directory."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OptionError, match="Permission denied"):
        check_places(tmp_path / "night.xml", None)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.xml").touch()
    link = tmp_path / "night.xml"
    link.symlink_to("real.xml")
    write_reports(FINE, link, None)
    assert link.is_symlink()
    assert "testsuites" in (tmp_path / "real.xml").read_text()


def test_what_is_no_file(tmp_path: Path) -> None:
    write_reports(FINE, None, Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path, "64k") as disk:
        junit, shown = disk / "night.xml", disk / "summary.md"
        for earlier in (junit, shown):
            earlier.write_text("an earlier night")
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(OptionError) as refused:
            write_reports(NIGHT, junit, None)
        assert str(refused.value) == f"--junit {junit} cannot be written: No space left on device."
        monkeypatch.setenv(SUMMARY_VARIABLE, str(shown))
        many = replace(NIGHT, cases=NIGHT.cases * 20)
        with pytest.raises(OptionError, match=r"summary.*No space left on device"):
            write_reports(many, None, None)
        assert {path.read_text() for path in (junit, shown)} == {"an earlier night"}
        assert {path.name for path in disk.iterdir()} == {"filler", "night.xml", "summary.md"}
