"""The name of this machine's time zone."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.host.time_zone import zone_name


@pytest.mark.parametrize(
    ("named", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Europe/Berlin", "Europe/Berlin"),
        ("CET-1CEST", ""),
        ("No/Where", ""),
        ("../etc", ""),
    ],
)
def test_by_variable(monkeypatch: pytest.MonkeyPatch, named: str, zone: str) -> None:
    monkeypatch.setenv("TZ", named)
    assert zone_name() == zone


def test_by_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link = tmp_path / "localtime"
    link.symlink_to("/usr/share/zoneinfo/Asia/Kolkata")
    assert zone_name(link) == "Asia/Kolkata"
    assert zone_name(tmp_path / "nothing") == ""
