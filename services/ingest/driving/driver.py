"""Drives a task from wherever it stands: turn, scan, split, publish, seal.

There is one way to begin and to recover: whoever holds the task's splitting lease reads what is in flight and what is
settled, and publishes the rest. Everything may be repeated, and may die at any point.
"""

import contextlib
import dataclasses
import enum
import pathlib
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from services.chunks import entry, inflight, keys, publisher, splitting, store
from services.chunks import errors as queue_errors
from services.ingest import failures, ledger_client, sources, threads
from services.ingest.driving import (
    comparisons,
    defects,
    lease_watch,
    mirroring,
    outstanding,
    refusals,
    retrying,
    waiting,
)
from services.ingest.manifest import comparison
from services.ingest.planning import plan, scan, scratch, shelf
from services.ingest.request import options
from services.ingest.sources import named
from services.ingest.sources.metabase import export as metabase_export
from services.ingest.splitting import early, split, task_source
from services.runtime import errors, failpoints, stages
from services.runtime.tracing import spans

log = structlog.get_logger()

# Of a task that is recorded so many chunks are followed, evenly spread: a trace of 100,000 would show nothing.
TRACED_CHUNKS = 100
SCAN, SPLIT, PUBLISH = stages.Stage("scan"), stages.Stage("split"), stages.Stage("publish")


# Things that do not answer now: the task stays where it is, and is driven again.
WAITS = (
    failures.SourceUnavailable,
    ledger_client.LedgerUnavailable,
    queue_errors.QueueUnavailable,
    errors.Unavailable,
)


class End(enum.Enum):
    """How a drive ended."""

    DONE = "done"  # nothing is left to publish
    ELSEWHERE = "elsewhere"  # another process drives it
    WAITING = "waiting"  # another task holds its turn
    LATER = "later"  # something it needs does not answer
    UNSETTLED = "unsettled"  # what it does once all its rows are settled is still to come
    OVER = "over"  # terminal or blocked
    DEFECT = "defect"  # it failed inside; the next round tries it again


