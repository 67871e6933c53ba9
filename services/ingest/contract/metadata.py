"""Metadata of a row, straight in the wire form of google.protobuf.Struct.

``Struct`` is ``map<string, Value> fields = 1``; an entry is field 1 (length-delimited) with key (1) and value (2), a
Value is a double (2), a string (3) or a bool (4). Entries may be concatenated: that is how the chunk's common part is
joined to a row's own. Encoding by hand costs about 0.2 µs a value, google.protobuf.Struct ten times that.
"""

import dataclasses
import struct
from collections.abc import Sequence

import orjson

from services.ingest.contract import column_types
from services.ingest.request import options

# Pinecone's limit of a record's metadata, as JSON.
LIMIT_BYTES = 40_960
LEGACY_TEXT_CHARACTERS = 1_000
# Written by us; a column of that name is kept as csv_<name>. Pinecone refuses keys that begin with "$".
RESERVED = ("text", "source", "s3_key", "chunk_id", "record_index", "task_id", "question_id", "row_id", "processed_at")
# Ours too, but with ``metadata=legacy``.
TEXT_TRUNCATED = "text_truncated"
# JSON of a byte can be as long as \u0000.
_JSON_GROWTH = 6
_CACHED_LENGTHS = 512

Value = str | float | bool


class Field:
    """One key's encoder; keeps the bytes that precede a string of each length."""

    def __init__(self, name: str) -> None:
        self.name = name
        key = name.encode()
        self._key = b"\x0a" + _varint(len(key)) + key + b"\x12"
        self._strings: dict[int, bytes] = {}
        self._number = b"\x0a" + _varint(len(self._key) + 10) + self._key + b"\x09\x11"
        boolean = b"\x0a" + _varint(len(self._key) + 3) + self._key + b"\x02\x20"
        self._booleans = boolean + b"\x00", boolean + b"\x01"

    def string(self, value: str) -> bytes:
        """Return the entry of a text."""
        data = value.encode()
        size = len(data)
        prefix = self._strings.get(size)
        if prefix is None:
            prefix = self._string_prefix(size)
            if size < _CACHED_LENGTHS:
                self._strings[size] = prefix
        return prefix + data

    def number(self, value: float) -> bytes:
        """Return the entry of a number."""
        return self._number + _DOUBLE(value)

    def boolean(self, value: bool) -> bytes:
        """Return the entry of a truth value."""
        return self._booleans[value]

    def any(self, value: Value) -> bytes:
        """Return the entry of a value by its Python type."""
        if isinstance(value, bool):
            return self.boolean(value)
        return self.string(value) if isinstance(value, str) else self.number(value)

    def _string_prefix(self, size: int) -> bytes:
        inner = b"\x1a" + _varint(size)
        entry = self._key + _varint(len(inner) + size) + inner
        return b"\x0a" + _varint(len(entry) + size) + entry


@dataclasses.dataclass(frozen=True, slots=True)
class Common:
    """What all rows of a chunk share: its values, and the same as Struct entries."""

    values: dict[str, Value]
    entries: bytes


class Encoder:
    """Encodes the metadata of one source's rows.

    Args:
        names: The source's columns.
        types: Their types, see columns.Types.
        chosen: The request: metadata mode, column choice, id and text columns.
    """

    def __init__(self, names: Sequence[str], types: Sequence[str], chosen: options.Options) -> None:
        self._legacy = chosen.metadata == "legacy"
        keys = column_keys(names, RESERVED if self._legacy else (*RESERVED, TEXT_TRUNCATED))
        self._fields = [
            (position, Field(keys[position]), column_types.STRING if self._legacy else types[position])
            for position in _chosen(names, chosen)
        ]
        self._text, self._row_id, self._record_index = Field("text"), Field("row_id"), Field("record_index")
        # The entry of a row whose text is cut.
        self.truncated = Field(TEXT_TRUNCATED).boolean(True)

    def common(self, values: dict[str, Value]) -> Common:
        """Encode the values that a chunk's rows share; with ``metadata=legacy`` they become strings."""
        if self._legacy:
            values = {name: str(value) for name, value in values.items()}
        return Common(values, b"".join([Field(name).any(value) for name, value in values.items()]))

    def row(self, cells: Sequence[str], text: str | None, row_id: str, record_index: int) -> bytes:
        """Return the row's own entries: its columns that are not empty, text (but None), row_id and record_index."""
        parts = []
        for position, field, kind in self._fields:
            cell = cells[position]
            if not cell or cell.isspace():
                continue
            if kind == column_types.STRING:
                parts.append(field.string(cell))
            elif kind == column_types.NUMBER:
                parts.append(field.number(float(cell)))
            else:
                parts.append(field.boolean(column_types.BOOLEANS[cell.lower()]))
        if text is not None:
            parts.append(self._text.string(text[:LEGACY_TEXT_CHARACTERS] if self._legacy else text))
        if self._legacy:
            parts.append(self._record_index.string(str(record_index)))
        else:
            parts.append(self._record_index.number(record_index))
        parts.append(self._row_id.string(row_id))
        return b"".join(parts)

    def json_bytes(
        self, entries: bytes, common: Common, cells: Sequence[str], *, text: str | None, row_id: str, record_index: int
    ) -> int:
        """Return the metadata's size as JSON, exact where it may be over the limit, else 0.

        Args:
            entries: What ``row`` made of the remaining arguments.
            common: The chunk's part.
            cells: See ``row``.
            text: See ``row``.
            row_id: See ``row``.
            record_index: See ``row``.
        """
        if fits(entries, common):
            return 0
        values: dict[str, Value] = dict(common.values)
        for position, field, kind in self._fields:
            if cells[position] and not cells[position].isspace():
                values[field.name] = _value(cells[position], kind)
        if text is not None:
            values["text"] = text[:LEGACY_TEXT_CHARACTERS] if self._legacy else text
        values["record_index"] = str(record_index) if self._legacy else record_index
        values["row_id"] = row_id
        return len(orjson.dumps(values))


def fits(entries: bytes, common: Common) -> bool:
    """Tell whether a row's metadata are within the limit for sure, whatever they hold."""
    return (len(entries) + len(common.entries)) * _JSON_GROWTH <= LIMIT_BYTES


def column_keys(names: Sequence[str], reserved: Sequence[str]) -> tuple[str, ...]:
    """Return the metadata key of each column: its name, or csv_<name> where that is reserved or Pinecone's."""
    taken = set(names) | set(reserved)
    keys = []
    for name in names:
        key = name
        if name in reserved or name.startswith("$"):
            key = f"csv_{name}"
            while key in taken:
                key = f"csv_{key}"
            taken.add(key)
        keys.append(key)
    return tuple(keys)


def _chosen(names: Sequence[str], chosen: options.Options) -> list[int]:
    """Return the positions of the columns that become metadata; id and text are given by row_id and text."""
    given = {chosen.id_column, *(() if chosen.text_template else (chosen.text_column,))}
    left_out = given | set(chosen.exclude_columns)
    only = set(chosen.metadata_columns) or set(names)
    return [position for position, name in enumerate(names) if name in only and name not in left_out]


def _value(cell: str, kind: str) -> Value:
    if kind == column_types.NUMBER:
        return float(cell)
    return column_types.BOOLEANS[cell.lower()] if kind == column_types.BOOLEAN else cell


def _varint(number: int) -> bytes:
    """Encode an unsigned integer, 7 bits a byte, the lowest first (protobuf's encoding)."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


_DOUBLE = struct.Struct("<d").pack
