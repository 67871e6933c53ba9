"""Sending one chunk to the indexer: the header, then what is bought, as it is bought."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from vectorline.v1 import chunk_pb2, indexer_pb2

from services.embedder.buying.order import Dropped, Order
from services.embedder.working import rows
from services.runtime import failpoints, stages

REJECTS_A_MESSAGE = 200

HAND_OVER = stages.Stage("hand_over")


class Call(Protocol):
    """One IndexChunk call; `indexer_client.ChunkCall`, or a fake."""

    async def send(self, **part: Any) -> None:
        """Send a part: header= or rejects=."""

    async def send_packed(self, request: bytes) -> None:
        """Send a part that is serialised already: the vectors."""


async def send(
    call: Call, header: indexer_pb2.IndexChunkHeader, content: rows.Rows, order: Order, on_progress: Callable[[], None]
) -> None:
    """Send the whole chunk, from its beginning: the order keeps what was bought before another call broke.

    Raises:
        Dropped: The order became void.
        indexer_client.ChunkRefused, indexer_client.IndexerUnavailable: See `indexer_client.ChunkCall`.
    """
    await call.send(header=header)
    await _send_rejects(call, content.content.rejects)
    sent: set[int] = set()
    while len(sent) < len(content.text_of):
        await _send_bought(call, content, order, sent)
        on_progress()
        if not order.finished:
            await something(order)
    failpoints.hit("embedder.after_index_sent")


async def something(order: Order) -> None:
    """Wait until the order has anything new to send.

    Raises:
        Dropped: It is void.
    """
    if order.texts and not order.finished:
        await order.change()
    if order.dropped is not None and not order.finished:
        raise Dropped from order.dropped


async def _send_bought(call: Call, content: rows.Rows, order: Order, sent: set[int]) -> None:
    """Send the rows whose texts have a vector or a refusal by now."""
    left = [position for position in range(len(content.text_of)) if position not in sent]
    bought = [position for position in left if order.vectors[content.text_of[position]] is not None]
    refused = [position for position in left if content.text_of[position] in order.refusals]
    for batch in HAND_OVER.each(rows.batches(content, bought, order.vectors)):
        await HAND_OVER.during(call.send_packed(batch))
    await _send_rejects(call, list(rows.refusals(content, refused, order.refusals)))
    sent.update(bought, refused)


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
