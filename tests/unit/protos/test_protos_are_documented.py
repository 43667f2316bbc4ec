"""Every service, rpc, field, enum and enum value of the contracts says what it means."""

from collections.abc import Iterator
from pathlib import Path

import grpc_tools
import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).parents[3] / "protos"
SOURCES = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))

# The numbers of the fields that a path of SourceCodeInfo walks through (descriptor.proto).
FILE = descriptor_pb2.FileDescriptorProto
MESSAGE = descriptor_pb2.DescriptorProto
MESSAGES, ENUMS, SERVICES = FILE.MESSAGE_TYPE_FIELD_NUMBER, FILE.ENUM_TYPE_FIELD_NUMBER, FILE.SERVICE_FIELD_NUMBER
FIELDS, NESTED, INNER_ENUMS = (
    MESSAGE.FIELD_FIELD_NUMBER,
    MESSAGE.NESTED_TYPE_FIELD_NUMBER,
    MESSAGE.ENUM_TYPE_FIELD_NUMBER,
)
METHODS = descriptor_pb2.ServiceDescriptorProto.METHOD_FIELD_NUMBER
VALUES = descriptor_pb2.EnumDescriptorProto.VALUE_FIELD_NUMBER

Path_ = tuple[int, ...]


def undocumented(folder: Path, source: str) -> list[str]:
    """The names in `source` (below `folder`) without a comment before or behind them."""
    out = folder / "descriptors.bin"
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{folder}", f"-I{PROTOS}", f"-I{well_known}", "--include_source_info"]
    assert protoc.main([*arguments, f"--descriptor_set_out={out}", source]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    said = {
        tuple(place.path)
        for place in file.source_code_info.location
        if place.leading_comments.strip() or place.trailing_comments.strip()
    }
    return [name for name, path in _named(file) if path not in said]


def _named(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, Path_]]:
    for index, service in enumerate(file.service):
        yield service.name, (SERVICES, index)
        for place, method in enumerate(service.method):
            yield f"{service.name}.{method.name}", (SERVICES, index, METHODS, place)
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, enum.name, (ENUMS, index))
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, message.name, (MESSAGES, index))


def _of_enum(enum: descriptor_pb2.EnumDescriptorProto, name: str, path: Path_) -> Iterator[tuple[str, Path_]]:
    yield name, path
    for index, value in enumerate(enum.value):
        yield f"{name}.{value.name}", (*path, VALUES, index)


def _of_message(message: descriptor_pb2.DescriptorProto, name: str, path: Path_) -> Iterator[tuple[str, Path_]]:
    for index, field in enumerate(message.field):
        yield f"{name}.{field.name}", (*path, FIELDS, index)
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, f"{name}.{enum.name}", (*path, INNER_ENUMS, index))
    for index, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _of_message(nested, f"{name}.{nested.name}", (*path, NESTED, index))


@pytest.mark.parametrize("source", SOURCES)
def test_everything_on_the_wire_says_what_it_means(source: str, tmp_path: Path) -> None:
    copy = tmp_path / source
    copy.parent.mkdir(parents=True)
    copy.write_bytes((PROTOS / source).read_bytes())
    assert undocumented(tmp_path, source) == []


def test_what_says_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "silent.proto").write_text(
        """syntax = "proto3";
        package silent;
        service Silent { rpc Call(Asked) returns (Asked); }
        enum Kind { KIND_UNSPECIFIED = 0; }
        message Asked {
          // Said.
          int32 said = 1;
          int32 behind = 2;  // Said behind.

          int32 unsaid = 3;
          message Inner { string unsaid = 1; }
          map<string, int32> unsaid_map = 4;
        }
        """
    )
    assert sorted(undocumented(tmp_path, "silent.proto")) == [
        "Asked.Inner.unsaid",
        "Asked.unsaid",
        "Asked.unsaid_map",
        "Kind",
        "Kind.KIND_UNSPECIFIED",
        "Silent",
        "Silent.Call",
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_path_and_package_are_one(source: str) -> None:
    package = ".".join(Path(source).parent.parts)
    assert f"\npackage {package};\n" in (PROTOS / source).read_text()
