"""A refused account: one probe a minute for the whole line, and everything goes on when it is good again."""

import asyncio
import itertools
from typing import Any

from services.embedder import indexer_client
from services.embedder.buying import account
from services.embedder.limiter import promise
from services.embedder.limiter.memory import MemoryLimiter
from services.embedder.openai import client as openai_client
from services.embedder.openai import errors as openai_errors
from tests.support import embeddings, virtual_time

REFUSAL = openai_errors.AccountRefused("You exceeded your current quota.")


class Line:
    """Two embedders that watch one account."""

    def __init__(self) -> None:
        self.limiter = MemoryLimiter(promise.Quota(5, 0, 300_000))
        self.source = embeddings.FakeEmbeddings()
        self.indexer: Any = embeddings.FakeIndexer()
        self.tasks = [
            asyncio.create_task(account.Account(self.limiter, self.source, self.indexer, 60.0).run()) for _ in range(2)
        ]

    async def close(self) -> None:
        for task in self.tasks:
            assert not task.done(), "the watch never ends"
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


def test_a_good_account_is_never_probed() -> None:
    async def work() -> None:
        line = Line()
        await asyncio.sleep(3_600)
        assert not line.source.requests
        await line.close()

    virtual_time.run(work())


def test_one_probe_a_minute_for_everybody_until_all_tasks_are_resumed() -> None:
    async def work() -> None:
        line = Line()
        line.source.refusal = REFUSAL
        await line.limiter.block("no money")
        line.indexer.blocked = {"a": "", "b": ""}
        await asyncio.sleep(600)
        assert 9 <= len(line.source.requests) <= 11
        starts = [at for at, _ in line.source.requests]
        assert min(late - early for early, late in itertools.pairwise(starts)) >= 57  # the first waited for a permit
        line.source.refusal = None
        await asyncio.sleep(76)
        assert sorted(line.indexer.resumed) == ["a", "b"]
        assert await line.limiter.blocked() == ""
        assert line.source.bought == [openai_client.PROBE_TEXT]
        await line.close()

    virtual_time.run(work())


def test_a_flush_that_takes_the_key_leaves_the_ledger_to_tell() -> None:
    async def work() -> None:
        line = Line()
        line.indexer.blocked = {"a": ""}
        line.limiter.flush()
        await asyncio.sleep(76)
        assert line.indexer.resumed == ["a"]
        await line.close()

    virtual_time.run(work())


def test_one_task_that_cannot_be_resumed_keeps_back_no_other() -> None:
    async def work() -> None:
        line = Line()
        line.indexer.blocked = {"cancelled": "", "b": ""}
        line.indexer.unresumable = {"cancelled"}
        await asyncio.sleep(76)
        assert line.indexer.resumed == ["b"]
        await line.close()

    virtual_time.run(work())


def test_a_429_on_the_probe_pauses_everybody() -> None:
    async def work() -> None:
        line = Line()
        line.source.script = [openai_errors.Throttled(100, tokens_exceeded=False)]
        await line.limiter.block("no money")
        await asyncio.sleep(10)
        assert len(line.source.requests) == 1
        assert (await line.limiter.look()).pause_seconds > 80
        await line.close()

    virtual_time.run(work())


def test_outages_of_anybody_end_neither_the_watch_nor_the_block() -> None:
    async def work() -> None:
        line = Line()
        await line.limiter.block("no money")
        line.source.script = [openai_errors.Failed("HTTP 500"), openai_errors.Throttled(1, tokens_exceeded=False)]
        ask = line.indexer.blocked_tasks

        async def away(reason: str) -> list[str]:
            raise indexer_client.IndexerUnavailable("away")

        line.indexer.blocked_tasks = away
        await asyncio.sleep(120)
        line.indexer.blocked_tasks = ask
        line.limiter.down = True
        await asyncio.sleep(120)
        line.limiter.down = False
        await asyncio.sleep(240)
        assert await line.limiter.blocked() == ""
        assert len(line.source.requests) == 3
        await line.close()

    virtual_time.run(work())
