"""Metadata of a row, straight in the wire form of google.protobuf.Struct.

``Struct`` is ``map<string, Value> fields = 1``; an entry is field 1 (length-delimited) with key (1) and value (2), a
Value is a double (2), a string (3), a bool (4) or a list of Values (6, whose field 1 they are). Entries may be
concatenated: that is how the chunk's common part is joined to a row's own. Encoding by hand costs about 0.2 µs a value,
google.protobuf.Struct ten times that.
"""

import contextlib
import dataclasses
import operator
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson

from services.ingest.contract import column_types, declared
from services.ingest.request import options
from services.runtime import wire

# Pinecone's limit of a record's metadata, as JSON.
LIMIT_BYTES = 40_960
LEGACY_TEXT_CHARACTERS = 1_000
# Written by us; a column of that name is kept as csv_<name>. Pinecone refuses keys that begin with "$".
RESERVED = ("text", "source", "s3_key", "chunk_id", "record_index", "task_id", "question_id", "row_id", "processed_at")
# Of what a chunk's rows share: what stays the same with the next task over them, and what does not.
_LASTING = ("source", "question_id")
_PASSING = frozenset({"s3_key", "chunk_id", "record_index", "task_id", "processed_at"})
# Ours too, but with ``metadata=legacy``.
TEXT_TRUNCATED = "text_truncated"
# Behind a row's columns, in this order.
_OWN = _TEXT, _ROW_ID = "text", "row_id"
# JSON of a byte can be as long as \u0000.
_JSON_GROWTH = 6
# Entries of so many bytes are within the limit for sure, whatever they hold.
SURE_BYTES = LIMIT_BYTES // _JSON_GROWTH
# What precedes strings of fewer bytes is kept; with many columns of fewer still, so that all keep about the third.
_CACHED_LENGTHS = 512
_LEAST_CACHED_LENGTHS = 8
_CACHED_PREFIXES = 65_536
# Cells of a block that show whether those of a column repeat: then each value is made once a block.
_LOOKED_AT = 256

# Pinecone's lists are of strings only.
Value = str | float | bool | list[str]


class _Prefixes(dict[int, bytes]):
    """What precedes a string of so many bytes."""

    def __init__(self, key: bytes, cached_lengths: int) -> None:
        super().__init__()
        self._key = key
        self._cached_lengths = cached_lengths

    def __missing__(self, size: int) -> bytes:
        inner = wire.head(3, size)
        entry = self._key + wire.varint(len(inner) + size) + inner
        prefix = wire.head(1, len(entry) + size) + entry
        if size < self._cached_lengths:
            self[size] = prefix
        return prefix


class Field:
    """One key's encoder; keeps the bytes that precede a string of each length.

    Args:
        name: The key.
        cached_lengths: Of strings up to so many bytes.
    """

    def __init__(self, name: str, cached_lengths: int = _CACHED_LENGTHS) -> None:
        self.name = name
        key = name.encode()
        self._key = wire.field(1, key) + b"\x12"
        self._before = _Prefixes(self._key, cached_lengths)
        self._number = wire.head(1, len(self._key) + 10) + self._key + b"\x09\x11"
        boolean = wire.head(1, len(self._key) + 3) + self._key + b"\x02\x20"
        self._booleans = boolean + b"\x00", boolean + b"\x01"

    def string(self, value: str) -> bytes:
        """Return the entry of a text."""
        data = value.encode()
        return self._before[len(data)] + data

    def string_each(self, values: Sequence[str]) -> list[bytes]:
        """Return the entry of each of some texts."""
        every = list(map(str.encode, values))
        return list(map(operator.add, map(self._before.__getitem__, map(len, every)), every))

    def number(self, value: float) -> bytes:
        """Return the entry of a number."""
        return self._number + _DOUBLE(value)

    def number_each(self, values: Iterable[float]) -> list[bytes]:
        """Return the entry of each of some numbers."""
        begin = self._number
        return [begin + each for each in map(_DOUBLE, values)]

    def boolean(self, value: bool) -> bytes:
        """Return the entry of a truth value."""
        return self._booleans[value]

    def strings(self, values: Sequence[str]) -> bytes:
        """Return the entry of a list of texts."""
        items = b"".join([wire.field(1, wire.field(3, value.encode())) for value in values])
        value = wire.field(6, items)
        return wire.field(1, self._key + wire.varint(len(value)) + value)

    def any(self, value: Value) -> bytes:
        """Return the entry of a value by its Python type."""
        if isinstance(value, bool):
            return self.boolean(value)
        if isinstance(value, list):
            return self.strings(value)
        return self.string(value) if isinstance(value, str) else self.number(value)


@dataclasses.dataclass(frozen=True, slots=True)
class Common:
    """What all rows of a chunk share: its values, and the same as Struct entries."""

    values: dict[str, Value]
    entries: bytes


