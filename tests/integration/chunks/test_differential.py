"""The queue in memory and the Lua on a real Valkey answer alike, whatever happens in whatever order."""

import asyncio
import inspect
import random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from services.chunks import entry, keys, memory_store, settings, store, turns, valkey_store
from services.valkey import connection
from tests.support.valkey import ValkeyServer

TIMING = settings.Timing(lease_seconds=30, heartbeat_seconds=10, split_seconds=30, strike_seconds=300)
LIMITS = settings.QueueLimits(
    queue_bytes=1800,
    window_floor=3,
    suspect_strikes=2,
    poison_strikes=3,
    slot_rows=100,
    slot_bytes=50_000,
    chunks_per_slot=4,
)

AGE = """
for i = 2, 5 do
  local rows = redis.pcall('XPENDING', KEYS[i], ARGV[1], '-', '+', 1000)
  for _, row in ipairs(rows.err and {} or rows) do
    local id, name, idle, count = row[1], row[2], row[3], row[4]
    if #redis.call('XRANGE', KEYS[i], id, id) > 0 then
      redis.call('XCLAIM', KEYS[i], ARGV[1], name, 0, id, 'IDLE', idle + ARGV[2], 'RETRYCOUNT', count, 'JUSTID')
    end
  end
end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 then redis.call('PEXPIRE', key, left - ARGV[2]) end
end
local present = redis.call('HGETALL', KEYS[1])
for i = 1, #present, 2 do
  local expires, slots = string.match(present[i + 1], '^(%d+) (%d+)$')
  redis.call('HSET', KEYS[1], present[i], string.format('%d %d', expires - ARGV[2], slots))
end
"""

tasks = st.sampled_from(["t", "u"])
chunks = st.integers(0, 5)
tokens = st.sampled_from(["x", "x", "x", "y"])
consumers = st.sampled_from(["a", "b", "c"])
wants = st.sampled_from([0.25, 1, 1.3, 2, 4])
helds = st.sampled_from([0, 0, 1, 3])
picks = st.integers(0, 10_000)


