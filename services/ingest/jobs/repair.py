"""What a verify found missing or different is bought again: it becomes unknown, and its load is done once more.

The load compares its rows with the manifest, so that all others are skipped. It comes after the verify, whose change
of the manifest it merges, as any task does.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, Final

from vectorline.v1 import ingest_pb2

from services.ingest import failures, ledger_client, manifest_client, threads
from services.ingest.driving import lease_watch, merging
from services.ingest.jobs import findings, telling
from services.ingest.manifest import parts, records, runs, spool
from services.ingest.manifest import store as objects_store
from services.ingest.planning import scratch
from services.runtime import failpoints

REPAIRED: Final = frozenset({findings.MISSING, findings.DIFFERING})


class Repair:
    """Repairs after verifies.

    Args:
        ledger: Stores loads.
        manifests: Where what is known is changed.
        objects: Where it lies.
        folder: For temporary files.
        work: Where it is written.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        objects: objects_store.Store,
        *,
        folder: pathlib.Path | None,
        work: threads.Pool,
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._scratch = folder
        self._work = work

    async def begin(
        self,
        record: ledger_client.Record,
        found: dict[str, Any],
        differing: Sequence[str],
        stand: lease_watch.Standing,
    ) -> str:
        """Let what was found be bought again; the id of the load that does it.

        Args:
            record: The verify.
            found: What it stored.
            differing: Ids whose vectors differ.
            stand: Its turn.

        Raises:
            failures.Failure: Its turn was another's meanwhile, or the load is gone.
        """
        manifest = await self._manifests.of_task(record.task_id)
        named = record.job.verify.repair_task_id
        load = await self._ledger.get(named or record.job.last_load)
        if not telling.marked(manifest, record.task_id, found["version"]):
            await self._doubt(record, manifest, found, differing, stand)
        failpoints.hit("ingest.before_repair")
        asked = ingest_pb2.ProcessRequest()
        asked.CopyFrom(load.request)
        asked.request_id, asked.mode = f"repair:{record.task_id}", "upsert"
        try:
            return (await self._ledger.repeat(record, load, asked, "" if named else load.task_id)).task_id
        except ledger_client.LedgerRefused as refused:
            raise failures.Failure("REPAIR_REFUSED", f"What was found cannot be loaded again: {refused}") from refused

    async def _doubt(
        self,
        record: ledger_client.Record,
        manifest: manifest_client.Manifest,
        found: dict[str, Any],
        differing: Sequence[str],
        stand: lease_watch.Standing,
    ) -> None:
        """Make what was found unknown: a run of no rows, marked like any other."""
        folder = objects_store.new_comparison(merging.folder_of(manifest), record.task_id, stand.fence)
        with scratch.folder(self._scratch) as temporary:
            told = await self._work.run(
                self._told, temporary, records.Hashes(manifest.hash_key), found, differing, folder
            )
        made = telling.comparison_of(record.task_id, stand.fence, manifest.version, folder, told)
        await telling.keep_and_mark(self._manifests, self._objects, made, stand.fence)

    def _told(
        self,
        temporary: pathlib.Path,
        hashes: records.Hashes,
        found: dict[str, Any],
        differing: Sequence[str],
        folder: str,
    ) -> tuple[parts.Part, ...]:
        spooled = spool.Spool(temporary, "told")
        for part in findings.read(self._objects, found["findings"]):
            ids = [each.vector_id.encode() for each in part if each.reason in REPAIRED]
            spooled.add(spool.unknown(hashes, ids), ids)
        ids = [each.encode() for each in differing]
        spooled.add(spool.unknown(hashes, ids), ids)
        return write_told(self._objects, folder, spooled.sorted(), records.KNOWN)


def write_told(objects: objects_store.Store, folder: str, blocks: Any, prior: int) -> tuple[parts.Part, ...]:
    """Write entries that are from now on as they stand; `prior`: what the manifest has of each. Blocking."""
    writer = parts.Writer(objects, f"{folder}told-")
    for block in blocks:
        entries = records.copied(block.entries, records.SENT)
        entries["prior"] = prior
        writer.add(runs.Block(entries, block.ids))
    return writer.finish()
