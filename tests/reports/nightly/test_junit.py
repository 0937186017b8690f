"""JUnit XML: as continuous integration reads it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import pytest

from reports.nightly.junit import junit_xml
from tests.reports.nightly.values import CUT, FINE, LOST, NEXT, NIGHT, NONE, SLOWER
from tuner.nightly.report import NightReport
from tuner.nightly.screen.series import Verdict

# What the schema of Jenkins' xUnit plug-in (junit-10.xsd) knows, and required attributes.
ATTRIBUTES = {
    "testsuites": ({"name", "time", "tests", "failures", "disabled", "errors"}, set()),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp"}
        | {"hostname", "id", "package", "file", "log", "url", "version"},
        {"name", "tests", "failures", "errors"},
    ),
    "testcase": (
        {"name", "classname", "time", "status", "class", "file", "line", "assertions"},
        {"name", "classname"},
    ),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
    "property": ({"name", "value"}, {"name", "value"}),
    "properties": (set(), set()),
    "system-out": (set(), set()),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out"},
    "testcase": {"failure", "error", "skipped", "system-out"},
    "properties": {"property"},
}


def parsed(report: NightReport) -> Element:
    """The suite, after a look at the whole."""
    root = fromstring(junit_xml(report))
    for element in root.iter():
        known, required = ATTRIBUTES[element.tag]
        assert required <= set(element.attrib) <= known, element.tag
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set()), element.tag
    (suite,) = root
    cases = suite.findall("testcase")
    assert suite.get("tests") == root.get("tests") == str(len(cases))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(name) == str(len(suite.findall(f"testcase/{tag}")))
    return suite


@pytest.mark.parametrize("report", [NIGHT, FINE, CUT, NONE])
def test_the_exit_code_is_what_the_tests_say(report: NightReport) -> None:
    suite = parsed(report)
    failed, broken = suite.get("failures") != "0", suite.get("errors") != "0"
    assert report.exit_code == (1 if failed else 3 if broken else 0)


def test_a_night() -> None:
    text = junit_xml(NIGHT)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ')
    suite = parsed(NIGHT)
    counted = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "5", "failures": "1", "errors": "1", "skipped": "0"}
    assert suite.get("timestamp") == "2026-11-29T03:00:04"
    assert suite.get("hostname") == "bench-1"
    slower, same, new, lost, following = suite.findall("testcase")
    assert (slower.get("classname"), slower.get("name")) == ("shop-floor.cpu", "detector latency")
    assert slower.get("time") == "58.400"
    failure = slower.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("regression", SLOWER.sentence)
    assert failure.text is not None
    assert failure.text.splitlines()[1:] == [
        "onnxruntime 1.31.1 came instead of 1.30.0 that night.",
        "Changed with it: software.",
        "Change 3f9c2a (confirmed) began with night shop-floor-20261128-030000.",
        "latency 1.09 ms, against 1.06 ms, ratio 1.031 [1.024, 1.038], nights 31",
    ]
    assert (same.findtext("system-out") or "").startswith("no change:\npeak_memory 12.0 MiB")
    assert (new.findtext("system-out") or "").startswith("not yet:\n5 of 22 nights so far.")
    error = lost.find("error")
    assert error is not None
    assert error.get("message") == r"no NVIDIA GPU was found <b>\x1b[31m here."
    assert following.get("name") == "detector latency with environment next"
    assert [child.tag for child in following] == ["system-out"], "it is not today's software"


def test_an_environment_that_could_not_be_measured_is_skipped() -> None:
    lost = replace(NEXT, verdict=Verdict.NOT_MEASURED, ratio=None)
    suite = parsed(replace(FINE, cases=(*FINE.cases, lost)))
    assert (suite.get("errors"), suite.get("skipped")) == ("0", "1")


def test_a_night_that_was_cut_short_is_an_error() -> None:
    whole = parsed(CUT).findall("testcase")[-1]
    error = whole.find("error")
    assert whole.get("name") == "the night as a whole"
    assert error is not None
    assert "The night was cut short" in (error.text or "")


def test_no_night_is_an_error() -> None:
    (whole,) = parsed(NONE).findall("testcase")
    error = whole.find("error")
    assert error is not None
    assert error.get("message") == NONE.notes[0]


def test_what_no_xml_can_hold() -> None:
    odd = replace(LOST, sentence="\x00\ud800\ufffe", notes=("a\nb",))
    error = parsed(replace(NIGHT, cases=(odd,))).find("testcase/error")
    assert error is not None
    assert error.text == "\\x00\\ud800\\ufffe\na\\nb"
