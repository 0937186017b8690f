"""How a run ends before its time: Ctrl-C, a kill, a full disk. Nothing is lost, and it resumes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from db.reader import StoreReader
from db.records import RunStatus
from tests.conftest import furnish
from tests.tools.command import ROOT, Command, start, start_few_blocks, start_program
from tests.workers.processes import fill_disk, small_disk

FAKE = ("tune", "model.onnx", "--devices", "fake", "--budget", "10m", "--trials", "4")
LOCAL = (*FAKE, "--local")
BASELINE = (*FAKE[:4], "--budget", "2s", "--trials", "1", "--local")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    furnish(tmp_path)
    return tmp_path


@pytest.fixture
def reader(folder: Path) -> Iterator[StoreReader]:
    with StoreReader.open(str(folder / "farm.db")) as opened:
        yield opened


def wait_for(process: subprocess.Popen[str], line: str) -> list[str]:
    """Read standard error up to a line."""
    assert process.stderr is not None
    lines: list[str] = []
    for text in process.stderr:
        lines.append(text.rstrip("\n"))
        if line in text:
            return lines
    raise AssertionError(f"'{line}' did not come: {lines}")


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process], seconds: float = 15.0) -> None:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE], "orphans"


def resume(folder: Path, run: str, *options: str) -> dict[str, object]:
    """Go on with a run to its end; its one device."""
    process = start_few_blocks(folder, "tune", "--resume", run, "--json", *options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (device,) = json.loads(out)["devices"]
    return device  # type: ignore[no-any-return]


@pytest.mark.parametrize("stage", ["fake: best", "fake: confirmation"])
@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(folder: Path, stage: str) -> None:
    process = start_few_blocks(folder, *LOCAL)
    lines = wait_for(process, stage)
    time.sleep(0.5)
    children = descendants(process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    run = lines[0].removeprefix("Run ")
    last = err.splitlines()[-1]
    assert last == (f"Interrupted; nothing measured is lost. Go on with: farm tune --resume {run}")
    assert "Traceback" not in err
    assert_gone(children)
    with StoreReader.open(str(folder / "farm.db")) as reader:
        assert reader.run(run).status is RunStatus.INTERRUPTED
        assert reader.run(run).active_seconds > 0
        before = {t.id: t.attempts for t in reader.trials(run=run) if t.outcome}
    device = resume(folder, run, "--local")
    assert device["status"] == "tuned"
    assert device["verdict"] == "improved"
    with StoreReader.open(str(folder / "farm.db")) as reader:
        assert reader.run(run).status is RunStatus.FINISHED
        after = {t.id: t.attempts for t in reader.trials(run=run)}
        assert {key: after[key] for key in before} == before, "no finished trial ran again"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_with_ray_leaves_no_process_behind(folder: Path, how: signal.Signals) -> None:
    process = start_few_blocks(folder, *FAKE)
    run = wait_for(process, "fake: best")[0].removeprefix("Run ")
    time.sleep(0.5)
    children = descendants(process)
    assert any("child/main.py" in " ".join(child.cmdline()) for child in children)
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (-9 if how is signal.SIGKILL else 130)
    assert_gone(children)
    assert "Traceback" not in err
    if how is signal.SIGKILL:
        device = resume(folder, run)
        assert device["verdict"] == "improved"
        with StoreReader.open(str(folder / "farm.db")) as reader:
            trials = reader.trials(run=run)
            assert all(trial.outcome is not None for trial in trials)
            assert len({(t.candidate_id, t.phase) for t in trials}) == len(trials)


def state(folder: Path) -> tuple[RunStatus, bool]:
    """How the only run of the store ended, and whether a process still holds it."""
    with StoreReader.open(str(folder / "farm.db")) as reader:
        (run,) = reader.runs()
        return run.status, run.name in reader.leases()


@pytest.mark.slow
def test_a_terminal_that_goes_away_is_the_same_as_ctrl_c(folder: Path) -> None:
    process = start_few_blocks(folder, *LOCAL)
    run = wait_for(process, "fake: best")[0].removeprefix("Run ")
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert err.splitlines()[-1].endswith(f"Go on with: farm tune --resume {run}")
    assert state(folder) == (RunStatus.INTERRUPTED, False)


@pytest.mark.slow
def test_what_was_started_to_outlive_its_terminal_does(folder: Path) -> None:
    program = ROOT / "tests" / "tools" / "few_blocks.py"
    process = start_program(folder, "nohup", sys.executable, program, *BASELINE)
    wait_for(process, "fake: baseline")
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert state(folder) == (RunStatus.FINISHED, False)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["", "fake: baseline"])
def test_nobody_reads_what_is_said(folder: Path, line: str) -> None:
    """As in ``farm tune 2>&1 | head -1``: the next line meets a closed pipe."""
    process = start_few_blocks(folder, *LOCAL)
    if line:
        wait_for(process, line)
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert state(folder) == (RunStatus.INTERRUPTED, False)


@pytest.mark.slow
def test_nobody_reads_the_result(folder: Path) -> None:
    process = start_few_blocks(folder, *BASELINE, "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert state(folder) == (RunStatus.FINISHED, False), "it was found, and is in the store"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_bench(folder: Path, how: signal.Signals) -> None:
    process = start(folder, "bench", "model.onnx", "--device", "fake")
    wait_for(process, "blocks")
    children = descendants(process)
    os.killpg(process.pid, how)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, ""), err
    last = err.splitlines()[-1]
    assert last.startswith("Interrupted; run model-")
    assert last.endswith(" is not complete.")
    assert "Traceback" not in err
    assert_gone(children)
    assert state(folder) == (RunStatus.INTERRUPTED, False)


@pytest.mark.slow
def test_a_killed_run_is_taken_over_by_one_process(folder: Path) -> None:
    process = start_few_blocks(folder, *LOCAL)
    run = wait_for(process, "fake: best")[0].removeprefix("Run ")
    process.kill()
    process.communicate()
    assert state(folder) == (RunStatus.RUNNING, True)
    several = [start_few_blocks(folder, "tune", "--resume", run, "--local") for _ in range(3)]
    ended = [(p.communicate(timeout=120)[1], p) for p in several]
    errors = [err for err, p in ended if p.returncode]
    (one,) = [p for _, p in ended if not p.returncode]
    assert len(errors) == 2
    for err in errors:
        assert f"farm: Run {run} is being run by process {one.pid} on host " in err
        assert "UNIQUE" not in err
    assert state(folder) == (RunStatus.FINISHED, False)


@pytest.mark.slow
def test_a_process_that_wakes_up_when_its_run_was_taken_over(folder: Path) -> None:
    """As on another machine that was asleep: its signs of life stopped for more than a minute."""
    asleep = start_few_blocks(folder, *LOCAL)
    run = wait_for(asleep, "fake: best")[0].removeprefix("Run ")
    asleep.send_signal(signal.SIGSTOP)
    with closing(sqlite3.connect(folder / "farm.db")) as store, store:
        store.execute("UPDATE run_lease SET process = '', renewed_at = '2026-01-01 00:00:00'")
    device = resume(folder, run, "--local")
    assert device["verdict"] == "improved"
    asleep.send_signal(signal.SIGCONT)
    _, err = asleep.communicate(timeout=60)
    assert asleep.returncode == 2, err
    last = err.splitlines()[-1]
    assert last.startswith(
        f"farm: Run {run} was taken over, because process {asleep.pid} on host "
    )
    assert last.endswith("gave no sign of life for too long; this process ends here.")
    assert state(folder) == (RunStatus.FINISHED, False)


@pytest.mark.slow
def test_a_full_disk_under_the_store(folder: Path) -> None:
    with small_disk(folder, "600k") as disk:
        place = disk / "farm.db"
        process = start_few_blocks(folder, *LOCAL, FARM_STORE=str(place))
        out, err = process.communicate(timeout=120)
        assert process.returncode == 2, err
        assert out == ""
        sentence = err.splitlines()[-1]
        assert sentence.startswith(f"farm: The store at {place} cannot grow")
        run = sentence.split()[-1]
        with StoreReader.open(str(place)) as reader:
            before = {t.id for t in reader.trials(run=run) if t.outcome}
        assert before, "what was committed is there"
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        process = start_few_blocks(
            folder, "tune", "--resume", run, "--local", FARM_STORE=str(place)
        )
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        with StoreReader.open(str(place)) as reader:
            assert before <= {t.id for t in reader.trials(run=run) if t.attempts == 1}


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_disk_that_fills_up_under_the_output(farm: Command) -> None:
    """A disk that is full before is seen before anything is measured."""
    with small_disk(farm.folder, "200k") as disk:
        options = ("--trials", "1", "--budget", "5s", "--local", "--output", disk / "out")
        process = start_few_blocks(farm.folder, "tune", "model.onnx", *options)
        wait_for(process, "cpu: baseline")
        fill_disk(disk)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (2, "")
        sentence = err.splitlines()[-1].removeprefix("farm: ")
        assert sentence.startswith(f"The winner cannot be written to {disk}/out/cpu: No space")
        assert "Make room or choose another --output, and go on with: farm tune" in sentence
        assert not (disk / "out" / "cpu").exists(), "no half winner"
        run = sentence.split()[-1]
        ended = farm("tune", "--resume", run, "--output", "elsewhere", "--local")
        assert ended.code == 0, ended.err
        assert (farm.folder / "elsewhere" / "cpu" / "model.onnx").exists()