class Encoder:
    """Encodes the metadata of one source's rows.

    Args:
        names: The source's columns.
        types: Their types, see column_types.Types; what the request declares wins.
        chosen: The request: metadata mode, column choice, declared types, id and text columns.
        orders: The order of dates, by column, where the scan found one out.
    """

    def __init__(
        self,
        names: Sequence[str],
        types: Sequence[str],
        chosen: options.Options,
        orders: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._legacy = chosen.metadata == "legacy"
        keys = column_keys(names) if self._legacy else column_keys(names, TEXT_TRUNCATED)
        kinds, positions = declared.of(names, chosen), columns_of(names, chosen)
        cached_lengths = max(_LEAST_CACHED_LENGTHS, min(_CACHED_LENGTHS, _CACHED_PREFIXES // max(1, len(positions))))
        found: dict[int, tuple[str, declared.Convert | None]] = {}
        for position in positions:
            kind = kinds.get(position)
            if kind is None:
                found[position] = column_types.STRING if self._legacy else types[position], None
            elif kind.kind == column_types.STRING:
                found[position] = column_types.STRING, None
            else:
                found[position] = kind.kind, declared.converter(names[position], kind, chosen, orders or {})
        # By key: a record of the index then says in which order its entries are hashed, whatever file it came from.
        self._columns = [
            (position, Field(keys[position], cached_lengths), *found[position])
            for position in sorted(positions, key=keys.__getitem__)
        ]
        self._text, self._row_id, self._record_index = Field(_TEXT), Field(_ROW_ID), Field("record_index")
        # The entry of a row whose text is cut.
        self.truncated = Field(TEXT_TRUNCATED).boolean(True)
        self._lasting = {name: Field(name) for name in _LASTING}

    def common(self, values: dict[str, Value]) -> Common:
        """Encode the values that a chunk's rows share; with ``metadata=legacy`` they become strings."""
        if self._legacy:
            values = {name: str(value) for name, value in values.items()}
        return Common(values, b"".join([Field(name).any(value) for name, value in values.items()]))

    def row(self, cells: Sequence[str], text: str | None, row_id: str, record_index: int) -> bytes:
        """Return the row's own entries: record_index, its columns that are not empty, text (but None) and row_id.

        What changes when a row moves within its file comes first, where `lasting` cuts it off.

        Raises:
            declared.BadValue: A cell is not of its column's declared type.
        """
        parts = [self.passing(record_index)]
        for position, field, kind, convert in self._columns:
            cell = cells[position]
            if not cell or cell.isspace():
                continue
            if kind == column_types.STRING:
                parts.append(field.string(cell))
            elif convert is not None:
                converted = convert(cell)
                if converted is not None:
                    parts.append(field.any(converted))
            elif kind == column_types.NUMBER:
                parts.append(field.number(_number(cell)))
            else:
                parts.append(field.boolean(column_types.BOOLEANS[cell.strip().lower()]))
        if text is not None:
            parts.append(self._text.string(text[:LEGACY_TEXT_CHARACTERS] if self._legacy else text))
        parts.append(self._row_id.string(row_id))
        return b"".join(parts)

    def passing(self, record_index: int) -> bytes:
        """Return what of a row's entries `lasting` cuts off."""
        return self._record_index.string(str(record_index)) if self._legacy else self._record_index.number(record_index)

    def lasting_rows(
        self, columns: Sequence[Sequence[str]], texts: Sequence[str] | None, row_ids: Sequence[str]
    ) -> tuple[list[bytes], set[int]]:
        """Return what ``lasting`` leaves of the entries of many rows, made column by column in half the time.

        Args:
            columns: The cells of each of the source's columns.
            texts: Of the rows; None: metadata hold none.
            row_ids: Of the rows.

        Returns:
            The entries, and the places of rows that have none, since a cell is not of its column's declared type.
        """
        bad = set[int]()
        parts: list[Sequence[bytes]] = []
        for position, field, kind, convert in self._columns:
            cells = columns[position]
            if any(cells):
                parts.append(_column(cells, field, kind, convert, bad))
        if texts is not None:
            copies = [text[:LEGACY_TEXT_CHARACTERS] for text in texts] if self._legacy else texts
            parts.append(self._text.string_each(copies))
        parts.append(self._row_id.string_each(row_ids))
        return list(map(b"".join, zip(*parts, strict=True))), bad

    def lasting_common(self, common: Common) -> bytes:
        """Return what of a chunk's part does not change with task and chunk: a manifest hashes it with each row."""
        return b"".join([self._lasting[name].any(common.values[name]) for name in _LASTING])

    def json_bytes(
        self, common: Common, cells: Sequence[str], *, text: str | None, row_id: str, record_index: int
    ) -> int:
        """Return the exact size of the metadata as JSON.

        Args:
            common: The chunk's part.
            cells: See ``row``.
            text: See ``row``.
            row_id: See ``row``.
            record_index: See ``row``.
        """
        values: dict[str, Value] = dict(common.values)
        for position, field, kind, convert in self._columns:
            cell = cells[position]
            if cell and not cell.isspace():
                value = _value(cell, kind) if convert is None else convert(cell)
                if value is not None:
                    values[field.name] = value
        if text is not None:
            values["text"] = text[:LEGACY_TEXT_CHARACTERS] if self._legacy else text
        values["record_index"] = str(record_index) if self._legacy else record_index
        values["row_id"] = row_id
        return len(orjson.dumps(values))


def lasting(entries: bytes) -> bytes:
    """Return a row's entries less record_index, which is the first of them."""
    return entries[2 + entries[1] :]


def lasting_of(record: Mapping[str, object]) -> bytes | None:
    """Return what a manifest hashes of metadata that the index holds; None: they hold what no row has.

    That is ``Encoder.lasting_common`` and ``lasting`` of the row that they were made of.
    """
    own = (*_OWN, TEXT_TRUNCATED) if isinstance(record.get(TEXT_TRUNCATED), bool) else _OWN  # else it is a column's
    names = sorted(record.keys() - _PASSING - {*_LASTING, *own})
    parts = []
    for name in (*_LASTING, *names, *own):
        value = record.get(name)
        if value is None:
            continue
        if isinstance(value, list):
            if not all(isinstance(each, str) for each in value):
                return None
        elif not isinstance(value, bool | int | float | str):
            return None
        parts.append(Field(name).any(value))
    return b"".join(parts)


def whole_text(record: Mapping[str, object]) -> str | None:
    """Return the text that a record's vector was made of, where its metadata hold all of it; None: they may not."""
    text = record.get(_TEXT)
    if not isinstance(text, str) or not text or record.get(TEXT_TRUNCATED):
        return None
    # Of typed metadata only we write numbers there, and they say when the text was cut.
    typed = isinstance(record.get("question_id"), int | float) and isinstance(record.get("record_index"), int | float)
    return text if typed or len(text) < LEGACY_TEXT_CHARACTERS else None


def fits(entries: bytes, common: Common) -> bool:
    """Tell whether a row's metadata are within the limit for sure, whatever they hold."""
    return len(entries) + len(common.entries) <= SURE_BYTES


def column_keys(names: Sequence[str], *also_ours: str) -> tuple[str, ...]:
    """Return the metadata key of each column: its name, or csv_<name> where that is ours or Pinecone's."""
    return set_apart(names, (*RESERVED, *also_ours), lambda name: name.startswith("$"))


def set_apart(
    names: Sequence[str], ours: Sequence[str], also: Callable[[str], bool] = lambda _: False
) -> tuple[str, ...]:
    """Return the columns' names, as csv_<name> those that are ours (or fail `also`), and no two the same."""
    taken = set(names) | set(ours)
    keys = []
    for name in names:
        key = name
        if name in ours or also(name):
            key = f"csv_{name}"
            while key in taken:
                key = f"csv_{key}"
            taken.add(key)
        keys.append(key)
    return tuple(keys)


def columns_of(names: Sequence[str], chosen: options.Options) -> list[int]:
    """Return the positions of the columns that become metadata; id and text are given by row_id and text."""
    given = {chosen.id_column, *(() if chosen.text_template else (chosen.text_column,))}
    left_out = given | set(chosen.exclude_columns)
    only = set(chosen.metadata_columns) or set(names)
    return [position for position, name in enumerate(names) if name in only and name not in left_out]


def _value(cell: str, kind: str) -> Value:
    if kind == column_types.NUMBER:
        return _number(cell)
    return column_types.BOOLEANS[cell.strip().lower()] if kind == column_types.BOOLEAN else cell


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:  # float knows fewer blanks than str: U+001F is none to it
        return float(cell.strip())


def _column(
    cells: Sequence[str], field: Field, kind: str, convert: declared.Convert | None, bad: set[int]
) -> Sequence[bytes]:
    """Return the entry of each cell, empty where it has none; places of cells that cannot be converted are added."""
    some = cells[:_LOOKED_AT]
    repeated = len(set(some)) * 2 < len(some)
    if kind == column_types.STRING and not repeated and all(cells) and not any(map(str.isspace, cells)):
        return field.string_each(cells)
    if kind == column_types.NUMBER and convert is None and not repeated:
        with contextlib.suppress(ValueError):
            return field.number_each(map(float, cells))
    one = _maker(field, kind, convert)
    made = {cell: one(cell) for cell in set(cells)} if repeated else {}
    entries = list(map(made.__getitem__, cells)) if repeated else list(map(one, cells))
    if None not in entries:
        return entries  # type: ignore[return-value]  # as was looked up
    bad.update(place for place, entry in enumerate(entries) if entry is None)
    return [entry or b"" for entry in entries]


def _maker(field: Field, kind: str, convert: declared.Convert | None) -> Callable[[str], bytes | None]:
    """Return what makes the entry of a cell; None: it cannot be converted."""

    def made(cell: str) -> bytes | None:
        if not cell or cell.isspace():
            return b""
        try:
            value = _value(cell, kind) if convert is None else convert(cell)
        except declared.BadValue:
            return None
        return b"" if value is None else field.any(value)

    return made


_DOUBLE = struct.Struct("<d").pack
