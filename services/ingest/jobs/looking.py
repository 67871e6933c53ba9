"""Records of the index, fetched and compared with the entries of a manifest."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.ingest import manifest_client
from services.ingest.contract import metadata
from services.ingest.jobs import findings
from services.ingest.manifest import records, runs

TEXT_DIFFERS: Final = "The record's text is not the one that was written."
METADATA_DIFFER: Final = "The record's metadata are not those that were written."


@dataclasses.dataclass(frozen=True)
class Looked:
    """What a record came to.

    Args:
        vector_id: Its id.
        entry: What the manifest has of it, 40 bytes.
        finding: What is to be said of it; None: it is as it was written, as far as its metadata tell.
        text: What its vector was made of; None: its metadata do not hold all of it.
    """

    vector_id: str
    entry: bytes
    finding: findings.Finding | None
    text: str | None


class Looking:
    """Looks at records for one task, which pays for it.

    Args:
        manifests: Asks the index.
        namespace: Where they are.
        hashes: The manifest's.
        task_id: The task.
    """

    def __init__(
        self, manifests: manifest_client.Manifests, namespace: str, hashes: records.Hashes, task_id: str
    ) -> None:
        self._manifests = manifests
        self._namespace = namespace
        self._hashes = hashes
        self._task_id = task_id

    async def at(self, block: runs.Block) -> list[Looked]:
        """Compare the records of some entries, in their order."""
        ids = [each.decode() for each in block.ids]
        entries = [entry.tobytes() for entry in records.copied(block.entries)]
        return await self.again(list(zip(ids, entries, strict=True)))

    async def again(self, wanted: Sequence[tuple[str, bytes]]) -> list[Looked]:
        """Compare records with their entries, by id."""
        found = await self.fetched([vector_id for vector_id, _ in wanted])
        return [self._looked(vector_id, entry, found.get(vector_id)) for vector_id, entry in wanted]

    async def fetched(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The metadata of the records that are there, by id."""
        return await self._manifests.fetch(self._namespace, ids, self._task_id)

    def _looked(self, vector_id: str, entry: bytes, record: Mapping[str, Any] | None) -> Looked:
        if record is None:
            gone = findings.Finding(vector_id, findings.MISSING, findings.WORDS[findings.MISSING])
            return Looked(vector_id, entry, gone, None)
        text, lasting = metadata.whole_text(record), metadata.lasting_of(record)
        words = ""
        if text is not None and self._hashes.text(text.encode()) != entry[16:32]:
            words = TEXT_DIFFERS
        elif lasting is None or self._hashes.metadata(lasting) != entry[32:]:
            words = METADATA_DIFFER
        finding = findings.Finding(vector_id, findings.DIFFERING, words) if words else None
        return Looked(vector_id, entry, finding, text)
