"""Sending to the indexer: one chunk as it is bought, its header first; or several chunks that are bought."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from vectorline.v1 import chunk_pb2, indexer_pb2

from services.billing import spend
from services.embedder.buying.pending_batch import PendingBatch
from services.embedder.working import rows
from services.runtime import failpoints, stages

REJECTS_A_MESSAGE = 200

HAND_OVER = stages.Stage("hand_over")


class Call(Protocol):
    """One IndexChunk call; `indexer_client.ChunkCall`, or a fake."""

    async def send(self, **part: Any) -> None:
        """Send a part: header=, rejects= or spent=."""

    async def send_packed(self, request: bytes) -> None:
        """Send a part that is serialised already: the vectors."""


async def send(
    call: Call,
    header: indexer_pb2.IndexChunkHeader,
    content: rows.Rows,
    batch: PendingBatch,
    on_progress: Callable[[], None],
) -> None:
    """Send the whole chunk, from its beginning: the batch keeps what was bought before another call broke.

    Raises:
        pending_batch.Dropped: The batch is not wanted any more.
        indexer_client.ChunkRefused, indexer_client.IndexerUnavailable: See `indexer_client.ChunkCall`.
    """
    await call.send(header=header)
    await _send_rejects(call, content.content.rejects)
    sent: set[int] = set()
    while len(sent) < len(content.text_of):
        await _send_bought(call, content, batch, sent)
        on_progress()
        if not batch.finished:
            await until_more(batch)
    if spent := spent_on(content, batch):
        batch.told = True
        await call.send(spent=spent.to_proto())
    failpoints.hit("embedder.after_index_sent")


@dataclasses.dataclass(frozen=True)
class Bought:
    """A chunk of which everything is bought or refused."""

    header: indexer_pb2.IndexChunkHeader
    content: rows.Rows
    batch: PendingBatch
    on_progress: Callable[[], None]


async def send_all(call: Call, chunks: Sequence[Bought]) -> None:
    """Send chunks of a task together: what each is, the vectors of all, what was paid for each.

    Raises:
        indexer_client.ChunkRefused, indexer_client.IndexerUnavailable: See `indexer_client.ChunkCall`.
    """
    heads, stretches = [], []
    for each in chunks:
        bought, refused = _by_now(each.content, each.batch, range(len(each.content.text_of)))
        rejects = [*each.content.content.rejects, *rows.refusals(each.content, refused, each.batch.refusals)]
        heads.append(indexer_pb2.ChunkHead(header=each.header, vectors=len(bought), rejects=rejects))
        stretches.append(rows.Stretch(each.content, bought, each.batch.vectors))
    await call.send(heads=indexer_pb2.ChunkHeads(chunks=heads))
    for message in HAND_OVER.each(rows.batches(stretches)):
        await HAND_OVER.during(call.send_packed(message))
        for each in chunks:
            each.on_progress()
    for each in chunks:
        each.batch.told = True
    spends = [spent_on(each.content, each.batch).to_proto() for each in chunks]
    await call.send(spends=indexer_pb2.ChunkSpends(spends=spends))
    failpoints.hit("embedder.after_index_sent")


def spent_on(content: rows.Rows, batch: PendingBatch) -> spend.Spend:
    """What was paid for a chunk that is bought, and how many of its rows had their text with another row."""
    have = [text for text in content.text_of if batch.vectors[text] is not None]
    return batch.paid + spend.Spend(texts_reused=len(have) - len(set(have) - batch.reused))


async def until_more(batch: PendingBatch) -> None:
    """Wait until the batch has anything new to send.

    Raises:
        pending_batch.Dropped: It is not wanted any more.
    """
    if batch.texts and not batch.finished:
        await batch.change()
    if not batch.finished:
        batch.check()


async def until_bought(batch: PendingBatch) -> None:
    """Wait until every text has a vector or a refusal; raises what `until_more` does."""
    while not batch.finished:
        await until_more(batch)


async def _send_bought(call: Call, content: rows.Rows, batch: PendingBatch, sent: set[int]) -> None:
    """Send the rows whose texts have a vector or a refusal by now."""
    bought, refused = _by_now(content, batch, [each for each in range(len(content.text_of)) if each not in sent])
    for message in HAND_OVER.each(rows.batches([rows.Stretch(content, bought, batch.vectors)])):
        await HAND_OVER.during(call.send_packed(message))
    await _send_rejects(call, list(rows.refusals(content, refused, batch.refusals)))
    sent.update(bought, refused)


def _by_now(content: rows.Rows, batch: PendingBatch, positions: Iterable[int]) -> tuple[list[int], list[int]]:
    """Of these rows, those whose text has a vector, and those whose text is refused."""
    vectors, text_of = batch.vectors, content.text_of
    positions = list(positions)
    bought = [position for position in positions if vectors[text_of[position]] is not None]
    refused = [position for position in positions if text_of[position] in batch.refusals] if batch.refusals else []
    return bought, refused


async def _send_rejects(call: Call, rejects: Sequence[chunk_pb2.Reject]) -> None:
    for batch in _batches(rejects):
        await call.send(rejects=indexer_pb2.RejectBatch(rejects=batch))


def _batches(rejects: Sequence[chunk_pb2.Reject]) -> Iterator[list[chunk_pb2.Reject]]:
    """By number and by bytes: a reject carries its row's cells."""
    batch: list[chunk_pb2.Reject] = []
    size = 0
    for reject in rejects:
        bytes_ = reject.ByteSize()
        if batch and (len(batch) == REJECTS_A_MESSAGE or size + bytes_ > rows.BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(reject)
        size += bytes_
    if batch:
        yield batch
