"""Answers estimates: finds or stages the source, counts in a thread, asks the ledger about the namespace."""

import asyncio
import collections
import contextlib
import dataclasses
import pathlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import structlog
from vectorline.v1 import ingest_pb2, ledger_pb2

from services.billing import bill, spend, units
from services.ingest import ledger_client, refusals, sources, threads
from services.ingest.contract import context
from services.ingest.estimating import estimate, forecast
from services.ingest.manifest import comparing, known, records
from services.ingest.planning import duplicates, scan, scratch
from services.ingest.request import options
from services.ingest.sources import named
from services.ingest.sources.metabase import export as metabase_export
from services.ingest.splitting import survey
from services.runtime import errors

log = structlog.get_logger()

# Each is a thread that computes all the time: more of them would only make the tasks of this process late.
AT_ONCE = 2
# An estimate that does not come to its turn in so long is sent away; with ESTIMATE_SECONDS below ENVOY_UNARY_SECONDS.
WAIT_SECONDS = 20.0
BUSY_RETRY_SECONDS = 15.0
# What is known to be in a namespace of a question; None: nothing.
Foreseen = Callable[[str, int | None], Awaitable[known.Known | None]]


# What it costs to delete so many ids of a question, so many of which are known to be there, with so many values each.
Deletes = Callable[[str, int, estimate.Removed, int], Awaitable[spend.Spend]]


async def free(*_: object) -> spend.Spend:
    """The price of deletes where nothing is ever deleted."""
    return spend.NOTHING


async def nothing(_namespace: str, _question_id: int | None) -> None:
    """What a line knows that skips nothing."""


