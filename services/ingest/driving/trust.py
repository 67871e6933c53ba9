"""Whether a manifest may be believed: it is read, the index's vectors are counted, some of its records are looked at.

A manifest that is not believed is made void, and all of the file is bought. That costs money; a wrong skip costs a row.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from services.ingest import failures, manifest_client
from services.ingest.contract import metadata, rules
from services.ingest.driving import merging
from services.ingest.manifest import comparing, header, known, records, store

log = structlog.get_logger()

# The index counts what was written some seconds late. A count that is not the expected one is asked for again until it
# is, or has stood still for so long.
COUNT_EVERY_SECONDS = 2.0
COUNT_STILL_SECONDS = 10.0
# A log that is behind is waited for longer: what follows from it is dear.
POSITION_STILL_SECONDS = 60.0
# A record that is not as it should be is looked at once more after so long.
AGAIN_SECONDS = 60.0


class Distrusted(Exception):
    """Why a manifest is not believed; what follows it must be later than `past`."""

    def __init__(self, why: str, past: int = 0) -> None:
        super().__init__(why)
        self.past = past


@dataclasses.dataclass(frozen=True)
class Counted:
    """What the index's count says.

    Args:
        listing: The ids are to be listed: what is not among them is bought.
        look: What the next count is held against; None: this one says nothing.
    """

    listing: bool
    look: manifest_client.Look | None


async def read(
    manifests: manifest_client.Manifests, objects: store.Store, found: manifest_client.Manifest
) -> header.Header | None:
    """A manifest's header; None: nothing is known.

    Raises:
        Distrusted: It is not for this index, model or row contract, or cannot be read.
        errors.Unavailable: S3 does not answer.
    """
    if not found.uri:
        return None
    try:
        made = await asyncio.to_thread(merging.header_of, objects, found)
        later = await asyncio.to_thread(_latest, objects, found)
    except (store.Broken, failures.StoreFailure) as error:
        raise Distrusted(f"it cannot be read: {error}") from error
    assert made is not None
    _, host = await manifests.count(found.namespace)
    named = made.model or made.known
    for what, was, now in (
        ("row contract", made.contract, rules.version()),
        ("index", made.host, host),
        # Of a run that ended before a model had claimed the namespace nothing is known, whatever the model is by now.
        *((("model", made.model, found.model), ("dimension", made.dimension, found.dimension)) if named else ()),
    ):
        if was != now:
            raise Distrusted(f"its {what} was {was}, and is {now} now")
    if later > found.version:
        raise Distrusted(f"there are segments of version {later}: the ledger was restored", past=later)
    return made


async def placed(
    manifests: manifest_client.Manifests, found: manifest_client.Manifest, made: header.Header, task_id: str
) -> None:
    """Hold the position of the namespace's log against what writes of this manifest were answered with.

    An index that is made anew keeps its name and may keep its host, and nothing tells when it was made; but its log
    begins anew. A position that is too low is asked for again while it moves: queries see writes late.

    Args:
        manifests: Asks the index.
        found: The manifest.
        made: Its header.
        task_id: Whose bill the question is on.

    Raises:
        Distrusted: The log is not as far as it was.
    """
    if not found.lsn or not made.known:
        return
    still = 0.0
    position = await manifests.position(found.namespace, task_id)
    while position is not None and position < found.lsn and still < POSITION_STILL_SECONDS:
        await asyncio.sleep(COUNT_EVERY_SECONDS)
        before, position = position, await manifests.position(found.namespace, task_id)
        still = still + COUNT_EVERY_SECONDS if position == before else 0.0
    if position is None:
        log.info("The index does not tell the position of its log, which is not looked at.", action="position_untold")
    elif position < found.lsn:
        raise Distrusted(
            f"the log of the namespace stands at {position:,} and was at {found.lsn:,}: the index was made anew"
        )


async def foreseen(
    manifests: manifest_client.Manifests, objects: store.Store, namespace: str, question_id: int | None
) -> known.Known | None:
    """What a task that is not there yet would probably believe; None: nothing, and it would buy all of its rows.

    No record is looked at, so nothing is spent. Where the index has fewer vectors than the manifest knows, some are
    gone, and only a list of them would tell which.

    Raises:
        errors.Unavailable: S3 does not answer.
    """
    found = await manifests.about(namespace, question_id)
    if not found.uri:
        return None
    try:
        made = await read(manifests, objects, found)
    except Distrusted:
        return None
    count, _ = await manifests.count(namespace)
    if made is None or count < made.known:
        return None
    return known.Known(objects, records.Hashes(found.hash_key), made)


def _latest(objects: store.Store, found: manifest_client.Manifest) -> int:
    return max(map(store.version_of, objects.names(merging.folder_of(found))), default=0)


async def counted(
    manifests: manifest_client.Manifests, found: manifest_client.Manifest, *, believed: bool, mirrors: bool = False
) -> Counted:
    """Hold the index's count against what the last look and the manifests' sums let expect.

    Args:
        manifests: Asks the index.
        found: The manifest.
        believed: Rows may be skipped by it. If not, one look is enough.
        mirrors: What the file does not hold is to be deleted: the ids are listed unless all vectors of the namespace
            are known ones of its manifests.
    """
    count, _ = await manifests.count(found.namespace)
    if not believed:
        plain = not found.namespace_pending and count == found.namespace_known
        return Counted(listing=mirrors, look=_look(found, count) if plain else None)
    expected = _expected(found)
    still = 0.0
    while count != expected and still < COUNT_STILL_SECONDS and not found.namespace_pending:
        await asyncio.sleep(COUNT_EVERY_SECONDS)
        before, (count, _) = count, await manifests.count(found.namespace)
        still = still + COUNT_EVERY_SECONDS if count == before else 0.0
    if count != expected:
        log.warning(
            "The index holds another number of vectors.", action="count_differs", count=count, expected=expected
        )
    return Counted(
        listing=lists(found, count) if mirrors else count != expected,
        look=None if found.namespace_pending else _look(found, count),
    )


def lists(found: manifest_client.Manifest, count: int) -> bool:
    """Whether all ids are listed to delete by a manifest: unless all vectors of the namespace are known ones."""
    return count != found.namespace_known or count != _expected(found)


def _expected(found: manifest_client.Manifest) -> int | None:
    """Vectors that the namespace should have; None: that cannot be said."""
    look = found.look
    if not found.HasField("look") or found.namespace_pending or look.doubts != found.namespace_doubts:
        return None
    return int(look.count) + int(found.namespace_known) - int(look.known)


def _look(found: manifest_client.Manifest, count: int) -> manifest_client.Look:
    return manifest_client.Look(count=count, known=found.namespace_known, doubts=found.namespace_doubts)


class Sample:
    """Looks at records of the index: are they what the manifest says?

    Args:
        manifests: Asks the index.
        namespace: Where they are.
        task_id: Whose bill it is on.
        hashes: The manifest's.
    """

    def __init__(
        self,
        manifests: manifest_client.Manifests,
        namespace: str,
        task_id: str,
        hashes: records.Hashes,
    ) -> None:
        self._manifests = manifests
        self._namespace = namespace
        self._task_id = task_id
        self._hashes = hashes

    async def check(self, sampled: Sequence[comparing.Sampled]) -> None:
        """Look at rows that would be skipped.

        Raises:
            Distrusted: One is missing or different, twice, a minute apart.
        """
        wrong = await self._wrong(sampled)
        if not wrong:
            return
        log.warning("Records of the index are not as they were written.", action="sample_differs", records=len(wrong))
        await asyncio.sleep(AGAIN_SECONDS)
        wrong = await self._wrong(wrong)
        if wrong:
            raise Distrusted(f"the index does not hold what was written of {len(wrong)} of {len(sampled)} rows")

    async def _wrong(self, sampled: Sequence[comparing.Sampled]) -> list[comparing.Sampled]:
        found = await self._manifests.fetch(self._namespace, [each.vector_id for each in sampled], self._task_id)
        return [each for each in sampled if not self._same(each, found.get(each.vector_id))]

    def _same(self, row: comparing.Sampled, record: Mapping[str, Any] | None) -> bool:
        lasting = None if record is None else metadata.lasting_of(record)
        if record is None or lasting is None or self._hashes.metadata(lasting) != row.entry[32:]:
            return False
        text = metadata.whole_text(record)
        return text is None or self._hashes.text(text.encode()) == row.entry[16:32]
