"""The page of a run: what it found on each device, and how sure that is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from db.questions.pareto import pareto
from db.questions.results import results
from db.questions.views import Subject
from db.reader import StoreReader
from db.records import Block, Phase, Result, RunKind, Trial
from farm.accuracy.damage import Damage
from farm.errors import FarmError
from farm.measurement import Estimate, Method, Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.memory.arena import plan_memory
from farm.plan.memory.of_model import model_problem
from farm.units import Bytes
from reports.pages.of_suite import model_history
from reports.pages.section import Page, Section
from reports.pages.sections.damage import damage
from reports.pages.sections.health import health, without_blocks
from reports.pages.sections.memory import arena, placement
from reports.pages.sections.operators import Called, gains, operators
from reports.pages.sections.pareto import pareto_front
from reports.pages.sections.predicted import predicted
from reports.pages.sections.provenance import provenance
from reports.pages.sections.verdicts import DeviceVerdict, verdicts
from reports.pages.sections.waterfall import Step, Tried, chain, changed, choices_of, waterfall
from reports.tables.cells import is_visible
from tuner.explain.decisions import baseline_of, ran_alike
from tuner.explain.explanation import Explanation
from tuner.explain.of_trials import ask, explain
from tuner.racing.recorded import MIN_COMMON_BLOCKS, pairs_of
from tuner.racing.statistics import compare
from tuner.runs.overview import DeviceStanding, Overview, overview
from tuner.runs.record.details import accuracy_of, assignment_in, damage_in, split_in

_ALIGNMENT = Bytes(64)  # of most engines' tensors
_PLANNING = 1.0  # seconds for the arena, which most models need milliseconds for


@dataclass(frozen=True)
class _Device:
    """What the store has of a device in a run. trials: oldest first, with their results."""

    store: StoreReader
    standing: DeviceStanding
    trials: Sequence[Trial]
    results: dict[str, Result]
    blocks: Sequence[Block]

    @property
    def name(self) -> str:
        return self.standing.device

    @property
    def winner(self) -> Trial | None:
        known = self.standing.known
        return next((t for t in self.trials if known and t.id == known.trial), None)

    @property
    def baseline(self) -> Trial | None:
        """As it was confirmed, where it was."""
        searched = baseline_of(self.trials)
        alike = [t for t in self.trials if searched and ran_alike(t, searched)]
        confirmed = (t for t in alike if t.phase is Phase.CONFIRM and t.outcome is Outcome.OK)
        return next(confirmed, searched)

    @property
    def main(self) -> Trial | None:
        """The winner, else the newest trial that was ok."""
        ok = [t for t in self.trials if t.outcome is Outcome.OK]
        return self.winner or (ok[-1] if ok else None)

    def verdict(self) -> DeviceVerdict:
        winner, baseline = self.winner, self.baseline
        ids = [{trial.id} if trial else set() for trial in (baseline, winner)]
        return DeviceVerdict(
            self.standing,
            self.results.get(baseline.id) if baseline else None,
            self.results.get(winner.id) if winner else None,
            len(pairs_of(self.blocks, *ids)),
            () if self.standing.known else self.measured,
        )

    @property
    def measured(self) -> tuple[Result, ...]:
        """What ran side by side where nothing was searched."""
        benched = (t for t in self.trials if t.phase is Phase.BENCH and t.outcome is Outcome.OK)
        return tuple(self.results[t.id] for t in benched)


def run_page(store: StoreReader, name: str, *, with_arena: bool = True) -> Page:
    """All of one run. with_arena: plan the memory of the model, where its file is still there.

    name: of the run, or the beginning of it. Raises NotInStore. Raises OptionError: several begin
    so.
    """
    found = overview(store, name)
    run = found.standing.run
    devices = [_device(store, run.name, standing) for standing in _standings(store, found)]
    shown = [each.main.id for each in devices if each.main]
    sections = [
        verdicts(run.name, [each.verdict() for each in devices]),
        *(section for each in devices for section in _sections(run.name, each)),
        *(_arena(found) if with_arena else ()),
        provenance(
            run,
            found.standing.model,
            found.request,
            [
                (names, store.machine(key))
                for key, names in _ran(devices, run.machine_id, lambda trial: trial.machine_id)
            ],
            [
                (names, store.software(key))
                for key, names in _ran(devices, run.software_id, lambda trial: trial.software_id)
            ],
            shown,
        ),
    ]
    started = f"{run.created_at:%Y-%m-%d %H:%M} UTC"
    kind = f"farm {run.kind}" if run.kind is not RunKind.NIGHTLY else "farm nightly run"
    subtitle = f"{kind} of {found.standing.model.name}, {started}, {found.standing.status}"
    followed = model_history(store, run.model_sha256)
    return Page(f"Run {run.name}", subtitle, tuple(sections), followed)


def _standings(store: StoreReader, found: Overview) -> Sequence[DeviceStanding]:
    """The devices as they were asked for; those that have trials where nobody can read that."""
    if found.devices:
        return found.devices
    trials = store.trials(run=found.standing.run.name)
    names = dict.fromkeys(trial.device for trial in trials)
    return [DeviceStanding(name, "measured", None, None, None, {}) for name in names]


def _device(store: StoreReader, run: str, standing: DeviceStanding) -> _Device:
    rows = results(store, run=run, devices=(standing.device,))
    return _Device(
        store,
        standing,
        store.trials(run=run, device=standing.device),
        {row.trial: row for row in rows},
        store.blocks(run, standing.device),
    )


def _sections(run: str, device: _Device) -> Iterator[Section]:
    rows = list(device.results.values())
    ok = [row for row in rows if row.outcome is Outcome.OK]
    front = pareto(device.store, Subject(devices=(device.name,)), run) if ok else ()
    if front:
        yield pareto_front(run, device.name, front, ok, device.verdict().winner)
    if steps := _steps(device):
        together = _ratio(device, steps[0].tried.trial, steps[-1].tried.trial)
        yield waterfall(run, device.name, steps, together, device.verdict().ratio)
    yield from _explained(device)
    if (section := predicted(run, device.name, ok)) is not None:
        yield section
    if device.blocks:
        machine = device.store.machine(device.trials[0].machine_id)
        yield health(run, device.name, machine, device.blocks)
    elif any(row.latency and row.latency.method is Method.MEASURED for row in ok):
        yield without_blocks(device.name)


def _steps(device: _Device) -> list[Step]:
    """The chain from the baseline to another winner; of trials of the search."""
    winner, baseline = device.winner, baseline_of(device.trials)
    if winner is None or baseline is None or ran_alike(winner, baseline):
        return []
    searched = [t for t in device.trials if t.phase is Phase.SEARCH and t.outcome is Outcome.OK]
    last = next((t for t in searched if ran_alike(t, winner)), None)
    tried = [each for t in searched if (each := _tried(device, t)) is not None]
    by_id = {each.trial: each for each in tried}
    if last is None or last.id not in by_id or baseline.id not in by_id:
        return []
    found = chain(by_id[baseline.id], by_id[last.id], tried)
    before = [None, *found[:-1]]
    return [
        Step(
            each,
            changed(former, each, found[-1]) if former else (),
            _ratio(device, former.trial, each.trial) if former else None,
        )
        for former, each in zip(before, found, strict=True)
    ]


def _tried(device: _Device, trial: Trial) -> Tried | None:
    row = device.results[trial.id]
    if row.latency is None:
        return None
    try:
        choices = choices_of(device.store.candidate(trial.candidate_id).json)
    except ValueError:
        return None
    return Tried(trial.id, row.candidate, choices, row.latency.value)


def _ratio(device: _Device, before: str, after: str) -> Estimate | None:
    """How many times as fast the later one is, by the blocks of both."""
    pairs = pairs_of(device.blocks, {after}, {before})
    if len(pairs) < MIN_COMMON_BLOCKS:
        return None
    return compare(pairs[:, 0], pairs[:, 1]).ratio


def _explained(device: _Device) -> Iterator[Section]:
    """Operators, gains and placement; why not, where this version cannot tell."""
    trial = device.main
    if trial is None:
        return
    found: Explanation | None = None
    known: tuple[Trial, Damage] | None = None
    try:
        known = _damaged(device, trial)
        found = explain(device.store, ask(device.store, trial.id))
        called = Called("winner" if device.winner else "trial", "baseline")
        yield operators(device.name, found, called)
        yield gains(device.name, found, called, list(_of_outputs(device, trial, known)))
    except (FarmError, ValueError) as error:
        yield Section(
            f"operators-{device.name}",
            f"Operators on {device.name}",
            f"Nothing can be told of the operators: {error}",
        )
    if known is not None:
        label = device.store.candidate(known[0].candidate_id).label
        yield damage(device.name, label, known[0].id, known[1])
    yield placement(
        device.name,
        trial.id,
        assignment_in(trial.details),
        split_in(trial.details),
        found.fallbacks if found else (),
    )


def _damaged(device: _Device, trial: Trial) -> tuple[Trial, Damage] | None:
    """What quantising each operator alone does, in this candidate or else in the newest known."""
    known = [
        (each, found)
        for each in device.trials
        if (found := damage_in(each.details)) is not None and found.power
    ]
    chosen = [pair for pair in known if pair[0].candidate_id == trial.candidate_id] or known
    return chosen[-1] if chosen else None


def _of_outputs(
    device: _Device, trial: Trial, known: tuple[Trial, Damage] | None
) -> Iterator[str]:
    """What is known of the outputs of a trial, as a whole."""
    checked = accuracy_of(trial.details)
    if checked is None or checked.value is None:
        yield "The accuracy was not judged."
        return
    yield f"Accuracy is {checked.value:.4f} by {checked.metric} on {checked.samples} samples."
    if checked.worst is not None and is_visible(checked.worst):
        yield f"Outputs differ most from the baseline's at {checked.worst}."
    row = device.results.get(trial.id)
    is_float = (
        row is not None
        and json.loads(device.store.candidate(trial.candidate_id).json)
        .get("precision", {})
        .get("quantization")
        is None
    )
    if is_float:
        yield "Nothing is quantised, so that no operator's outputs are damaged by that."
    elif known is None or known[0].candidate_id != trial.candidate_id:
        yield "What quantising each of its operators alone does was not measured."


def _arena(found: Overview) -> Iterator[Section]:
    """The arena of the model as it was given, where its file is still the same."""
    path = Path(found.request.model) if found.request else None
    if path is None or not path.is_file() or found.request is None:
        return
    try:
        model = load_model(path, found.request.shapes)
        if model.sha256 != found.standing.model.sha256:
            return
        problem = model_problem(build_graph(model), alignment=_ALIGNMENT, capacity=None)
        solution = plan_memory(problem, seconds=_PLANNING)
        if solution.offsets:
            yield arena(str(path), problem, solution, found.request.shapes)
    except FarmError as error:
        yield Section("arena", "Arena over time", f"It cannot be planned: {error}")


def _ran(
    devices: Sequence[_Device], own: str, key: Callable[[Trial], str]
) -> list[tuple[str, str]]:
    """Ids that trials have, each with the names of the devices; the run's own is the first."""
    found: dict[str, dict[str, None]] = {own: {}}
    for each in devices:
        for trial in each.trials:
            found.setdefault(key(trial), {})[each.name] = None
    return [(each, ", ".join(names)) for each, names in found.items()]
