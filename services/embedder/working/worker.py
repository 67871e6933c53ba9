"""The work on one chunk: decode, buy, index, acknowledge. Whatever happens, it ends in one of the ways of `End`."""

import asyncio
import contextlib
import enum
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

import prometheus_client
import structlog
import tenacity
from vectorline.v1 import indexer_pb2

from services.billing import spend
from services.chunks import consumer as consumers
from services.chunks import errors as queue_errors
from services.chunks import keys, strikes
from services.chunks.delivery import Delivery
from services.embedder import indexer_client
from services.embedder.buying import batching, reuse
from services.embedder.buying.pending_batch import Dropped, PendingBatch, Reason
from services.embedder.working import concurrency, decoding, gates, rows, sending, together
from services.embedder.working import unsettled as unsettled_spends
from services.runtime import failpoints, grouping, stages
from services.runtime.tracing import spans

log = structlog.get_logger()

RETRY_SECONDS = 1.0
# How often an ack or a hand-back is tried.
ACKS = 5
# Acks that go to Valkey together: of small chunks many end at once.
ACKS_TOGETHER = 50

CHUNKS = prometheus_client.Counter("vectorline_chunks", "Deliveries worked, by how they ended.", ["end"])


class End(enum.StrEnum):
    """How a delivery ends."""

    # Acknowledged.
    SETTLED = "settled"
    # Acknowledged without settling (cancelled, blocked, stale, settled by another): missing chunks are split again.
    VOID = "void"
    HANDED_BACK = "handed_back"
    # Dropped without a word: another has it.
    LOST = "lost"
    # The same, and its lease runs out: another try follows.
    DEFECT = "defect"


for _end in End:
    CHUNKS.labels(_end.value)


