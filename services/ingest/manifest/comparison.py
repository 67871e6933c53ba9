"""A file's rows against a manifest: which of them travel, and what the merge must know of those.

It is made once a turn and stored; every driver of that turn works by it. Neither it nor what is made of it asks the
source again.
"""

import dataclasses
import json
import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from services.ingest.manifest import parts, store

FORMAT: Final = 1
# Of one that names what is to be deleted: an older release must not merge it as if it did not.
FORMAT_GONE: Final = 2
# Of one whose rows are written down while they travel: an older release would take none for sent.
FORMAT_AHEAD: Final = 3
# Ids of one delete: https://docs.pinecone.io/reference/api/database-limits
DELETED: Final = 1_000
# What a row is, two bits each; a row that is not usable is none of the last three.
NEW, TEXT_CHANGED, METADATA_CHANGED, UNCHANGED = range(4)
# The same for the split: 1 does not travel, 2 replaces a record.
_AS_TOLD: Final = np.array([0, 2, 2, 1], dtype=np.uint8)
# A chunk's rows by what becomes of them; "rejected" and "skipped" by the row contract alone.
CHUNK: Final = np.dtype([("rows", "<u4"), ("skipped", "<u4"), ("rejected", "<u4"), ("unchanged", "<u4")])
_MAGIC: Final = b"VLC1"
_LENGTHS: Final = struct.Struct("<4sIII")
_MOST_BYTES: Final = 1 << 30


@dataclasses.dataclass(frozen=True)
class Counts:
    """Usable rows by what they are against the manifest."""

    new: int = 0
    text_changed: int = 0
    metadata_changed: int = 0
    unchanged: int = 0

    @property
    def sent(self) -> int:
        """Rows that travel."""
        return self.new + self.text_changed + self.metadata_changed


