"""Chunks are decoded under strikes, one after the other; small ones that come while another is decoded go together."""

import asyncio
from collections.abc import Sequence

import google.protobuf.message

from services.chunks import consumer as consumers
from services.chunks import errors as queue_errors
from services.chunks.delivery import Delivery
from services.embedder.buying.pending_batch import Dropped, Reason
from services.embedder.working import rows
from services.runtime import grouping, stages

PACK = stages.Stage("pack")
RETRY_SECONDS = 1.0
# What a chunk fills of a slot, to go together with others: two calls to Valkey are much for a hundred rows.
SMALL = 0.25
MOST_TOGETHER = 20


class Decoding:
    """Decodes the chunks of one process: one that kills its decoder is found by its strikes."""

    def __init__(self, consumer: consumers.Consumer) -> None:
        self._consumer = consumer
        self._small: grouping.Groups[None, Delivery, rows.Rows] = grouping.Groups(self._together, MOST_TOGETHER)

    async def decode(self, delivery: Delivery) -> rows.Rows:
        """Decode a chunk, once Valkey takes its strike.

        Raises:
            Dropped: Its lease was lost meanwhile.
            services.chunks.errors.CorruptEntryError: It holds no rows.
        """
        while not delivery.lost.is_set():
            try:
                return await self._decode(delivery)
            except queue_errors.QueueUnavailable:
                delivery.progress()
                await asyncio.sleep(RETRY_SECONDS)
            except google.protobuf.message.DecodeError as error:
                raise queue_errors.CorruptEntryError("The payload holds no rows.") from error
        raise Dropped(Reason.LEASE_LOST)

    async def _decode(self, delivery: Delivery) -> rows.Rows:
        # A crash strikes all that are decoded together; whoever has a strike already is decoded by itself.
        if delivery.strikes == 0 and self._consumer.share(delivery.header) <= SMALL:
            return await self._small.call(None, delivery)
        (decoded,) = await self._together(None, [delivery])
        if isinstance(decoded, Exception):
            raise decoded
        return decoded

    async def _together(self, _key: None, deliveries: Sequence[Delivery]) -> Sequence[rows.Rows | Exception]:
        async with self._consumer.strikes.guard(*deliveries) as ours:
            work = stages.to_thread(decode_each, [each.payload for each in ours])
            decoded = dict(zip(ours, await PACK.during(work), strict=True))
        return [decoded.get(each) or Dropped(Reason.LEASE_LOST) for each in deliveries]


def decode_each(payloads: Sequence[bytes]) -> list[rows.Rows | Exception]:
    """Decode several, or say what is wrong with each."""
    decoded: list[rows.Rows | Exception] = []
    for payload in payloads:
        try:
            decoded.append(rows.decode(payload))
        except Exception as error:  # it is this chunk's, and raised for that
            decoded.append(error)
    return decoded
