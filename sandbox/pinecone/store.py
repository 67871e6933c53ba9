"""One namespace of an index on disk: float32 rows in one file, ids and metadata in a log beside it."""

import bisect
import os
import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from sandbox.pinecone import log

Matrix = npt.NDArray[np.float32]

_OPEN, _UPSERT, _DELETE = 0, 1, 2
_COUNT_AND_ROW = struct.Struct("<II")
_COUNT = struct.Struct("<I")
# A namespace is rewritten at start when more rows than this, and more than half of them, are dead.
_MIN_DEAD_ROWS = 1_000
_COPY_ROWS = 1_000


@dataclass(slots=True)
class Record:
    """A stored vector. `values` has dtype float32 and shape (dimension,); `metadata` is a serialized Struct."""

    id: str
    values: Matrix
    metadata: bytes


@dataclass(slots=True)
class Snapshot:
    """What a search needs, safe to read in another thread while the namespace goes on."""

    rows: Matrix  # shape (n, dimension), memory-mapped
    norms: Matrix  # shape (n,), Euclidean
    live: npt.NDArray[np.bool_]  # shape (n,)


class Namespace:
    """Vectors by id.

    Rows are only ever appended: an overwritten or deleted one is dead until the namespace is rewritten at a start. The
    log frame commits: rows are written before it, and rows that no frame names do not exist. In RAM are the ids and
    about 20 bytes a row; vectors and metadata stay in the page cache.
    """

    def __init__(
        self, folder: Path, name: str, dimension: int, schema: dict[str, Any] | None = None, lsn: int = 0
    ) -> None:
        """Open the namespace in `folder`, creating it if it is absent; its log goes on after `lsn`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        self.dimension = dimension
        self.schema = schema
        # The number of the last write to it, as Pinecone counts them.
        self.lsn = lsn
        self._stride = 4 * dimension
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._live = bytearray()
        self._norms = array("f")
        self._metadata_at = array("Q")
        self._metadata_bytes = array("I")
        self._sorted_ids: list[str] | None = None
        self._live_bytes = 0
        self._rows_path = folder / "rows.f32"
        self._rows = os.open(self._rows_path, os.O_RDWR | os.O_CREAT, 0o600)
        self._log = log.Log(folder / "log")
        self._load()

    @staticmethod
    def stored_name(folder: Path) -> str | None:
        """Return the name of the namespace kept in `folder`, None if there is none."""
        for kind, _, payload in log.Log(folder / "log").replay():
            return orjson.loads(payload)["namespace"] if kind == _OPEN else None
        return None

    def __len__(self) -> int:
        """Count the live vectors."""
        return len(self._row_of)

    @property
    def dead_rows(self) -> int:
        """Rows that were overwritten or deleted and still take room."""
        return len(self._ids) - len(self._row_of)

    @property
    def size_bytes(self) -> int:
        """Bytes of the live records: ids, values and metadata, which is what Pinecone bills storage and queries by."""
        return self._live_bytes

    def upsert(self, ids: Sequence[str], matrix: Matrix, metadata: Sequence[bytes]) -> None:
        """Store vectors, replacing those of the same id. On return they survive the death of the process.

        Args:
            ids: Distinct or not; the last one of an id wins.
            matrix: float32, shape (len(ids), dimension).
            metadata: Serialized Structs, one for each id.

        """
        first_row = len(self._ids)
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
        log.write_all(self._rows, np.ascontiguousarray(matrix).data.cast("B"), first_row * self._stride)
        raw_ids = [name.encode() for name in ids]
        metadata_bytes = np.fromiter(map(len, metadata), "<u4", len(ids))
        id_bytes = np.fromiter(map(len, raw_ids), "<u2", len(ids))
        parts = [_COUNT_AND_ROW.pack(len(ids), first_row), id_bytes.tobytes(), metadata_bytes.tobytes()]
        head = b"".join((*parts, norms.astype("<f4").tobytes(), *raw_ids))
        at = self._log.append(_UPSERT, b"".join((head, *metadata)))
        self.lsn += 1
        self._index(ids, norms, at + len(head), metadata_bytes)

    def _index(
        self, ids: Sequence[str], norms: Matrix, metadata_at: int, metadata_bytes: npt.NDArray[np.uint32]
    ) -> None:
        row = len(self._ids)
        self._ids.extend(ids)
        self._live.extend(b"\1" * len(ids))
        self._norms.frombytes(norms.astype("f4").tobytes())
        ends = np.cumsum(metadata_bytes, dtype=np.uint64)
        self._metadata_at.frombytes((ends - metadata_bytes + np.uint64(metadata_at)).astype("u8").tobytes())
        self._metadata_bytes.frombytes(metadata_bytes.astype("u4").tobytes())
        for name in ids:
            before = self._row_of.get(name)
            if before is not None:
                self._live[before] = 0
                self._live_bytes -= self.size_of(name)
            else:
                self._sorted_ids = None
            self._row_of[name] = row
            self._live_bytes += self.size_of(name)
            row += 1

    def delete(self, ids: Sequence[str]) -> int:
        """Delete vectors; unknown ids are ignored. Return how many were there."""
        known = [name for name in dict.fromkeys(ids) if name in self._row_of]
        if known:
            raw = [name.encode() for name in known]
            sizes = np.fromiter(map(len, raw), "<u2", len(raw)).tobytes()
            self._log.append(_DELETE, b"".join((_COUNT.pack(len(raw)), sizes, *raw)))
            self.lsn += 1
            self._forget(known)
        return len(known)

    def _forget(self, ids: Sequence[str]) -> None:
        for name in ids:
            size = self.size_of(name)
            row = self._row_of.pop(name, None)
            if row is not None:
                self._live[row] = 0
                self._live_bytes -= size
        self._sorted_ids = None

    def get(self, name: str) -> Record | None:
        """Return the vector of an id."""
        row = self._row_of.get(name)
        return None if row is None else self.record(row)

    def record(self, row: int) -> Record:
        """Return the vector in a row."""
        values = np.frombuffer(os.pread(self._rows, self._stride, row * self._stride), "<f4")
        return Record(self._ids[row], values, self.metadata(row))

    def size_of(self, name: str) -> int:
        """Return the bytes of a record: id, values and metadata; 0 if there is none."""
        row = self._row_of.get(name)
        return 0 if row is None else len(name) + self._stride + self._metadata_bytes[row]

    def id_of(self, row: int) -> str:
        """Return the id of the vector in a row."""
        return self._ids[row]

    def metadata(self, row: int) -> bytes:
        """Return the serialized Struct of the vector in a row."""
        return self._log.read(self._metadata_at[row], self._metadata_bytes[row])

    def live_rows(self) -> list[int]:
        """Return the rows of all vectors, oldest first."""
        return sorted(self._row_of.values())

    def list_ids(self, prefix: str, after: str, limit: int) -> list[str]:
        """Return up to `limit` ids that begin with `prefix` and come after `after`, in order."""
        if self._sorted_ids is None:
            self._sorted_ids = sorted(self._row_of)
        ids = self._sorted_ids
        start = max(bisect.bisect_left(ids, prefix), bisect.bisect_right(ids, after) if after else 0)
        page = ids[start : start + limit]
        return [name for name in page if name.startswith(prefix)]

    def snapshot(self) -> Snapshot:
        """Return the rows as they are now."""
        count = len(self._ids)
        rows: Matrix = np.zeros((0, self.dimension), "<f4")
        if count:
            rows = np.memmap(self._rows_path, "<f4", "r", shape=(count, self.dimension))
        norms = np.frombuffer(self._norms.tobytes(), "f4")
        return Snapshot(rows, norms, np.frombuffer(bytes(self._live), np.bool_))

    def _load(self) -> None:
        stored_rows = os.fstat(self._rows).st_size // self._stride
        for kind, at, payload in self._log.replay():
            if kind == _OPEN:
                opened = orjson.loads(payload)
                self.schema, self.lsn = opened["schema"], opened.get("lsn", 0)
                continue
            self.lsn += 1
            if kind == _UPSERT:
                self._load_upsert(at, payload, stored_rows)
            elif kind == _DELETE:
                (count,) = _COUNT.unpack_from(payload)
                self._forget(list(_split(payload, _COUNT.size, count, _COUNT.size + 2 * count)))
        if not self._log.size_bytes:
            self._log.append(_OPEN, orjson.dumps({"namespace": self.name, "schema": self.schema, "lsn": self.lsn}))
        os.ftruncate(self._rows, len(self._ids) * self._stride)

    def _load_upsert(self, at: int, payload: bytes, stored_rows: int) -> None:
        count, first_row = _COUNT_AND_ROW.unpack_from(payload)
        if first_row != len(self._ids) or first_row + count > stored_rows:
            raise OSError(f"{self.folder}: the log names rows that are not in rows.f32")
        sizes_at = _COUNT_AND_ROW.size
        metadata_bytes = np.frombuffer(payload, "<u4", count, sizes_at + 2 * count)
        norms = np.frombuffer(payload, "<f4", count, sizes_at + 6 * count)
        ids = list(_split(payload, sizes_at, count, sizes_at + 10 * count))
        metadata_at = at + len(payload) - int(metadata_bytes.sum())
        self._index(ids, norms, metadata_at, metadata_bytes)

    def worth_rewriting(self) -> bool:
        """Whether most of the disk space is dead."""
        return self.dead_rows > _MIN_DEAD_ROWS and self.dead_rows > len(self)

    def copy_to(self, folder: Path) -> None:
        """Write the live vectors to another folder, in their order."""
        target = Namespace(folder, self.name, self.dimension, self.schema, self.lsn)
        rows = self.live_rows()
        for start in range(0, len(rows), _COPY_ROWS):
            records = [self.record(row) for row in rows[start : start + _COPY_ROWS]]
            matrix = np.stack([record.values for record in records])
            target.upsert([record.id for record in records], matrix, [record.metadata for record in records])

    def __del__(self) -> None:
        """Close with the last reader, like the log."""
        if hasattr(self, "_rows"):
            os.close(self._rows)


def _split(payload: bytes, sizes_at: int, count: int, at: int) -> Iterator[str]:
    for size in np.frombuffer(payload, "<u2", count, sizes_at).tolist():
        yield payload[at : at + size].decode()
        at += size
