"""Builds what the Python client knows of the API: `build/protos/vectorline_messages`, from the descriptor set.

`messages.py` has a frozen dataclass for each message that the public services answer, with the protos' comments and
types, and `descriptors.binpb` the descriptors, of which the client makes its messages when it runs. So it needs no code
of protoc, works with any protobuf of its range, and meets neither our own ``vectorline.v1`` nor anybody's
``google.api`` in a process that has them too. ``clients/python`` ships the folder as it is; its build runs this
file with the folder to write to.
"""

import keyword
import pathlib
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator

import compiler  # these two stand beside this file
import openapi
from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto
PACKAGE = openapi.PACKAGE
FOLDER = "vectorline_messages"
SERVICES = ("IngestService", "EmbedderService", "IndexerService")
WIDTH = 118

SCALARS = {
    Field.TYPE_STRING: ("str", '""'),
    Field.TYPE_BOOL: ("bool", "False"),
    Field.TYPE_DOUBLE: ("float", "0.0"),
    Field.TYPE_FLOAT: ("float", "0.0"),
    Field.TYPE_BYTES: ("bytes", 'b""'),
}
WELL_KNOWN = {
    ".google.protobuf.Timestamp": "datetime.datetime | None",
    ".google.protobuf.Struct": "dict[str, Any]",
}
# Sub-messages that every answer has: callers read on through them without asking whether they are there.
ALWAYS = {
    "Task.progress",
    "Task.metadata",
    "EstimateResponse.tokens_per_text",
    "EstimateResponse.namespace_check",
    "GetHealthResponse.workers",
    "Dashboard.statistics",
}
# The request that a load's options are, and what of it is no option.
OPTIONS = "ProcessRequest"
NO_OPTIONS = ("request_id",)

HEAD = '''"""The messages of the Vectorline API, built by protos/client.py from protos/vectorline/v1."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict
'''


class Source(openapi.Source):
    """The descriptor set by name, and what of it the client needs."""

    def answered(self) -> list[str]:
        """Names of our messages and enums that the public methods answer, each behind those that it holds.

        In any other order a type checker would take Warning for Python's own.
        """
        outer = [
            method.output_type
            for file in self.files
            for service in file.service
            if service.name in SERVICES
            for method in service.method
            if openapi.access_of(method) != openapi.INTERNAL
        ]
        found: dict[str, None] = {}

        def reach(name: str) -> None:
            if name in found or name in open_:
                return
            open_.add(name)
            for field in self.messages[name].field if name in self.messages else ():
                if field.type_name:
                    reach(field.type_name)
            found[name] = None

        open_: set[str] = set()
        for name in sorted(outer):
            reach(name)
        return [name for name in found if name.startswith(PACKAGE) and not self.entry(name)]

    def needed(self) -> descriptor_pb2.FileDescriptorSet:
        """The files of the public services and of error details, with what they import and without their comments."""
        by_name = {file.name: file for file in self.files}
        waiting = [file.name for file in self.files if any(service.name in SERVICES for service in file.service)]
        waiting += compiler.ERROR_DETAILS
        names: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += by_name[name].dependency
        needed = descriptor_pb2.FileDescriptorSet()
        for file in self.files:  # an imported file stands before those that import it
            if file.name in names:
                kept = needed.file.add()
                kept.CopyFrom(file)
                kept.ClearField("source_code_info")
        return needed


def build(descriptors: bytes, target: pathlib.Path) -> None:
    """Write the package into the folder `target`, from a serialised FileDescriptorSet with source info."""
    source = Source(descriptors)
    folder = target / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = [HEAD, *(_part(source, name) for name in source.answered()), _options(source)]
    (folder / "messages.py").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    (folder / "__init__.py").write_text('"""The messages of the Vectorline API, built by protos/client.py."""\n')
    (folder / "py.typed").touch()
    (folder / "descriptors.binpb").write_bytes(source.needed().SerializeToString(deterministic=True))


