"""``farm plan placement``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.plan.options import (
    AnnotatedOption,
    CandidateFileOption,
    FigureOption,
    Files,
    MeasureOption,
    ObjectiveOption,
    PlanOption,
    TimeOption,
)
from commands.shared.files import check_files, model_files, said_of, write_files
from commands.shared.measuring import measure
from commands.shared.options.common import (
    DataOption,
    EngineThreadsOption,
    JsonOption,
    ProfilesOption,
    ShapeOption,
    StoreOption,
    device_names,
    devices_option,
    known_profiles,
    one_of,
    shape_sizes,
    thread_limit,
)
from commands.shared.options.place import require_here
from commands.shared.output import print_lines, print_tables
from farm.errors import OptionError
from farm.text import listed
from farm.units import parse_seconds

if TYPE_CHECKING:
    from farm.devices.profile import DeviceProfile
    from farm.plan.placement.record import PlacementPlan
    from tuner.placing.plans import Situation


def placement(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX file.")],
    *,
    devices: Annotated[
        list[str] | None, devices_option("Device profiles, with commas. Default: cpu.")
    ] = None,
    objective: ObjectiveOption = "latency",
    seconds: TimeOption = "10s",
    data: DataOption = None,
    measured: MeasureOption = True,
    output: PlanOption = None,
    annotated: AnnotatedOption = None,
    candidate: CandidateFileOption = None,
    figure: FigureOption = None,
    threads: EngineThreadsOption = None,
    shape: ShapeOption = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find where each operator of a model runs best: on which device, by which engine.

    Example: farm plan placement model.onnx --devices cpu,dsp -o plan.json --figure plan.svg
    """
    from farm.devices.profile import select_profiles
    from farm.plan.placement.problem import PlacementObjective
    from reports.placement.machine_readable import placement_json
    from tuner.placing.plans import plan_placement

    if data is not None and not measured:
        raise OptionError("--data is for measuring: leave it out, or --no-measure.")
    files = Files(output, candidate, figure, annotated)
    samples = {"the samples": data} if data else {}
    check_files({**model_files(model), **samples}, files.by_option())
    chosen = select_profiles(device_names(devices) or ("cpu",), known_profiles(profiles))
    require_here(chosen, "Device {} cannot be planned for here")
    wanted = one_of(PlacementObjective, objective, "--objective") or PlacementObjective.LATENCY
    limit, shapes, count = parse_seconds(seconds), shape_sizes(shape), thread_limit(threads)
    situation = _situation(model, shapes, chosen, store, count, ask=measured)
    if measured and _measured(situation, data, profiles, store):
        said = situation.said
        situation = replace(_situation(model, shapes, chosen, store, count), said=said)
    plan = plan_placement(situation, wanted, limit)
    _write(plan, situation, files)
    if json_output:
        typer.echo(placement_json(plan))
    else:
        _show(plan)


def _situation(
    path: Path,
    shapes: Mapping[str, int],
    chosen: tuple[DeviceProfile, ...],
    store: str | None,
    threads: int,
    *,
    ask: bool = False,
) -> Situation:
    """What is known of the model; after engines that never ran it were asked, if wished."""
    from db.reader import StoreReader
    from farm.model.graph import build_graph
    from farm.model.model import load_model
    from tuner.placing.plans import asked, look
    from workers.executor import LocalExecutor
    from workers.trials.stored.cache import default_folder

    model = load_model(path, shapes)
    with (
        StoreReader.open(store) as reader,
        LocalExecutor(chosen, default_folder()) as executor,
    ):
        facts = {profile.name: executor.describe(profile.name) for profile in chosen}
        found = look(reader, facts, model, build_graph(model), chosen, threads)
        return asked(found, executor) if ask else found


def _measured(
    situation: Situation,
    data: Path | None,
    profiles: Path | None,
    store: str | None,
) -> bool:
    """Measure and profile the model at places where it never was; whether there were any."""
    from tuner.placing.plans import to_measure
    from tuner.request import TuneRequest

    found = to_measure(situation)
    for device, candidates in found.items():
        places = listed([f"{device}/{candidate.engine.kind}" for candidate in candidates])
        typer.echo(
            f"{device}: the model was never profiled at {places}; it is measured there once, "
            "which takes a minute or two (--no-measure plans without).",
            err=True,
        )
        asked = TuneRequest(
            model=str(situation.model.path.absolute()),
            devices=(device,),
            data=str(data.absolute()) if data else "",
            shapes=dict(situation.model.shapes),
        )
        measure(store, asked, device, profiles, candidates)
    return bool(found)


def _write(plan: PlacementPlan, situation: Situation, files: Files) -> None:
    from farm.candidate import to_json
    from farm.plan.placement.record import plan_text
    from reports.placement.figure import placement_svg
    from tuner.placing.candidates import candidate_of
    from tuner.placing.plans import write_annotated

    texts: dict[Path, str | bytes] = {}
    if files.plan is not None:
        texts[files.plan] = plan_text(plan)
    if files.candidate is not None:
        texts[files.candidate] = to_json(candidate_of(plan, situation)) + "\n"
    if files.figure is not None:
        texts[files.figure] = placement_svg(plan)
    write_files(texts)
    if files.annotated is not None:
        with said_of(files.annotated):
            write_annotated(plan, situation, files.annotated)


def _show(plan: PlacementPlan) -> None:
    from reports.placement.tables import alternatives_table, parts_table, transfers_table
    from reports.placement.words import plan_sentences

    verdict, *others = plan_sentences(plan)
    print_lines([verdict])
    print_tables(parts_table(plan), [])
    if any(t.source and t.target for t in plan.transfers):
        print_tables(transfers_table(plan), [])
    print_tables(alternatives_table(plan), others)
