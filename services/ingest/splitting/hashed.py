"""The usable rows of a chunk as a manifest knows them, hashed many at a time."""

from collections.abc import Sequence

from services.ingest.contract import context, contract, metadata
from services.ingest.manifest import records


class Hashing:
    """Hashes the rows of one task.

    Args:
        hashes: The manifest's.
        judge: Of the task's rows.
        task: Whose metadata are a part of each row's.
    """

    def __init__(self, hashes: records.Hashes, judge: contract.Contract, task: context.Context) -> None:
        self.hashes = hashes
        # It is the same for all chunks: what differs between them is no part of it.
        self.shared = judge.encoder.lasting_common(judge.common(task, 0))

    def chunk(self) -> "Hashed":
        """For the rows of a chunk."""
        return Hashed(self)


class Hashed:
    """Takes the usable rows of a chunk."""

    def __init__(self, hashing: Hashing) -> None:
        self._hashes, self._shared = hashing.hashes, hashing.shared
        self._row_numbers: list[int] = []
        self._ids: list[bytes] = []
        self._entries: list[bytes] = []

    def add(self, row_numbers: Sequence[int], rows: Sequence[contract.Usable]) -> None:
        """Take some."""
        if not rows:
            return
        ids, texts = [row.vector_id.encode() for row in rows], [row.text.encode() for row in rows]
        self._add(row_numbers, ids, texts, [metadata.lasting(row.metadata) for row in rows])

    def add_plain(self, row_numbers: Sequence[int], rows: contract.Plain) -> None:
        """Take some that were judged together."""
        if rows.places:
            self._add(row_numbers, rows.vector_ids, rows.texts, rows.lasting)

    def _add(
        self, row_numbers: Sequence[int], ids: Sequence[bytes], texts: Sequence[bytes], lasting: Sequence[bytes]
    ) -> None:
        self._row_numbers += row_numbers
        self._ids += ids
        self._entries.append(self._hashes.entries(ids, texts, lasting, self._shared))

    def sent(self) -> records.Sent:
        """All of them."""
        return records.Sent(self._row_numbers, self._ids, b"".join(self._entries))