class Worker:
    """Works deliveries; one instance a process."""

    def __init__(
        self,
        consumer: consumers.Consumer,
        indexer: indexer_client.Indexer,
        batcher: batching.Batcher,
        wanted: concurrency.Concurrency,
        *,
        unsettled: unsettled_spends.Unsettled,
        model: str,
        dimension: int,
        count: Callable[[Sequence[str]], list[int]],
        spent: Callable[[str, int], None] | None = None,
    ) -> None:
        self._consumer = consumer
        self._indexer = indexer
        self._batcher = batcher
        self._concurrency = wanted
        self._unsettled = unsettled
        self._model = model
        self.dimension = dimension
        self._count = count
        self._spent = spent
        self._reuse = reuse.Reuse(batcher.place)
        self._decoding = decoding.Decoding(consumer)
        self._gates = gates.Gates(indexer, batcher.why)
        self._together = together.Together(indexer, consumer.strikes)
        self._acks: grouping.Groups[bool, Delivery, bool] = grouping.Groups(self._ack_all, ACKS_TOGETHER)
        self._batches: set[PendingBatch] = set()
        self._draining = False

    def drain(self) -> None:
        """Give up the chunks of which nothing is bought; the others are finished."""
        self._draining = True
        for batch in list(self._batches):
            if batch.untouched:
                batch.drop(Reason.DRAINING)
                self._batcher.withdraw(batch)

    async def work(self, delivery: Delivery) -> None:
        """Work one delivery to one of its ends. Never raises but for a cancel."""
        header = delivery.header
        with (
            structlog.contextvars.bound_contextvars(task_id=header.task_id, chunk=header.chunk),
            spans.linked(header.traceparent, "chunk", spans.Kind.CONSUMER) as span,
        ):
            try:
                given_up = Dropped(Reason.POISON) if delivery.poison else await _outcome(self._process(delivery))
                end = await self._finish(delivery, given_up)
            except Exception:
                # A defect of ours must not lose the chunk: we let go, its lease runs out, another try follows.
                log.exception("Work on a chunk failed inside.", action="chunk_defect")
                self._consumer.drop(delivery)
                end = End.DEFECT
            CHUNKS.labels(end.value).inc()
            for name, value in (("task_id", header.task_id), ("chunk", header.chunk), ("end", end.value)):
                span.set(name, value)

    async def _finish(self, delivery: Delivery, given_up: Dropped | None) -> End:
        """End a delivery as its outcome says; None: its chunk is settled."""
        if given_up is None:
            failpoints.hit("embedder.before_ack")
            with spans.span("ack"):
                await self._report(delivery, functools.partial(self._acks.call, True))
            return End.SETTLED
        match Reason.LEASE_LOST if delivery.lost.is_set() else given_up.reason:
            case Reason.LEASE_LOST:
                log.warning("The lease is lost; the chunk is dropped.", action="lease_lost", why=delivery.lost_because)
                self._consumer.drop(delivery)
                return End.LOST
            case Reason.DRAINING | Reason.SUSPECT | Reason.IMPOSSIBLE:
                if given_up.reason is Reason.IMPOSSIBLE:
                    await self._strike(delivery, str(given_up))
                await self._report(delivery, self._consumer.hand_back)
                return End.HANDED_BACK
            case Reason.POISON:
                return await self._finish(delivery, await _outcome(self._fail_poison(delivery)))
            case Reason.ACCOUNT_REFUSED:
                if not await self._is_ours(delivery):
                    return await self._finish(delivery, Dropped(Reason.LEASE_LOST))
                await self._block(delivery, str(given_up))
            case Reason.DEFECT:
                raise given_up
            case Reason.VOID | Reason.OVER:
                pass
        why = str(given_up) or given_up.reason.name
        log.info("The chunk is void and leaves the queue unsettled.", action="chunk_void", why=why)
        await self._report(delivery, functools.partial(self._acks.call, given_up.reason is Reason.OVER))
        return End.VOID

    async def _strike(self, delivery: Delivery, why: str) -> None:
        """What the indexer refuses for good is not sent for ever: with the fifth strike it fails by its header."""
        try:
            first = not await self._consumer.strikes.count(delivery.header)
            await self._consumer.strikes.add(delivery)
        except queue_errors.QueueUnavailable:
            return
        if first:
            log.error(
                "The indexer refuses the chunk for good; it is tried again elsewhere.",
                action="chunk_impossible",
                why=why,
            )

    async def _is_ours(self, delivery: Delivery) -> bool:
        """Asked before a whole task is stopped: a refusal may be old by the time that a stalled process hears of it."""
        try:
            return await self._consumer.renew(delivery)
        except queue_errors.QueueUnavailable:
            return True

    async def _block(self, delivery: Delivery, words: str) -> None:
        message = f"The embedding account refuses: {words or 'no reason given'} It goes on by itself when it is good."
        try:
            await self._indexer.block_task(delivery.header.task_id, "ACCOUNT_REFUSED", message)
        except (indexer_client.IndexerUnavailable, indexer_client.ChunkRefused) as error:
            log.warning("The task could not be marked blocked.", action="block_failed", error=str(error))

    async def _fail_poison(self, delivery: Delivery) -> None:
        log.error("The chunk killed its process too often; it fails by its header.", action="chunk_poison")
        async for attempt in self._patiently(delivery):
            with attempt:
                gate = await self._indexer.fail_chunk(delivery.header, "poison")
                if gate not in (indexer_client.Gate.GO, indexer_client.Gate.SETTLED):
                    raise Dropped(gates.reason(gate), gate.name)

    async def _process(self, delivery: Delivery) -> None:
        """Decode, buy and index; returns when the chunk is settled."""
        began = _now()
        with self._batcher.arriving():
            with spans.span("decode"):
                content = await self._decoding.decode(delivery)
            counts = await decoding.PACK.during(stages.to_thread(self._count, content.texts))
            # A task's first chunks went before others in the queue; here they would wait behind them again.
            first = delivery.header.lane is keys.Lane.FIRST
            batch = PendingBatch(content.texts, counts, delivery.progress, first=first)
        if delivery.delivery_count > 1:  # whoever had it before may have bought all of it, and died of it
            batch.pay(spend.Spend(tokens_doubtful=sum(counts)))
        async with self._guarded(delivery, batch):
            with spans.span("gate"):
                await batch.admission()
            if content.texts:
                self._reuse.enter(delivery.header.task_id, batch)
            settling_seconds = await self._index(delivery, content, batch)
            self._concurrency.learn(
                seconds=_now() - began,
                others_seconds=batch.seconds + settling_seconds,
                rationed=batch.rationed,
                share=self._consumer.share(delivery.header),
            )

    @contextlib.asynccontextmanager
    async def _guarded(self, delivery: Delivery, batch: PendingBatch) -> AsyncIterator[None]:
        """While a batch is open: ask the gate, and watch for a lost lease and for the drain."""
        self._batches.add(batch)
        guards = [
            asyncio.create_task(_or_drop(batch, each))
            for each in (self._gates.keep(delivery, batch, self._model, self.dimension), _lost(delivery, batch))
        ]
        if self._draining:
            batch.drop(Reason.DRAINING)
        try:
            yield
        except BaseException:  # what is paid is in the settlement, or told for itself
            batch.leave(functools.partial(self._unsettled.add, delivery.header.task_id))
            raise
        finally:
            if self._spent is not None and delivery.header.client:
                self._spent(delivery.header.client, batch.paid.tokens)
            self._reuse.leave(batch)
            self._batcher.withdraw(batch)
            self._batches.discard(batch)
            for guard in guards:
                guard.cancel()

    def _head(self, delivery: Delivery, content: rows.Rows, *, again: bool) -> indexer_pb2.IndexChunkHeader:
        header = delivery.header
        replaced = content.content.replaced if content.content.HasField("replaced") else None
        return indexer_pb2.IndexChunkHeader(
            task_id=header.task_id,
            chunk=header.chunk,
            fence=header.fence,
            rows=header.rows,
            skipped=header.skipped,
            unchanged=header.unchanged,
            namespace=content.content.namespace,
            model=self._model,
            dimension=self.dimension,
            replaced=replaced,
            # Of a process that died, or was taken for dead, nobody knows how much it had written.
            again=again or delivery.delivery_count > 1,
        )

    async def _index(self, delivery: Delivery, content: rows.Rows, batch: PendingBatch) -> float:
        """Send what is bought until the indexer has settled it. Bought vectors are kept: nothing is paid twice.

        Returns:
            How many seconds the settlement was waited for.
        """
        gone = await self._go_together(delivery, content, batch)
        if gone.settled is not None:
            _tell_settled(gone.settled)
            return gone.seconds
        sent_at = 0.0
        await sending.until_more(batch)
        async for attempt in self._patiently(delivery, batch):
            again = gone.tried or attempt.retry_state.attempt_number > 1
            head = self._head(delivery, content, again=again)
            with attempt:
                if again:
                    # The call may have broken because the chunk is void: grpc.aio hides such an end behind a write.
                    await self._gates.ask(delivery, batch, self._model, self.dimension)
                    batch.check()
                    await self._judge(delivery)
                async with self._indexer.index_chunk(delivery, self._consumer.strikes) as call:
                    await sending.send(call, head, content, batch, delivery.progress)
                    sent_at = _now()
                    settled = await call.settle()
                _tell_settled(settled)
        return _now() - sent_at

    async def _go_together(self, delivery: Delivery, content: rows.Rows, batch: PendingBatch) -> together.Gone:
        """A small chunk goes with others, once all of it is bought."""
        share = self._consumer.share(delivery.header)
        head = self._head(delivery, content, again=False)
        bought = sending.Bought(head, content, batch, delivery.progress)
        if not self._together.takes(delivery, bought, share):
            return together.Gone(tried=False)
        await sending.until_bought(batch)
        return await self._together.send(delivery, bought, share)

    async def _judge(self, delivery: Delivery) -> None:
        """A call broke, perhaps because the chunk killed the indexer: what do its strikes say?

        Raises:
            Dropped: It is to be worked alone, or to be failed.
        """
        try:
            verdict = await self._consumer.verdict(delivery)
        except queue_errors.QueueUnavailable:
            return
        if verdict is strikes.Verdict.POISON:
            raise Dropped(Reason.POISON)
        if verdict is strikes.Verdict.YIELD:
            raise Dropped(Reason.SUSPECT)

    async def _patiently(
        self, delivery: Delivery, batch: PendingBatch | None = None
    ) -> AsyncIterator[tenacity.AttemptManager]:
        """Try for as long as the indexer is away and the chunk is ours and wanted."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_passes),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=5.0),
            before_sleep=_tell,
        )
        async for attempt in retrying:
            if delivery.lost.is_set():
                raise Dropped(Reason.LEASE_LOST)
            if batch is not None:
                batch.check()
            delivery.progress()
            yield attempt

    async def _ack_all(self, over: bool, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        return await self._consumer.ack_all(deliveries, over=over)

    async def _report(self, delivery: Delivery, end: Callable[[Delivery], Awaitable[bool]]) -> None:
        """Ack or hand back: a few tries, then let go. A chunk that nobody works must not be held on to.

        A Valkey that is away gives it to another, who finds it settled, or works it.
        """
        for _ in range(ACKS):
            try:
                await end(delivery)
            except queue_errors.QueueUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return
        self._consumer.drop(delivery)


def _passes(error: BaseException) -> bool:
    """Whether the same call may succeed later."""
    return isinstance(error, indexer_client.IndexerUnavailable) and not isinstance(error, indexer_client.Impossible)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _outcome(work: Awaitable[None]) -> Dropped | None:
    """None: the chunk is settled; else why that was given up. Defects of ours pass."""
    try:
        await work
    except Dropped as dropped:
        return dropped
    except indexer_client.Impossible as impossible:
        return Dropped(Reason.IMPOSSIBLE, str(impossible))
    except (indexer_client.ChunkRefused, queue_errors.CorruptEntryError) as refusal:
        return Dropped(Reason.VOID, str(refusal) or type(refusal).__name__)
    return None


async def _or_drop(batch: PendingBatch, guard: Coroutine[object, object, None]) -> None:
    """A guard that dies of a defect takes the batch along: unguarded it would wait for ever."""
    try:
        await guard
    except Exception as defect:
        batch.drop(Reason.DEFECT, defect=defect)


async def _lost(delivery: Delivery, batch: PendingBatch) -> None:
    await delivery.lost.wait()
    batch.drop(Reason.LEASE_LOST)


def _tell_settled(settled: indexer_pb2.ChunkSettled) -> None:
    log.debug(
        "A chunk is settled: each of its rows has an outcome.",
        action="chunk_settled",
        indexed=settled.indexed,
        failed=settled.failed,
    )


def _tell(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning(
        "The indexer did not take the chunk; it is kept.",
        action="indexer_retry",
        attempt=state.attempt_number,
        error=str(error)[:200],
    )
