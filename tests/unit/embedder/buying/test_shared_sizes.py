"""What one embedder found out of the size of requests, another that starts begins with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from services.embedder.buying import packing, shared_sizes, sizes
from services.embedder.limiter import request_sizes
from services.embedder.limiter.request_sizes import Kind
from services.embedder.openai import errors as openai_errors
from tests.support import buying, embeddings, virtual_time

FULL = packing.RequestSize(2_048, 300_000)
MOST = 32


def strict() -> embeddings.FakeEmbeddings:
    """A server that takes 32 texts."""
    source = embeddings.FakeEmbeddings(seconds=0.01)

    def rule(texts: Sequence[str]) -> Exception | None:
        return openai_errors.TooLarge("HTTP 413: too many", inputs=MOST) if len(texts) > MOST else None

    source.rule = rule
    return source


@contextlib.asynccontextmanager
async def embedder(
    source: embeddings.FakeEmbeddings, shared: request_sizes.RequestSizes
) -> AsyncIterator[buying.Buying]:
    async with buying.opened(source, pack=FULL) as made:
        telling = asyncio.create_task(shared_sizes.SharedSizes(made.batcher.sizes, shared).run())
        await asyncio.sleep(0.1)  # it has read
        try:
            yield made
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def refused(source: embeddings.FakeEmbeddings, made: buying.Buying) -> int:
    """How many requests were too large for 500 texts."""
    began = len(source.requests)
    await buying.complete(made.batch([f"{began} {number}" for number in range(500)]))
    return sum(len(texts) > MOST for _, texts in source.requests[began:])


def test_one_finds_out_and_the_next_that_starts_knows() -> None:
    async def work() -> None:
        source, shared = strict(), request_sizes.MemorySizes()
        async with embedder(source, shared) as first:
            assert await refused(source, first) == 1
            await asyncio.sleep(0.1)
            async with embedder(source, shared) as second:
                assert await refused(source, second) == 0

    virtual_time.run(work())


def test_a_memory_that_is_away_is_told_and_asked_later() -> None:
    async def work() -> None:
        source, shared = strict(), request_sizes.MemorySizes()
        shared.down = True
        async with embedder(source, shared) as first:
            await refused(source, first)
            assert not vars(shared)["_known"]
            shared.down = False
            await asyncio.sleep(2 * shared_sizes.RETRY_SECONDS)
            assert await shared.known() == {Kind.INPUTS: MOST}
            shared.down = True
            async with embedder(source, shared) as second:
                shared.down = False
                await asyncio.sleep(2 * shared_sizes.RETRY_SECONDS)
                assert await refused(source, second) == 0

    virtual_time.run(work())


def test_what_others_found_out_never_lets_a_request_grow_and_ends_as_ones_own() -> None:
    async def work() -> None:
        own = sizes.Sizes(packing.RequestSize(64, 1_000))
        told: list[tuple[Kind, int]] = []
        own.on_learned = lambda kind, limit: told.append((kind, limit))
        assert own.recall(Kind.INPUTS, 16)
        assert not own.recall(Kind.INPUTS, 48)
        assert own.recall(Kind.TOKENS, 5_000)
        assert own.size(0) == packing.RequestSize(16, 1_000)
        await asyncio.sleep(request_sizes.LEARNED_SECONDS + 1)
        assert own.size(0).inputs == 32
        await asyncio.sleep(request_sizes.LEARNED_SECONDS)
        assert own.size(0).inputs == 64
        assert not told, "what was heard is not told again: it would never be forgotten"

    virtual_time.run(work())
