"""Where the tensors of a model lie in its arena over time, and where its operators run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from farm.plan.memory.arena import Solution
from farm.plan.memory.problem import Problem
from farm.plan.placement.record import PlacementPlan
from farm.plan.solution import Status
from farm.units import counted, format_bytes, format_seconds
from reports.figures import arena_svg
from reports.pages.section import Chart, Page, Role, Section, label, rounded, table
from reports.placement.figure import placement_svg
from reports.placement.words import plan_sentences
from tuner.explain.explanation import Fallback
from tuner.runs.record.details import split_sentence
from workers.protocol import Split

NO_SHAPES: Mapping[str, int] = MappingProxyType({})
_ROW, _AXES = 44, 110  # pixels


def arena(
    path: str, problem: Problem, solution: Solution, shapes: Mapping[str, int] = NO_SHAPES
) -> Section:
    """The picture of a plan. path: of the model's file. solution: one with offsets.

    shapes: sizes that were given to dynamic dimensions of the model.
    """
    lowest = "the lowest there is" if solution.status is Status.OPTIMAL else (
        f"at most {solution.gap:.1%} above the lowest there can be"
    )  # fmt: skip
    return Section(
        "arena",
        "Arena over time",
        f"{counted(len(problem.buffers), 'tensor')} of the model as it was given fit into "
        f"{format_bytes(solution.height)}, {lowest}. Time goes to the right, step by step; "
        "what lies side by side upwards is alive at once.",
        svg=arena_svg(problem, solution),
        table=table(
            ("tensor", "bytes", "from byte", "first step", "last step"),
            [
                (b.id, f"{b.size:,}", f"{solution.offsets[b.id]:,}", f"{b.start}", f"{b.end - 1}")
                for b in problem.buffers
            ],
            "bytes,from byte,first step,last step",
        ),
        notes=("Float32 tensors between the operators, without weights; planned, not measured.",),
        commands=(_plan_command(path, problem, shapes),),
    )


def with_plan(page: Page, plan: PlacementPlan) -> Page:
    """The page with the picture of a plan of placement before its last section."""
    section = Section(
        "plan",
        "Planned placement",
        " ".join(plan_sentences(plan)),
        svg=placement_svg(plan),
        commands=("farm plan placement MODEL -o plan.json --figure plan.svg",),
    )
    return replace(page, sections=(*page.sections[:-1], section, page.sections[-1]))


def placement(
    device: str,
    trial: str,
    assignment: Mapping[str, int],
    split: Split | None,
    fallbacks: Sequence[Fallback] = (),
) -> Section:
    """How many operators of a winner run where, or what each part of a split takes.

    assignment: operators by execution provider or place. split: of a winner in several parts.
    """
    notes = [_fallback(each) for each in fallbacks]
    if split is not None:
        names = [part.place for part in split.parts] + ["transfers"]
        values = [1e6 * part.seconds for part in split.parts] + [1e6 * split.transfer_seconds]
        texts = [format_seconds(value / 1e6) for value in values]
        summary, unit = split_sentence(split), "µs of one run"
    else:
        names, values = list(assignment), [float(count) for count in assignment.values()]
        texts = [counted(count, "operator") for count in assignment.values()]
        told = ", ".join(f"{text} on {name}" for name, text in zip(names, texts, strict=True))
        summary = f"All of it runs on {device}{f': {told}' if told else ''}."
        unit = "operators"
    return Section(
        f"placement-{device}",
        f"Placement on {device}",
        summary,
        _chart(names, values, texts, unit) if names else None,
        table(("place", unit), list(zip(names, texts, strict=True)), unit) if names else None,
        notes=tuple(notes),
        commands=(f"farm explain {trial[:8]}",),
    )


def _chart(
    names: Sequence[str], values: Sequence[float], texts: Sequence[str], unit: str
) -> Chart:
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": rounded(values),
        "y": [label(f"{n}. {name}") for n, name in enumerate(names, 1)],
        "marker": {"color": Role.WINNER},
        "hoverinfo": "text",
        "hovertext": [label(text) for text in texts],
    }
    layout = {
        "xaxis": {"title": {"text": unit}},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
    }
    return Chart((trace,), layout, _AXES + _ROW * len(names))


def _fallback(each: Fallback) -> str:
    what = each.name or counted(each.operators, "operator")
    why = f": {each.reason}" if each.reason else ""
    return f"{what} was planned for {each.planned} and ran on {each.computed}{why}."


def _plan_command(path: str, problem: Problem, shapes: Mapping[str, int]) -> str:
    words = ["farm", "plan", "memory", path, "--alignment", str(problem.alignment)]
    words += [word for name, n in shapes.items() for word in ("--shape", f"{name}={n}")]
    return shlex.join([*words, "--figure", "plan.svg"])
