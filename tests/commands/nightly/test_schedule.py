"""``farm nightly schedule``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.command import Command

SUITE = 'name = "shop-floor"\n{}[[case]]\nmodel = "model.onnx"\n'
DUE = 'schedule = "0 3 * * *"\n'


@pytest.fixture
def suite(farm: Command) -> Command:
    (farm.folder / "suite.toml").write_text(SUITE.format(DUE))
    return farm


def shown(farm: Command, *options: str) -> str:
    ended = farm("nightly", "schedule", "suite.toml", *options)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def refused(farm: Command, *options: str) -> str:
    return farm.refused("nightly", "schedule", *options)


def test_every_form_names_what_runs_now_wherever_it_is_started(suite: Command) -> None:
    (suite.folder / ".git").mkdir()
    path = suite.folder / "suite.toml"
    for option in ("--cron", "--systemd"):
        text = shown(suite, option)
        assert f"/farm nightly run {path} --store {suite.folder / 'farm.db'}" in text
        assert f"/farm nightly check {path} --store {suite.folder / 'farm.db'}" in text
        assert f"XDG_DATA_HOME={suite.folder / 'data'}" in text
    text = shown(suite, "--github")
    assert "run: |\n          farm nightly run suite.toml\n" in text


def test_a_relative_store_and_profiles(suite: Command) -> None:
    (suite.folder / "own").mkdir()
    text = shown(suite, "--cron", "--store", "here.db", "--profiles", "own")
    here = suite.folder
    assert f"suite.toml --profiles {here / 'own'} --store {here / 'here.db'} >" in text


def test_a_password_gets_nowhere(suite: Command) -> None:
    store = ("--store", "postgresql://engineer:hush@bench/farm")
    for option in ("--cron", "--systemd"):
        assert refused(suite, "suite.toml", option, *store) == (
            "--store has a password in it, which others could read there: leave it out of the "
            "URL and write it into ~/.pgpass."
        )
    (suite.folder / ".git").mkdir()
    text = shown(suite, "--github", *store)
    assert "hush" not in text
    assert "secrets.FARM_STORE" in text
    without = ("--store", "postgresql://engineer@bench/farm")
    assert "--store postgresql://engineer@bench/farm" in shown(suite, "--cron", *without)


def test_one_form(suite: Command) -> None:
    sentence = (
        "Give one of --cron, --systemd, --github: it says what the suite is to be started by."
    )
    assert refused(suite, "suite.toml") == sentence
    assert refused(suite, "suite.toml", "--cron", "--github") == sentence


def test_a_suite_without_a_schedule(farm: Command) -> None:
    (farm.folder / "suite.toml").write_text(SUITE.format(""))
    assert refused(farm, "suite.toml", "--cron") == (
        'Suite suite.toml has no schedule: write for example schedule = "0 3 * * *" into it.'
    )


def test_a_suite_that_is_wrong(suite: Command) -> None:
    (suite.folder / "suite.toml").write_text(SUITE.format(DUE) + 'devce = "cpu"\n')
    assert refused(suite, "suite.toml", "--cron").startswith(
        "suite.toml, line 5: a case has no key 'devce'. Did you mean device or devices?"
    )
    assert refused(suite, "nowhere.toml", "--cron") == "There is no suite nowhere.toml."
    assert refused(suite, "suite.toml", "--cron", "--profiles", "nowhere") == (
        "There is no folder nowhere with device profiles."
    )


def test_no_repository(suite: Command) -> None:
    assert any((folder / ".git").exists() for folder in suite.folder.parents) is False
    assert refused(suite, "suite.toml", "--github") == (
        f"Suite {suite.folder / 'suite.toml'} lies in no Git repository, and a workflow begins "
        "with checking one out: move it into one, with what it names."
    )


def test_a_name_that_no_crontab_can_hold(suite: Command) -> None:
    odd = Path("odd\nname")
    (suite.folder / odd).mkdir()
    for name in ("suite.toml", "model.onnx"):
        (suite.folder / name).rename(suite.folder / odd / name)
    assert "characters that cannot be seen" in refused(suite, str(odd / "suite.toml"), "--cron")
