"""Pages of runs and suites, from what the store has."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from db.night_records import ChangeState
from db.questions.results import results
from db.records import Phase, RunKind, RunStatus
from db.schema import NightValueRow, RunRow
from db.store import Store
from farm.errors import NotInStore
from farm.measurement import Estimate, Measurement, Method, Metric, Outcome
from farm.plan.memory.arena import plan_memory
from farm.plan.memory.problem import Buffer, Problem
from farm.units import Bytes
from reports.pages.html import embedded, report_html
from reports.pages.of_run import run_page
from reports.pages.of_suite import suite_page
from reports.pages.section import Page, Section, cell, label, table
from reports.pages.sections.memory import arena, with_plan
from reports.pages.sections.operators import Called, gains, operators
from reports.pages.sections.provenance import provenance
from reports.pages.sections.verdicts import DeviceVerdict, verdicts
from tests.db.nights import SUITE, change, follow, series
from tests.db.samples import FAST, RUN, SLOW, fill, trial
from tests.tools.placement_plans import split_plan
from tests.tools.tuned_run import WINNER, tuned
from tuner.explain.of_trials import ask, explain
from tuner.request import TuneRequest
from tuner.results import Verdict
from tuner.runs.overview import overview

HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\u202e" + "x" * 10_000
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "farm.db")) as opened:
        yield opened


def section(page: Page, name: str) -> Section:
    return next(each for each in page.sections if each.name == name)


def rows_of(page: Page, name: str) -> tuple[tuple[str, ...], ...]:
    found = section(page, name).table
    assert found is not None
    return found.rows


def test_what_is_modelled_has_no_interval(store: Store) -> None:
    tuned(store)
    (standing,) = overview(store, RUN.name).devices
    assert standing.known is not None
    same = replace(standing.known, ratio=Estimate(150.0, 150.0, 150.0))
    winner = results(store, run=RUN.name)[0]
    modelled = replace(winner, latency=Measurement(Metric.LATENCY, 1e-5, Method.MODELLED))
    found = verdicts("run", [DeviceVerdict(replace(standing, known=same), None, modelled)])
    assert found.summary == "cpu: 150.00 times as fast as the baseline by modelled time."
    assert found.table is not None
    assert found.table.rows[0][3] == "150.00x"


def test_a_verdict_is_in_words(store: Store) -> None:
    tuned(store)
    (standing,) = overview(store, RUN.name).devices
    assert standing.known is not None
    alone = replace(standing.known, verdict=Verdict.NOTHING_TRIED, ratio=None)
    found = verdicts("run", [DeviceVerdict(replace(standing, known=alone), None, None)])
    assert found.summary == "cpu: nothing but the baseline was tried."
    assert found.table is not None
    assert found.table.rows[0][1] == "nothing but the baseline was tried"


def test_operators_that_one_side_does_not_run_became_neither_faster_nor_slower(
    store: Store,
) -> None:
    tuned(store)
    found = explain(store, ask(store, "trial-4"))
    first, last = found.operators
    gone = replace(first, name="gone", kernel="", seconds=0.0)
    came = replace(last, name="came", against_kernel="", against_seconds=0.0, seconds=2e-6)
    called = Called("winner", "baseline")
    section = gains("cpu", replace(found, operators=(first, gone, came)), called)
    assert section.summary == (
        "1 operator became faster, by 168 µs together; no operator became slower; 1 operator took "
        "time in the winner alone, 2.00 µs; 1 operator took time in the baseline alone, 280 µs."
    )
    rows = operators("cpu", replace(found, operators=(first, gone, came)), called).table
    assert rows is not None
    assert {row[0]: row[3:5] for row in rows.rows} == {
        "first": ("112 µs", "280 µs"),
        "gone": ("-", "280 µs"),
        "came": ("2.00 µs", "-"),
    }


def test_a_baseline_has_nothing_beside_it(store: Store) -> None:
    tuned(store)
    found = gains("cpu", explain(store, ask(store, "trial-3")), Called("winner", "baseline"))
    assert found.summary.startswith("It is the baseline, or its run has none: there is nothing")


def test_provenance_is_for_people(store: Store) -> None:
    tuned(store)
    page = run_page(store, RUN.name)
    rows = dict(row for row in rows_of(page, "provenance"))
    assert rows["asked for"] == (
        "model model.onnx; devices cpu; objective latency; budget seconds 120.0; max batch 1"
    )
    assert {"machine", "software"} <= rows.keys()
    run = store.run(RUN.name)
    machine, software = store.machine(run.machine_id), store.software(run.software_id)
    several = [("", software), ("cpu, dsp", software)]
    model = store.model(run.model_sha256)
    found = provenance(run, model, None, [("cpu", machine)], several, ()).table
    assert found is not None
    assert [row[0] for row in found.rows[-3:]] == [
        "machine",
        "software of the run itself",
        "software of cpu, dsp",
    ]


def test_nights_of_one_minute_are_apart(store: Store) -> None:
    fill(store)
    follow(store, series("quiet"), [0.0])
    page = suite_page(store, SUITE)
    assert page.series is not None
    assert page.series["nights"] == [["night-0", "2026-11-21 06:53:12"]]
    chart = section(page, "health").chart
    assert chart is not None
    assert chart.traces[0]["x"] == ["2026-11-21 06:53:12"]


def test_a_run_has_all_that_is_known_of_it(store: Store) -> None:
    tuned(store)
    page = run_page(store, RUN.name[:6])
    names = [each.name for each in page.sections]
    assert names == [
        "verdicts",
        "pareto-cpu",
        "waterfall-cpu",
        "operators-cpu",
        "gains-cpu",
        "damage-cpu",
        "placement-cpu",
        "predicted-cpu",
        "health-cpu",
        "provenance",
    ]
    assert section(page, "verdicts").summary == (
        "cpu: 2.50 times as fast as the baseline (95 % interval 2.40 to 2.60)."
    )
    assert "farm compare trial-3 trial-4" in section(page, "verdicts").commands
    searched = section(page, "pareto-cpu").summary
    assert "All are values of the search. What was confirmed, in fresh processes" in searched
    assert searched.endswith(f"{WINNER.label()} with 160 µs [157, 165 µs] at accuracy 0.9980.")
    summary = section(page, "waterfall-cpu").summary
    assert summary.startswith(
        "In the search 400 µs became 150 µs, 2.67 times as fast [2.67, 2.67]"
    )
    assert summary.endswith("The confirmation found 2.50x [2.40, 2.60].")
    steps = section(page, "waterfall-cpu").table
    assert steps is not None
    assert [row[1] for row in steps.rows] == [
        "the baseline",
        "threads: 1",
        "quantization: dynamic-int8",
    ]
    assert steps.rows[1][4] == "1.33x"
    assert "Of 21 blocks 1 was rejected, and 0 disturbed" in section(page, "health-cpu").summary
    assert "became faster, by 216 µs together" in section(page, "gains-cpu").summary
    assert section(page, "damage-cpu").summary == (
        "Quantised alone, first does the most of 2 operators of "
        f"{WINNER.label()}: 1.2 %, the error at the model's outputs as a share of the values."
    )
    assert [row[1] for row in rows_of(page, "damage-cpu")] == ["1.2 %", "0.1 %"]
    assert "3 of 3" not in section(page, "predicted-cpu").summary
    assert "5 of 5 intervals hold what was measured" in section(page, "predicted-cpu").summary
    assert "farm tune model.onnx --devices cpu" in section(page, "provenance").commands[0]


def test_a_run_of_which_nothing_is_known_has_a_page(store: Store) -> None:
    fill(store)
    assert [each.name for each in run_page(store, RUN.name).sections] == ["verdicts", "provenance"]


def benched(store: Store, outcome: Outcome, status: RunStatus) -> Page:
    """Two candidates that ran side by side on a night, or the second one did not."""
    fill(store)
    run = replace(RUN, kind=RunKind.NIGHTLY)
    for number, candidate in enumerate((FAST, SLOW)):
        store.lease_trial(replace(trial(number, candidate), phase=Phase.BENCH))
    took = [Measurement(Metric.LATENCY, ms * 1e-3, Method.MEASURED) for ms in (2.0, 3.0)]
    store.commit_trial("trial-0", Outcome.OK, "", [took[0]])
    ok = outcome is Outcome.OK
    store.commit_trial("trial-1", outcome, "" if ok else "no kernel takes Det.", took[1:] * ok)
    request = TuneRequest("model.onnx", ("cpu",)).to_json()
    store.update_run(run.name, status=status, request=request)
    with store.writing() as session:
        session.execute(update(RunRow).values(kind=run.kind))
    return run_page(store, run.name)


def test_a_run_without_a_search_shows_what_it_measured(store: Store) -> None:
    page = benched(store, Outcome.OK, RunStatus.FINISHED)
    assert section(page, "verdicts").summary == (
        f"cpu: 2 trials measured; the fastest, {FAST.label}, takes 2.00 ms."
    )
    rows = rows_of(page, "verdicts")
    assert [(row[1], row[2], row[5]) for row in rows] == [
        ("measured", FAST.label, "2.00 ms"),
        ("measured", SLOW.label, "3.00 ms"),
    ]


def test_a_run_without_a_search_says_why_it_failed(store: Store) -> None:
    page = benched(store, Outcome.COMPILE_ERROR, RunStatus.FAILED)
    failed = "failed: compile-error: no kernel takes Det"
    assert section(page, "verdicts").summary == f"cpu: {failed}."
    assert rows_of(page, "verdicts")[0][1:3] == (f"{failed}.", FAST.label)


def test_a_suite_has_its_series_with_marks_and_changes(store: Store) -> None:
    fill(store)
    follow(store, series("quiet"), [0.0, 0.001, None])
    slower = series("slower")
    follow(store, slower, [0.0, 0.05, 0.05], "regression")
    change(store, slower, 1, 1.05, ChangeState.CONFIRMED, "of 1.32")
    page = suite_page(store, SUITE)
    assert page.subtitle == "2 series, 3 nights, the last one 2026-11-23 06:53 UTC"
    assert section(page, "verdicts").summary == (
        "Night night-2: regression; of all series 1 regression, 1 could not measure."
    )
    assert page.series is not None
    first, second = page.series["series"]
    assert first["name"] == "slower on cpu, latency"
    assert first["r"] == [0, 5000, 5000]
    assert (first["l"], first["h"]) == ([-400, 4600, 4600], [1200, 6200, 6200])
    assert rows_of(page, "verdicts")[0][2] == "1.051 [1.047, 1.064]", "as the night was judged"
    assert first["c"] == [[1, "1.050 [1.040, 1.060]", "confirmed: of 1.32", "slower-1-confirmed"]]
    assert second["r"] == [0, 100, None]
    letters = [page.series["verdicts"][ord(letter) - ord("a")] for letter in second["v"]]
    assert letters == ["no change", "no change", "could not measure"]


def test_a_night_that_compared_nothing_is_none_that_is_known_exactly(store: Store) -> None:
    fill(store)
    follow(store, series("quiet"), [0.0, 0.001, 0.002, None])
    with store.writing() as session:
        first = NightValueRow.night == "night-0"
        session.execute(update(NightValueRow).where(first).values(uncertainty=None))
    found = section(suite_page(store, SUITE), "health")
    assert found.summary.startswith(
        "Half of the series were known to within 0.40 % (one standard error) in half of the "
        "2 nights that compared them with an earlier state. 1 value could not be measured"
    )
    assert found.chart is not None
    assert found.chart.traces[0]["y"] == [0.4, 0.4], "no point of a night without a width"
    with store.writing() as session:
        session.execute(update(NightValueRow).values(uncertainty=None))
    alone = section(suite_page(store, SUITE), "health")
    assert alone.summary.startswith("No night compared anything yet.")
    assert alone.chart is None


def test_a_run_shows_the_nights_of_its_model(store: Store) -> None:
    tuned(store)
    follow(store, series("detector"), [0.0, 0.05])
    page = run_page(store, RUN.name)
    assert page.series is not None
    (one,) = page.series["series"]
    assert (one["name"], one["r"]) == ("detector on cpu, latency", [0, 5000])
    assert "listed" not in page.series


def test_only_the_newest_nights_of_a_suite_are_shown(store: Store) -> None:
    fill(store)
    follow(store, series("quiet"), [0.0, 0.001, 0.002])
    page = suite_page(store, SUITE, 2)
    assert page.series is not None
    assert [name for name, _ in page.series["nights"]] == ["night-1", "night-2"]


def test_a_suite_that_never_ran_has_no_page(store: Store) -> None:
    with pytest.raises(NotInStore, match="no night of suite 'x'"):
        suite_page(store, "x")


def test_hostile_names_are_text(store: Store) -> None:
    tuned(store, HOSTILE)
    html = report_html(run_page(store, RUN.name), HOSTILE)
    scripts = re.findall(r"<script[^>]*>", html)
    # All that is between the script tags of the page's own is data or the page's own.
    assert scripts.count("<script>") == 2
    assert set(scripts) == {"<script>", '<script type="application/json">'}
    own = html[: html.index("<script>")]
    assert "<img" not in own
    assert "\x1b" not in own
    assert "\u202e" not in own
    assert "&lt;img src=x onerror=alert(2)&gt;" in own


def test_a_page_asks_for_nothing(store: Store) -> None:
    tuned(store)
    html = report_html(run_page(store, RUN.name), "now")
    own = html[: html.index("<script>")]
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", own)
    assert "default-src &#39;none&#39;" in own


def test_hostile_operators_of_a_plan_are_text(store: Store) -> None:
    tuned(store)
    plan = split_plan(operators=(HOSTILE, "b", "c"))
    html = report_html(with_plan(run_page(store, RUN.name), plan), "now")
    own = html[: html.index("<script>")]
    assert "<img" not in own
    assert "<title>model: 2 parts at dsp/cpackage-emulated, cpu/onnxruntime-cpu</title>" in own


def test_the_arena_of_a_model_with_hostile_names_is_text() -> None:
    problem = Problem((Buffer(HOSTILE, 0, 2, Bytes(64)), Buffer("b", 1, 3, Bytes(64))))
    found = arena("model.onnx", problem, plan_memory(problem, seconds=1.0))
    assert "<img" not in found.svg
    assert found.summary.startswith("2 tensors of the model as it was given fit into 128 B")
    assert found.table is not None
    assert len(found.table.rows) == len(problem.buffers)
    again = arena("my $model.onnx", problem, plan_memory(problem, seconds=1.0), {"n": 3})
    words = shlex.split(again.commands[0].removesuffix("--figure plan.svg"))
    assert words[3:] == ["my $model.onnx", "--alignment", "1", "--shape", "n=3"]


@pytest.mark.parametrize("text", ["</script>", "<!--", "a & b", "\u2028", '"'])
def test_embedded_json_ends_no_script(text: str) -> None:
    written = str(embedded({"name": text}))
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == {"name": text}


def test_names_in_drawings_are_short_and_no_markup() -> None:
    assert label("<b>a</b> & b") == "&lt;b&gt;a&lt;/b&gt; &amp; b"
    assert len(label("y" * 10_000)) <= 60
    assert cell("z" * 10_000).endswith("… (10,000 characters)")


def test_a_long_table_says_how_much_more_there_is() -> None:
    found = table(("a", "b"), [("1", "2")] * 600, "b")
    assert len(found.rows) == 501
    assert found.rows[-1] == ("and 100 more", "")
    assert found.numbers == {1}


def test_whatever_a_device_is_called_its_sections_are_pointed_to() -> None:
    page = Page(
        "t", "s", (Section('pareto-my "dev" 1', "t", "s"), Section("b-" + "x" * 999, "t", ""))
    )
    html = report_html(page, "now")
    ids = re.findall(r'<section id="([^"]*)" aria-labelledby="([^"]*)">', html)
    assert ids[0] == ("pareto-my--dev--1", "pareto-my--dev--1-title")
    for name, title in ids:
        assert f'<a href="#{name}">' in html
        assert f'<h2 id="{title}">' in html


def test_of_a_suite_as_many_series_lead_to_their_history_as_are_listed(store: Store) -> None:
    fill(store)
    follow(store, series("quiet"), [0.0, 0.001])
    page = suite_page(store, SUITE)
    assert page.series is not None
    assert page.series["listed"] == 1
