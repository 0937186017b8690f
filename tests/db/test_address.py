"""Where a store is, from what the user wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.connection.address import default_path, parse_address
from db.store import Store
from farm.errors import OptionError


def test_the_default_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert parse_address(None).path == tmp_path / "farm" / "farm.db"
    Store.open().close()
    assert (tmp_path / "farm" / "farm.db").exists()


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_a_data_home_that_is_not_absolute_is_ignored(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", value)
    assert default_path() == Path.home() / ".local" / "share" / "farm" / "farm.db"


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("{}", "farm.db"),
        ("{}", "odd%20#name?.db"),
        ("sqlite:///{}", "with space.db"),
        ("sqlite:///file:{}?uri=true", "farm.db"),
    ],
)
def test_every_way_to_name_a_file(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / "new" / name
    Store.open(form.format(path)).close()
    assert [each.name for each in path.parent.iterdir()] == [name]


@pytest.mark.parametrize("text", [":memory:", "sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory(text: str) -> None:
    assert parse_address(text).path is None
    with Store.open(text) as store:
        assert store.runs() == ()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_way_to_name_a_server(scheme: str) -> None:
    address = parse_address(f"{scheme}://farm:secret@host/farm")
    assert address.url.drivername == "postgresql+psycopg"
    assert str(address) == "postgresql+psycopg://farm:***@host/farm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mysql://host/farm", "names the database mysql, but a store can be SQLite or PostgreSQL"),
        ("postgresql+psycopg2://host/farm", r"driver postgresql\+psycopg2.*Write postgresql://"),
        ("://", "is not a database URL"),
        ("postgresql://host:port/farm", "is not a database URL"),
    ],
)
def test_what_cannot_be_a_store(text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_address(text)
