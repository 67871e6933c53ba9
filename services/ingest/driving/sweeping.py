"""Removes objects of manifests that nothing names any more, a day after they were written, in all their versions.

A merge that lost its race, a version that was followed by another, what travelled in a run that is merged: they are
left behind by whoever made them, since a process may die at any moment. What a name may still be about to point at is
younger than a day. Whatever cannot be decided stays.
"""

import asyncio
import datetime
from collections.abc import Callable, Collection, Iterable
from typing import Final, NoReturn

import structlog

from services.chunks import errors as queue_errors
from services.chunks import splitting
from services.chunks import store as queue_store
from services.ingest import failures, ledger_client, manifest_client
from services.ingest.driving import merging
from services.ingest.manifest import header, store
from services.runtime import errors

log = structlog.get_logger()

SWEEP_SECONDS: Final = 3_600.0
AGE: Final = datetime.timedelta(days=1)
# Of a comparison that a task still names: what only its merge has read.
_MERGED: Final = ("sent-", "missing-")
_NOT_NOW: Final = (
    errors.Unavailable,
    ledger_client.LedgerUnavailable,
    ledger_client.LedgerDefect,
    queue_errors.QueueUnavailable,
)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Sweeper:
    """Sweeps the folders of manifests.

    Args:
        ledger: Knows which tasks are over.
        manifests: Knows what is named.
        objects: The bucket.
        queue: So that of several processes one sweeps a folder at a time.
        now: The clock.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        objects: store.Store,
        *,
        queue: queue_store.Store,
        now: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._leases = splitting.Splitting(queue)
        self._now = now

    async def run(self) -> NoReturn:
        """Sweep once an hour for ever, first after an hour."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.round()

    async def round(self) -> None:
        """Sweep every folder; what cannot be swept now is swept the next time."""
        try:
            for place in await asyncio.to_thread(self._objects.places):
                await self._leased(place)
        except _NOT_NOW as error:
            log.warning("Objects of manifests are not swept now.", action="sweep_later", error=str(error))
        except failures.StoreFailure as refused:
            log.warning("Objects of manifests cannot be swept.", action="sweep_refused", error=refused.message)

    async def _leased(self, place: store.Place) -> None:
        lease = await self._leases.acquire(f"sweep-{place.folder}")
        if lease is None:
            return
        try:
            await self._sweep(place)
        finally:
            await lease.release()

    async def _sweep(self, place: store.Place) -> None:
        found = await self._manifests.about(place.namespace, place.question_id)
        if not found.key or found.index != place.index:
            return
        try:
            made = await asyncio.to_thread(merging.header_of, self._objects, found)
        except store.Broken:
            return  # whoever reads it next makes it void
        named = _named(found.uri, made)
        every = await asyncio.to_thread(self._objects.versions, place.folder)
        old = [each for each in every if each.modified < self._now() - AGE and each.name not in named]
        gone: list[store.Stored] = []
        for name in sorted({each.name.removeprefix(place.folder).partition("/")[0] for each in old}):
            inside = [each for each in old if each.name.startswith(f"{place.folder}{name}/")]
            gone += inside if store.version_of(name) else await self._of_comparison(name, inside)
        if gone:
            await asyncio.to_thread(self._objects.remove, gone)
            log.info("Objects that nothing names were removed.", action="swept", manifest=found.key, objects=len(gone))

    async def _of_comparison(self, name: str, inside: Collection[store.Stored]) -> Iterable[store.Stored]:
        """What of a comparison's folder may go."""
        task_id = store.task_of(name)
        if not task_id:
            return ()
        try:
            over = (await self._ledger.get(task_id)).status in ledger_client.TERMINAL
            now = await self._manifests.of_task(task_id)
        except ledger_client.LedgerRefused:  # no such task
            return inside
        if now.HasField("pending") and f"/{name}/" in now.pending.uri:
            return ()
        if not now.HasField("comparison") or f"/{name}/" not in now.comparison.uri:
            return inside
        return [each for each in inside if over and each.name.rpartition("/")[2].startswith(_MERGED)]


def _named(uri: str, made: header.Header | None) -> frozenset[str]:
    """What a manifest is made of."""
    parts = [part for layer in made.layers for part in layer] if made is not None else []
    return frozenset({uri, *(part.entries for part in parts), *(part.ids for part in parts)})