def _part(source: Source, name: str) -> str:
    return _enum(source, name) if name in source.enums else _dataclass(source, name)


def _enum(source: Source, name: str) -> str:
    values = [f"    {value.name} = {value.number}" for value in source.enums[name].value]
    words = _wrapped(source.comments[name], "    ")
    return "\n".join([f"class {name.removeprefix(PACKAGE)}(enum.IntEnum):", f'    """{words}"""', "", *values])


def _dataclass(source: Source, name: str) -> str:
    short = name.removeprefix(PACKAGE)
    fields = source.messages[name].field
    lines = ["@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)", f"class {short}:"]
    lines += _docstring(source, name, [field.name for field in fields])
    for field in fields:
        kind, default = _typed(source, short, field)
        lines.append(f"    {_attribute(field.name)}: {kind} = {default}")
    return "\n".join(lines)


def _options(source: Source) -> str:
    """The options of a load as keywords."""
    name = PACKAGE + OPTIONS
    fields = [field for field in source.messages[name].field if field.name not in NO_OPTIONS]
    lines = ["class LoadOptions(TypedDict, total=False):"]
    lines += _docstring(source, name, [field.name for field in fields])
    for field in fields:
        kind, _ = _typed(source, OPTIONS, field)
        kind = kind.replace("tuple[str, ...]", "Sequence[str]").removesuffix(" | None")
        lines.append(f"    {_attribute(field.name)}: {kind}")
    return "\n".join(lines)


def _typed(source: Source, message: str, field: Field) -> tuple[str, str]:
    """The type of a field and its default, as source text."""
    if entry := source.entry(field.type_name):
        key, value = (_one(each)[0] for each in entry)
        return f"Mapping[{key}, {value}]", "dataclasses.field(default_factory=dict)"
    kind, default = _one(field)
    if field.label == Field.LABEL_REPEATED:
        return f"tuple[{kind.removesuffix(' | None')}, ...]", "()"
    if field.type_name == ".google.protobuf.Struct":
        return kind, "dataclasses.field(default_factory=dict)"
    if field.type_name.startswith(PACKAGE) and field.type == Field.TYPE_MESSAGE:
        if f"{message}.{field.name}" in ALWAYS:
            return kind, f"dataclasses.field(default_factory=lambda: {kind}())"
        return f"{kind} | None", "None"
    return (f"{kind} | None", "None") if field.proto3_optional else (kind, default)


def _one(field: Field) -> tuple[str, str]:
    if field.type == Field.TYPE_MESSAGE:
        return WELL_KNOWN.get(field.type_name, field.type_name.removeprefix(PACKAGE)), "None"
    if field.type == Field.TYPE_ENUM:
        name = field.type_name.removeprefix(PACKAGE)
        return name, f"dataclasses.field(default_factory=lambda: {name}(0))"
    return SCALARS.get(field.type, ("int", "0"))


def _docstring(source: Source, name: str, fields: list[str]) -> Iterator[str]:
    words = _wrapped(source.comments[name], "    ")
    if not fields:
        yield f'    """{words}"""'
        return
    yield f'    """{words}\n\n    Attributes:'
    for field in fields:
        yield _wrapped(f"{_attribute(field)}: {source.comment_of(name, field)}", " " * 12, "        ")
    yield '    """\n'


def _attribute(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _wrapped(words: str, indent: str, first: str = "") -> str:
    safe = words.replace("\\", "\\\\").replace('"""', "'''")
    lines = textwrap.wrap(safe, WIDTH, initial_indent=first, subsequent_indent=indent)
    text = "\n".join(lines)
    return f"{text} " if text.endswith('"') and not first else text


def main() -> None:
    """Write the package into the folder that is named, from the protos beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        descriptors = pathlib.Path(folder) / "descriptors.binpb"
        compiler.describe(descriptors)
        build(descriptors.read_bytes(), pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
