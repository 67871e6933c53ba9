"""The first rows of a source as they would be embedded and stored, so that people see what they get before they pay."""

import dataclasses
from collections.abc import Iterable
from typing import Final

from google.protobuf import struct_pb2
from vectorline.v1 import chunk_pb2, console_pb2

from services.ingest.contract import tokens

MOST: Final = 5
# Of what is shown: a text of a novel helps nobody.
TEXT_CHARACTERS: Final = 2_000
CELL_CHARACTERS: Final = 500
# What a row is told by its task alone.
OF_THE_TASK: Final = ("task_id", "processed_at")


@dataclasses.dataclass
class FirstRows:
    """Keeps the first usable rows that pass by."""

    rows: list[console_pb2.SampleRow] = dataclasses.field(default_factory=list)

    def add(self, chunk: chunk_pb2.ChunkRows) -> None:
        """Take what there is room for of a chunk."""
        self.rows += _shown(chunk.rows[: MOST - len(self.rows)], chunk.common_metadata)


def _shown(rows: Iterable[chunk_pb2.Row], common: bytes) -> list[console_pb2.SampleRow]:
    encode = tokens.encoding().encode_ordinary
    return [
        console_pb2.SampleRow(
            row_number=row.row_number,
            id=row.vector_id,
            text=row.text[:TEXT_CHARACTERS],
            tokens=len(encode(row.text)),
            metadata=_cut(struct_pb2.Struct.FromString(row.metadata + common)),
        )
        for row in rows
    ]


def _cut(metadata: struct_pb2.Struct) -> struct_pb2.Struct:
    for name in OF_THE_TASK:
        metadata.fields.pop(name, None)
    for value in metadata.fields.values():
        if len(value.string_value) > CELL_CHARACTERS:
            value.string_value = value.string_value[:CELL_CHARACTERS]
    return metadata
