"""A cluster of one's own: whatever else runs on the machine or lies in the user's folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from farm.host import own_modules
from tests.conftest import furnish
from tests.tools.command import ROOT, environment
from tests.workers import samples
from workers.cluster.environment import Files
from workers.cluster.pool import RayExecutor

NAMES = ("workers", "db", "tuner", "reports", "commands", "cli")


@pytest.mark.ray
def test_it_listens_on_loopback_alone_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", tempfile.mkdtemp(dir="/tmp"))
    with RayExecutor([samples.fake_profile()], tmp_path):
        own = psutil.Process().children(recursive=True)
        names = {process.name() for process in own}
        listening = {
            connection.laddr.ip
            for process in (psutil.Process(), *own)
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert list(Path(tempfile.tempdir).glob("farm-ray-*"))
    assert {"raylet", "gcs_server"} <= names
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, listening
    assert not list(Path(tempfile.tempdir).glob("farm-ray-*"))


@pytest.mark.ray
def test_modules_of_the_user_and_other_clusters_do_not_matter(tmp_path):
    """Everything that Python would find before what is installed, and an address that is dead."""
    furnish(tmp_path)
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the user')\n")
    variables = {
        **os.environ,
        **environment(tmp_path),
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT))),
        "RAY_ADDRESS": "127.0.0.1:9",
        "RAY_NAMESPACE": "other",
    }
    command = "import sys; sys.path.remove(''); from farm.entry import main; main()"
    arguments = ("tune", "model.onnx", "--devices", "fake", "--trials", "1", "--json")
    ended = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["devices"][0]["status"] == "tuned"


def test_only_the_own_names_are_bound_to_their_place():
    finder = own_modules._OwnModules
    assert Path(finder.find_spec("db").origin) == own_modules.ROOT / "db" / "__init__.py"
    assert finder.find_spec("numpy") is None
    assert finder.find_spec("cli", ["/elsewhere"]) is None


def test_a_folder_of_links_holds_the_packages(tmp_path):
    own_modules.link_into(tmp_path)
    assert (tmp_path / "workers" / "cluster" / "pool.py").samefile(
        own_modules.ROOT / "workers/cluster/pool.py"
    )


def test_ray_keeps_its_files_in_a_folder_of_this_user_with_a_short_path(monkeypatch, tmp_path):
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    files = Files()
    folder = files.sessions.parent
    assert folder.parent == Path("/tmp")
    assert folder.stat().st_mode & 0o777 == 0o700
    files.remove()
    assert not folder.exists()
