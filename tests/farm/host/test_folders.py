"""The user's folders, also where the user has none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from farm.errors import OptionError
from farm.host.folders import cache_folder, data_folder, expanded, give_home

FOLDERS = [
    (data_folder, "XDG_DATA_HOME", ".local/share"),
    (cache_folder, "XDG_CACHE_HOME", ".cache"),
]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom the system does not know, in an environment that does not help."""

    def unknown(_: object) -> NoReturn:
        raise KeyError("nobody of that number")

    for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.parametrize(("folder", "variable", "default"), FOLDERS)
@pytest.mark.parametrize("value", ["", "relative/folder", "."])
def test_relative_folders_are_ignored(
    monkeypatch: pytest.MonkeyPatch, folder, variable: str, default: str, value: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(variable, value)
    assert folder() == Path("/home/me") / default / "farm"
    monkeypatch.setenv(variable, "/elsewhere")
    assert folder() == Path("/elsewhere/farm")


@pytest.mark.parametrize(("folder", "variable", "default"), FOLDERS)
@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, folder, variable: str, default: str
) -> None:
    with pytest.raises(OptionError) as raised:
        folder()
    assert str(raised.value) == (
        f"The home folder of user {os.getuid()} is unknown, so there is no place for the farm's "
        f"files; set HOME, or {variable} to a folder."
    )
    monkeypatch.setenv(variable, "/elsewhere")
    assert folder() == Path("/elsewhere/farm")


@pytest.mark.usefixtures("homeless")
def test_what_needs_a_home_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")  # so that it is put back
    monkeypatch.delenv("HOME")
    give_home(Path("/given"))
    assert Path.home() == Path("/given")
    give_home(Path("/another"))
    assert Path.home() == Path("/given")


@pytest.mark.parametrize("text", ["~nosuchuser/farm.db", "~nosuchuser"])
def test_the_home_of_nobody(text: str) -> None:
    with pytest.raises(OptionError, match="begins with ~nosuchuser, and there is no home"):
        expanded(text)