class Jobs(Protocol):
    """Drives tasks that are no loads."""

    async def drive(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> bool:
        """As far as one goes now; False: it waits for its chunks, and is to be driven again."""


class Driver:
    """Drives tasks; see the module's docstring."""

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        queue: store.Store,
        *,
        find: named.Sources,
        plans: shelf.Shelf,
        defaults: options.Defaults,
        scratch: pathlib.Path | None,
        compares: comparisons.Comparisons,
        mirrors: mirroring.Mirrors,
        asked: metabase_export.Questions,
        jobs: Jobs,
        work: threads.Pool | None = None,
    ) -> None:
        self._ledger = ledger
        self._publisher = publisher.Publisher(queue)
        self._splitting = splitting.Splitting(queue)
        self._inflight = inflight.InFlight(queue)
        self._sources = find
        self._plans = plans
        self._defaults = defaults
        self._scratch = scratch
        self._comparisons = compares
        self._mirrors = mirrors
        self._jobs = jobs
        self._questions = asked
        self._notes = waiting.Notes(ledger)
        self._refusals = refusals.Refusals()
        # Scans and splits take minutes of a thread each.
        self._work = work or threads.Pool()
        self._defects = defects.Defects(queue)
        # Tasks of which the drive at hand has scanned or published something.
        self._got_on: set[str] = set()

    async def drive(self, task_id: str) -> End:  # noqa: PLR0911 (one line a cause)
        """Drive a task as far as it goes now. Never raises but for a cancel."""
        lease: splitting.SplitLease | None = None
        with structlog.contextvars.bound_contextvars(task_id=task_id):
            try:
                lease = await self._splitting.acquire(task_id)
                return End.ELSEWHERE if lease is None else await self._advance(task_id, lease)
            except failures.Failure as failure:
                return await self._fail(task_id, failure)
            except WAITS as error:
                return await self._later(task_id, lease, str(error))
            except ledger_client.LedgerDefect as defect:
                return await self._refused(task_id, defect)
            except errors.ServiceError as refusal:  # a request that this version does not take any more
                return await self._fail(task_id, failures.Failure(refusal.reason, refusal.message))
            except (ledger_client.LedgerRefused, lease_watch.Stopped) as why:
                log.info("The task needs no driving here.", action="drive_over", why=str(why))
                return End.OVER
            except Exception:
                return await self._defect(task_id, lease)
            finally:
                self._got_on.discard(task_id)
                await _release(lease)

    async def _later(self, task_id: str, lease: splitting.SplitLease | None, why: str) -> End:
        """Say what does not answer, unless another drives the task by now: one that stood still knows no better."""
        log.warning(
            "Something that the task needs does not answer; it is driven again soon.", action="drive_later", error=why
        )
        if await _ours(lease):
            await self._notes.tell(task_id, why)
        return End.LATER

    async def _refused(self, task_id: str, defect: ledger_client.LedgerDefect) -> End:
        """Count what the ledger should never answer; after a while it ends the task by name."""
        log.warning("The ledger refuses a step.", action="ledger_refused", error=str(defect))
        failure = self._refusals.count(task_id, defect)
        return End.LATER if failure is None else await self._fail(task_id, failure)

    async def _defect(self, task_id: str, lease: splitting.SplitLease | None) -> End:
        """Count what nobody foresaw; the fifth time in a row it ends the task by name."""
        try:
            failure = await self._defects.count(task_id, lease, got_on=task_id in self._got_on)
        except queue_errors.QueueUnavailable:
            return End.DEFECT
        return End.DEFECT if failure is None else await self._fail(task_id, failure)

    async def _fail(self, task_id: str, failure: failures.Failure) -> End:
        log.warning("The task fails.", action="task_failed", reason=failure.reason, why=failure.message)
        try:
            await self._ledger.fail(task_id, failure.reason, failure.message)
        except (ledger_client.LedgerUnavailable, ledger_client.LedgerDefect):
            return End.LATER  # the next drive finds the same failure
        except ledger_client.LedgerRefused as why:
            log.info("The task needs no failing here.", action="drive_over", why=str(why))
        return End.OVER

    async def _advance(self, task_id: str, lease: splitting.SplitLease) -> End:
        record = await self._ledger.get(task_id)
        if ledger_client.over(record):
            return End.OVER
        self._notes.known(task_id, record.wait)
        fence = await self._ledger.acquire_turn(task_id)
        if not fence:
            return End.WAITING
        stand = lease_watch.Standing(self._ledger, lease, fence)
        async with stand.watched():
            if record.HasField("job"):
                return await self._done(task_id) if await self._jobs.drive(record, lease, stand) else End.LATER
            if record.status != ledger_client.SPLITTING:
                # First of all, or a merge that has to wait would have the source scanned again and again.
                await self._comparisons.merge_before(task_id, stand)
                with spans.under(record.traceparent, "scan"):
                    record = await self._scan(record, stand)
                if ledger_client.over(record):  # cancelled or blocked meanwhile: there may be no plan
                    return End.OVER
            return await self._split(record, lease, stand)

    async def _scan(self, record: ledger_client.Record, stand: lease_watch.Standing) -> ledger_client.Record:
        """Pin and scan the source; whole-file errors end the task here, before a cent is spent."""
        failpoints.hit("ingest.before_scan")
        chosen = options.Options.from_request(record.request, self._defaults)
        pinned = await self._pinned(record, chosen, stand)
        await self._ledger.begin_scan(record.task_id, pinned)
        await self._notes.tell(record.task_id, "")
        if record.parent_task_id:
            return await self._plan_retry(record, pinned, stand)
        with scratch.folder(self._scratch) as folder:
            source = self._sources.of_pin(pinned)
            seen = await self._comparisons.witness(task_source.context_of(record, pinned, chosen), folder)
            scanned = await SCAN.during(self._scanned(source, pinned, chosen, folder, stand, seen=seen))
            if chosen.data_source == "metabase":
                self._questions.check_rows(scanned.plan.rows_total)
            plan_uri = await self._plans.keep_plan(record.task_id, scanned)
            made = scanned.plan
            log.info("The source was scanned.", action="scanned", rows=made.rows_total, chunks=made.chunks_total)
            made = await self._compared(record, scanned.pinned, made, plan_uri, stand, seen=seen)
        failpoints.hit("ingest.before_end_scan")
        record = await self._ledger.end_scan(record, scanned.pinned, made, plan_uri)
        self._got_on.add(record.task_id)
        return record

    async def _compared(
        self,
        record: ledger_client.Record,
        pinned: sources.Pinned,
        made: plan.Plan,
        plan_uri: str,
        stand: lease_watch.Standing,
        *,
        seen: early.Early | None = None,
    ) -> plan.Plan:
        """Compare what was scanned with what is known to be in the index; the plan, with what is to be said of that."""
        scanned = ledger_client.Record()
        scanned.CopyFrom(record)
        scanned.source.CopyFrom(pinned.to_proto())
        scanned.plan_uri = plan_uri
        found = await self._comparisons.of(record.task_id, self._opened(scanned, made), stand, seen)
        return dataclasses.replace(made, warnings=(*made.warnings, *found.warnings))

    async def _scanned(
        self,
        source: sources.Source,
        pinned: sources.Pinned,
        chosen: options.Options,
        folder: pathlib.Path,
        stand: lease_watch.Standing,
        *,
        seen: early.Early | None,
    ) -> scan.Scan:
        scanning = stages.helping(scan.scan)
        return await self._work.run(scanning, source, pinned, chosen, folder, progress=stand.check, witness=seen)

    async def _plan_retry(
        self, record: ledger_client.Record, pinned: sources.Pinned, stand: lease_watch.Standing
    ) -> ledger_client.Record:
        """What is a scan for others: which of its parent's rejected rows the task takes."""
        try:
            parent = await self._ledger.get(record.parent_task_id)
        except ledger_client.LedgerRefused as gone:
            raise retrying.expired() from gone
        every = retrying.takes_all(record.request.request_id)
        if not parent.plan_uri:  # it ended before any row was looked at
            raise retrying.nothing(every=every)
        opened = self._opened(parent, await self._plans.plan(parent.plan_uri))
        rejects = self._ledger.rejects_of(parent.task_id)
        made = await stand.during(retrying.restricted(rejects, opened, every=every))
        plan_uri = await self._plans.keep_restricted(record.task_id, made, parent.plan_uri)
        log.info("A retry was planned.", action="scanned", rows=made.task_rows, chunks=made.task_chunks)
        made = await self._compared(record, pinned, made, plan_uri, stand)
        return await self._ledger.end_scan(record, pinned, made, plan_uri)

    def _opened(self, record: ledger_client.Record, made: plan.Plan) -> task_source.Opened:
        return task_source.opened(record, made, self._sources, self._plans, self._defaults)

    async def _pinned(
        self, record: ledger_client.Record, chosen: options.Options, stand: lease_watch.Standing
    ) -> sources.Pinned:
        """The source as the ledger has it, else pinned now. A question is staged first, and never asked again."""
        if record.source.uri:
            return sources.Pinned.from_proto(record.source)
        if chosen.data_source == "metabase":
            await self._ledger.begin_scan(record.task_id, None)
            await self._notes.tell(record.task_id, f"for Metabase's export of question {chosen.question_id}.")
            pinned = await stand.during(self._questions.stage(chosen, record.task_id, record.client))
            failpoints.hit("ingest.after_stage")
            return pinned
        return await self._work.run(self._sources.of_request(chosen).pin)

    async def _split(
        self, record: ledger_client.Record, lease: splitting.SplitLease, stand: lease_watch.Standing
    ) -> End:
        """Publish every chunk that is neither settled nor in flight, of which anything travels; then seal."""
        made = await self._plans.plan(record.plan_uri)
        opened = self._opened(record, made)
        found = await self._comparisons.of(record.task_id, opened, stand)
        known = found.made
        missing = (await outstanding.of(self._inflight, self._ledger, record.task_id, made.task_chunks)).missing
        if found.ahead is not None:
            opened = opened.hashed(found.ahead.hashes)
        elif known is not None:
            opened = opened.compared(known.unchanged, replaced_known=known.knows)
            missing = await self._comparisons.settle_quiet(known, stand.fence, missing)
            if known.changes:
                await self._comparisons.mark(known, stand.fence)
        if missing:
            chunks = SPLIT.each(opened.chunks(missing))
            if found.ahead is not None:
                chunks = found.ahead.ahead(chunks)
            traced = spans.stride(made.task_chunks, TRACED_CHUNKS)
            await self._publish_all(record, chunks, known, lease, stand, traced=traced)
            log.info("The chunks that a task lacked were published.", action="published", chunks=len(missing))
        return await self._end(record, opened, known, stand)

    async def _publish_all(
        self,
        record: ledger_client.Record,
        chunks: Iterator[split.Chunk],
        known: comparison.Comparison | None,
        lease: splitting.SplitLease,
        stand: lease_watch.Standing,
        *,
        traced: Callable[[int], bool],
    ) -> None:
        """Publish chunks; those that were written down begin the run, which is marked before a row of it travels."""
        shard, marked = -1, False
        async with contextlib.aclosing(self._work.iterate(chunks)) as ready:
            async for chunk in ready:
                if known is not None and not marked and chunk.sent and chunk.sent.ids:
                    await self._comparisons.mark(known, stand.fence)
                    marked = True
                if chunk.number // plan.SHARD_CHUNKS != shard:
                    shard = chunk.number // plan.SHARD_CHUNKS
                    await self._ledger.open_shard(record.task_id, shard, stand.fence)
                parent = record.traceparent if traced(chunk.number) else ""
                with spans.under(parent, "publish", spans.Kind.PRODUCER) as span:
                    span.set("chunk", chunk.number)
                    await self._publish(record, chunk, lease, stand)
                self._got_on.add(record.task_id)
                failpoints.hit("ingest.mid_publish")

    async def _end(
        self,
        record: ledger_client.Record,
        opened: task_source.Opened,
        known: comparison.Comparison | None,
        stand: lease_watch.Standing,
    ) -> End:
        """Seal a task whose chunks are all published; a mirror deletes before that, once they are settled."""
        finished = mirroring.Finished(record.chunks_total if record.sealed else opened.plan.task_chunks)
        if opened.mirrors and not record.sealed:
            done = await self._mirrors.finish(record.task_id, known, opened.plan, stand)
            if done is None:
                return End.UNSETTLED
            finished = done
        failpoints.hit("ingest.before_seal")
        await self._ledger.seal(record.task_id, opened.plan, chunks=finished.chunks, warnings=finished.warnings)
        failpoints.hit("ingest.after_seal")
        return await self._done(record.task_id)

    async def _done(self, task_id: str) -> End:
        self._refusals.forget(task_id)
        await self._notes.tell(task_id, "")
        with contextlib.suppress(queue_errors.QueueUnavailable):
            await self._defects.clear(task_id)
        return End.DONE

    async def _publish(
        self,
        record: ledger_client.Record,
        chunk: split.Chunk,
        lease: splitting.SplitLease,
        stand: lease_watch.Standing,
    ) -> None:
        header = entry.Header(
            task_id=record.task_id,
            chunk=chunk.number,
            first_row=chunk.first_row,
            rows=chunk.rows,
            skipped=chunk.skipped,
            rejected=chunk.rejected,
            fence=stand.fence,
            priority=keys.Lane(record.request.priority),
            client=record.client if record.metered else "",
            traceparent=spans.recorded(),
            unchanged=chunk.unchanged,
        )
        publishing = PUBLISH.during(self._publisher.publish_waiting(header, chunk.payload, lease.token))
        outcome = await stand.during(publishing)
        if outcome is store.Outcome.LEASE_LOST:
            raise lease_watch.Stopped("another splitter has the task")


async def _release(lease: splitting.SplitLease | None) -> None:
    if lease is not None:
        with contextlib.suppress(queue_errors.QueueUnavailable):
            await lease.release()


async def _ours(lease: splitting.SplitLease | None) -> bool:
    """Is the task still this drive's? Without Valkey nobody else can have begun."""
    try:
        return lease is None or await lease.renew()
    except queue_errors.QueueUnavailable:
        return True
