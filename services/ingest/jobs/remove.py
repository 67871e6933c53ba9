"""A question, or a load, is taken back: what the namespace has of it is deleted, and nothing of it is known any more.

All entries of the manifest go, also those of which nobody knows what they hold; where the manifest does not account for
every vector of the namespace, what the index lists of the question goes as well, as in a mirror. Of one load only what
is known goes: what is unknown may be what another one wrote.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Final

import numpy as np
import structlog
from vectorline.v1 import task_pb2

from services.chunks import splitting
from services.ingest import failures, ledger_client, manifest_client
from services.ingest.driving import comparisons, lease_watch, merging, removing, trust
from services.ingest.jobs import believing, findings, telling, tools
from services.ingest.manifest import comparison, header, leaving, records, standing
from services.ingest.manifest import store as objects_store
from services.ingest.planning import scratch
from services.runtime import failpoints

log = structlog.get_logger()

SUPERSEDED: Final = (
    "A later task over this question and namespace had its turn since, so what is there may be its own. Remove the "
    "question, or load the right file."
)
SHARED: Final = (
    "What is known of this question in this namespace does not come from this load alone, so which vectors it wrote is "
    "not known. Remove the question, or mirror the right file."
)


class Remove:
    """The kind `remove`.

    Args:
        made_of: What it works with.
        remover: Deletes.
    """

    def __init__(self, made_of: tools.Tools, remover: removing.Remover) -> None:
        self._tools = made_of
        self._remover = remover

    async def drive(
        self, record: ledger_client.Record, _lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """See `kinds.Kind`."""
        if record.overtaken:
            raise telling.changed()
        ledger = self._tools.ledger
        looking = record.status != ledger_client.SPLITTING
        if looking:
            record = await ledger.begin_scan(record.task_id, None)
        made = await self._compared(record, stand)
        if looking:
            failpoints.hit("ingest.before_end_scan")
            record = await ledger.end_look(record.task_id, made.name, indexed=0, failed={}, rows=0, chunks=0)
            if ledger_client.over(record):
                return True
        gone = made.gone
        assert gone is not None
        removed, result = removing.Removed(0), task_pb2.TaskResult()
        if gone.rows:
            await telling.mark(self._tools.manifests, record.task_id, stand.fence)
            removed = await self._remover.take_back(record, made, gone, stand)
            result.namespace_dropped = not removed.why_by_ids
            if removed.why_by_ids:
                result.why_not_dropped = removed.why_by_ids
        failpoints.hit("ingest.before_seal")
        await ledger.seal_job(record.task_id, removed.chunks, 0, result)
        return True

    async def found(self, _record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """See `kinds.Kind`; the ids that go are told as those of a mirror."""
        nothing: tuple[findings.Finding, ...] = ()
        for each in nothing:
            yield each

    async def _compared(self, record: ledger_client.Record, stand: lease_watch.Standing) -> comparison.Comparison:
        """What goes, as the task keeps to it; gathered once."""
        made_of = self._tools
        for _ in range(believing.TRIES):
            manifest = await made_of.believed.item(record.task_id, stand)
            if manifest.HasField("comparison"):
                if not comparisons.stands(manifest):
                    raise telling.changed()
                return await self._kept(manifest)
            try:
                made = await self._gathered(record, manifest, stand)
            except (trust.Distrusted, objects_store.Broken) as why:
                if record.job.remove.task_id:
                    raise believing.distrusted(str(why)) from why
                past = why.past if isinstance(why, trust.Distrusted) else 0
                await made_of.manifests.void(manifest, str(why), past=past)
                continue
            # The first one that was kept counts: it is read back.
            await telling.keep(made_of.manifests, made_of.objects, made)
        raise lease_watch.Stopped("the manifest changes all the time")

    async def _kept(self, manifest: manifest_client.Manifest) -> comparison.Comparison:
        kept = manifest.comparison
        try:
            return await asyncio.to_thread(merging.loaded, self._tools.objects, kept.uri, kept.checksum)
        except objects_store.Broken as gone:
            raise failures.StoreFailure(
                "PLAN_EXPIRED", "The list of what is to be removed is no longer in the bucket; ask for it anew."
            ) from gone

    async def _gathered(
        self, record: ledger_client.Record, manifest: manifest_client.Manifest, stand: lease_watch.Standing
    ) -> comparison.Comparison:
        """List what goes."""
        made_of, only = self._tools, record.job.remove.task_id
        if only:
            old: header.Header | None = await self._of_load(record, stand)
            listing = False
        else:
            old = await trust.read(made_of.manifests, made_of.objects, manifest)
            if old is not None:
                await stand.during(trust.placed(made_of.manifests, manifest, old, record.task_id))
            counted = trust.counted(made_of.manifests, manifest, believed=old is not None, mirrors=True)
            listing = (await stand.during(counted)).listing
        name = objects_store.new_comparison(merging.folder_of(manifest), record.task_id, stand.fence)
        with scratch.folder(made_of.scratch) as temporary:
            listed = None
            if listing:
                listed = standing.Listed(temporary, records.Hashes(manifest.hash_key))
                async for ids in made_of.manifests.ids(manifest.namespace, f"{manifest.question_id}.", record.task_id):
                    stand.check()
                    await made_of.work.run(listed.add, ids)
            gone = await stand.during(made_of.work.run(self._gone, old, listed, name, stand, known_only=bool(only)))
        log.info("What goes was gathered.", action="gathered", rows=gone.rows, listed=listing)
        made = telling.comparison_of(record.task_id, stand.fence, manifest.version, name, ())
        return dataclasses.replace(made, gone=gone)

    async def _of_load(self, record: ledger_client.Record, stand: lease_watch.Standing) -> header.Header:
        """The manifest that a load alone has made."""
        load = record.job.remove.task_id
        if record.after_task_id != load:
            raise failures.Failure("SUPERSEDED", SUPERSEDED)
        _, made = await self._tools.believed.of(record.task_id, stand)
        if not alone(made, load):
            raise failures.Failure("REMOVE_SHARED", SHARED)
        return made

    def _gone(
        self,
        old: header.Header | None,
        listed: standing.Listed | None,
        name: str,
        stand: lease_watch.Standing,
        *,
        known_only: bool,
    ) -> comparison.Gone:
        going, there = leaving.Leaving(self._tools.objects, name), 0
        entries = old.entries(self._tools.objects, ids=True) if old is not None else ()
        for block in standing.of(entries, listed, None, strangers=True):
            stand.check()
            known = records.standing(block.entries) == records.KNOWN
            there += int(np.count_nonzero(known if listed is None else block.entries["listed"]))
            going.take(block, known if known_only else np.ones(len(block), dtype=bool))
        return dataclasses.replace(going.finish(unreadable_rows=0, file_rows=0), there=there)


def alone(made: header.Header, load: str) -> bool:
    """Whether all that a manifest knows comes from one load."""
    return set(made.tasks) == {load}
