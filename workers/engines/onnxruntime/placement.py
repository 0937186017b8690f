"""Which provider really runs each operator of a session, against what was asked for.

ONNX Runtime falls back to its CPU provider with no more than a printed warning. What it tells of
the assignment of every operator is compared with the plan here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import onnxruntime as ort

from farm.session.assignment import SETTINGS
from farm.session.spec import CPU_PROVIDER, WEBGPU_LAYOUT, SessionSpec
from farm.units import counted
from workers.engines.session import NotAsPlannedError

_PLAIN = "NCHW"
_NAMED = 5  # operators named in a message


class Placed(NamedTuple):
    """An operator, and the provider that runs it."""

    provider: str
    op_type: str
    name: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.name}".strip()


PlacedIn: TypeAlias = Callable[[SessionSpec], list[Placed]]
"""Where operators are in another session of the same model."""


def placed(session: ort.InferenceSession) -> list[Placed]:
    """Where operators are in a session."""
    told = session.get_provider_graph_assignment_info()
    operators = ((part.ep_name, node) for part in told for node in part.get_nodes())
    return [Placed(provider, node.op_type, node.name) for provider, node in operators]


def needs_others(spec: SessionSpec) -> bool:
    """Whether other sessions must tell where operators are."""
    return bool(spec.on_cpu) or spec.config_entries.get(WEBGPU_LAYOUT, _PLAIN) != _PLAIN


def checked_assignment(
    session: ort.InferenceSession, spec: SessionSpec, placed_in: PlacedIn
) -> Mapping[str, int]:
    """Operators by provider; empty where ONNX Runtime cannot tell, and there is only one.

    Raises NotAsPlannedError where they are not as planned, and what ``placed_in`` raises.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before 1.24
        if spec.provider == CPU_PROVIDER:  # nowhere else to go
            return {}
        raise NotAsPlannedError(
            f"ONNX Runtime {ort.__version__} does not tell whether {spec.provider} runs an "
            "operator; 1.24 is the first version that does."
        )
    operators, allowed = placed(session), {spec.provider, *spec.beside}
    if spec.config_entries.get(WEBGPU_LAYOUT, _PLAIN) != _PLAIN:
        elsewhere = [each for each in operators if each.provider not in allowed]
        spec = _with_entries(spec, {WEBGPU_LAYOUT: _PLAIN})
        operators = placed_in(spec)
        _check_layout(spec, elsewhere, operators)
    counts = Counter(each.provider for each in operators)
    if operators and spec.provider not in counts:
        raise NotAsPlannedError(
            f"{spec.provider} took none of the {len(operators)} operators; they would have run on "
            f"{', '.join(sorted(counts))}."
        )
    if spec.on_cpu:
        _check_chosen(spec, operators)
    refused = [each for each in operators if each.provider not in allowed]
    if refused and not spec.allow_cpu_fallback:
        _check_refused(spec, refused, len(operators), placed_in)
    return dict(counts)


def _check_layout(
    spec: SessionSpec, elsewhere: Sequence[Placed], operators: Sequence[Placed]
) -> None:
    """Raise NotAsPlannedError where a layout leaves others to the CPU than the plain one.

    Where ONNX Runtime changes layouts for a provider, it tells of what is left to the CPU, and no
    more of what the provider had taken before that (seen in 1.27).

    elsewhere: in that layout. operators: in the plain one.
    """
    if spec.on_cpu or spec.allow_cpu_fallback:
        own = {each.name for each in operators}  # a layout adds transpositions around others
        elsewhere = [e for e in elsewhere if e.op_type != "Transpose" or e.name in own]
    allowed = {spec.provider, *spec.beside}
    if sorted(elsewhere) != sorted(e for e in operators if e.provider not in allowed):
        raise NotAsPlannedError(
            f"{spec.provider} takes other operators in this layout than in NCHW, and only there "
            "ONNX Runtime tells of all of them."
        )


def _check_chosen(spec: SessionSpec, operators: Sequence[Placed]) -> None:
    """Raise NotAsPlannedError where operators of the CPU provider are not its own."""
    chosen = frozenset(spec.on_cpu)
    if strayed := [e for e in operators if e.name in chosen and e.provider != CPU_PROVIDER]:
        raise NotAsPlannedError(
            f"{spec.provider} took {len(strayed)} operators that {CPU_PROVIDER} was to run: "
            f"{_listed(strayed)}."
        )
    if all(each.provider != CPU_PROVIDER for each in operators):
        raise NotAsPlannedError(
            f"{CPU_PROVIDER} was to run {counted(len(chosen), 'operator')} and runs none: ONNX "
            f"Runtime made {'it part' if len(chosen) == 1 else 'them parts'} of others, which "
            f"{spec.provider} took."
        )


def _check_refused(
    spec: SessionSpec, left: Sequence[Placed], count: int, placed_in: PlacedIn
) -> None:
    """Raise NotAsPlannedError where the provider did not take what it was to run.

    left: what runs elsewhere, of so many.
    """
    refused = [each for each in left if each.name not in spec.on_cpu]
    if refused and spec.on_cpu:
        refused = _without_fused(refused, spec, placed_in)
    if refused:
        raise NotAsPlannedError(
            f"{spec.provider} did not take {len(refused)} of {count} operators: "
            f"{_listed(refused)}."
        )


def _without_fused(
    operators: Sequence[Placed], spec: SessionSpec, placed_in: PlacedIn
) -> list[Placed]:
    """Without those that ONNX Runtime made of labelled ones, and ran where the label says.

    It calls a MatMul with an Add ``dense/MatMulAddFusion``, and reshapes around it
    ``gemm_input_reshape``: the model has no such operators. A provider that takes them where
    nothing is labelled has not refused them here.
    """
    labels = {key: value for key, value in spec.config_entries.items() if key != SETTINGS}
    free = replace(spec, config_entries=labels)
    models_own = {each.name for each in placed_in(replace(free, graph_optimization_level=0))}
    untaken = set(placed_in(free))
    return [each for each in operators if each.name in models_own or each in untaken]


def _with_entries(spec: SessionSpec, entries: Mapping[str, str]) -> SessionSpec:
    return replace(spec, config_entries={**spec.config_entries, **entries})


def _listed(operators: Sequence[Placed]) -> str:
    more = f" and {len(operators) - _NAMED} more" if len(operators) > _NAMED else ""
    return f"{', '.join(map(str, operators[:_NAMED]))}{more}"
