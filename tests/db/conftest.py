"""Stores to test: SQLite on disk, SQLite in memory, and a throw-away PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from db.connection.address import parse_address
from db.store import Store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a fresh server, without a database name; listens on a socket in its folder."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = _server_programs()
    folder = Path(tempfile.mkdtemp(prefix="farm-pg-"))
    account = _account()
    os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"

    def server(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", data, *arguments],
            check=True,
            cwd=folder,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            timeout=60,
            # A server refuses to run as root.
            **({"user": account.pw_uid, "group": account.pw_gid} if os.getuid() == 0 else {}),
        )

    try:
        server("initdb", "--auth=trust", "--username=farm", "--no-sync", "--encoding=UTF8")
        options = f"-c listen_addresses='' -k {folder} -F"
        server("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        try:
            yield f"postgresql://farm@/{{database}}?host={folder}"
        finally:
            server("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Callable[[], str]:
    """Make an empty database and give its URL; it goes when the server does."""
    numbers = count()

    def make() -> str:
        name = f"farm{next(numbers)}"
        server = postgres_server.format(database="postgres")
        engine = create_engine(parse_address(server).url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return postgres_server.format(database=name)

    return make


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], str]:
    """Give a place for a new store that outlives its connections."""
    if request.param == "postgresql":
        return request.getfixturevalue("new_database")  # type: ignore[no-any-return]
    return lambda: str(tmp_path_factory.mktemp("store") / "farm.db")


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    places = {"sqlite": str(tmp_path / "farm.db"), "memory": ":memory:"}
    place = places.get(request.param) or request.getfixturevalue("new_database")()
    with Store.open(place) as opened:
        yield opened


def _server_programs() -> Path:
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(installed[-1]) if installed else shutil.which("initdb")
    if found is None:
        pytest.skip("no PostgreSQL server is installed (initdb is not there)")
    return Path(found).parent


def _account() -> pwd.struct_passwd:
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    names = {entry.pw_name for entry in pwd.getpwall()}
    if not names & {"postgres", "nobody"}:
        pytest.skip("a PostgreSQL server needs an account other than root")
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")
