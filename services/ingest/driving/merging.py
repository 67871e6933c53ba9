"""Merges what a run wrote into its manifest, once the run is over: by the next that has the turn, or in the rounds."""

import asyncio
import contextlib
import pathlib
from collections import Counter

import numpy as np
import structlog
from vectorline.v1 import ledger_pb2

from services.chunks import splitting
from services.chunks import store as queue_store
from services.ingest import ledger_client, manifest_client, threads
from services.ingest.manifest import comparison, header, merging, records, store, write_ahead
from services.ingest.planning import plan, scratch
from services.runtime import errors, failpoints

log = structlog.get_logger()

States = np.ndarray[tuple[int], np.dtype[np.uint8]]

# What cannot be merged in so many tries never will.
TRIES = 5


class Merger:
    """Merges runs; see `manifest.merging` for what becomes of each entry.

    Args:
        ledger: Knows what became of chunks.
        manifests: Knows which runs are pending.
        objects: Where manifests and comparisons lie.
        queue: So that of several processes one merges a run at a time: it saves work, no more.
        folder: For temporary files.
        work: Where it is done.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        objects: store.Store,
        *,
        queue: queue_store.Store,
        folder: pathlib.Path | None,
        work: threads.Pool,
    ) -> None:
        self._scratch = folder
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._leases = splitting.Splitting(queue)
        self._work = work
        self._tries: Counter[tuple[str, int]] = Counter()

    async def round(self) -> None:
        """Merge every run that is over; what does not go now is tried in the next round."""
        async for key in self._manifests.pending():
            found = await self._manifests.by_key(key)
            if not found.HasField("pending") or not found.pending.over:
                continue
            lease = await self._leases.acquire(f"merge-{key}")
            if lease is None:
                continue
            try:
                await self.merge(found)
            except (errors.Unavailable, ledger_client.LedgerUnavailable) as error:
                log.warning("A run is not merged yet.", action="merge_later", manifest=key, error=str(error))
            finally:
                await lease.release()

    async def merge(self, found: manifest_client.Manifest) -> None:
        """Merge a manifest's pending run, which is over, or make the manifest void where that cannot be done.

        Raises:
            errors.Unavailable: Not now: S3 does not answer, or it failed and will be tried again.
            ledger_client.LedgerUnavailable: Not now.
        """
        case = (found.key, found.version)
        try:
            await self._merge(found)
        except (errors.Unavailable, ledger_client.LedgerUnavailable):
            raise
        except Exception as error:  # whatever it is: it must not keep the namespace for ever
            self._tries[case] += 1
            log.warning("A run cannot be merged.", action="merge_failed", manifest=found.key, exc_info=True)
            if self._tries[case] < TRIES:
                raise errors.Unavailable(f"What the task before wrote cannot be merged now: {error}") from error
            await self._manifests.void(found, f"a run cannot be merged: {error}")
        self._tries.pop(case, None)

    async def _merge(self, found: manifest_client.Manifest) -> None:
        pending = found.pending
        made = await asyncio.to_thread(loaded, self._objects, pending.uri, pending.checksum)
        outcome, lsn = await self._outcome(made, found)
        old = await asyncio.to_thread(header_of, self._objects, found)
        failpoints.hit("ingest.mid_merge")
        version = found.version + 1
        folder = store.new_version(folder_of(found), version)
        named = merging.Named(version, folder, found.model, found.dimension, await self._host(found))
        merged = await self._merged(found, old, made, outcome, named)
        data, uri = merged.to_json(), f"{folder}header"
        await asyncio.to_thread(self._objects.put, uri, data)
        failpoints.hit("ingest.before_commit")
        committed = await self._manifests.commit(found, merged, uri, store.checksum_of(data), lsn)
        failpoints.hit("ingest.after_commit")
        log.info(
            "A run was merged, unless another process was faster.",
            action="merged",
            manifest=found.key,
            known=merged.known,
            unknown=merged.unknown,
            committed=committed,
        )

    async def _merged(
        self,
        found: manifest_client.Manifest,
        old: header.Header | None,
        made: comparison.Comparison,
        outcome: merging.Outcome,
        named: merging.Named,
    ) -> header.Header:
        with contextlib.ExitStack() as stack:
            written = None
            if made.ahead:
                folder = stack.enter_context(scratch.folder(self._scratch))
                hashes = records.Hashes(found.hash_key)
                written = await self._work.run(write_ahead.Written, self._objects, hashes, made, folder)
            return await self._work.run(merging.merge, self._objects, old, made, outcome, named, written=written)

    async def _host(self, found: manifest_client.Manifest) -> str:
        _, host = await self._manifests.count(found.namespace)
        return host

    async def _outcome(
        self, made: comparison.Comparison, found: manifest_client.Manifest
    ) -> tuple[merging.Outcome, int]:
        """What became of the chunks, by what the ledger says now; and a place in the log that writes have reached."""
        lsn = 0
        chunks = np.full(len(made.chunks), merging.LEFT, dtype=np.uint8)
        rejecting = False
        for first in range(0, len(chunks), plan.SHARD_CHUNKS):
            shard = await self._ledger.shard(made.task_id, first // plan.SHARD_CHUNKS)
            if not shard.exists:
                continue
            lsn = max(lsn, shard.lsn)
            if shard.opened >= made.fence:
                chunks[first : first + plan.SHARD_CHUNKS] = merging.UNSURE
            unread = set(shard.unread_chunks)
            for chunk, fence in zip(shard.settled_chunks, shard.fences, strict=True):
                # Behind those of its rows come chunks that delete.
                if chunk < len(chunks) and fence >= made.fence and chunk not in unread:
                    chunks[chunk] = merging.SETTLED
            rejecting = rejecting or bool(shard.rejecting_chunks)
        rejected = await self._rejected(made.task_id) if rejecting else np.empty(0, np.uint64)
        deletes, reached = await self._deletes(made)
        # What the run was told counts, also where that is less: a log that began anew goes on from there.
        lsn = 0 if reached is None else max(lsn, reached) or found.lsn
        return merging.Outcome(chunks, rejected, deletes), lsn

    async def _deletes(self, made: comparison.Comparison) -> tuple[States, int | None]:
        """What became of its deletes (empty: none of them has begun), and where in the log; None: that began anew."""
        nothing = np.empty(0, dtype=np.uint8)
        if made.gone is None:
            return nothing, 0
        record = await self._ledger.get(made.task_id)
        begun = record.removal
        if not record.HasField("removal") or begun.comparison != made.name:
            return nothing, 0
        states, lsn = await self._states(made, begun)
        if begun.drop:  # one chunk, which was about all of them
            return np.full(made.gone.deletes, states[0], dtype=np.uint8), None
        return states, lsn

    async def _states(self, made: comparison.Comparison, begun: ledger_pb2.Removal) -> tuple[States, int]:
        """SETTLED or UNSURE, of each chunk that deletes; and a place in the log that they have reached."""
        lsn = 0
        deletes = np.full(begun.chunks, merging.UNSURE, dtype=np.uint8)
        last = begun.first_chunk + begun.chunks - 1
        for number in range(begun.first_chunk // plan.SHARD_CHUNKS, last // plan.SHARD_CHUNKS + 1):
            shard = await self._ledger.shard(made.task_id, number)
            lsn = max(lsn, shard.lsn)
            for chunk, fence in zip(shard.settled_chunks, shard.fences, strict=True):
                if fence >= made.fence and begun.first_chunk <= chunk <= last:
                    deletes[chunk - begun.first_chunk] = merging.SETTLED
        return deletes, lsn

    async def _rejected(self, task_id: str) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
        rows: list[int] = []
        async for part in self._ledger.rejects_of(task_id):
            rows += [reject.row_number for reject in part.rejects]
        return np.array(sorted(rows), dtype=np.uint64)


def folder_of(found: manifest_client.Manifest) -> str:
    """Where the versions of a manifest lie."""
    return store.folder_of(found.index, found.namespace, found.question_id)


def loaded(objects: store.Store, uri: str, checksum: str) -> comparison.Comparison:
    """A comparison; raises store.Broken."""
    return comparison.Comparison.from_bytes(objects.get(uri), checksum)


def header_of(objects: store.Store, found: manifest_client.Manifest) -> header.Header | None:
    """A manifest's header; None: it has none. Raises store.Broken."""
    return header.Header.from_json(objects.get(found.uri), found.checksum) if found.uri else None
