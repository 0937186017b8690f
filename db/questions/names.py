"""Names that a store has, for a shell that completes them: looked up quickly, or not at all."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.connection.address import parse_address
from db.connection.engine import open_engine
from farm.errors import StoreError

_SECONDS = 1.0  # to wait for a lock or a server: somebody waits at a prompt
_MOST = 100

_RUNS = """
    SELECT name, kind || ' ' || status FROM run
    WHERE name LIKE :begins ESCAPE '!' AND (:kind = '' OR kind = :kind)
    ORDER BY created_at DESC, name LIMIT :most
"""
_TRIALS = """
    SELECT t.id, t.device || ' ' || t.phase || ' ' || c.label FROM trial t
    JOIN candidate c ON c.id = t.candidate_id
    WHERE t.id LIKE :begins ESCAPE '!'
    ORDER BY t.created_at DESC, t.id LIMIT :most
"""
_SERIES = """
    SELECT DISTINCT suite || '/' || case_name AS name, device FROM series
    WHERE suite || '/' || case_name LIKE :begins ESCAPE '!'
    ORDER BY name, device LIMIT :most
"""
_CHANGES = """
    SELECT c.id, s.suite || '/' || s.case_name || ' ' || s.device || ' ' || s.metric || ' '
        || c.state
    FROM change_point c JOIN series s ON s.id = c.series_id
    WHERE c.id LIKE :begins ESCAPE '!'
    ORDER BY c.found_at DESC, c.id LIMIT :most
"""


def run_names(url: str | None, begin: str, kind: str = "") -> list[tuple[str, str]]:
    """Names of runs that begin so, newest first, each with its kind and status.

    url: as users give it, None for the default place. kind: a ``RunKind``, "" for all.

    Raises StoreError and OptionError; a store that does not exist is not made, it has no names.
    """
    return _ask(url, _RUNS, begin, kind=kind)


def trial_ids(url: str | None, begin: str) -> list[tuple[str, str]]:
    """Ids of trials that begin so, newest first, each with its device, phase and candidate.

    Raises StoreError and OptionError; a store that does not exist is not made, it has no ids.
    """
    return _ask(url, _TRIALS, begin)


def series_names(url: str | None, begin: str) -> list[tuple[str, str]]:
    """Cases of suites whose SUITE/CASE begins so, each with a device of it.

    Raises StoreError and OptionError; a store that does not exist is not made, it has no names.
    """
    return _ask(url, _SERIES, begin)


def change_ids(url: str | None, begin: str) -> list[tuple[str, str]]:
    """Ids of changes of level that begin so, newest first, each with its series and state.

    Raises StoreError and OptionError; a store that does not exist is not made, it has no ids.
    """
    return _ask(url, _CHANGES, begin)


def _ask(url: str | None, statement: str, begin: str, **more: str) -> list[tuple[str, str]]:
    address = parse_address(url)
    if address.is_sqlite and not (address.path and address.path.is_file()):
        return []
    escaped = "".join(f"!{c}" if c in "!%_" else c for c in begin)
    engine = open_engine(address, timeout=_SECONDS, read_only=True)
    try:
        with engine.connect() as connection:
            given = {"begins": f"{escaped}%", "most": _MOST, **more}
            return [
                (str(name), str(about))
                for name, about in connection.execute(text(statement), given)
            ]
    except DBAPIError as error:
        raise StoreError(f"The store at {address} has no names to offer: {error.orig}.") from error
    finally:
        engine.dispose()
