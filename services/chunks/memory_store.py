"""The queue in memory, for tests and simulations: the semantics of ``valkey_store``, a clock that may be virtual.

``down``, ``full``, ``flush``, ``delete``, ``destroy_groups`` and ``remove_consumer`` are what fate does to a Valkey.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence

from services.chunks import entry, errors, keys, settings, store, strikes, turns
from services.chunks.memory_lane import Handout, MemoryLane, Stored
from services.chunks.memory_strikes import DRIVES, MemoryStrikes

RETURNED, SUSPECT = "~returned", "~suspect"


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


class MemoryStore:
    """See ``store.Store``.

    Args:
        timing: Times of the leases.
        limits: Window, budget and strikes.
        clock: Seconds; the running loop's time unless given. ``wait`` always goes by the loop.
    """

    def __init__(
        self,
        timing: settings.Timing | None = None,
        limits: settings.QueueLimits | None = None,
        *,
        clock: Callable[[], float] = _loop_time,
    ) -> None:
        self.timing = timing or settings.Timing()
        self.limits = limits or settings.QueueLimits()
        self.down = False
        self.full = False
        self._clock = clock
        self._numbers = itertools.count(1)
        self._woken = asyncio.Event()
        self._wakeup = 0
        self._cursors = dict.fromkeys(keys.LANES, 0)
        self.flush()

    # ---- fate

    def flush(self) -> None:
        """FLUSHALL."""
        self.lanes = {lane: MemoryLane() for lane in keys.LANES}
        self._inflight: dict[str, dict[int, entry.Ref]] = {}
        self._splits: dict[str, tuple[str, float]] = {}
        self._presence: dict[str, dict[str, tuple[float, int]]] = {}
        self.struck = MemoryStrikes(self._clock, self.timing.strike_seconds)
        self._alone: tuple[str, float] | None = None

    def delete(self, ref: entry.Ref) -> None:
        """XDEL by hand."""
        self.lanes[ref.lane].delete(ref.entry_id)

    def destroy_groups(self) -> None:
        """XGROUP DESTROY on every lane."""
        for lane in self.lanes.values():
            lane.destroy_group()

    def remove_consumer(self, name: str) -> None:
        """XGROUP DELCONSUMER by hand: what it had pending is read by nobody again."""
        for lane in self.lanes.values():
            for entry_id in lane.parked(name):
                del lane.pending[entry_id]

    async def _served(self) -> None:
        # A suspension point, as the real one has: a simulation may crash here.
        await asyncio.sleep(0)
        if self.down:
            raise errors.QueueUnavailable("The queue is down.")

    # ---- ingest's side

    async def publish(self, header: entry.Header, payload: bytes, token: str) -> store.Outcome:
        """See ``store.Store.publish``."""
        outcome = await self.has_room(header, payload, token)
        if outcome is not store.Outcome.PUBLISHED:
            return outcome
        number = next(self._numbers)
        ref = entry.Ref(header.lane, f"{int(self._clock() * 1000)}-{number}")
        self.lanes[ref.lane].entries[ref.entry_id] = Stored(number, header, payload, self._clock())
        self._inflight.setdefault(header.task_id, {})[header.chunk] = ref
        self._wake()
        return outcome

    async def has_room(self, header: entry.Header, payload: bytes, token: str) -> store.Outcome:
        """See ``store.Store.has_room``."""
        if not await self.renew_split(header.task_id, token):
            return store.Outcome.LEASE_LOST
        if self.full:
            return store.Outcome.FULL
        inflight = self._inflight.get(header.task_id, {})
        if ref := inflight.get(header.chunk):
            if self.lanes[ref.lane].alive(ref.entry_id):
                return store.Outcome.ALREADY
            self.delete(ref)
            del inflight[header.chunk]
        slots = sum(self._live(keys.GROUP).values())
        window = self.limits.window(slots, self._share(header))
        held = self._bytes()
        size = entry.size_of(header, payload)
        if len(inflight) >= window or (held and held + size > self.limits.queue_bytes):
            return store.Outcome.FULL
        return store.Outcome.PUBLISHED

    def _share(self, header: entry.Header) -> int:
        return self.limits.share(header.rows, header.payload_bytes)

    def _bytes(self) -> int:
        return sum(lane.bytes for lane in self.lanes.values())

    async def acquire_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.acquire_split``."""
        await self._served()
        holder = self._holder(task_id)
        if holder is None:
            self._splits[task_id] = (token, self._clock() + self.timing.split_seconds)
        return holder in (None, token)

    def _holder(self, task_id: str) -> str | None:
        token, expires = self._splits.get(task_id, ("", 0.0))
        return token if token and expires > self._clock() else None

    async def renew_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.renew_split``."""
        await self._served()
        if self._holder(task_id) != token:
            return False
        self._splits[task_id] = (token, self._clock() + self.timing.split_seconds)
        return True

    async def release_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.release_split``."""
        await self._served()
        if self._holder(task_id) != token:
            return False
        del self._splits[task_id]
        return True

    async def defect(self, task_id: str, lease: str, token: str) -> int:
        """See ``store.Store.defect``."""
        await self._served()
        return self.struck.add((task_id, DRIVES), token) if self._holder(task_id) == lease else 0

    async def forgive(self, task_id: str) -> None:
        """See ``store.Store.forgive``."""
        await self._served()
        self.struck.forget((task_id, DRIVES))

    async def in_flight(self, task_id: str) -> dict[int, entry.Ref]:
        """See ``store.Store.in_flight``."""
        await self._served()
        return dict(self._inflight.get(task_id, {}))

    async def prune(self, task_id: str) -> store.Pruned:
        """See ``store.Store.prune``."""
        await self._served()
        kept, dropped = {}, {}
        for chunk, ref in self._inflight.get(task_id, {}).items():
            if self.lanes[ref.lane].alive(ref.entry_id):
                kept[chunk] = ref
            else:
                dropped[chunk] = ref
                self.delete(ref)
        self._inflight[task_id] = dict(kept)
        return store.Pruned(kept, dropped)

    async def clear(self, task_id: str) -> int:
        """See ``store.Store.clear``."""
        await self._served()
        kept = {}
        inflight = self._inflight.get(task_id, {})
        for chunk, ref in inflight.items():
            lane = self.lanes[ref.lane]
            pending = lane.pending.get(ref.entry_id)
            if pending and pending.consumer not in (RETURNED, SUSPECT) and ref.entry_id in lane.entries:
                kept[chunk] = ref
            else:
                lane.acknowledge(ref.entry_id)
        self._inflight[task_id] = kept
        self.struck.clear(task_id, kept)
        return len(inflight) - len(kept)

    async def tasks(self) -> set[str]:
        """See ``store.Store.tasks``."""
        await self._served()
        flying = {task_id for task_id, inflight in self._inflight.items() if inflight}
        return flying | {task_id for task_id, _ in self.struck.standing()}

    # ---- presence

    async def announce(self, kind: str, name: str, slots: int) -> None:
        """See ``store.Store.announce``."""
        await self._served()
        self._presence.setdefault(kind, {})[name] = (self._clock() + self.timing.presence_ttl_seconds, slots)

    async def withdraw(self, kind: str, name: str) -> None:
        """See ``store.Store.withdraw``."""
        await self._served()
        self._presence.get(kind, {}).pop(name, None)

    def _live(self, kind: str) -> dict[str, int]:
        now = self._clock()
        return {name: slots for name, (expires, slots) in self._presence.get(kind, {}).items() if expires > now}

    async def live(self, kind: str) -> dict[str, int]:
        """See ``store.Store.live``."""
        await self._served()
        return self._live(kind)

    # ---- embedder's side

    async def take(self, ask: store.Ask, turn: int) -> store.Taken:
        """See ``store.Store.take``."""
        await self._served()
        handout = Handout(ask)
        for lane in keys.LANES:
            if ask.held == 0:
                while not handout.rows and self._claim_parked(handout, lane, SUSPECT):
                    pass
            elif self.lanes[lane].parked(SUSPECT):
                handout.draining = self._reserve_alone(ask.consumer) or handout.draining
        if not handout.draining:
            if ask.held == 0 and self._alone and self._alone[0] == ask.consumer:
                self._alone = None
            turn = self._take_in_turns(handout, turn)
        return store.Taken(handout.rows, handout.lost, handout.draining, turn, str(self._wakeup))

    def _take_in_turns(self, handout: Handout, turn: int) -> int:
        dry: set[keys.Lane] = set()
        want = handout.ask.want_thousandths
        while handout.filled < want and len(dry) < 4 and not handout.alone and not handout.draining:
            lane = turns.SCHEDULE[turn]
            turn = (turn + 1) % len(turns.SCHEDULE)
            if lane in dry or self._claim_parked(handout, lane, RETURNED):
                continue
            entry_id = self.lanes[lane].read_new(handout.ask.consumer, self._clock())
            if entry_id is None:
                dry.add(lane)
            else:
                self._admit(handout, entry.Ref(lane, entry_id))
        return turn

    async def reclaim(self, ask: store.Ask) -> store.Taken:
        """See ``store.Store.reclaim``."""
        await self._served()
        handout = Handout(ask)
        want = ask.want_thousandths
        for name, lane in self.lanes.items():
            more = True
            while more and handout.filled < want and not handout.alone:
                room = -(-(want - handout.filled) // settings.WHOLE_SLOT)
                lane.create_group()
                cursor, claimed, deleted = lane.autoclaim(
                    ask.consumer, self._clock(), self.timing.lease_seconds, self._cursors[name], room
                )
                self._cursors[name] = cursor
                for entry_id in claimed:
                    self._admit(handout, entry.Ref(name, entry_id))
                handout.lost += [entry.Ref(name, entry_id) for entry_id in deleted]
                more = bool(claimed) and cursor > 0
        return store.Taken(handout.rows, handout.lost, handout.draining)

    def _claim_parked(self, handout: Handout, name: keys.Lane, parked_by: str) -> bool:
        lane = self.lanes[name]
        for entry_id in lane.parked(parked_by):
            ref = entry.Ref(name, entry_id)
            if ref in handout.ask.forbidden:
                continue
            if lane.claim(entry_id, handout.ask.consumer, self._clock()):
                self._admit(handout, ref)
            else:
                handout.lost.append(ref)
            return True
        return False

    def _admit(self, handout: Handout, ref: entry.Ref) -> None:
        ask, lane = handout.ask, self.lanes[ref.lane]
        stored, pending = lane.entries[ref.entry_id], lane.pending[ref.entry_id]
        struck = self.struck.of((stored.header.task_id, stored.header.chunk))
        if ref in ask.forbidden or handout.alone:
            lane.park(ref.entry_id, RETURNED, self._clock() - self.timing.lease_seconds)
            return
        if strikes.is_suspect(struck, self.limits):
            if ask.held + len(handout.rows) > 0:
                lane.park(ref.entry_id, SUSPECT, self._clock())
                self._wake()
                handout.draining = self._reserve_alone(ask.consumer) or handout.draining
                return
            handout.alone = True
        handout.rows.append(store.Row(store.Claim(ref, pending.count), stored.header, stored.payload, struck))
        handout.filled += self._share(stored.header)

    def _reserve_alone(self, consumer: str) -> bool:
        now, seconds = self._clock(), self.timing.lease_seconds
        holder, until = self._alone if self._alone and self._alone[1] + seconds > now else ("", 0.0)
        if until > now or holder == consumer:
            return until > now and holder == consumer
        self._alone = (consumer, now + seconds)
        return True

    def _wake(self) -> None:
        self._wakeup += 1
        self._woken.set()
        self._woken = asyncio.Event()

    async def wait(self, wakeup: str, seconds: float) -> None:
        """See ``store.Store.wait``."""
        await self._served()
        if str(self._wakeup) == wakeup:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()

    async def heartbeat(self, consumer: str, claims: Sequence[store.Claim]) -> list[bool]:
        """See ``store.Store.heartbeat``."""
        await self._served()
        return [self._owns(consumer, c) and self.lanes[c.ref.lane].renew(c.ref.entry_id, self._clock()) for c in claims]

    def _owns(self, consumer: str, claim: store.Claim) -> bool:
        return self.lanes[claim.ref.lane].owns(claim.ref.entry_id, consumer, claim.delivery_count)

    async def ack(self, consumer: str, held: Sequence[store.Held], *, over: bool = True) -> list[bool]:
        """See ``store.Store.ack``."""
        await self._served()
        return [self._ack(consumer, *each, over=over) for each in held]

    def _ack(self, consumer: str, claim: store.Claim, header: entry.Header, *, over: bool) -> bool:
        if not self._owns(consumer, claim):
            return False
        self.lanes[claim.ref.lane].acknowledge(claim.ref.entry_id)
        inflight = self._inflight.get(header.task_id, {})
        if inflight.get(header.chunk) == claim.ref:
            del inflight[header.chunk]
        if over:
            self.struck.forget((header.task_id, header.chunk))
        return True

    async def hand_back(self, consumer: str, claim: store.Claim, header: entry.Header) -> bool:
        """See ``store.Store.hand_back``."""
        await self._served()
        if not self._owns(consumer, claim):
            return False
        lane, entry_id = self.lanes[claim.ref.lane], claim.ref.entry_id
        if strikes.is_suspect(self.struck.of((header.task_id, header.chunk)), self.limits):
            lane.park(entry_id, SUSPECT, self._clock())
        else:
            lane.park(entry_id, RETURNED, self._clock() - self.timing.lease_seconds)
        self._wake()
        return True

    async def strike(self, consumer: str, held: Sequence[store.Held], token: str) -> list[int]:
        """See ``store.Store.strike``."""
        await self._served()
        return [self._strike(consumer, *each, token) for each in held]

    def _strike(self, consumer: str, claim: store.Claim, header: entry.Header, token: str) -> int:
        if claim.ref.entry_id not in self.lanes[claim.ref.lane].entries or not self._owns(consumer, claim):
            return 0
        return self.struck.add((header.task_id, header.chunk), token)

    async def take_back(self, chunks: Sequence[store.Struck], token: str) -> None:
        """See ``store.Store.take_back``."""
        await self._served()
        for each in chunks:
            self.struck.remove(each, token)

    async def strikes(self, task_id: str, chunk: int) -> int:
        """See ``store.Store.strikes``."""
        await self._served()
        return self.struck.of((task_id, chunk))

    async def reap(self, name: str = "") -> list[str]:
        """See ``store.Store.reap``: here consumers are no things of their own, there is nothing to remove."""
        await self._served()
        del name
        return []

    async def look(self) -> store.QueueView:
        """See ``store.Store.look``."""
        await self._served()
        views = {}
        for name, lane in self.lanes.items():
            held: dict[str, int] = {}
            for pending in lane.pending.values():
                if pending.consumer not in (RETURNED, SUSPECT):
                    held[pending.consumer] = held.get(pending.consumer, 0) + 1
            born = min((stored.born for stored in lane.entries.values()), default=self._clock())
            waiting = max(len(lane.entries) - sum(held.values()), 0)
            views[name] = store.LaneView(len(lane.entries), waiting, self._clock() - born, held, lane.bytes)
        return store.QueueView(self._bytes(), views)
