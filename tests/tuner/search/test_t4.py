"""Recorded tables in the format in which auto-tuners exchange results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator

from benchmarks.search.recorded import Row, Table, write_table
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, Precision, StaticInt8
from farm.measurement import Outcome

ROOT = Path(__file__).parents[3]
INT8 = Precision(quantization=StaticInt8())
ROWS = (
    Row(Candidate(), Outcome.OK, 0.98, (1e-3, 2e-3)),
    Row(Candidate(OnnxRuntimeCpu(threads=1), INT8), Outcome.OK, 0.90, (5e-4, 6e-4)),
    Row(Candidate(CPackage()), Outcome.COMPILE_ERROR, None, (), "No code for Loop."),
    Row(Candidate(CPackage(), INT8), Outcome.TIMEOUT, None, (), "It took too long."),
)
MACHINE = {"cpu": "a processor", "cores": 2, "system": "Linux"}
TABLE = Table("configurations", "kws", "0" * 64, MACHINE, {}, "top1, as checked", 4, ROWS)

INVALIDITY = ("timeout", "compile", "runtime", "correctness", "constraints", "correct")
RESULT = {
    "type": "object",
    "required": ["configuration", "times", "invalidity", "correctness"],
    "properties": {
        "configuration": {"type": "object", "minProperties": 1},
        "objectives": {"type": "array", "items": {"type": "string"}},
        "times": {
            "type": "object",
            "properties": {"runtimes": {"type": "array", "items": {"type": "number"}}},
        },
        "invalidity": {"enum": INVALIDITY},
        "correctness": {"enum": [0, 1]},
        "measurements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": ["number", "string", "array"]},
                    "unit": {"type": "string"},
                },
            },
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "schema_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "metadata": {
            "type": "object",
            "properties": {
                "timeunit": {"enum": ["nanoseconds", "microseconds", "milliseconds", "seconds"]}
            },
        },
        "results": {"type": "array", "items": RESULT},
    },
}
"""What the schemas of T4 1.0.0 ask for, those of Kernel Tuner and of the methodology together."""


def test_every_row_is_a_result_of_the_format(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "kws.json.gz")
    command = [sys.executable, "-m", "benchmarks.search.as_t4"]
    done = subprocess.run(
        [*command, str(tmp_path / "kws.json.gz"), "-o", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "kws.t4.json").read_text())
    Draft202012Validator(SCHEMA).validate(content)
    fast, wrong, failed, late = content["results"]
    assert fast["times"]["runtimes"] == [1.0, 2.0], "milliseconds"
    assert fast["configuration"]["engine.kind"] == "onnxruntime-cpu"
    assert fast["measurements"][0] == {"name": "time", "value": 1.5, "unit": "ms"}
    found = [each["invalidity"] for each in (fast, wrong, failed, late)]
    assert found == ["correct", "correctness", "compile", "timeout"]
    assert [each["correctness"] for each in content["results"]] == [1, 0, 0, 0]
