"""What is known of a question, held against the index: which ids it has, records as fetched, vectors bought again."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray
from vectorline.v1 import job_pb2, task_pb2

from services.chunks import splitting
from services.ingest import ledger_client
from services.ingest.driving import lease_watch
from services.ingest.jobs import believing, findings, folder, listed, looking, repair, sampling, telling, tools
from services.ingest.manifest import header, records
from services.ingest.manifest import store as objects_store
from services.ingest.planning import scratch
from services.runtime import failpoints

log = structlog.get_logger()

TELL_SECONDS: Final = 2.0
# The index lists and fetches what was written some seconds late: so many records that seem to be wrong are looked at
# once more, after so long.
AGAIN_SECONDS: Final = 5.0
MOST_AGAIN: Final = 10_000
# Records that are fetched between two words about the progress.
STEP: Final = 1_000

Counts = dict[str, int]


class Verify:
    """The kind `verify`.

    Args:
        made_of: What it works with.
        repairs: Has what it found bought again.
    """

    def __init__(self, made_of: tools.Tools, repairs: repair.Repair) -> None:
        self._tools = made_of
        self._repair = repairs

    async def drive(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """See `kinds.Kind`."""
        if record.status != ledger_client.SPLITTING:
            record = await self._look(record, stand)
            if ledger_client.over(record):
                return True
        found = await folder.fields_of(self._tools.objects, record.plan_uri)
        if found["chunks"]:
            telling.marked(await self._tools.manifests.of_task(record.task_id), record.task_id, found["version"])
            if not await self._tools.buying.done(record, found["chunks"], lease, stand):
                return False
        result = task_pb2.TaskResult(**found["result"])
        unlike = [each async for each in self._tools.buying.differing(record, found["chunks"])]
        rows = sum(rows for _, _, rows in found["chunks"])
        differing = sum(each.reason == findings.DIFFERING for each in unlike)
        result.differing += differing
        result.sampled = rows - len(unlike) + differing
        if record.job.verify.repair and result.missing + result.differing:
            ids = (each.vector_id for each in unlike if each.reason == findings.DIFFERING)
            result.repair_task_id = await self._repair.begin(record, found, list(ids), stand)
        failpoints.hit("ingest.before_seal")
        await self._tools.ledger.seal_job(record.task_id, len(found["chunks"]), found["rows"], result)
        return True

    def found(self, record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """See `kinds.Kind`."""
        return self._tools.found(record)

    async def _look(self, record: ledger_client.Record, stand: lease_watch.Standing) -> ledger_client.Record:
        """Look at the whole index; what is found is stored before the ledger hears of it."""
        with_tools = self._tools
        await with_tools.ledger.begin_scan(record.task_id, None)
        manifest, made = await with_tools.believed.of(record.task_id, stand)
        await with_tools.ledger.note_scan(record.task_id, 0, made.known)
        with scratch.folder(with_tools.scratch) as temporary:
            hashes = records.Hashes(manifest.hash_key)
            at = looking.Looking(with_tools.manifests, manifest.namespace, hashes, record.task_id)
            look = _Look(with_tools, record, made.known, at)
            index, listed_count = await stand.during(
                with_tools.listed(manifest, record.task_id, hashes, temporary, stand)
            )
            try:
                await stand.during(look.all(self._sides(made, index), stand))
            except objects_store.Broken as error:
                raise believing.distrusted(str(error)) from error
            plan_uri, counts = await look.finish(listed_count, manifest.version)
        log.info("What is known was held against the index.", action="looked", **counts)
        failpoints.hit("ingest.before_end_scan")
        return await with_tools.ledger.end_look(
            record.task_id,
            plan_uri,
            indexed=look.fine,
            failed=look.found.counts,
            rows=look.sample.rows,
            chunks=look.chunks,
        )

    def _sides(self, made: header.Header, index: Any) -> Iterable[listed.Side]:
        return listed.side_by_side(made.entries(self._tools.objects, ids=True), index)


class _Look:
    """One look at the index: what is fine, what is not, and what is sent."""

    def __init__(self, made_of: tools.Tools, record: ledger_client.Record, known: int, at: looking.Looking) -> None:
        asked: job_pb2.VerifyRequest = record.job.verify
        self._tools = made_of
        self._task_id = record.task_id
        self._known = known
        self._at = at
        # Places among all that are known; None: all.
        self._fetched = _drawn(range(known), max(asked.fetch, asked.sample))
        of = range(known) if self._fetched is None else self._fetched.tolist()
        self._sampled = _drawn(of, asked.sample)
        self._folder = folder.Folder(made_of.objects, record.task_id)
        self.found = findings.Findings(self._folder)
        self.sample = sampling.Sample(self._folder, record.request.namespace)
        self.fine = self._unknown = self._looks = self.chunks = 0
        # Seem to be wrong, and are looked at again: id, entry, whether it is of the sample.
        self._doubted: list[tuple[str, bytes, bool]] = []
        self._told_at = time.monotonic()

    async def all(self, sides: Iterable[listed.Side], stand: lease_watch.Standing) -> None:
        """Look at everything, range by range; then again at what seemed to be wrong."""
        async for side in self._tools.work.iterate(iter(sides)):
            stand.check()
            await self._side(side)
        if self._doubted:
            await asyncio.sleep(AGAIN_SECONDS)
            again = await self._at.again([(vector_id, entry) for vector_id, entry, _ in self._doubted])
            for each, (_, _, sampled) in zip(again, self._doubted, strict=True):
                await self._take(each, sampled=sampled, again=True)

    async def _side(self, side: listed.Side) -> None:
        self._unknown += side.unknown
        await self._note(findings.STRANGE, side.strange)
        room = MOST_AGAIN - len(self._doubted)
        first, rest = side.missing.part(0, room), side.missing.part(room, len(side.missing))
        entries = [entry.tobytes() for entry in records.copied(first.entries)]
        self._doubted += [(name.decode(), entry, False) for name, entry in zip(first.ids, entries, strict=True)]
        await self._note(findings.MISSING, rest.ids)
        chosen = np.flatnonzero(_among(side.places, self._fetched))
        self.fine += len(side.present) - len(chosen)
        for start in range(0, len(chosen), STEP):
            step = chosen[start : start + STEP]
            looked = await self._at.at(side.present.only(step))
            self._looks += len(looked)
            sampled = _among(side.places[step], self._sampled)
            for each, sample in zip(looked, sampled.tolist(), strict=True):
                await self._take(each, sampled=sample)
            await self._tell()

    async def _note(self, reason: str, ids: Sequence[bytes]) -> None:
        found = [findings.Finding(each.decode(), reason, findings.WORDS[reason]) for each in ids]
        await asyncio.to_thread(self.found.add, found)

    async def _take(self, each: looking.Looked, *, sampled: bool, again: bool = False) -> None:
        if each.finding is not None:
            if not again and len(self._doubted) < MOST_AGAIN:
                self._doubted.append((each.vector_id, each.entry, sampled))
            else:
                await asyncio.to_thread(self.found.add, [each.finding])
        elif sampled and each.text is not None:
            await asyncio.to_thread(self.sample.add, each.vector_id, each.text)
        else:
            self.fine += 1

    async def _tell(self) -> None:
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            await self._tools.ledger.note_scan(self._task_id, self.fine, self._known)

    async def finish(self, listed_count: int, version: int) -> tuple[str, Counts]:
        """Store all that was found; the name of it, and its counts."""
        named, chunks = await asyncio.to_thread(lambda: (self.found.finish(), self.sample.finish()))
        self.chunks = len(chunks)
        counts = {
            "listed": listed_count,
            "known": self._known,
            "unknown": self._unknown,
            "missing": self.found.counts[findings.MISSING],
            "strange": self.found.counts[findings.STRANGE],
            "differing": self.found.counts[findings.DIFFERING],
            "fetched": self._looks,
        }
        rows = self.fine + self.found.counts.total() + self.sample.rows
        fields = {"version": version, "findings": named, "chunks": chunks, "result": counts, "rows": rows}
        return await self._folder.finish(fields), counts


def _drawn(places: Sequence[int], wanted: int) -> NDArray[np.int64] | None:
    """So many of some places, drawn from all alike, ascending; None: all of them."""
    if wanted >= len(places):
        return None
    return np.array(sorted(random.sample(places, wanted)), dtype=np.int64)


def _among(places: NDArray[np.int64], drawn: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Which of some places were drawn."""
    return np.ones(len(places), dtype=bool) if drawn is None else np.isin(places, drawn, assume_unique=True)
