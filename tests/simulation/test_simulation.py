"""The protocols under crashes at every await: many seeds, and proof that they would notice."""

import contextlib
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from services.billing import spend
from services.chunks import memory_store, store
from services.embedder.working import worker
from services.indexer.ledger import shards, turns
from services.indexer.storage import table
from tests.simulation import noticing, wire, world

# `make simulate` runs 2,000, and more with SEEDS=.
SEEDS = 150


@pytest.mark.parametrize("first", range(1, SEEDS, 10))
def test_every_invariant_holds(first: int, collect: Callable[[], None]) -> None:
    failed = {}
    for seed in range(first, first + 10):
        report = world.run(seed)
        if report.problems:
            failed[f"make simulate SEED={seed}"] = report.problems[:5]
    collect()
    assert not failed


def test_a_seed_replays(collect: Callable[[], None]) -> None:
    for seed in range(1, 11):
        assert world.run(seed).digest == world.run(seed).digest
    collect()


class TestTheSimulationNotices:
    def test_an_ack_before_the_settlement(self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
        index = worker.Worker._index

        async def ack_first(self: worker.Worker, delivery: Any, *rest: Any) -> float:
            # Once it is decoded: before, only its owner could strike it, so that nobody would work it at all.
            with contextlib.suppress(Exception):
                await self._consumer._store.ack(self._consumer.name, [(delivery.claim, delivery.header)])
            return await index(self, delivery, *rest)

        # Or it is one seed of twenty-five: what breaks is sent again, and by then others have the chunk.
        noticing.weather(monkeypatch, broken_stream=0.03, lost_answer=0.1, slow=0.3)
        monkeypatch.setattr(worker.Worker, "_index", ack_first)
        assert noticing.noticed(collect, "times,")

    def test_a_heartbeat_without_owner_check(
        self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
    ) -> None:
        """A plain XCLAIM by a zombie steals the entry back."""

        async def steal(self: memory_store.MemoryStore, consumer: str, claims: list[store.Claim]) -> list[bool]:
            for claim in claims:
                pending = self.lanes[claim.ref.lane].pending.get(claim.ref.entry_id)
                if pending is not None:
                    pending.consumer, pending.since = consumer, self._clock()
            return [True] * len(claims)

        noticing.freezing(monkeypatch)  # of seeds as they are drawn, one in fifty has a zombie that notices
        monkeypatch.setattr(memory_store.MemoryStore, "heartbeat", steal)
        assert noticing.noticed(collect, "heartbeat of")

    def test_a_chunk_settled_twice(self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
        class Unchecked(table.Update):
            @property
            def when(self) -> tuple[()]:  # type: ignore[override]
                return ()

            @when.setter
            def when(self, _: object) -> None: ...

        class Careless:
            def __getattr__(self, name: str) -> Any:
                return Unchecked if name == "Update" else getattr(table, name)

        noticing.striking(monkeypatch, shards.Shards, "settle", part=0.3, late=60.0)  # or it is one seed of thirty
        monkeypatch.setattr(shards, "table", Careless())
        assert noticing.noticed(collect, "recount")

    def test_a_bill_that_counts_what_was_told_twice(
        self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
    ) -> None:
        """What is sent again since its answer was lost may be in the bill already."""
        monkeypatch.setattr(spend.Spend, "doubtful", lambda self: self)
        assert noticing.noticed(collect, "are billed for sure")

    def test_a_task_that_each_attempt_of_a_call_names_anew(
        self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]
    ) -> None:
        once = wire.Channel._once

        async def rename(self: wire.Channel, method: str, request: Any) -> Any:
            if method == "CreateTask":
                request.task_id = str(uuid.uuid4())
            return await once(self, method, request)

        monkeypatch.setattr(wire.Channel, "_once", rename)
        noticing.weather(monkeypatch, lost_answer=0.1)  # or it is one seed of sixty
        assert noticing.noticed(collect, "was submitted 1 times and is")

    def test_a_turn_that_passes_on_at_once(self, monkeypatch: pytest.MonkeyPatch, collect: Callable[[], None]) -> None:
        def at_once(self: turns.Turns, turn: table.Item, task_id: str, holder: table.Item | None) -> bool:
            return True

        noticing.leaning(monkeypatch, contended=True, cancels=0.6)  # or it is one seed of twenty-five
        noticing.weather(monkeypatch, pinecone_slow=0.3)
        monkeypatch.setattr(turns.Turns, "_free", at_once)
        assert noticing.noticed(collect, " holds ")
