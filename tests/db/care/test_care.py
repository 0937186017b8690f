"""Copies of a store, another one's rows in it, what is old out of it, and whether it is whole."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, func, insert, select, update

from db.care.check import check
from db.care.copies import backup, export, import_from
from db.care.merge import Merged
from db.care.prune import prunable, prune
from db.night_records import ChangeState
from db.questions.latest import latest
from db.questions.nightly.nights import changes_of, nights, values_of
from db.reader import StoreReader
from db.records import Machine, Phase, Run, RunLease, RunStatus
from db.schema import Base, MeasurementRow, NightRow, RunRow
from db.store import Store
from farm.errors import OptionError, StoreError
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.nights import change, follow, series
from tests.db.samples import (
    CALIBRATION,
    LATENCY,
    MACHINE,
    MODEL,
    PROFILE,
    RUN,
    START,
    block,
    fill,
    trial,
)
from tuner.runs.memory import Memory

_OTHER = Machine.identify("bench-2", "EPYC", cores=2, memory_bytes=1 << 34)
_LATER = START + timedelta(days=400)


def worked(store: Store, run: Run = RUN) -> Store:
    """A run with a trial, its value and kernels, and a block; and nights with a change."""
    fill(store)
    if run != RUN:
        store.create_run(run)
    one = replace(trial(run=run), id=f"trial-of-{run.machine_id}")
    store.lease_trial(one)
    store.commit_trial(one.id, Outcome.OK, "", (LATENCY,), None, "{}")
    store.add_profile(one.id, PROFILE)
    store.add_block(replace(block(0, one.id), run=run.name))
    return store


def finish(store: Store, name: str = RUN.name) -> None:
    """End a run."""
    with store.writing() as session:
        ended = {"status": RunStatus.FINISHED, "finished_at": START + timedelta(hours=1)}
        session.execute(update(RunRow).where(RunRow.name == name).values(ended))


def counts(store: StoreReader) -> dict[str, int]:
    """Rows of each table."""
    with store.reading() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }


def whole(store: StoreReader) -> bool:
    """Whether nothing is damaged."""
    return not any(found.damage for found in check(store))


def nobody(_lease: RunLease, _now: object) -> bool:
    """No lease has a holder that lives."""
    return True


class TestMerging:
    def test_everything_comes_across_and_twice_changes_nothing(
        self, store: Store, tmp_path: Path
    ) -> None:
        place = tmp_path / "other.db"
        with Store.open(str(place)) as other:
            worked(other)
            finish(other)
            one = series("kws")
            follow(other, one, [0.0, 0.1])
            change(other, one, 0, 1.1, ChangeState.CONFIRMED)
            other.add_calibration(CALIBRATION)
            expected, kernels = counts(other), other.profile(f"trial-of-{MACHINE.id}")
        merged = import_from(str(place), store)
        assert (merged.runs, merged.nights, merged.renamed) == (1, 2, {})
        assert counts(store) == expected
        assert store.profile(f"trial-of-{MACHINE.id}") == kernels
        assert store.measurements(f"trial-of-{MACHINE.id}") == (LATENCY,)
        assert [b.samples[0].seconds for b in store.blocks(RUN.name, "cpu")] == [1e-3]
        again = import_from(str(place), store)
        assert (again.runs, again.nights) == (0, 0)
        assert counts(store) == expected
        assert whole(store)

    def test_values_come_into_the_rankings_of_this_store(
        self, store: Store, tmp_path: Path
    ) -> None:
        worked(store)  # has numbers of rankings and blocks of its own
        with Store.open(str(tmp_path / "other.db")) as other:
            other.add_machine(_OTHER)
            worked(other, replace(RUN, name="kws-2", machine_id=_OTHER.id))
        import_from(str(tmp_path / "other.db"), store)
        with store.reading() as session:
            rows = session.execute(
                select(MeasurementRow.ranking_id).where(MeasurementRow.metric == Metric.LATENCY)
            )
            assert len({ranking for (ranking,) in rows}) == 1
        assert len(store.blocks("kws-2", "cpu")) == 1

    def test_a_run_of_another_machine_with_the_same_name_is_renamed(
        self, store: Store, tmp_path: Path
    ) -> None:
        worked(store)
        with Store.open(str(tmp_path / "other.db")) as other:
            other.add_machine(_OTHER)
            fill_without_run(other)
            other.create_run(replace(RUN, machine_id=_OTHER.id))
            other.lease_trial(trial())
            other.commit_trial("trial-0", Outcome.OK, "", (LATENCY,), None, "{}")
        merged = import_from(str(tmp_path / "other.db"), store)
        name = f"{RUN.name}-{_OTHER.id[:6]}"
        assert merged.renamed == {RUN.name: name}
        (moved,) = store.trials(run=name)
        assert moved.id != "trial-0"
        assert store.measurements(moved.id) == (LATENCY,)
        assert import_from(str(tmp_path / "other.db"), store).runs == 0

    def test_a_renamed_run_has_its_own_winner(self, tmp_path: Path) -> None:
        def won(seconds: float) -> None:
            store.lease_trial(replace(trial(), phase=Phase.CONFIRM, machine_id=machine.id))
            latency = Measurement(Metric.LATENCY, seconds, Method.MEASURED)
            store.commit_trial("trial-0", Outcome.OK, "", (latency,), None, "{}")
            summary = '{"devices": {"cpu": {"status": "tuned", "trial": "trial-0"}}}'
            store.update_run(RUN.name, status=RunStatus.FINISHED, summary=summary)

        for name, machine, seconds in (("one.db", MACHINE, 1e-3), ("two.db", _OTHER, 5e-3)):
            with Store.open(str(tmp_path / name)) as store:
                store.add_machine(machine)
                fill_without_run(store)
                store.create_run(replace(RUN, machine_id=machine.id))
                won(seconds)
        with Store.open(str(tmp_path / "one.db")) as store:
            import_from(str(tmp_path / "two.db"), store)
            found = {row.newest.run: row.value for row in latest(store)}
            renamed = f"{RUN.name}-{_OTHER.id[:6]}"
            values = {name: value.value for name, value in found.items() if value is not None}
            assert values == {RUN.name: 1e-3, renamed: 5e-3}
            won_there = Memory.of(store.run(renamed)).devices["cpu"].trial
            assert store.trial(won_there).run == renamed

    def test_a_run_that_ended_meanwhile_takes_the_place_of_what_was_there(
        self, store: Store, tmp_path: Path
    ) -> None:
        fill(store)
        with Store.open(str(tmp_path / "other.db")) as other:
            worked(other)
            finish(other)
        assert import_from(str(tmp_path / "other.db"), store).runs == 1
        assert store.run(RUN.name).status is RunStatus.FINISHED
        assert len(store.trials(run=RUN.name)) == 1

    def test_a_night_that_ended_meanwhile_and_a_change_that_was_judged_since(
        self, store: Store, tmp_path: Path
    ) -> None:
        place, one = str(tmp_path / "other.db"), series("kws")
        with Store.open(place) as other:
            fill(other)
            follow(other, one, [0.0, 0.1])
            change(other, one, 0, 1.1, ChangeState.CONFIRMED)
            ends = end_night(other, "night-1", None)
        assert import_from(place, store).nights == 2
        with Store.open(place) as other:
            end_night(other, "night-1", ends)
            (value,) = [v for v in values_of(other, one.id) if v.night == "night-1"]
            other.add_night_value(replace(value, verdict="regression"))
            (known,) = changes_of(other, [one.id])[one.id]
            other.add_change(
                replace(known, state=ChangeState.BUG, note="of 1.32", triaged_at=ends)
            )
        merged = import_from(place, store)
        assert (merged.runs, merged.nights, merged.changes) == (0, 1, 1)
        assert nights(store, one.suite)[0].finished_at == ends
        assert [v.verdict for v in values_of(store, one.id)] == ["no change", "regression"]
        assert changes_of(store, [one.id])[one.id][0].note == "of 1.32"
        assert import_from(place, store) == Merged(0, 0)

    def test_what_people_said_of_a_change_is_not_taken_back(
        self, store: Store, tmp_path: Path
    ) -> None:
        place, one = str(tmp_path / "other.db"), series("kws")
        with Store.open(place) as other:
            fill(other)
            follow(other, one, [0.0, 0.1])
            point = change(other, one, 0, 1.1, ChangeState.CONFIRMED)
        import_from(place, store)
        store.add_change(replace(point, state=ChangeState.NOISE, triaged_at=START))
        assert import_from(place, store) == Merged(0, 0)
        assert changes_of(store, [one.id])[one.id][0].state is ChangeState.NOISE

    def test_nothing_is_imported_from_itself_or_from_nowhere(self, tmp_path: Path) -> None:
        with Store.open(str(tmp_path / "farm.db")) as store:
            with pytest.raises(OptionError, match="is the store itself"):
                import_from(str(tmp_path / "." / "farm.db"), store)
            with pytest.raises(StoreError, match="no store at"):
                import_from(str(tmp_path / "nowhere.db"), store)

    def test_a_newer_store_is_refused_and_an_older_one_stays_as_it_is(
        self, tmp_path: Path
    ) -> None:
        newer, older = tmp_path / "newer.db", tmp_path / "older.db"
        with Store.open(str(newer)) as other:
            worked(other)
        with closing(sqlite3.connect(newer)) as connection, connection:
            connection.execute("UPDATE farm_schema_version SET version_num = '9999'")
        script = (Path(__file__).parents[1] / "assets" / "schema_0003.sql").read_text()
        with closing(sqlite3.connect(older)) as connection:
            connection.executescript(script)
        before = older.read_bytes()
        with Store.open(str(tmp_path / "farm.db")) as store:
            with pytest.raises(StoreError, match="written by a newer farm") as caught:
                import_from(str(newer), store)
            assert str(caught.value).endswith("Upgrade the farm, or give another file to import.")
            assert import_from(str(older), store).runs > 0
        assert older.read_bytes() == before


def end_night(store: Store, name: str, when: datetime | None) -> datetime | None:
    """Set when a night ended; when it had."""
    with store.writing() as session:
        was = session.scalar(select(NightRow.finished_at).where(NightRow.name == name))
        session.execute(update(NightRow).where(NightRow.name == name).values(finished_at=when))
        return was


def fill_without_run(store: Store) -> None:
    """All that a trial points to, but for the run."""
    fill(store)
    store.delete_run(RUN.name, nobody)


class TestCopies:
    def test_a_backup_is_the_store(self, new_place: Callable[[], str], tmp_path: Path) -> None:
        place = new_place()
        with Store.open(place) as store:
            worked(store)
            expected = counts(store)
        backup(place, tmp_path / "copy.db")
        with StoreReader.open(str(tmp_path / "copy.db")) as copy:
            assert counts(copy) == expected | {"run_lease": 0}
        assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]

    def test_it_takes_no_place_that_is_taken(self, tmp_path: Path) -> None:
        with Store.open(str(tmp_path / "farm.db")) as store:
            worked(store)
        (tmp_path / "there.db").touch()
        with pytest.raises(OptionError, match="exists already"):
            backup(str(tmp_path / "farm.db"), tmp_path / "there.db")
        with pytest.raises(OptionError, match="is the store itself"):
            backup(str(tmp_path / "farm.db"), tmp_path / "farm.db")
        with pytest.raises(OptionError, match="cannot be written"):
            backup(str(tmp_path / "farm.db"), tmp_path / "no folder" / "copy.db")

    def test_an_export_has_what_its_runs_point_to_and_no_more(
        self, new_place: Callable[[], str], tmp_path: Path
    ) -> None:
        place = new_place()
        with Store.open(place) as store:
            worked(store)
            store.create_run(replace(RUN, name="other"))
            follow(store, series("kws"), [0.0])
        export(place, tmp_path / "some.db", frozenset({RUN.name}))
        with StoreReader.open(str(tmp_path / "some.db")) as some:
            assert [run.name for run in some.runs()] == [RUN.name]
            found = counts(some)
            assert (found["candidate"], found["night"], found["model"]) == (1, 0, 1)
            assert some.model(MODEL.sha256).name == MODEL.name
            assert whole(some)


class TestPruning:
    def test_samples_go_and_values_stay(self, store: Store) -> None:
        worked(store)
        finish(store)
        found = prunable(store, _LATER, nobody)
        assert found.runs == (RUN.name,)
        assert found.size > 0
        prune(store, found, _LATER, nobody)
        (kept,) = store.measurements(f"trial-of-{MACHINE.id}")
        assert kept == replace(LATENCY, samples=())
        assert store.blocks(RUN.name, "cpu") == ()
        assert store.profile(f"trial-of-{MACHINE.id}") == PROFILE
        assert prunable(store, _LATER, nobody).runs == ()

    def test_what_ended_later_stays(self, store: Store) -> None:
        worked(store)
        finish(store)
        assert prunable(store, START, nobody).runs == ()


class TestChecking:
    def test_a_key_that_points_nowhere_is_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "farm.db"
        with Store.open(str(path)) as store:
            worked(store)
            assert whole(store)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM candidate")
        with StoreReader.open(str(path)) as store:
            damages = [found.what for found in check(store) if found.damage]
        assert damages == ["rows of trial whose candidate_id is not there"]

    def test_a_run_that_was_killed_is_no_damage(self, store: Store) -> None:
        worked(store)
        (found,) = [f for f in check(store) if "killed" in f.what]
        assert (found.count, found.damage) == (1, False)


_WORK = {
    "backup": "from db.care.copies import backup; BEGUN; backup({store!r}, Path({copy!r}))",
    "import": (
        "from db.care.copies import import_from; from db.store import Store;"
        "BEGUN; import_from({big!r}, Store.open({store!r}))"
    ),
    "prune": (
        "from db.care.prune import *; from db.store import Store; from db.records import *;"
        "BEGUN; s = Store.open({store!r}); gone = lambda *_: True;"
        "prune(s, prunable(s, utc_now(), gone), utc_now(), gone)"
    ),
}


@pytest.mark.parametrize("work", list(_WORK))
def test_killed_in_the_middle_the_store_is_whole(work: str, tmp_path: Path) -> None:
    big, copy = tmp_path / "big.db", tmp_path / "copy.db"
    with Store.open(str(big)) as store:
        worked(store)
        many(store, 6_000)
        finish(store)
    place = tmp_path / "farm.db"
    if work == "import":
        Store.open(str(place)).close()
    else:
        backup(str(big), place)
    code = _WORK[work].format(store=str(place), big=str(big), copy=str(copy))
    killed = 0
    for seconds in (0.0, 0.02, 0.05, 0.1, 0.2):
        killed += killed_after(seconds, code)
        with StoreReader.open(str(place)) as store:
            assert whole(store)
            assert len(store.trials(run=RUN.name)) in (0, 6_001)
        if copy.exists():  # it was moved there, and so it is whole
            with StoreReader.open(str(copy)) as store:
                assert whole(store)
            copy.unlink()
    assert killed, "it was never in the middle"


def killed_after(seconds: float, code: str) -> bool:
    """Start some work, kill it so long after it began; whether it had not ended before."""
    begun = code.replace("BEGUN", "print('begun', flush=True)")
    program = f"from pathlib import Path; {begun}"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def many(store: Store, number: int) -> None:
    """So many further trials, by one statement."""
    one = f"trial-of-{MACHINE.id}"
    with store.reading() as session:
        tables = {name: Base.metadata.tables[name] for name in ("trial", "measurement")}
        rows = {
            name: [dict(r) for r in session.execute(select(t)).mappings()]
            for name, t in tables.items()
        }
    with store.writing() as session:
        for name, key in (("trial", "id"), ("measurement", "trial_id")):
            table: Table = tables[name]
            (row,) = [r for r in rows[name] if r[key] == one]
            session.execute(insert(table), [row | {key: f"{one}-{n}"} for n in range(number)])


def test_no_server_is_imported_from_itself(new_database: Callable[[], str]) -> None:
    place = new_database()
    with Store.open(place) as store, pytest.raises(OptionError, match="is the store itself"):
        import_from(place, store)


def test_errors_of_a_temporary_copy_name_what_was_given(tmp_path: Path) -> None:
    empty = tmp_path / "empty.db"
    empty.touch()
    with (
        Store.open(str(tmp_path / "farm.db")) as store,
        pytest.raises(StoreError) as caught,
    ):
        import_from(str(empty), store)
    assert f"at {empty}." in str(caught.value)
    assert "farm-import" not in str(caught.value)


def test_a_file_that_cannot_become_smaller_says_what_is_done(tmp_path: Path) -> None:
    path = tmp_path / "farm.db"
    with Store.open(str(path), timeout=0.1) as store, closing(sqlite3.connect(path)) as other:
        worked(store)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"file is as large as before: .* is locked by"):
            store.compact()


def test_what_was_killed_while_it_became_a_store_can_be_read(tmp_path: Path) -> None:
    place, copy = tmp_path / "farm.db", tmp_path / "copy.db"
    with Store.open(str(place)) as store:
        worked(store)
    backup(str(place), copy)
    code = (
        f"import sqlite3, time; c = sqlite3.connect({str(copy)!r}, isolation_level=None);"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN IMMEDIATE');"
        "c.execute('UPDATE trial SET message = hex(zeroblob(100000))');"
        "BEGUN; time.sleep(60)"
    )
    assert killed_after(0.0, code)
    assert (tmp_path / "copy.db-journal").exists()
    (tmp_path / "other").mkdir()
    for name in ("copy.db", "copy.db-journal"):
        shutil.copy(tmp_path / name, tmp_path / "other")
    with StoreReader.open(str(copy)) as store:
        assert [trial.message for trial in store.trials()] == [""]
        assert whole(store)
    with Store.open(str(tmp_path / "fresh.db")) as store:
        assert import_from(str(tmp_path / "other" / "copy.db"), store).runs == 1
