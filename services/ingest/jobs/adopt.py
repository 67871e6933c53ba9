"""An index that others filled, or whose ledger was lost, becomes a manifest: the next load of its file skips that.

It errs towards buying again. A record is known only where its metadata hold all of its text; that its vector is the
text's, a sample shows that is bought again. The hash of its metadata is of the bytes that the split would send for a
row with just these: a row that would send others is bought.
"""

import asyncio
import dataclasses
import datetime
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import structlog
from vectorline.v1 import task_pb2

from services.chunks import splitting
from services.ingest import failures, ledger_client, manifest_client
from services.ingest.contract import metadata
from services.ingest.driving import lease_watch, merging
from services.ingest.jobs import findings, folder, looking, sampling, telling, tools
from services.ingest.manifest import parts, records, runs, spool
from services.ingest.manifest import store as objects_store
from services.ingest.planning import scratch
from services.runtime import failpoints

log = structlog.get_logger()

# Nothing may have been written for so long.
QUIET: Final = datetime.timedelta(hours=1)
TELL_SECONDS: Final = 2.0
# Entries that are looked at between two looks at the driver's standing.
STEP: Final = 1_000


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Adopt:
    """The kind `adopt`.

    Args:
        made_of: What it works with.
        now: The time in UTC.
    """

    def __init__(self, made_of: tools.Tools, now: Callable[[], datetime.datetime] = _now) -> None:
        self._tools = made_of
        self._now = now

    async def drive(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """See `kinds.Kind`."""
        if record.status != ledger_client.SPLITTING:
            record = await self._look(record, stand)
            if ledger_client.over(record):
                return True
        made_of = self._tools
        found = await folder.fields_of(made_of.objects, record.plan_uri)
        telling.marked(await made_of.manifests.of_task(record.task_id), record.task_id, found["version"])
        if not await made_of.buying.done(record, found["chunks"], lease, stand):
            return False
        result = task_pb2.TaskResult(**found["result"])
        unlike = [each async for each in made_of.buying.differing(record, found["chunks"])]
        result.sampled = sum(rows for _, _, rows in found["chunks"]) - len(unlike)
        _check_sample(unlike, result.sampled)
        await made_of.manifests.claim(record.task_id, stand.fence)
        manifest = await made_of.manifests.of_task(record.task_id)
        if not telling.marked(manifest, record.task_id, found["version"]):
            told = tuple(map(parts.Part.from_json, found["told"]))
            name = objects_store.new_comparison(merging.folder_of(manifest), record.task_id, stand.fence)
            made = telling.comparison_of(record.task_id, stand.fence, manifest.version, name, told)
            await telling.keep_and_mark(made_of.manifests, made_of.objects, made, stand.fence)
        failpoints.hit("ingest.before_seal")
        await made_of.ledger.seal_job(record.task_id, len(found["chunks"]), found["rows"], result)
        return True

    def found(self, record: ledger_client.Record) -> AsyncIterator[findings.Finding]:
        """See `kinds.Kind`."""
        return self._tools.found(record)

    async def _look(self, record: ledger_client.Record, stand: lease_watch.Standing) -> ledger_client.Record:
        """Read the whole of the question's records; what is found is stored before the ledger hears of it."""
        made_of = self._tools
        await made_of.ledger.begin_scan(record.task_id, None)
        manifest = await self._unknown(record, stand)
        await self._check_line_quiet(record)
        count, _ = await made_of.manifests.count(manifest.namespace)
        with scratch.folder(made_of.scratch) as temporary:
            hashes = records.Hashes(manifest.hash_key)
            index, listed = await stand.during(made_of.listed(manifest, record.task_id, hashes, temporary, stand))
            if not listed:
                raise failures.Failure(
                    "NOTHING_THERE",
                    f"The index lists no id that begins with {manifest.question_id}. in namespace "
                    f"{manifest.namespace!r}: look at both, and at PINECONE_INDEX_NAME.",
                )
            look = _Look(made_of, record, manifest, listed, hashes, stand.fence)
            await stand.during(look.all(index, stand))
        now, _ = await made_of.manifests.count(manifest.namespace)
        if now != count:
            raise written_lately(f"its vectors went from {count:,} to {now:,} while they were read")
        if look.newest > self._now() - QUIET:
            raise written_lately(f"a record says that it was processed at {look.newest:%Y-%m-%d %H:%M} UTC")
        plan_uri = await look.finish(manifest.version)
        log.info("The index was read.", action="adopting", known=look.known, unknown=look.unknown)
        failpoints.hit("ingest.before_end_scan")
        return await made_of.ledger.end_look(
            record.task_id,
            plan_uri,
            indexed=look.known - look.sample.rows,
            failed=look.found.counts,
            rows=look.sample.rows,
            chunks=look.chunks,
        )

    async def _unknown(self, record: ledger_client.Record, stand: lease_watch.Standing) -> manifest_client.Manifest:
        """The manifest's item, once nothing is known by it."""
        manifest = await self._tools.believed.item(record.task_id, stand)
        if manifest.known:
            raise failures.Failure(
                "ALREADY_KNOWN",
                f"{manifest.known:,} records of this question are known already; verify says whether they still are as "
                "they were written.",
            )
        if manifest.uri:
            await self._tools.manifests.void(manifest, "the index is adopted")
            manifest = await self._tools.believed.item(record.task_id, stand)
        return manifest

    async def _check_line_quiet(self, record: ledger_client.Record) -> None:
        """This line itself wrote nothing of the question for an hour."""
        if not record.after_task_id:
            return
        try:
            before = await self._tools.ledger.get(record.after_task_id)
        except ledger_client.LedgerRefused:
            return
        if before.HasField("stopped_at") and self._now() - before.stopped_at.ToDatetime(datetime.UTC) < QUIET:
            raise written_lately(f"task {before.task_id} ended at {before.stopped_at.ToJsonString()}")


class _Look:
    """One look at the index: what is known, what is not, and what is sent."""

    def __init__(  # noqa: PLR0917 (one line a thing)
        self,
        made_of: tools.Tools,
        record: ledger_client.Record,
        manifest: manifest_client.Manifest,
        listed: int,
        hashes: records.Hashes,
        fence: int,
    ) -> None:
        self._tools = made_of
        self._task_id = record.task_id
        self._listed = listed
        self._hashes = hashes
        self._wanted = record.job.adopt.sample
        self._at = looking.Looking(made_of.manifests, manifest.namespace, hashes, record.task_id)
        self._folder = folder.Folder(made_of.objects, record.task_id)
        name = objects_store.new_comparison(merging.folder_of(manifest), record.task_id, fence)
        self._told = parts.Writer(made_of.objects, f"{name}told-")
        self.found = findings.Findings(self._folder)
        self.sample = sampling.Sample(self._folder, record.request.namespace)
        self.newest = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        self.known = self.unknown = self.chunks = 0
        # Drawn from all known records alike: id and entry.
        self._drawn: list[tuple[str, bytes]] = []
        self._told_at = time.monotonic()

    async def all(self, index: spool.Spool, stand: lease_watch.Standing) -> None:
        """Read every record, then those of the sample once more."""
        async for block in self._tools.work.iterate(index.sorted()):
            for start in range(0, len(block), STEP):
                stand.check()
                await self._take(block.part(start, start + STEP))
        if not self.known:
            raise failures.Failure(
                "NOTHING_TO_ADOPT",
                f"Of none of the {self._listed:,} records do the metadata hold all of the text, so nothing can be "
                "known of them: load the file.",
            )
        again = await self._at.again(self._drawn)
        if changed := [each for each in again if each.finding is not None]:
            raise written_lately(f"{len(changed)} of {len(again)} records changed while they were read")
        for each in again:
            assert each.text is not None  # or it would not be known
            await asyncio.to_thread(self.sample.add, each.vector_id, each.text)

    async def _take(self, block: runs.Block) -> None:
        ids = [each.decode() for each in block.ids]
        found = await self._at.fetched(ids)
        entries, unsure = await self._tools.work.run(self._entries, ids, found)
        await asyncio.to_thread(self._told.add, runs.Block(entries, block.ids))
        told = [findings.Finding(name, findings.TEXT_UNKNOWN, findings.WORDS[findings.TEXT_UNKNOWN]) for name in unsure]
        await asyncio.to_thread(self.found.add, told)
        self.unknown += len(unsure)
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            await self._tools.ledger.note_scan(self._task_id, self.known, self._listed)

    def _entries(self, ids: Sequence[str], found: Mapping[str, Mapping[str, Any]]) -> tuple[records.Entries, list[str]]:
        """What each id's entry is, and of which nothing can be known. Blocking."""
        entries = np.zeros(len(ids), dtype=records.SENT)
        bare = spool.unknown(self._hashes, [name.encode() for name in ids])
        for name in records.ENTRY.names or ():
            entries[name] = bare[name]
        unsure = []
        for place, name in enumerate(ids):
            record = found.get(name, {})
            text, lasting = metadata.whole_text(record), metadata.lasting_of(record)
            self.newest = max(self.newest, _moment(record.get("processed_at")))
            if text is None or lasting is None:
                unsure.append(name)
                continue
            entry = self._hashes.entry(name.encode(), text.encode(), lasting)
            filled = np.frombuffer(entry, dtype=records.ENTRY)[0]
            entries["text"][place], entries["metadata"][place] = filled["text"], filled["metadata"]
            self._draw(name, entry)
        return entries, unsure

    def _draw(self, name: str, entry: bytes) -> None:
        """Keep a record for the sample, or not: each of those so far is as likely to be in it."""
        self.known += 1
        if len(self._drawn) < self._wanted:
            self._drawn.append((name, entry))
        elif (place := random.randrange(self.known)) < self._wanted:  # noqa: S311 (a sample, no secret)
            self._drawn[place] = name, entry

    async def finish(self, version: int) -> str:
        """Store all that was found; the name of it."""
        named, chunks, told = await asyncio.to_thread(
            lambda: (self.found.finish(), self.sample.finish(), self._told.finish())
        )
        self.chunks = len(chunks)
        counts = {
            "listed": self._listed,
            "known": self.known,
            "unknown": self.unknown,
            "fetched": self.known + self.unknown,
        }
        return await self._folder.finish(
            {
                "version": version,
                "findings": named,
                "chunks": chunks,
                "told": [dataclasses.asdict(part) for part in told],
                "result": counts,
                "rows": self.known + self.unknown,
            }
        )


def _moment(processed_at: object) -> datetime.datetime:
    """When a record says that it was processed; long ago where it does not say."""
    nothing = datetime.datetime.min.replace(tzinfo=datetime.UTC)
    if not isinstance(processed_at, str):
        return nothing
    try:
        found = datetime.datetime.fromisoformat(processed_at)
    except ValueError:
        return nothing
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


def _check_sample(unlike: Sequence[findings.Finding], sampled: int) -> None:
    differing = [each for each in unlike if each.reason == findings.DIFFERING]
    if differing:
        raise failures.Failure(
            "ADOPT_DISAGREES",
            f"{len(differing)} of {sampled + len(differing)} vectors are not those of their texts, the first "
            f"{differing[0].vector_id}: {differing[0].message} Another model filled the index, or other texts than "
            "its metadata hold; load the file.",
        )
    if not sampled:
        raise failures.Failure(
            "ADOPT_UNPROVEN",
            "None of the sample's vectors could be bought, so nothing shows that the index holds what its metadata "
            "say: look at the rejects, and ask for a larger sample.",
        )


def written_lately(why: str) -> failures.Failure:
    """The failure of an adoption beside which somebody writes."""
    return failures.Failure(
        "WRITTEN_LATELY",
        f"The namespace was written to within the last hour: {why}. Stop what writes there, and adopt it an hour "
        "later.",
    )
