"""A head and three machines with a device each: found, used, killed, cut off, and back again."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.reader import StoreReader
from db.records import RunStatus
from farm.measurement import Outcome
from tests.conftest import furnish
from tests.workers.cluster.machines import Machine, machines

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NAMES = ("one", "two", "three")
PORT = 26379


@dataclass
class Cluster:
    """A head on this machine, and a token that all know."""

    address: str
    here: Machine
    others: dict[str, Machine]
    token: Path

    def offer(self, name: str) -> None:
        """Have a machine offer its device, and wait for that."""
        joined = self.others[name].farm(
            *("worker", "join", self.address, "--device", "fake", "--as", name),
            *("--token-file", self.token),
        )
        read_to(joined, "is offered to the head")

    def listed(self) -> list[dict[str, object]]:
        """What the head's machines offer."""
        return json.loads(self.ask("worker", "list", self.address, "--json"))

    def ask(self, *arguments: object) -> str:
        ended = self.here.farm(*arguments, "--token-file", self.token)
        out, err = ended.communicate(timeout=60)
        assert ended.returncode == 0, err
        return out

    def refused(self, *arguments: object) -> str:
        """What is said, within seconds."""
        began = time.monotonic()
        ended = self.here.farm(*arguments)
        out, err = ended.communicate(timeout=60)
        assert (ended.returncode, out) == (2, "")
        assert time.monotonic() - began < 30  # of which Python takes most on a busy machine
        assert err.count("\n") == 1, err
        return err.removeprefix("farm: ").strip()


def read_to(process: subprocess.Popen[str], *texts: str) -> list[str]:
    """Read what a process says until all texts were in it; what follows is read and dropped."""
    assert process.stderr is not None
    lines: list[str] = []
    missing = set(texts)
    for line in process.stderr:
        lines.append(line.rstrip("\n"))
        missing = {text for text in missing if text not in line}
        if not missing:
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return lines
    raise AssertionError(f"{missing} did not come: {lines}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("machines")
    with machines(folder, len(NAMES)) as (host, here, others):
        token = folder / "head.token"
        head = here.farm("head", "start", "--host", host, "--port", PORT, "--token-file", token)
        assert head.stdout is not None
        assert head.stdout.readline().startswith("The head answers at"), head.stderr.read()
        made = Cluster(f"{host}:{PORT}", here, dict(zip(NAMES, others, strict=True)), token)
        for name in NAMES:
            made.offer(name)
        yield made


def test_the_token_is_this_users_alone(cluster):
    assert cluster.token.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}\n", cluster.token.read_text())


def test_machines_are_listed(cluster):
    listed = cluster.listed()
    assert sorted(row["device"] for row in listed) == sorted(NAMES)
    assert {row["used_by"] for row in listed} == {None}


def test_a_device_of_another_machine_keeps_its_name(cluster):
    said = cluster.refused(
        *("worker", "join", cluster.address, "--device", "fake", "--as", "one"),
        *("--token-file", cluster.token),
    )
    assert said.startswith("Device one is offered already, by host ")
    assert said.endswith("give this one another name with --as.")


def test_who_does_not_know_the_token_is_refused(cluster, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("0" * 64)
    ask = ("worker", "list", cluster.address, "--token-file")
    assert "does not know the token in" in cluster.refused(*ask, wrong)
    wrong.chmod(0o644)
    assert f"run `chmod 600 {wrong}` first" in cluster.refused(*ask, wrong)
    wrong.unlink()
    assert f"There is no token file {wrong}" in cluster.refused(*ask, wrong)


def test_what_is_no_head_is_told(cluster):
    ask = ("worker", "list", "--token-file", cluster.token)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, and never answers
        port = server.getsockname()[1]
        said = cluster.refused(*ask, f"127.0.0.1:{port}")
        assert said == f"What answers at 127.0.0.1:{port} is not a head of the farm."
    assert f"No head answers at 127.0.0.1:{port}" in cluster.refused(*ask, f"127.0.0.1:{port}")
    assert "is not the address of a head" in cluster.refused(*ask, "http://here")


def test_a_head_on_loopback_is_refused(cluster, tmp_path):
    said = cluster.refused("head", "start", "--host", "localhost", "--token-file", tmp_path / "t")
    assert said.startswith("--host localhost is reached from this machine alone")


def test_a_device_that_nobody_offers_is_told(cluster):
    furnish(cluster.here.folder)
    said = cluster.refused(
        *("tune", "model.onnx", "--address", cluster.address, "--devices", "one,four"),
        *("--token-file", cluster.token),
    )
    assert f"No machine offers device 'four' to the head at {cluster.address}" in said


def test_one_is_killed_and_one_cut_off_and_nothing_is_lost_or_twice(cluster):
    furnish(cluster.here.folder)
    tune = cluster.here.farm(
        *("tune", "model.onnx", "--address", cluster.address, "--token-file", cluster.token),
        *("--devices", ",".join(NAMES), "--budget", "30s", "--json"),
    )
    started = read_to(tune, *(f"{name}: predicted" for name in NAMES))
    assert not [line for line in started if "confirmation" in line], "all at once"
    assert {row["used_by"] is None for row in cluster.listed()} == {False}
    said = cluster.refused(
        *("tune", "model.onnx", "--address", cluster.address, "--devices", "three"),
        *("--token-file", cluster.token),
    )
    assert said.startswith("Device three is being used by process ")
    cluster.others["two"].cut()
    cluster.others["one"].kill()
    time.sleep(2)
    cluster.offer("one")  # as whatever starts services there would
    time.sleep(10)
    cluster.others["two"].join()
    out = tune.stdout.read()
    assert tune.wait(120) == 0

    devices = {device["device"]: device for device in json.loads(out)["devices"]}
    assert {name: found["status"] for name, found in devices.items()} == dict.fromkeys(
        NAMES, "tuned"
    )
    with StoreReader.open(str(cluster.here.folder / "farm.db")) as reader:
        (run,) = reader.runs()
        assert run.status is RunStatus.FINISHED
        trials = reader.trials(run=run.name)
        outcomes = {trial.outcome for trial in trials}
        assert outcomes <= {Outcome.OK, Outcome.RUN_ERROR}, "none is open, none blames the loss"
        again = Counter((t.device, t.candidate_id, t.phase) for t in trials)
        assert set(again.values()) == {1}, "none was entered twice"
    deadline = time.monotonic() + 30
    while {row["used_by"] for row in cluster.listed()} != {None}:
        assert time.monotonic() < deadline, "devices are given back"
    assert sorted(row["device"] for row in cluster.listed()) == sorted(NAMES)
