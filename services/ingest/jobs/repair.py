"""What a verify found missing or different is bought again: it becomes unknown, and its load is done once more.

The load compares its rows with the manifest, so that all others are skipped. It comes after the verify, whose change
of the manifest it merges, as any task does.
"""

import asyncio
import pathlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from vectorline.v1 import ingest_pb2

from services.ingest import failures, ledger_client, manifest_client, threads
from services.ingest.contract import rules
from services.ingest.driving import lease_watch, merging
from services.ingest.jobs import findings
from services.ingest.manifest import comparison, parts, records, runs, spool
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
        if not manifest.HasField("pending"):
            if manifest.version != found["version"]:
                raise _changed()
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
        made = telling(record.task_id, stand.fence, manifest.version, folder, told)
        await keep(self._manifests, self._objects, made)
        failpoints.hit("ingest.before_mark")
        if not await self._manifests.mark(record.task_id, stand.fence):
            raise _changed()
        failpoints.hit("ingest.after_mark")

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


def telling(task_id: str, fence: int, version: int, folder: str, told: tuple[parts.Part, ...]) -> comparison.Comparison:
    """A comparison of no rows, which tells of entries."""
    return comparison.Comparison(
        task_id=task_id,
        fence=fence,
        version=version,
        contract=rules.version(),
        folder=folder,
        counts=comparison.Counts(),
        flags=np.zeros(0, dtype=np.uint8),
        chunks=np.zeros(0, dtype=comparison.CHUNK),
        told=told,
        told_rows=sum(part.rows for part in told),
    )


async def keep(manifests: manifest_client.Manifests, objects: objects_store.Store, made: comparison.Comparison) -> None:
    """Store a comparison, once a turn: one that was stored in it before counts."""
    data = made.to_bytes()
    await asyncio.to_thread(objects.put, made.name, data)
    failpoints.hit("ingest.before_keep")
    await manifests.keep(made, objects_store.checksum_of(data), None)


def _changed() -> failures.Failure:
    return failures.Failure(
        "MANIFEST_CHANGED", "Another task loaded this question since it was looked at; verify it anew."
    )
