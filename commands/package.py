"""``farm package``: build and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.options.common import (
    DataOption,
    JsonOption,
    MetricOption,
    ModelArgument,
    ProfilesOption,
    ShapeOption,
    devices_option,
    known_profiles,
    one_device,
    one_of,
    shape_sizes,
)
from commands.shared.output import print_lines, print_tables
from commands.shared.shell import exit_codes
from commands.shared.shell.help import App, GroupWithDefault, Panel

PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="int8 or float32. Default: int8, or the integers of a quantised MODEL.",
        rich_help_panel=Panel.CODE,
    ),
]
CalibrationOption = Annotated[
    str | None,
    typer.Option(
        "--calibration",
        metavar="METHOD",
        help="min-max (default), entropy or percentile.",
        rich_help_panel=Panel.CODE,
    ),
]
KeepFloatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-float",
        metavar="OPERATOR",
        help="Stays in float32. Repeatable.",
        rich_help_panel=Panel.CODE,
    ),
]
CompilerOption = Annotated[
    str | None,
    typer.Option(
        "--compiler", metavar="NAME", help="zig, clang or gcc.", rich_help_panel=Panel.CODE
    ),
]
NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="NAME",
        help="What its functions and macros begin with: NAME_run.",
        rich_help_panel=Panel.CODE,
    ),
]
PortsOption = Annotated[
    str | None,
    typer.Option(
        "--io",
        metavar="TYPE",
        help="What quantised inputs and outputs are for its caller: float32 (default), "
        "uint8 or int8.",
        rich_help_panel=Panel.CODE,
    ),
]


class _Package(GroupWithDefault):
    """`build` is meant where no command is named: ``farm package MODEL``."""

    default = "build"


package_app = App(
    cls=_Package,
    no_args_is_help=True,
    help="Make MODEL into a compiled package for one device, or verify a package.\n\n"
    "Example: farm package model.onnx --device dsp -o package --data samples.npz",
    subcommand_metavar="MODEL -o DIR [OPTIONS] | verify DIR",
)


@package_app.command("build")
def package_build(
    model: ModelArgument,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write.")
    ],
    devices: Annotated[
        list[str] | None, devices_option("Device profile, one. Default: dsp.")
    ] = None,
    data: DataOption = None,
    metric: MetricOption = "",
    shape: ShapeOption = None,
    precision: PrecisionOption = None,
    calibration: CalibrationOption = None,
    keep_float: KeepFloatOption = None,
    compiler: CompilerOption = None,
    name: NameOption = "model",
    io: PortsOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier package.")] = False,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make MODEL into a compiled package for one device. The word `build` can be left out.

    Example: farm package model.onnx --device dsp -o package --data samples.npz
    """
    from farm.candidate import CalibrationMethod
    from farm.codegen.build.compilers import CompilerKind
    from farm.codegen.program import PortType
    from farm.devices.profile import select_profiles
    from reports.tables.packages import package_table
    from tuner.package import PackagePrecision, PackageRequest, make_package

    (profile,) = select_profiles((one_device(devices, "dsp"),), known_profiles(profiles))
    request = PackageRequest(
        model=model.absolute(),
        output=output.absolute(),
        data=data.absolute() if data else None,
        metric=metric,
        shapes=shape_sizes(shape),
        precision=one_of(PackagePrecision, precision, "--precision"),
        calibration=one_of(CalibrationMethod, calibration, "--calibration"),
        keep_float=tuple(keep_float or ()),
        compiler=one_of(CompilerKind, compiler, "--compiler"),
        name=name,
        ports=one_of(PortType, io, "--io") or PortType.FLOAT32,
        force=force,
    )
    manifest = make_package(request, profile)
    if json_output:
        typer.echo(manifest.to_json(), nl=False)
    else:
        print_tables(package_table(manifest), [f"The package lies in {output}."])


@package_app.command("verify")
def package_verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a package.")],
    *,
    json_output: JsonOption = False,
) -> None:
    """Build a package anew: what it ships must be the same, and every test vector's answer.

    Example: farm package verify package
    """
    from reports import machine_readable
    from reports.verified import verified_lines
    from tuner.verify.package import verify_package

    verified = verify_package(folder)
    if json_output:
        typer.echo(machine_readable.verified_json(verified))
    else:
        print_lines(verified_lines(verified))
    if not verified.agrees:
        raise typer.Exit(exit_codes.FAILED)
