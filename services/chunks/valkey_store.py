"""The queue on a real Valkey (8.1 or later; also Redis 7): every operation is one Lua script.

Streams without MAXLEN (it would drop undelivered entries silently), one consumer group, server with ``noeviction``.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import redis.asyncio
import structlog

from services.chunks import entry, errors, keys, metrics, settings, store, turns
from services.valkey import scripts

_log = structlog.get_logger(__name__)

# Scripts that hand out chunks.
_HANDING_OUT = ("take", "reclaim")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _shared(script: str) -> tuple[str, ...]:
    return ("prelude", "admit") if script in _HANDING_OUT else ("prelude",)


def _pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _refs(flat: Sequence[bytes]) -> dict[int, entry.Ref]:
    return {int(chunk): entry.Ref.parse(ref.decode()) for chunk, ref in _pairs(flat).items()}


class ValkeyStore:
    """See ``store.Store``.

    Args:
        client: From ``connection.connect``; not closed here. ``decode_responses`` must be off.
        timing: Times of the leases; the same in every process.
        limits: Window, budget and strikes; the same in every process.
        prefix: Sets several queues on one server apart.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        timing: settings.Timing | None = None,
        limits: settings.QueueLimits | None = None,
        *,
        prefix: str = "",
    ) -> None:
        self.timing = timing or settings.Timing()
        self.limits = limits or settings.QueueLimits()
        self.keys = keys.Keys(prefix)
        self._client = client
        self._scripts = scripts.Scripts(client, "services.chunks", _shared)
        self._cursors = [b"0-0"] * len(keys.LANES)

    def fit(self, most_bytes: int) -> None:
        """Keep the queue to so many bytes, if it may come to more: the server has less memory than was thought."""
        self.limits = dataclasses.replace(self.limits, queue_bytes=min(self.limits.queue_bytes, most_bytes))

    async def _run(self, script: str, touched: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """A script's raw reply. Only ``publish`` may be refused for lack of memory: the others free some.

        Raises:
            errors.QueueUnavailable: Valkey does not serve now.
        """
        with errors.translated():
            return await self._scripts.run(script, touched, args)

    # ---- ingest's side

    async def publish(self, header: entry.Header, payload: bytes, token: str) -> store.Outcome:
        """See ``store.Store.publish``."""
        fields: list[str | bytes] = [part for pair in header.to_fields().items() for part in pair]
        return await self._publish(header, token, 0, [*fields, entry.PAYLOAD_FIELD, payload])

    async def has_room(self, header: entry.Header, payload: bytes, token: str) -> store.Outcome:
        """See ``store.Store.has_room``."""
        return await self._publish(header, token, entry.size_of(header, payload), [])

    async def _publish(
        self, header: entry.Header, token: str, size: int, fields: Sequence[str | bytes]
    ) -> store.Outcome:
        task_id = header.task_id
        touched = [self.keys.split(task_id), self.keys.inflight(task_id), self.keys.bytes]
        touched += [self.keys.presence(keys.GROUP), self.keys.wakeup, *self.keys.lanes]
        limits = self.limits
        args: list[str | bytes | int] = [
            token,
            _ms(self.timing.split_seconds),
            header.chunk,
            keys.LANES.index(header.lane) + 1,
            limits.window_per_slot * settings.WHOLE_SLOT,
            limits.window_floor,
            limits.queue_bytes,
            keys.GROUP,
            size,
            0 if fields else 1,
            limits.share(header.rows, header.payload_bytes),
            *fields,
        ]
        try:
            answer = await self._run("publish", touched, args)
        except errors.QueueFull:
            # Refused as a whole, the lease too: renewing it needs no memory.
            renewed = await self.renew_split(task_id, token)
            return store.Outcome.FULL if renewed else store.Outcome.LEASE_LOST
        return store.Outcome(answer.decode().lower())

    async def acquire_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.acquire_split``."""
        return await self._split("split_acquire", task_id, token)

    async def renew_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.renew_split``."""
        return await self._split("split_renew", task_id, token)

    async def release_split(self, task_id: str, token: str) -> bool:
        """See ``store.Store.release_split``."""
        return await self._split("split_release", task_id, token)

    async def _split(self, script: str, task_id: str, token: str) -> bool:
        args: list[str | bytes | int] = [token, _ms(self.timing.split_seconds)]
        return bool(await self._run(script, [self.keys.split(task_id)], args))

    async def defect(self, task_id: str, lease: str, token: str) -> int:
        """See ``store.Store.defect``."""
        touched = [self.keys.split(task_id), self.keys.defects(task_id)]
        return int(await self._run("defect", touched, [lease, token, _ms(self.timing.strike_seconds)]))

    async def forgive(self, task_id: str) -> None:
        """See ``store.Store.forgive``."""
        with errors.translated():
            await self._client.delete(self.keys.defects(task_id))

    async def in_flight(self, task_id: str) -> dict[int, entry.Ref]:
        """See ``store.Store.in_flight``."""
        with errors.translated():
            stored = cast("dict[bytes, bytes]", await self._client.hgetall(self.keys.inflight(task_id)))
        return {int(chunk): entry.Ref.parse(ref.decode()) for chunk, ref in stored.items()}

    async def prune(self, task_id: str) -> store.Pruned:
        """See ``store.Store.prune``."""
        touched = [self.keys.inflight(task_id), self.keys.bytes, *self.keys.lanes]
        kept, dropped = await self._run("prune", touched, [keys.GROUP])
        return store.Pruned(_refs(kept), _refs(dropped))

    async def clear(self, task_id: str) -> int:
        """See ``store.Store.clear``."""
        struck = sorted(await self._names(self.keys.strikes_of(task_id)))
        touched = [self.keys.inflight(task_id), self.keys.bytes, *self.keys.lanes, self.keys.defects(task_id), *struck]
        chunks = [name.rpartition(":")[2] for name in struck]
        return int(await self._run("clear", touched, [keys.GROUP, *chunks]))

    async def tasks(self) -> set[str]:
        """See ``store.Store.tasks``."""
        return {task_id for name in await self._names(self.keys.all) if (task_id := self.keys.task_of(name))}

    async def _names(self, pattern: str) -> set[str]:
        with errors.translated():
            return {name.decode() async for name in self._client.scan_iter(match=pattern, count=1000)}

    # ---- presence

    async def announce(self, kind: str, name: str, slots: int) -> None:
        """See ``store.Store.announce``."""
        ttl = _ms(self.timing.presence_ttl_seconds)
        await self._run("announce", [self.keys.presence(kind)], [name, slots, ttl])

    async def withdraw(self, kind: str, name: str) -> None:
        """See ``store.Store.withdraw``."""
        with errors.translated():
            await self._client.hdel(self.keys.presence(kind), name)

    async def live(self, kind: str) -> dict[str, int]:
        """See ``store.Store.live``."""
        flat = await self._run("live", [self.keys.presence(kind)], [])
        return {name.decode(): int(slots) for name, slots in _pairs(flat).items()}

    # ---- embedder's side

    async def take(self, ask: store.Ask, turn: int) -> store.Taken:
        """See ``store.Store.take``."""
        rows, lost, draining, turn, wakeup = await self._ask("take", ask, [turn, turns.SCHEDULE_DIGITS])
        return await self._taken(rows, lost, draining, turn, wakeup.decode())

    async def reclaim(self, ask: store.Ask) -> store.Taken:
        """See ``store.Store.reclaim``. The cursors are kept from round to round."""
        rows, lost, draining, cursors = await self._ask("reclaim", ask, self._cursors)
        self._cursors = cursors
        return await self._taken(rows, lost, draining, 0, "0-0")

    async def _ask(self, script: str, ask: store.Ask, more: Sequence[str | bytes | int]) -> Any:
        touched = [*self.keys.lanes, self.keys.wakeup, self.keys.alone, self.keys.strikes_prefix]
        want = ask.want_thousandths
        limits = self.limits
        args: list[str | bytes | int] = [keys.GROUP, ask.consumer, want, ask.held, _ms(self.timing.lease_seconds)]
        args += [limits.suspect_strikes, limits.poison_strikes, limits.slot_rows, limits.slot_bytes, limits.least_share]
        args += [*more, *map(str, ask.forbidden)]
        return await self._run(script, touched, args)

    async def _taken(
        self, raw: Sequence[Any], lost: Sequence[bytes], draining: int, turn: int, wakeup: str
    ) -> store.Taken:
        rows = []
        for lane_index, entry_id, count, strikes, flat in raw:
            claim = store.Claim(entry.Ref(keys.LANES[lane_index - 1], entry_id.decode()), count)
            try:
                fields = _pairs(flat)
                header = entry.Header.from_fields(fields)
                payload = fields[entry.PAYLOAD_FIELD]
            except (errors.CorruptEntryError, KeyError, ValueError) as error:
                await self._discard(claim.ref, error)
                continue
            rows.append(store.Row(claim, header, payload, strikes))
        return store.Taken(rows, [entry.Ref.parse(ref.decode()) for ref in lost], bool(draining), turn, wakeup)

    async def _discard(self, ref: entry.Ref, error: Exception) -> None:
        """Dropping is always safe: a chunk that is missing is split again, by an ingest of our own version."""
        _log.warning(
            "An entry that this version cannot read was dropped.",
            action="entry_discarded",
            entry=str(ref),
            error=str(error),
        )
        metrics.DISCARDED.inc()
        touched = [self.keys.lane(ref.lane), self.keys.bytes]
        await self._run("discard", touched, [keys.GROUP, ref.entry_id, str(ref)])

    async def wait(self, wakeup: str, seconds: float) -> None:
        """See ``store.Store.wait``."""
        with errors.translated():
            await self._client.xread({self.keys.wakeup: wakeup}, count=1, block=_ms(seconds))

    async def heartbeat(self, consumer: str, claims: Sequence[store.Claim]) -> list[bool]:
        """See ``store.Store.heartbeat``."""
        if not claims:
            return []
        args: list[str | bytes | int] = [keys.GROUP, consumer]
        for claim in claims:
            args += [keys.LANES.index(claim.ref.lane) + 1, claim.ref.entry_id, claim.delivery_count]
        return [bool(answer) for answer in await self._run("heartbeat", self.keys.lanes, args)]

    async def ack(self, consumer: str, held: Sequence[store.Held], *, over: bool = True) -> list[bool]:
        """See ``store.Store.ack``."""
        touched = [self.keys.bytes]
        args: list[str | bytes | int] = [keys.GROUP, consumer, int(over)]
        for claim, header in held:
            ref, task_id = claim.ref, header.task_id
            touched += [self.keys.lane(ref.lane), self.keys.inflight(task_id)]
            touched.append(self.keys.strikes(task_id, header.chunk))
            args += [ref.entry_id, claim.delivery_count, header.chunk, str(ref)]
        return [bool(answer) for answer in await self._run("ack", touched, args)]

    async def hand_back(self, consumer: str, claim: store.Claim, header: entry.Header) -> bool:
        """See ``store.Store.hand_back``."""
        strikes = self.keys.strikes(header.task_id, header.chunk)
        args: list[str | bytes | int] = [keys.GROUP, consumer, claim.ref.entry_id, claim.delivery_count]
        args += [_ms(self.timing.lease_seconds), self.limits.suspect_strikes, self.limits.poison_strikes]
        lane = self.keys.lane(claim.ref.lane)
        return bool(await self._run("hand_back", [lane, self.keys.wakeup, strikes], args))

    async def strike(self, consumer: str, held: Sequence[store.Held], token: str) -> list[int]:
        """See ``store.Store.strike``."""
        touched = []
        args: list[str | bytes | int] = [keys.GROUP, consumer, token, _ms(self.timing.strike_seconds)]
        for claim, header in held:
            touched += [self.keys.lane(claim.ref.lane), self.keys.strikes(header.task_id, header.chunk)]
            args += [claim.ref.entry_id, claim.delivery_count]
        return list(await self._run("strike", touched, args))

    async def take_back(self, chunks: Sequence[store.Struck], token: str) -> None:
        """See ``store.Store.take_back``."""
        await self._run("take_back", [self.keys.strikes(*each) for each in chunks], [token])

    async def strikes(self, task_id: str, chunk: int) -> int:
        """See ``store.Store.strikes``."""
        with errors.translated():
            return int(await self._client.scard(self.keys.strikes(task_id, chunk)))

    async def reap(self, name: str = "") -> list[str]:
        """See ``store.Store.reap``."""
        touched = [self.keys.presence(keys.GROUP), *self.keys.lanes]
        args: list[str | bytes | int] = [keys.GROUP, _ms(self.timing.reap_idle_seconds), name]
        return sorted({gone.decode() for gone in await self._run("reap", touched, args)})

    async def look(self) -> store.QueueView:
        """See ``store.Store.look``."""
        now_ms, total, lanes = await self._run("look", [self.keys.bytes, *self.keys.lanes], [keys.GROUP])
        views = {}
        for lane, (entries, waiting, oldest, held, size) in zip(keys.LANES, lanes, strict=True):
            born_ms = int(oldest.partition(b"-")[0]) if oldest else now_ms
            holders = {name.decode(): int(count) for name, count in _pairs(held).items()}
            views[lane] = store.LaneView(entries, waiting, max(now_ms - born_ms, 0) / 1000, holders, size)
        return store.QueueView(total, views)
