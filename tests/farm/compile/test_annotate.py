"""Annotations of operators, and that ONNX Runtime takes them as they are meant."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from onnx.helper import make_graph, make_node

from farm.compile.annotate import ANNOTATION, annotated, labels_of
from farm.compile.divide import DividedInSession
from farm.errors import CompileError
from farm.model.walk import all_nodes
from farm.session.assignment import SETTINGS, assignment_settings
from tests import models


def chain() -> ModelProto:
    nodes = [
        make_node("Relu", ["x"], ["a"], name="one"),
        make_node("Tanh", ["a"], ["b"], name="two"),
        make_node("Sqrt", ["b"], ["y"], name="three"),
    ]
    return models.build(nodes, [models.value("x", [4])], [models.value("y", [4])], {})


LABELS = {"one": "cpu_a", "two": "dsp_b", "three": "cpu_a"}


def test_every_operator_has_its_label() -> None:
    model = chain()
    assert labels_of(annotated(model, LABELS)) == LABELS
    assert not labels_of(model), "the model that was given stays as it was"


def test_a_second_annotation_takes_the_place_of_the_first() -> None:
    again = annotated(annotated(chain(), LABELS), dict.fromkeys(LABELS, "other"))
    keys = [prop.key for node in again.graph.node for prop in node.metadata_props]
    assert keys == [ANNOTATION] * 3
    assert set(labels_of(again).values()) == {"other"}


def test_an_operator_that_the_plan_does_not_know() -> None:
    with pytest.raises(CompileError, match="The plan says nothing of operator 'three'"):
        annotated(chain(), {"one": "a", "two": "a"})


def test_what_is_inside_of_an_operator_is_where_it_is() -> None:
    inner = make_graph(
        [make_node("Neg", ["a"], ["n"], name="in")], "b", [], [models.value("n", [4])]
    )
    nodes = [
        make_node("Relu", ["x"], ["a"], name="one"),
        make_node("If", ["c"], ["y"], name="two", then_branch=inner, else_branch=inner),
    ]
    given = models.build(
        nodes, [models.value("x", [4])], [models.value("y", [4])], {"c": np.array(True)}
    )
    found = all_nodes(annotated(given, {"one": "cpu_a", "two": "cpu_b"}))
    labels = [(node.name, [prop.value for prop in node.metadata_props]) for node in found]
    assert labels == [
        ("one", ["cpu_a"]),
        ("two", ["cpu_b"]),
        ("in", ["cpu_b"]),
        ("in", ["cpu_b"]),
    ]


def test_a_session_of_two_providers() -> None:
    divided = DividedInSession(("two",))(chain()).model
    assert labels_of(divided) == {"one": "gpu", "two": "cpu", "three": "gpu"}


def test_a_session_of_two_providers_without_such_an_operator() -> None:
    with pytest.raises(CompileError, match=r"'tow' cannot run .* Did you mean two\?"):
        DividedInSession(("tow",))(chain())


def test_labels_are_whole_words_in_the_settings() -> None:
    assert assignment_settings({"cpu": ["a", "ab"], "gpu": ["b"]}) == "cpu(=a,=ab);gpu(=b)"


def test_settings_that_are_too_long() -> None:
    with pytest.raises(CompileError, match="has 20006 characters, and ONNX Runtime takes 8192"):
        assignment_settings({"cpu": ["a" * 9999, "b" * 9999]})


def test_onnxruntime_assigns_what_is_annotated() -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry(SETTINGS, assignment_settings({"cpu": ["cpu_a", "dsp_b"]}))
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(
        annotated(chain(), LABELS).SerializeToString(), options, ["CPUExecutionProvider"]
    )
    assigned = {
        node.name: group.ep_name
        for group in session.get_provider_graph_assignment_info()
        for node in group.get_nodes()
    }
    assert assigned == dict.fromkeys(LABELS, "CPUExecutionProvider")
