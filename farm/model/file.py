"""Reading a model file and its external data safely, and hashing their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from farm.errors import ModelError
from farm.model.walk import all_tensors
from farm.units import Bytes, format_bytes

PROTOBUF_LIMIT = Bytes(2**31 - 1)  # the largest message protobuf can read or write
_CHUNK = 1 << 20
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # protobuf wire types
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as it lies on the disk.

    proto: with the external data in memory. sha256: see ``content_hash``.
    size: of the file and its external data together.
    """

    proto: ModelProto
    sha256: str
    size: Bytes


def read_model_file(path: Path) -> ModelFile:
    """Read an ONNX file with its external data.

    Raises ModelError: no such file, a folder, empty, not ONNX, truncated, more than 2 GiB in one
    file, external data that is missing, too short or outside the model's folder.
    """
    proto = _read_proto(path)
    external = _locations(proto, path)
    files = [_external_file(path, location) for location in external]
    try:
        size = Bytes(sum(file.stat().st_size for file in (path, *files)))
        digest = content_hash(path, external)
        for tensor in _external(proto):
            load_external_data_for_tensor(tensor, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(
            f"The external data of model {path} cannot be read: {_first_line(error)}"
        ) from None
    return ModelFile(proto, digest, size)


def external_files(path: Path) -> tuple[Path, ...]:
    """Where the external data of an ONNX file lie. Raises ModelError: see ``read_model_file``."""
    locations = _locations(_read_proto(path), path)
    return tuple(_external_file(path, location) for location in locations)


def content_hash(path: Path, external: list[str]) -> str:
    """SHA-256 of the model file and then, for each external file, its location and content.

    external: locations relative to the model's folder, sorted. Each adds its location in UTF-8,
    a zero byte, its length as 8 bytes little endian, and its bytes. Without external data this is
    what ``sha256sum`` prints for the file.
    """
    digest = hashlib.sha256()
    _add_file(digest, path)
    for location in external:
        file = path.parent / location
        digest.update(location.encode() + b"\0" + file.stat().st_size.to_bytes(8, "little"))
        _add_file(digest, file)
    return digest.hexdigest()


def _read_proto(path: Path) -> ModelProto:
    try:
        if path.is_dir():
            raise ModelError(f"Model {path} is a folder; give the .onnx file in it.")
        size = path.stat().st_size
        if size == 0:
            raise ModelError(f"Model {path} is an empty file; export or copy it again.")
        if size > PROTOBUF_LIMIT:
            raise ModelError(
                f"Model {path} has {format_bytes(size)} in one file, more than the 2 GiB that "
                "ONNX allows; save it with external data."
            )
        with path.open("rb") as file:
            _check_complete(file, size, path)
        proto = onnx.load_model(path, format="protobuf", load_external_data=False)
    except FileNotFoundError:
        raise ModelError(f"There is no model file {path}.") from None
    except OSError as error:
        raise ModelError(f"Model {path} cannot be read: {error.strerror}.") from None
    except DecodeError:
        raise ModelError(_not_onnx(path)) from None
    if not proto.ir_version:
        raise ModelError(_not_onnx(path))
    if not proto.HasField("graph") or not proto.opset_import:
        missing = "an operator set" if proto.HasField("graph") else "a graph"
        raise ModelError(
            f"Model {path} is an ONNX file without {missing}, so it is probably truncated; "
            "export or copy it again."
        )
    return proto


def _check_complete(file: BinaryIO, size: int, path: Path) -> None:
    """Tell a truncated file from one that is something else, by its outermost fields only.

    https://protobuf.dev/programming-guides/encoding: a message is a row of fields, each with a
    tag (number and wire type) and, if it is a nested message, the length it should have.
    """
    while (at := file.tell()) < size:
        number, wire_type = divmod(_varint(file), 8)
        length = _FIXED_SIZE.get(wire_type, 0)
        if wire_type in (_VARINT, _LENGTH):
            length = _varint(file) * (wire_type == _LENGTH)
        elif wire_type not in _FIXED_SIZE:
            raise ModelError(_not_onnx(path))
        if at == 0 and (number, wire_type) not in _FIRST_FIELDS:
            raise ModelError(_not_onnx(path))
        end = file.tell() + length
        if end > size:
            raise ModelError(
                f"Model {path} is truncated: its content needs at least {end} bytes and the file "
                f"has {size}; export or copy it again."
            )
        file.seek(end)


# Of ModelProto: the IR version, and what some writers put first: the graph, operator sets.
_FIRST_FIELDS = {(1, _VARINT), (2, _LENGTH), (3, _LENGTH), (7, _LENGTH), (8, _LENGTH)}


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            break
    return value


def _not_onnx(path: Path) -> str:
    return f"{path} is not an ONNX file; give a model in the .onnx format."


def _external(proto: ModelProto) -> list[TensorProto]:
    return [tensor for tensor in all_tensors(proto) if uses_external_data(tensor)]


def _locations(proto: ModelProto, path: Path) -> list[str]:
    """Of all external data, relative to the model's folder, sorted."""
    return sorted({_location(tensor, path) for tensor in _external(proto)})


def _location(tensor: TensorProto, path: Path) -> str:
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    if not location:
        raise ModelError(
            f"Weight '{tensor.name}' of model {path} lies in external data, but the model does "
            "not say in which file; export it again."
        )
    return location


def _external_file(path: Path, location: str) -> Path:
    file = path.parent / location
    outside = PureWindowsPath(location).is_absolute() or PurePosixPath(location).is_absolute()
    outside = outside or ".." in PureWindowsPath(location).parts
    if outside or not file.resolve().is_relative_to(path.parent.resolve()):
        raise ModelError(
            f"Model {path} wants external data from '{location}', which is outside the model's "
            "folder; put the data beside the model and export it again."
        )
    if file.is_symlink():
        raise ModelError(
            f"External data '{location}' of model {path} is a symbolic link, which the farm does "
            "not follow; put the file itself beside the model."
        )
    if not file.is_file():
        raise ModelError(
            f"Model {path} needs the external data file '{location}', which is not in "
            f"{path.parent}; put it there."
        )
    return file


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
