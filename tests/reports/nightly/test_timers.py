"""What starts nights: each text is read by its own program where there is one."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from reports.nightly.timers.crontab import crontab
from reports.nightly.timers.github import workflow
from reports.nightly.timers.invocation import Invocation
from reports.nightly.timers.systemd import systemd, units
from tuner.nightly.suites.schedule import parse_schedule
from tuner.nightly.suites.suite import Case, Suite

SUITE = Suite(
    "shop-floor",
    Path("/srv/models/suite.toml"),
    (Case("a", Path("/srv/models/a.onnx")), Case("b", Path("/srv/models/b.onnx"), budget=600.0)),
    "0 3 * * mon-fri",
    {"next": ("onnxruntime==1.32.0",)},
)
PLAIN = Invocation(SUITE, parse_schedule(SUITE.schedule), ("/opt/farm/bin/farm",))
ODD = replace(
    PLAIN,
    suite=replace(SUITE, path=Path('/srv/100% "mine" & $HOME\\\'s/suite.toml')),
    farm=("/opt/the farm/bin/farm",),
    store="/srv/$store%.db",
    profiles="/srv/my profiles",
    variables={"XDG_DATA_HOME": "/srv/da ta%"},
)
RUN = ("nightly", "run", str(ODD.suite.path), "--profiles", ODD.profiles, "--store", ODD.store)
CHECK = ("nightly", "check", str(ODD.suite.path), "--store", ODD.store)


# Cron


def read_crontab(text: str) -> tuple[str, str]:
    """The fields and what cron gives to the shell, as crontab(5) says."""
    (line,) = [line for line in text.splitlines() if not line.startswith("#")]
    fields, command = re.fullmatch(r"((?:\S+ ){4}\S+) (.*)", line).groups()
    assert not re.search(r"(?<!\\)%", command), "a bare percent sign ends the command"
    return fields, command.replace(r"\%", "%")


def test_a_line_of_a_crontab() -> None:
    text = crontab(PLAIN)
    assert text.splitlines()[-1] == (
        "0 3 * * 1-5 log=/srv/models/shop-floor.log; "
        '/opt/farm/bin/farm nightly run /srv/models/suite.toml >"$log" 2>&1 && '
        '/opt/farm/bin/farm nightly check /srv/models/suite.toml >>"$log" 2>&1 || cat "$log"'
    )
    assert "`crontab -e`" in text


@pytest.mark.parametrize(
    ("run", "check", "printed"),
    [(0, 0, ""), (0, 1, "run\ncheck\n"), (1, 0, "run\n"), (2, 2, "run\n")],
)
def test_cron_mails_what_is_not_fine(tmp_path: Path, run: int, check: int, printed: str) -> None:
    folder = tmp_path / "100% mine"
    folder.mkdir()
    program = folder / "the farm"
    program.write_text(f"#!/bin/sh\necho $2\n[ $2 = run ] && exit {run}\nexit {check}\n")
    program.chmod(0o755)
    suite = replace(SUITE, path=folder / "suite.toml")
    text = crontab(replace(PLAIN, suite=suite, farm=(str(program),)))
    done = subprocess.run(
        ["/bin/sh", "-c", read_crontab(text)[1]], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (printed, "")


def test_odd_names_in_a_crontab(tmp_path: Path) -> None:
    """The shell gets each word whole; a stand-in for the farm prints its words."""
    program = tmp_path / "the farm"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$XDG_DATA_HOME" "$@"\nexit 1\n')
    program.chmod(0o755)
    folder = tmp_path / '100% "mine" & $HOME\\\'s'
    folder.mkdir()
    suite = replace(SUITE, path=folder / "suite.toml")
    fields, command = read_crontab(crontab(replace(ODD, suite=suite, farm=(str(program),))))
    assert parse_schedule(fields) == parse_schedule(SUITE.schedule)
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    expected = ["/srv/da ta%", *("nightly", "run", str(suite.path), *RUN[3:])]
    assert done.stdout.splitlines() == expected


# systemd


def test_units() -> None:
    made = units(PLAIN)
    service, timer = made["farm-nightly-shop-floor.service"], made["farm-nightly-shop-floor.timer"]
    assert "ExecStart=/opt/farm/bin/farm nightly run /srv/models/suite.toml\n" in service
    assert "ExecStart=/opt/farm/bin/farm nightly check /srv/models/suite.toml\n" in service
    assert "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 03:00:00\n" in timer
    assert "Persistent=true\n" in timer
    text = systemd(PLAIN)
    assert all(each in text for each in made.values())
    assert "enable --now farm-nightly-shop-floor.timer" in text


def test_either_of_day_and_weekday_is_two_lines() -> None:
    timer = units(replace(PLAIN, schedule=parse_schedule("15 2 1 */3 sun")))[f"{PLAIN.name}.timer"]
    assert re.findall("OnCalendar=(.*)", timer) == [
        "*-01,04,07,10-01 02:15:00",
        "Sun *-01,04,07,10-* 02:15:00",
    ]


def test_odd_names_in_a_unit() -> None:
    service = units(ODD)[f"{ODD.name}.service"]
    run, check = re.findall("^ExecStart=(.*)$", service, re.MULTILINE)
    assert unit_words(run) == [*ODD.farm, *RUN]
    assert unit_words(check) == [*ODD.farm, *CHECK]
    assert 'Environment="XDG_DATA_HOME=/srv/da ta%%"\n' in service


def unit_words(line: str) -> list[str]:
    """Words as systemd.service(5) reads them: like a shell's, with %% and $$."""
    words = shlex.split(line)
    assert not re.search(r"(?<!%)%(%%)*(?!%)", "".join(words)), "it would be replaced"
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    program = tmp_path / "the farm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    folder = tmp_path / '100% "mine" & $HOME\\\'s'
    folder.mkdir()
    made = replace(ODD, farm=(str(program),), suite=replace(SUITE, path=folder / "suite.toml"))
    for name, text in units(made).items():
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in units(made)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *files],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    ours = [line for line in done.stderr.splitlines() if made.name in line]
    assert (ours, done.returncode) == ([], 0), done.stderr


