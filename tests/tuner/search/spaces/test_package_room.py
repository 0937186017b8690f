"""Packages that a device has no room for are not tried; the memory planner says so."""

from __future__ import annotations

from dataclasses import replace

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, CPackageEmulated, OnnxRuntimeCpu, Precision, StaticInt8
from farm.devices.profile import PackageFigures, load_profiles
from tests.models import conv_net
from tuner.search.package_room import PackageRoom

FLOAT = Candidate(CPackageEmulated())
INT8 = Candidate(CPackageEmulated(), Precision(quantization=StaticInt8()))
MODEL = conv_net()
NEEDED = Compiler(MODEL, []).expected_bytes(FLOAT)


def figures(arena: int) -> PackageFigures:
    found = load_profiles()["dsp-small"].package
    assert found is not None
    return replace(found, arena_bytes=arena)


def test_what_fits_is_let_through() -> None:
    room = PackageRoom(MODEL, figures(NEEDED))
    assert room.through([INT8, FLOAT]) == (INT8, FLOAT)
    assert list(room.notes()) == []


def test_what_does_not_fit_is_not_tried_and_told() -> None:
    room = PackageRoom(MODEL, figures(NEEDED - 1))
    other = Candidate(OnnxRuntimeCpu())
    assert room.through([FLOAT, INT8, other]) == (INT8, other)
    (note,) = room.notes()
    assert note.startswith("1 package was not tried: the arena of each is planned to need")


def test_int8_is_refused_only_where_it_is_certain() -> None:
    needed = Compiler(MODEL, []).expected_bytes(INT8)
    assert PackageRoom(MODEL, figures(needed // 4 + 1)).through([INT8]) == (INT8,)
    assert PackageRoom(MODEL, figures(needed // 4 - 1)).through([INT8]) == ()


def test_a_device_without_a_limit_has_room() -> None:
    assert PackageRoom(MODEL, figures(0)).through([FLOAT]) == (FLOAT,)
    assert PackageRoom(MODEL).through([FLOAT]) == (FLOAT,)