class Queues(RuleBasedStateMachine):
    """Does everything to both, compares every answer and, after each step, everything that can be seen."""

    server: ValkeyServer

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 1000.0
        self.client = connection.connect(self.server.url)
        self.real = valkey_store.ValkeyStore(self.client, TIMING, LIMITS)
        self.fake = self.run_async(self._make_fake())
        self.run_async(self.client.flushall())
        self.twin: dict[entry.Ref, entry.Ref] = {}  # fake's entry → Valkey's
        self.claims: list[tuple[str, store.Claim, entry.Header]] = []  # of the fake; old ones are zombies
        self.turn = 0

    async def _make_fake(self) -> memory_store.MemoryStore:
        return memory_store.MemoryStore(TIMING, LIMITS, clock=lambda: self.now)

    def run_async(self, awaitable: Any) -> Any:
        async def wrap() -> Any:
            return await awaitable

        return self.runner.run(wrap())

    def both(self, call: Any) -> Any:
        """The answer of the fake; Valkey's must be the same once entries are translated."""
        fake = self.run_async(call(self.fake, lambda ref: ref))
        real = self.run_async(call(self.real, lambda ref: self.twin[ref]))
        assert self.translated(fake) == real
        return fake

    def translated(self, answer: Any) -> Any:
        match answer:
            case entry.Ref():
                return self.twin[answer]
            case store.Claim():
                return store.Claim(self.twin[answer.ref], answer.delivery_count)
            case store.Row():
                return store.Row(self.translated(answer.claim), answer.header, answer.payload, answer.strikes)
            case store.Pruned():
                return store.Pruned(self.translated(answer.kept), self.translated(answer.dropped))
            case dict():
                return {key: self.translated(value) for key, value in answer.items()}
            case list():
                return [self.translated(value) for value in answer]
        return answer

    def teardown(self) -> None:
        self.run_async(self.client.aclose())
        self.runner.close()

    # ---- ingest's side

    @rule(task=tasks, token=tokens)
    def acquire(self, task: str, token: str) -> None:
        self.both(lambda queue, _: queue.acquire_split(task, token))

    @rule(task=tasks, token=tokens)
    def renew(self, task: str, token: str) -> None:
        self.both(lambda queue, _: queue.renew_split(task, token))

    @rule(task=tasks, token=tokens)
    def release(self, task: str, token: str) -> None:
        self.both(lambda queue, _: queue.release_split(task, token))

    @rule(
        task=tasks,
        chunk=chunks,
        lane=st.sampled_from([keys.Lane.HIGH, keys.Lane.NORMAL, keys.Lane.LOW]),
        size=st.sampled_from([1, 200, 3000]),
        token=tokens,
        rows=st.sampled_from([1, 33, 100, 7000]),
        unpacked=st.sampled_from([0, 17_001, 4_000_000]),
    )
    def publish(self, task: str, chunk: int, lane: keys.Lane, size: int, token: str, rows: int, unpacked: int) -> None:
        header = entry.Header(task, chunk, 1, rows, priority=lane, traceparent="ü", payload_bytes=unpacked)
        payload = bytes(size)
        if self.run_async(self.fake.acquire_split(task, token)):  # most publishers hold their lease
            assert self.run_async(self.real.acquire_split(task, token))
        room = self.both(lambda queue, _: queue.has_room(header, payload, token))
        outcome = self.both(lambda queue, _: queue.publish(header, payload, token))
        assert room == outcome
        if outcome is store.Outcome.PUBLISHED:
            fake = self.run_async(self.fake.in_flight(task))[chunk]
            self.twin[fake] = self.run_async(self.real.in_flight(task))[chunk]

    @rule(task=tasks)
    def prune(self, task: str) -> None:
        self.both(lambda queue, _: queue.prune(task))

    @rule(task=tasks, sure=st.integers(0, 3))
    def clear(self, task: str, sure: int) -> None:
        if not sure:
            self.both(lambda queue, _: queue.clear(task))

    @rule(name=consumers, slots=st.integers(0, 3))
    def announce(self, name: str, slots: int) -> None:
        self.both(lambda queue, _: queue.announce(keys.GROUP, name, slots))

    @rule(name=consumers)
    def withdraw(self, name: str) -> None:
        self.both(lambda queue, _: queue.withdraw(keys.GROUP, name))

    # ---- embedder's side

    def _ask(self, name: str, want: int, held: int, pick: int, translate: Any) -> store.Ask:
        refs = sorted(self.twin)
        forbidden = (translate(refs[pick % len(refs)]),) if refs and pick % 3 == 0 else ()
        return store.Ask(name, want, held, forbidden)

    def _got(self, name: str, fake: store.Taken, real: store.Taken) -> None:
        assert self.translated(fake.rows) == real.rows
        assert self.translated(fake.lost) == real.lost
        assert (fake.draining, fake.turn) == (real.draining, real.turn)
        shares = [LIMITS.share(row.header.rows, row.header.payload_bytes) for row in fake.rows]
        assert sum(shares[:-1]) < 4 * settings.WHOLE_SLOT
        self.claims += [(name, row.claim, row.header) for row in fake.rows]

    @rule(name=consumers, want=wants, held=helds, pick=picks)
    def take(self, name: str, want: int, held: int, pick: int) -> None:
        fake = self.run_async(self.fake.take(self._ask(name, want, held, pick, lambda r: r), self.turn))
        real = self.run_async(self.real.take(self._ask(name, want, held, pick, lambda r: self.twin[r]), self.turn))
        shares = [LIMITS.share(row.header.rows, row.header.payload_bytes) for row in fake.rows]
        assert sum(shares[:-1]) < want * settings.WHOLE_SLOT
        self._got(name, fake, real)
        self.turn = fake.turn

    @rule(name=consumers, want=wants, held=helds, pick=picks)
    def reclaim(self, name: str, want: int, held: int, pick: int) -> None:
        fake = self.run_async(self.fake.reclaim(self._ask(name, want, held, pick, lambda r: r)))
        real = self.run_async(self.real.reclaim(self._ask(name, want, held, pick, lambda r: self.twin[r])))
        self._got(name, fake, real)

    def _pick(self, pick: int) -> tuple[str, store.Claim, entry.Header] | None:
        return self.claims[-1 - pick % len(self.claims)] if self.claims else None

    def _claim(self, claim: store.Claim, translate: Any) -> store.Claim:
        return store.Claim(translate(claim.ref), claim.delivery_count)

    @rule(name=consumers, some=st.lists(picks, max_size=4))
    def heartbeat(self, name: str, some: list[int]) -> None:
        claims = [picked[1] for pick in some if (picked := self._pick(pick))]
        self.both(lambda queue, tr: queue.heartbeat(name, [self._claim(claim, tr) for claim in claims]))

    @rule(name=consumers, some=st.lists(picks, min_size=1, max_size=4), over=st.booleans())
    def ack(self, name: str, some: list[int], over: bool) -> None:
        picked = [found for pick in some if (found := self._pick(pick))]
        name = picked[0][0] if picked else name  # of the others some are not its own
        self.both(
            lambda queue, tr: queue.ack(
                name, [(self._claim(claim, tr), header) for _, claim, header in picked], over=over
            )
        )

    @rule(pick=picks)
    def hand_back(self, pick: int) -> None:
        if picked := self._pick(pick):
            name, claim, header = picked
            self.both(lambda queue, tr: queue.hand_back(name, self._claim(claim, tr), header))

    @rule(pick=picks, tokens=st.sampled_from(["1", "12", "12", "123"]))
    def a_chunk_in_hand_is_struck(self, pick: int, tokens: str) -> None:
        self.strike([pick], tokens)

    @rule(some=st.lists(picks, min_size=1, max_size=3), tokens=st.sampled_from(["1", "12", "12", "123"]))
    def strike(self, some: list[int], tokens: str) -> None:
        """By one of those who were handed them: of the others some are not its own, and most are over."""
        if picked := [found for pick in some if (found := self._pick(pick))]:
            for token in tokens:
                self.both(
                    lambda queue, tr, token=token: queue.strike(
                        picked[0][0], [(self._claim(claim, tr), header) for _, claim, header in picked], token
                    )
                )

    @rule(task=tasks, chunk=chunks, token=st.sampled_from("123"))
    def take_back(self, task: str, chunk: int, token: str) -> None:
        self.both(lambda queue, _: queue.take_back([(task, chunk), (task, 7)], token))

    @rule(task=tasks, lease=tokens, token=tokens)
    def a_drive_fails_inside(self, task: str, lease: str, token: str) -> None:
        self.both(lambda queue, _: queue.defect(task, lease, token))

    @rule(task=tasks)
    def forgive(self, task: str) -> None:
        self.both(lambda queue, _: queue.forgive(task))

    # ---- fate

    @rule(seconds=st.sampled_from([5, 31, 31, 400]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.run_async(self._age(round(seconds * 1000)))

    async def _age(self, ms: int) -> None:
        """Make everything on the real server that much older."""
        touched = [self.real.keys.presence(keys.GROUP), *self.real.keys.lanes]
        await self.client.eval(AGE, len(touched), *touched, keys.GROUP, ms)

    @rule(pick=picks)
    def an_entry_is_deleted(self, pick: int) -> None:
        refs = sorted(self.twin)
        if refs:
            ref = refs[-1 - pick % len(refs)]
            self.fake.delete(ref)
            twin = self.twin[ref]
            self.run_async(self.client.xdel(self.real.keys.lane(twin.lane), twin.entry_id))

    @rule(name=consumers, sure=st.integers(0, 2))
    def a_consumer_is_removed(self, name: str, sure: int) -> None:
        if sure:
            return
        self.fake.remove_consumer(name)
        self.run_async(self._remove_consumer(name))

    async def _remove_consumer(self, name: str) -> None:
        for lane in self.real.keys.lanes:
            if await self.client.exists(lane) and await self.client.xinfo_groups(lane):
                await self.client.xgroup_delconsumer(lane, keys.GROUP, name)

    @rule(sure=st.integers(0, 5))
    def the_groups_are_destroyed(self, sure: int) -> None:
        if not sure:
            self.fake.destroy_groups()
            self.run_async(self._destroy_groups())

    async def _destroy_groups(self) -> None:
        for lane in self.real.keys.lanes:
            if await self.client.exists(lane):
                await self.client.xgroup_destroy(lane, keys.GROUP)

    @rule(sure=st.integers(0, 5))
    def everything_is_flushed(self, sure: int) -> None:
        if not sure:
            self.fake.flush()
            self.run_async(self.client.flushall())

    @rule()
    def dead_consumers_are_reaped(self) -> None:
        self.run_async(self.real.reap())
        for name in "abc":
            self.run_async(self.real.reap(name))

    # ---- what can be seen

    @invariant()
    def alike(self) -> None:
        for task in ("t", "u"):
            self.both(lambda queue, _, task=task: queue.in_flight(task))
            self.both(lambda queue, _, task=task: queue.strikes(task, 0))
        self.both(lambda queue, _: queue.tasks())
        self.both(lambda queue, _: queue.live(keys.GROUP))
        fake, real = self.run_async(self.fake.look()), self.run_async(self.real.look())
        assert fake.bytes == real.bytes
        for lane in keys.LANES:
            mine, theirs = fake.lanes[lane], real.lanes[lane]
            held = {name: count for name, count in theirs.held.items() if count}
            assert (mine.entries, mine.waiting, mine.held) == (theirs.entries, theirs.waiting, held)


@pytest.mark.timeout(300)
def test_memory_and_lua_agree(valkey: ValkeyServer) -> None:
    assert len(turns.SCHEDULE) == 15
    machine = type("Machine", (Queues,), {"server": valkey})
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )


BUSY = {
    "publish": 30,
    "take": 25,
    "reclaim": 8,
    "ack": 6,
    "hand_back": 8,
    "heartbeat": 6,
    "a_chunk_in_hand_is_struck": 8,
    "strike": 3,
    "take_back": 2,
    "a_drive_fails_inside": 3,
    "forgive": 1,
    "time_passes": 8,
    "announce": 3,
    "prune": 3,
    "an_entry_is_deleted": 3,
    "a_consumer_is_removed": 2,
    "clear": 1,
    "renew": 1,
    "release": 1,
    "withdraw": 1,
    "the_groups_are_destroyed": 1,
    "everything_is_flushed": 1,
    "dead_consumers_are_reaped": 2,
}


def _arguments(step: str, rng: random.Random) -> dict[str, Any]:
    """A busy line: one splitter a task mostly, takers that mostly have room."""
    every: dict[str, Any] = {
        "task": rng.choice("tu"),
        "chunk": rng.randrange(6),
        "lane": rng.choice([keys.Lane.HIGH, keys.Lane.NORMAL, keys.Lane.LOW]),
        "size": rng.choice([1, 1, 200, 3000]),
        "rows": rng.choice([1, 33, 33, 100, 7000]),
        "unpacked": rng.choice([0, 0, 17_001, 4_000_000]),
        "over": rng.choice([True, False]),
        "token": rng.choice("xxxxxxxy"),
        "lease": rng.choice("xxxxxxxy"),
        "name": rng.choice("abc"),
        "slots": rng.randrange(4),
        "want": rng.randint(1, 4),
        "held": rng.choice([0, 1, 3]),
        "pick": rng.randrange(12),
        "some": [rng.randrange(6) for _ in range(3)],
        "tokens": rng.choice(["1", "12", "123"]),
        "seconds": rng.choice([5, 31, 31, 400]),
        "sure": rng.randrange(4),
    }
    wanted = inspect.signature(getattr(Queues, step)).parameters
    return {name: value for name, value in every.items() if name in wanted}


@pytest.mark.parametrize("seed", range(8))
def test_memory_and_lua_agree_when_busy(valkey: ValkeyServer, seed: int) -> None:
    machine = type("Machine", (Queues,), {"server": valkey})()
    rng = random.Random(seed)
    try:
        for step in rng.choices(list(BUSY), list(BUSY.values()), k=300):
            getattr(machine, step)(**_arguments(step, rng))
            machine.alike()
    finally:
        machine.teardown()
