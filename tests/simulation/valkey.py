"""One process's way to the Valkey in memory: the queue and the limiter, with answers lost and outages."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from services.chunks import entry, errors, memory_store, store
from services.embedder.limiter import memory as memory_limiter
from services.embedder.limiter import promise
from tests.simulation import loop as loops
from tests.simulation.network import Lost, Network

log = structlog.get_logger()

SERVICE = "valkey"
TOLD = frozenset(
    {
        "publish",
        "ack",
        "hand_back",
        "prune",
        "clear",
        "acquire_split",
        "release_split",
        "reclaim",
        "strike",
        "take_back",
    }
)


class Owned(memory_store.MemoryStore):
    """Watches that only the last one who was handed a chunk is ever taken for its owner."""

    def __init__(self, broken: list[str], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._broken = broken
        self._owners: dict[entry.Ref, tuple[str, int]] = {}

    async def take(self, ask: store.Ask, turn: int) -> store.Taken:
        return self._handed_out(ask, await super().take(ask, turn))

    async def reclaim(self, ask: store.Ask) -> store.Taken:
        return self._handed_out(ask, await super().reclaim(ask))

    def _handed_out(self, ask: store.Ask, taken: store.Taken) -> store.Taken:
        self._owners.update({row.claim.ref: (ask.consumer, row.claim.delivery_count) for row in taken.rows})
        return taken

    async def heartbeat(self, consumer: str, claims: Sequence[store.Claim]) -> list[bool]:
        answers = await super().heartbeat(consumer, claims)
        for claim, owned in zip(claims, answers, strict=True):
            self._check("heartbeat", consumer, claim, owned=owned)
        return answers

    async def ack(self, consumer: str, held: Sequence[store.Held], *, over: bool = True) -> list[bool]:
        answers = await super().ack(consumer, held, over=over)
        for (claim, _), acked in zip(held, answers, strict=True):
            self._check("ack", consumer, claim, owned=acked)
        return answers

    async def strike(self, consumer: str, held: Sequence[store.Held], token: str) -> list[int]:
        counts = await super().strike(consumer, held, token)
        for (claim, _), count in zip(held, counts, strict=True):
            self._check("strike", consumer, claim, owned=bool(count))
        return counts

    def _check(self, what: str, consumer: str, claim: store.Claim, *, owned: bool) -> None:
        if owned and self._owners.get(claim.ref) != (consumer, claim.delivery_count):
            self._broken.append(
                f"{consumer}'s {what} of {claim} passed, but the owner is {self._owners.get(claim.ref)}"
            )


class Queue:
    """A `store.Store`: `memory_store.MemoryStore` at the other end of a network."""

    def __init__(
        self,
        shared: Owned,
        process: loops.Process,
        network: Network,
        on_hand_back: Callable[[entry.Header], None] = lambda _: None,
    ) -> None:
        self.timing = shared.timing
        self.limits = shared.limits
        self._shared = shared
        self._process = process
        self._network = network
        self._on_hand_back = on_hand_back

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._shared, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if name == "hand_back":
                self._on_hand_back(arguments[2])
            try:
                await self._network.ask(self._process, SERVICE)
                result = await operation(*arguments, **named)
                if name in TOLD:
                    log.debug(f"Valkey: {name}", what=arguments[:-1], result=result)
                await self._network.answer(self._process, SERVICE)
            except Lost as lost:
                raise errors.QueueUnavailable(str(lost)) from lost
            return sorted(result) if isinstance(result, set) else result  # a set's order is not the seed's

        return call


class Limiter:
    """A `limiter.Limiter`: `memory_limiter.MemoryLimiter` at the other end of a network."""

    def __init__(self, shared: memory_limiter.MemoryLimiter, process: loops.Process, network: Network) -> None:
        self._shared = shared
        self._process = process
        self._network = network

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._shared, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            asked = asyncio.get_running_loop().time()
            try:
                await self._network.ask(self._process, SERVICE)
                result = await operation(*arguments, **named)
                await self._network.answer(self._process, SERVICE)
            except Lost as lost:
                raise promise.LimiterUnavailable(str(lost)) from lost
            late = asyncio.get_running_loop().time() - asked > promise.STALE_GRANT_SECONDS
            if name == "acquire" and result.verdict is promise.Verdict.START and late:
                return promise.Answer(promise.Verdict.WAIT)  # as the real one does
            return result

        return call


class Granting(memory_limiter.MemoryLimiter):
    """Keeps the moments of its grants."""

    def __init__(self, quota: promise.Quota) -> None:
        self.grants: list[tuple[float, int]] = []
        # (from, until) in which a 429 forbade every start.
        self.pauses: list[tuple[float, float]] = []
        super().__init__(quota)

    async def acquire(self, tokens: int, asker: promise.Asker = promise.Asker.BULK) -> promise.Answer:
        answer = await super().acquire(tokens, asker)
        if answer.verdict is promise.Verdict.START:
            self.grants.append((self._now(), tokens))
        return answer

    async def pause(self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0) -> None:
        await super().pause(seconds, tokens_exceeded=tokens_exceeded, limit_per_minute=limit_per_minute)
        self.pauses.append((self._now(), self._now() + seconds))

    def flush(self) -> None:
        super().flush()
        # A flushed pause is forgotten; the starting debt of 2 s stands in for it.
        now = asyncio.get_running_loop().time() if self.grants or self.pauses else 0.0
        self.pauses = [(since, min(until, now)) for since, until in self.pauses]