class Estimator:
    """Makes estimates; nothing is bought, and nothing written but the export of a question.

    Args:
        find: Finds sources.
        asked: Stages questions.
        ledger: Knows what namespaces hold.
        terms: What buying costs.
        seconds: An estimate that takes longer is refused.
        scratch: For the scan's temporary files.
        foreseen: What a task would skip rows by.
        deletes: Prices what a mirror would remove.
    """

    def __init__(
        self,
        find: named.Sources,
        asked: metabase_export.Questions,
        ledger: ledger_client.Ledger,
        *,
        terms: estimate.Terms,
        seconds: float,
        scratch: pathlib.Path | None,
        work: threads.Pool | None = None,
        foreseen: Foreseen = nothing,
        deletes: Deletes = free,
    ) -> None:
        self._foreseen = foreseen
        self._deletes = deletes
        self._sources = find
        self._questions = asked
        self._ledger = ledger
        self._terms = terms
        self._seconds = seconds
        self._scratch = scratch
        self._work = work or threads.Pool()
        self._slots = asyncio.Semaphore(AT_ONCE)
        # One at a time for each caller.
        self._callers: collections.defaultdict[str, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._asking: collections.Counter[str] = collections.Counter()

    async def of(
        self, chosen: options.Options, pinned: sources.Pinned | None, owner: str
    ) -> ingest_pb2.EstimateResponse:
        """The estimate of a request.

        Args:
            chosen: The request.
            pinned: Its source, if that is pinned already (an upload).
            owner: Who may use what is staged for it.

        Raises:
            errors.InvalidArgument: The source is none that a task could load; its reason is the task's.
            errors.NotFound: There is no such source.
            errors.Conflict: It changed meanwhile.
            errors.Unavailable: Something does not answer now; ESTIMATES_BUSY, others are counted first.
        """
        upload_id = chosen.upload_id
        async with self._turn(owner, upload_id):
            try:
                async with asyncio.timeout(self._seconds):
                    if pinned is None and chosen.data_source == "metabase":
                        upload_id = str(uuid.uuid4())
                        pinned = await self._questions.stage(chosen, upload_id, owner, patient=False)
                    found = await self._counted(chosen, pinned)
            except TimeoutError as error:
                raise errors.InvalidArgument(
                    f"The source cannot be counted within {self._seconds:g} s; process it without an estimate, or "
                    "estimate a part of it.",
                    reason="ESTIMATE_TOO_LONG",
                    metadata={"upload_id": upload_id} if upload_id else {},
                ) from error
        held = await self._ledger.check_namespace(chosen.namespace, self._terms.model, self._terms.dimension)
        answer = _answer(found, self._terms)
        answer.namespace_check.CopyFrom(self._check(chosen.namespace, held))
        vectors = held.vectors if held.HasField("vectors") else None
        dimension = answer.namespace_check.dimension
        spent = forecast.spend_of(found, dimension=dimension, vectors=vectors)
        if chosen.mode == "mirror":
            spent += await self._removal(chosen, found, dimension, vectors or 0)
            if found.removed is not None:
                answer.removed = found.removed.ids
        answer.bill.CopyFrom(bill.message(spent, self._terms.model, forecast.today(), self._terms.prices))
        if answer.bill.HasField("openai_dollars"):
            answer.price_usd = answer.bill.openai_dollars
        if upload_id:
            answer.upload_id = upload_id
        log.info("A source was estimated.", action="estimated", rows=answer.rows, tokens=answer.tokens)
        return answer

    async def _removal(
        self, chosen: options.Options, found: estimate.Estimate, dimension: int, vectors: int
    ) -> spend.Spend:
        """What a mirror spends besides: on its deletes; or, where what is there is not known, to list it."""
        if found.removed is None:
            return spend.Spend(read_thousandths=units.of_list(vectors) if vectors else 0)
        if not found.removed.ids or chosen.question_id is None:
            return spend.NOTHING
        return await self._deletes(chosen.namespace, chosen.question_id, found.removed, dimension)

    @contextlib.asynccontextmanager
    async def _turn(self, owner: str, upload_id: str) -> AsyncIterator[None]:
        """One of the slots, and a caller's only one; what its use fails with is told to the caller."""
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await held.enter_async_context(self._caller(owner))
                    await held.enter_async_context(self._slots)
            except TimeoutError as error:
                raise errors.Unavailable(
                    f"Other estimates are being counted: {AT_ONCE} at once here, and one for each key. Ask again.",
                    reason="ESTIMATES_BUSY",
                    metadata={"upload_id": upload_id} if upload_id else {},
                    retry_seconds=BUSY_RETRY_SECONDS,
                ) from error
            with refusals.told(upload_id=upload_id):
                yield

    @contextlib.asynccontextmanager
    async def _caller(self, owner: str) -> AsyncIterator[None]:
        self._asking[owner] += 1
        try:
            async with self._callers[owner]:
                yield
        finally:
            self._asking[owner] -= 1
            if not self._asking[owner]:
                del self._asking[owner], self._callers[owner]

    async def _counted(self, chosen: options.Options, pinned: sources.Pinned | None) -> estimate.Estimate:
        """Count in a thread, which ends soon after this call was given up."""
        given_up = threading.Event()
        in_index = None if chosen.mode == "force" else await self._foreseen(chosen.namespace, chosen.question_id)

        def check(_progress: object) -> None:
            if given_up.is_set():
                raise _GivenUp

        def count() -> estimate.Estimate:
            source = self._sources.of_pin(pinned) if pinned else self._sources.of_request(chosen)
            compare = _Comparing(source, in_index, check) if in_index else None
            with scratch.folder(self._scratch) as folder:
                return estimate.estimate(
                    source, pinned or source.pin(), chosen, folder, terms=self._terms, check=check, compare=compare
                )

        began = time.monotonic()
        try:
            found = await self._work.run(count)
        finally:
            given_up.set()
        if chosen.data_source == "metabase":
            self._questions.check_rows(found.plan.rows_total)
        log.info(
            "The tokens of an estimate were counted.", action="counted", seconds=round(time.monotonic() - began, 3)
        )
        return found

    def _check(self, namespace: str, held: ledger_pb2.CheckNamespaceResponse) -> ingest_pb2.NamespaceCheck:
        return ingest_pb2.NamespaceCheck(
            namespace=namespace,
            holds_model=held.model,
            holds_dimension=held.dimension,
            index_dimension=held.index_dimension,
            dimension=self._terms.dimension or held.index_dimension,
            problem=held.problem,
        )


@dataclasses.dataclass(frozen=True)
class _Comparing:
    """An `estimate.Compare`."""

    source: sources.Source
    in_index: known.Known
    check: estimate.Check

    def __call__(
        self, scanned: scan.Scan, task: context.Context, pairs: duplicates.Slices, folder: pathlib.Path
    ) -> estimate.Compared | None:
        """The rows of a scanned source against what is known."""
        made, mirror = scanned.plan, task.options.mode == "mirror"

        def rows(hashes: records.Hashes) -> Iterator[comparing.Surveyed]:
            for chunk in survey.survey(self.source, scanned.pinned, made, task, pairs, hashes=hashes, held=mirror):
                self.check(chunk)
                yield chunk

        size = {"rows_total": made.rows_total, "chunks_total": made.chunks_total}
        found = self.in_index.compared(rows, folder, **size, mirror=mirror)
        if found is None:
            return None
        removed = None
        if found.gone is not None:
            ids = found.gone.rows
            removed = estimate.Removed(ids, max(0, ids - self.in_index.header.unknown))
        return estimate.Compared(found.unchanged, found.knows, removed)


class _GivenUp(Exception):
    """Nobody waits for the count any more."""


def _answer(found: estimate.Estimate, terms: estimate.Terms) -> ingest_pb2.EstimateResponse:
    made = found.plan
    return ingest_pb2.EstimateResponse(
        rows=made.rows_total,
        usable=found.usable,
        skipped=found.skipped,
        rejected=found.rejected,
        unchanged=found.unchanged,
        rejects=[_group(reason, group) for reason, group in found.rejects.items()],
        tokens=found.tokens,
        billed_tokens=found.billed_tokens,
        tokens_per_text=ingest_pb2.TokenProfile(
            min=found.profile.min,
            median=found.profile.median,
            p95=found.profile.p95,
            max=found.profile.max,
            mean=found.profile.mean,
        ),
        requests=found.requests,
        duration_seconds=terms.seconds(found.requests, found.billed_tokens),
        chunks=made.chunks_total,
        model=terms.model,
        encoding=made.dialect.encoding,
        delimiter=made.dialect.delimiter,
        newline=made.dialect.newline,
        gzip=made.dialect.gzip,
        columns=[ingest_pb2.Column(name=name, type=kind) for name, kind in zip(made.columns, made.types, strict=True)],
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        warnings=[each.to_proto() for each in found.warnings],
        encoding_guessed=made.dialect.encoding_guessed,
        quoting=made.dialect.quoting,
        first_rows=found.first_rows,
    )


def _group(reason: str, group: estimate.Rejects) -> ingest_pb2.RejectGroup:
    samples = [
        ingest_pb2.RejectSample(row_number=number, reason=reason, message=message) for number, message in group.samples
    ]
    return ingest_pb2.RejectGroup(reason=reason, rows=group.rows, samples=samples)