# GitHub


def read_workflow(invocation: Invocation, **options) -> dict:
    given = {"root": Path("/srv"), "zone": "Europe/Berlin", "secret": False, **options}
    return yaml.load(workflow(invocation, **given), yaml.BaseLoader)


def test_a_workflow() -> None:
    made = read_workflow(PLAIN)
    assert made["on"] == {
        "schedule": [{"cron": "0 3 * * 1-5", "timezone": "Europe/Berlin"}],
        "workflow_dispatch": "",
    }
    assert made["concurrency"] == {"group": "farm-nightly-shop-floor"}
    job = made["jobs"]["nightly"]
    assert job["runs-on"] == ["self-hosted"]
    assert job["timeout-minutes"] == "118"
    assert "env" not in job
    checkout, run, check, upload = job["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    assert run["run"] == "farm nightly run models/suite.toml\n"
    assert check["run"] == (
        "farm nightly check models/suite.toml --junit nightly.xml --markdown nightly.md\n"
    )
    assert check["if"] == upload["if"] == "${{ !cancelled() }}"
    assert upload["with"]["path"].split() == ["nightly.xml", "nightly.md"]


def test_a_workflow_in_utc() -> None:
    for zone in ("", "Etc/UTC"):
        assert read_workflow(PLAIN, zone=zone)["on"]["schedule"] == [{"cron": "0 3 * * 1-5"}]
    assert "# in UTC" in workflow(PLAIN, root=Path("/srv"), zone="", secret=False)


def test_a_store_in_a_workflow() -> None:
    job = read_workflow(replace(PLAIN, store="/srv/a b.db"))["jobs"]["nightly"]
    assert job["env"] == {"FARM_STORE": "/srv/a b.db"}
    text = workflow(
        *[replace(PLAIN, store="postgresql://u:hush@h/farm")],
        root=Path("/srv"),
        zone="",
        secret=True,
    )
    assert "hush" not in text
    assert "FARM_STORE: ${{ secrets.FARM_STORE }}" in text


def test_folders_of_this_shell_are_those_of_a_runner() -> None:
    variables = {"XDG_DATA_HOME": "/srv/da ta%", "XDG_CACHE_HOME": "/srv/${{ github.token }}"}
    job = read_workflow(replace(PLAIN, variables=variables))["jobs"]["nightly"]
    assert job["env"] == {
        "XDG_DATA_HOME": "/srv/da ta%",
        "XDG_CACHE_HOME": "/srv/${{ '${{' }} github.token }}",
    }


def test_odd_names_in_a_workflow() -> None:
    _, run, check, _ = read_workflow(ODD)["jobs"]["nightly"]["steps"]
    suite = '100% "mine" & $HOME\\\'s/suite.toml'
    assert shlex.split(run["run"]) == [
        *("farm", "nightly", "run", suite, "--profiles", "my profiles"),
    ]
    assert shlex.split(check["run"])[3] == suite
