"""A night as JUnit XML, which most programs for continuous integration can show."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from farm.text import printable
from reports.nightly.words import (
    headline,
    ratio_text,
    remarks,
    sentences,
    summary,
    value_text,
)
from tuner.nightly.report import CaseReport, NightReport
from tuner.nightly.screen.series import Verdict

_NIGHT = "the night as a whole"


def junit_xml(report: NightReport) -> str:
    """One test per series: a regression fails, what could not be measured is an error.

    Of an environment of the suite, which is not what runs today, nothing fails: what could not be
    measured is skipped. Verdicts and sentences of all that pass are in their output. A night that
    did not come to its end, and one that was not, is an error of its own.
    """
    root = Element("testsuites", name="farm nightly")
    suite = SubElement(root, "testsuite", name=report.suite)
    for case in report.cases:
        _add_case(suite, report, case)
    if report.finished_at is None or report.is_stale:
        whole = SubElement(suite, "testcase", name=_NIGHT, classname=report.suite, time="0")
        told = [summary(report), *remarks(report)]
        _say(whole, "error", str(Verdict.NOT_MEASURED), told)
    _count(suite, report)
    for name in ("tests", "failures", "errors", "time"):
        root.set(name, suite.get(name, "0"))
    suite.insert(0, _properties(report))
    SubElement(suite, "system-out").text = _lines([headline(report), summary(report)])
    indent(root)
    body = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _add_case(suite: Element, report: NightReport, case: CaseReport) -> None:
    beside = f" with environment {case.environment}" if case.environment else ""
    test = SubElement(
        suite,
        "testcase",
        name=printable(f"{case.case} {case.metric}{beside}"),
        classname=printable(f"{report.suite}.{case.device}"),
        time=f"{case.seconds:.3f}",
    )
    told = [*sentences(case), *_numbers(case)]
    verdict = str(case.verdict)
    if case.verdict is Verdict.NOT_MEASURED:
        _say(test, "skipped" if case.environment else "error", verdict, told)
    elif case.verdict is Verdict.REGRESSION and not case.environment:
        _say(test, "failure", verdict, told)
    else:
        SubElement(test, "system-out").text = _lines([f"{verdict}:", *told])


def _say(test: Element, name: str, kind: str, told: list[str]) -> None:
    """What went wrong: the first sentence is the message, all of them are the text."""
    message = printable(told[0]) if told else kind
    SubElement(test, name, type=kind, message=message).text = _lines(told or [kind])


def _numbers(case: CaseReport) -> list[str]:
    if case.ratio is None:
        return []
    return [
        (
            f"{case.metric} {value_text(case.metric, case.value)}, against "
            f"{value_text(case.metric, case.good_value)}, ratio {ratio_text(case.ratio)}, "
            f"nights {case.nights}"
        )
    ]


def _count(suite: Element, report: NightReport) -> None:
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("time", f"{sum(case.seconds for case in report.cases):.3f}")
    if report.started_at is not None:
        suite.set("timestamp", f"{report.started_at:%Y-%m-%dT%H:%M:%S}")
    if report.machine:
        suite.set("hostname", printable(report.machine))


def _properties(report: NightReport) -> Element:
    found = Element("properties")
    for name, value in (
        ("night", report.night),
        ("verdict", str(report.verdict)),
        ("exit_code", str(report.exit_code)),
    ):
        SubElement(found, "property", name=name, value=printable(value))
    return found


def _lines(texts: list[str]) -> str:
    return "\n".join(map(printable, texts))