@dataclasses.dataclass(frozen=True)
class Gone:
    """What is to be deleted: every id that is known to be in the index, or listed there, and not in the file.

    Args:
        parts: The ids, sorted by their hashes: records.SENT. Their `chunk` counts deletes from 0, of DELETED ids each;
            what the index lists and the manifest had not has the prior records.ABSENT.
        rows: How many.
        entries: Ids of the question that the namespace has, as far as is known.
        kept_rows: Of these, ids of the file that none of its rows is loaded for: what the index has of them stays.
        unreadable_rows: Rows of the file whose id cannot be read: it may be any of those that are gone.
        file_rows: Rows of the file.
        checksum: Of the list of ids.
        there: Of a removal: ids of the question that are in the index for certain, since it lists them, or counts as
            many as are known.
    """

    parts: tuple[parts.Part, ...]
    rows: int
    entries: int
    kept_rows: int
    unreadable_rows: int
    file_rows: int
    checksum: str
    there: int = 0

    @property
    def deletes(self) -> int:
        """Chunks that delete."""
        return -(-self.rows // DELETED)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Gone":
        """Read what `dataclasses.asdict` made."""
        return cls(**(fields | {"parts": tuple(map(parts.Part.from_json, fields["parts"]))}))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """See the module's docstring.

    Args:
        task_id: Whose rows.
        fence: Of the turn in which it was made: with the task it names the run.
        version: Of the manifest that the rows were compared with.
        contract: The row contract that the rows were judged by.
        folder: Where its objects lie.
        counts: Of usable rows.
        flags: Two bits a row of the source, from row 1 on.
        chunks: Of the task, CHUNK each.
        sent: The rows that travel, by their ids' hashes: records.SENT.
        told: Entries that are from now on as they stand here, whatever becomes of chunks: records.SENT.
        told_rows: How many.
        missing: Entries whose id is neither in the file nor in the index: records.SENT.
        missing_rows: How many; of a mirror those that no row of the file has stand in `gone`.
        missed_rows: Rows of the file that the manifest has and the index does not list.
        unsure_rows: Rows of the file whose id may be in the index, with whatever content.
        gone: What a mirror deletes; None: it is no mirror.
        ahead: Nothing was known, so no row was judged and all travel. What the merge must know of them is written down
            before they do (`write_ahead`); counts, flags and chunks are zero.
    """

    task_id: str
    fence: int
    version: int
    contract: str
    folder: str
    counts: Counts
    flags: NDArray[np.uint8]
    chunks: NDArray[np.void]
    sent: tuple[parts.Part, ...] = ()
    missing: tuple[parts.Part, ...] = ()
    missing_rows: int = 0
    missed_rows: int = 0
    unsure_rows: int = 0
    told: tuple[parts.Part, ...] = ()
    told_rows: int = 0
    gone: Gone | None = None
    ahead: bool = False

    @property
    def name(self) -> str:
        """Of the object that it is stored as."""
        return f"{self.folder}outcome"

    @property
    def quiet(self) -> NDArray[np.bool_]:
        """Of each chunk, whether nothing of it travels: every row is unchanged, or left out by the contract."""
        found = self.chunks
        if self.ahead:
            return np.zeros(len(found), dtype=bool)
        return np.asarray(found["rows"] == found["skipped"] + found["unchanged"])

    @property
    def changes(self) -> bool:
        """Whether there is anything to merge: a row travels, or an entry's id is gone from the index."""
        return self.counts.sent + self.missing_rows > 0

    @property
    def knows(self) -> bool:
        """Whether it says of every row if it replaces a record.

        Not where the manifest had none of the rows: there may have been none that could be trusted.
        """
        counts = self.counts
        return not self.unsure_rows and counts.text_changed + counts.metadata_changed + counts.unchanged > 0

    def unchanged(self, first_row: int, end_row: int) -> bytes:
        """Of some rows of the source, a byte each: 1 where the row is unchanged, 2 where it replaces what is there."""
        start, end = first_row - 1, end_row - 1
        packed = self.flags[start >> 2 : (end + 3) >> 2]
        every = (packed[:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
        wanted = every.reshape(-1)[start & 3 : (start & 3) + end - start]
        return bytes(_AS_TOLD[wanted])

    def to_bytes(self) -> bytes:
        """The object."""
        fields = {
            "format": FORMAT_AHEAD if self.ahead else FORMAT if self.gone is None else FORMAT_GONE,
            "task_id": self.task_id,
            "fence": self.fence,
            "version": self.version,
            "contract": self.contract,
            "folder": self.folder,
            "counts": dataclasses.asdict(self.counts),
            "sent": [dataclasses.asdict(part) for part in self.sent],
            "missing": [dataclasses.asdict(part) for part in self.missing],
            "missing_rows": self.missing_rows,
            "missed_rows": self.missed_rows,
            "unsure_rows": self.unsure_rows,
            "told": [dataclasses.asdict(part) for part in self.told],
            "told_rows": self.told_rows,
            "rows": len(self.flags) * 4,
        }
        if self.gone is not None:
            fields["gone"] = dataclasses.asdict(self.gone)
        if self.ahead:
            fields["ahead"] = True
        head = json.dumps(fields).encode()
        packed = [zstandard.ZstdCompressor(level=3).compress(each.tobytes()) for each in (self.flags, self.chunks)]
        lengths = _LENGTHS.pack(_MAGIC, len(head), len(packed[0]), len(packed[1]))
        return b"".join((lengths, head, *packed))

    @classmethod
    def from_bytes(cls, data: bytes, checksum: str) -> "Comparison":
        """Read what `to_bytes` made.

        Raises:
            store.Broken: It is not what the ledger names.
        """
        if store.checksum_of(data) != checksum:
            raise store.Broken("the comparison is not what was stored")
        magic, *sizes = _LENGTHS.unpack_from(data)
        if magic != _MAGIC:
            raise store.Broken("the comparison is of another format")
        head, flags, chunks = _cut(data[_LENGTHS.size :], sizes)
        fields: dict[str, Any] = json.loads(head)
        if fields.pop("format") not in (FORMAT, FORMAT_GONE, FORMAT_AHEAD):
            raise store.Broken("the comparison is of another format")
        fields.pop("rows")
        fields["counts"] = Counts(**fields["counts"])
        for name in ("sent", "missing", "told"):  # an older release told of nothing
            fields[name] = tuple(map(parts.Part.from_json, fields.get(name, ())))
        if "gone" in fields:
            fields["gone"] = Gone.from_json(fields["gone"])
        return cls(
            flags=np.frombuffer(_unpacked(flags), dtype=np.uint8),
            chunks=np.frombuffer(_unpacked(chunks), dtype=CHUNK),
            **fields,
        )


def _cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return found


def _unpacked(packed: bytes) -> bytes:
    found = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST_BYTES) if packed else b""
    return bytes(found)
