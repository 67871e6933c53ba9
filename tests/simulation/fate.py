"""What befalls the line in a seed: crashes at any step, zombies, outages, losses, an account that refuses."""

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from tests.simulation import files, providers
from tests.simulation import loop as loops
from tests.simulation.network import CALM, Weather

if TYPE_CHECKING:
    from tests.simulation.jobs import Job
    from tests.simulation.world import World

log = structlog.get_logger()

RAGE_SECONDS = 90.0
HOUR = 3_600.0
KINDS = ("ingest", "embedder", "embedder", "indexer")
SERVICES = ("valkey", "indexer", "dynamodb", "openai")


class Fate:
    """Drawn from the seed before anything runs."""

    def __init__(self, world: "World", choice: random.Random) -> None:
        self._world = world
        self._choice = choice
        self.told: list[str] = []
        self.calm = False
        self.poison = choice.random() < 0.15
        # Several tasks want the same vectors, some are cancelled: turns pass on while old writes are under way.
        self.contended = choice.random() < 0.2
        self.cancels = choice.choice((0.0, 0.0, 0.3)) if not self.contended else 0.6
        self.line = {
            "ingest": choice.choice((1, 2)),
            "embedder": choice.choice((1, 2, 3)),
            "indexer": choice.choice((1, 2)),
        }
        self._clocks_off = choice.random() < 0.1
        others = random.Random(choice.random())
        self._others = others
        # Some ingest processes are of a release that knows nothing of manifests; somebody else writes to the index.
        self._older = others.choice((0.0, 0.0, 0.0, 0.0, 0.4))
        self._interferes = others.choice((0.0, 0.0, 0.5))
        # Of a large file few rows are looked at before the others are skipped; what a stranger did, only that finds.
        self.sample = 1_000 if self._interferes else random.Random(f"sample of {world.seed}").choice((1, 1_000))
        self._weather = self._draw_weather()
        events: list[Callable[[], Any]] = [
            self.crash, self.crash, self.crash, self.freeze, self.flush, self.delete_entry, self.outage,
            self.partition, self.account, self.pinecone, self.remove_consumer, self.full, self.lose_groups,
        ]  # fmt: skip
        allowed = choice.sample(events, choice.randint(1, len(events)))
        count = choice.choice((0, 1, 2, 3, 5, 8, 12))
        self._events = sorted(
            ((choice.random() * RAGE_SECONDS, choice.choice(allowed)) for _ in range(count)), key=lambda pair: pair[0]
        )
        plan = random.Random(f"quota of {world.seed}")
        # The plan's quota is used up in mid write; a person resumes what was blocked, once there is more.
        self.quota_ends = plan.random() < 0.15
        self.stalls = random.Random(f"stalls of {world.seed}").choice((0.0,) * 9 + (0.1,))
        if self.quota_ends:
            self._events.append((plan.random() * RAGE_SECONDS, self.quota))
            self._events.sort(key=lambda pair: pair[0])

    def _draw_weather(self) -> Weather:
        choice = self._choice
        calm = dataclasses.replace(CALM)
        for field in dataclasses.fields(Weather):
            if choice.random() < 0.35:
                setattr(calm, field.name, choice.choice((0.01, 0.03, 0.1)))
        if choice.random() < 0.2:
            calm.slow = 0.3
        # A call that breaks while the indexer decodes looks like one that killed it, whatever broke it: where every
        # tenth message breaks, or the marks of decoding are seconds apart, five such breaks are no rarity.
        calm.broken_stream = min(calm.broken_stream, 0.01 if calm.slow > 0.1 else 0.03)
        if self.contended and choice.random() < 0.7:
            calm.pinecone_slow = 0.3
        return calm

    def clock_off(self, kind: str) -> float:
        return self._choice.choice((-HOUR, 0.0, HOUR)) if self._clocks_off and kind == "indexer" else 0.0

    def older(self, kind: str) -> bool:
        return kind == "ingest" and not self.calm and self._others.random() < self._older

    @property
    def releases(self) -> bool:
        """Whether an older release may drive anything."""
        return self._older > 0

    def interfere(self, file: Any) -> None:
        """Somebody else deletes or overwrites records of a file's question, or makes the namespace anew."""
        if self._others.random() >= self._interferes:
            return
        pinecone, world = self._world.shared.pinecone, self._world
        prefix = f"{file.question_id}."
        kind = self._others.choice(("delete", "overwrite", "swap", "all"))
        mine = sorted(key for key in pinecone.vectors if kind == "all" or key[1].startswith(prefix))
        chosen = mine if kind == "all" else self._others.sample(mine, min(len(mine), self._others.randint(1, 3)))
        for key in chosen:
            world.touched[key[1]] = world.loop.now
            if kind in ("delete", "all", "swap"):
                del pinecone.vectors[key]
            else:
                pinecone.write(key, f"foreign {self._others.random()}")
        if kind == "swap":  # as many as before, others
            for number in range(len(chosen)):
                key = (files.NAMESPACE, f"{prefix}foreign{number}-{self._others.random()}")
                world.touched[key[1]] = world.loop.now
                pinecone.write(key, "foreign")
        if kind == "all":
            pinecone.lsn.clear()  # it is another index by now
        self._say(f"somebody changes {len(chosen)} records of question {file.question_id}: {kind}")

    def harm(self, job: "Job") -> None:
        """Somebody else changes records of a job's question."""
        pinecone, world = self._world.shared.pinecone, self._world
        choice = random.Random(f"harm of {world.seed} by {job.number}")
        mine = sorted(key for key in pinecone.vectors if key[1].startswith(f"{job.question_id}."))
        chosen = mine if job.harm == "model" else choice.sample(mine, min(len(mine), choice.randint(1, 3)))
        if job.harm == "strange":
            chosen = [(files.NAMESPACE, f"{job.question_id}.foreign{job.number}-{each}") for each in range(2)]
        for key in chosen:
            world.touched[key[1]] = world.loop.now
            if job.harm == "delete":
                del pinecone.vectors[key], pinecone.metadata[key]
            elif job.harm in ("values", "model"):
                pinecone.vectors[key] = providers.vector_of(f"another model {choice.random()}")
                world.vague.add(key[1])
            elif job.harm == "cut":
                pinecone.cut(key)
            else:
                pinecone.write(key, f"foreign {choice.random()}")
        self._say(f"somebody changes {len(chosen)} records before {job.name}: {job.harm}")

    async def rage(self) -> None:
        """Let it all happen; afterwards nothing goes wrong any more."""
        world = self._world
        began = world.loop.now
        world.network.weather = self._weather
        world.shared.pinecone.stalls = self.stalls
        lasting = []
        for at, event in self._events:
            await asyncio.sleep(max(0.0, began + at - world.loop.now))
            lasting.append(world.loop.fate.start(event()))
        await asyncio.sleep(max(0.0, began + RAGE_SECONDS - world.loop.now))
        world.network.weather = CALM
        world.shared.pinecone.stalls = 0.0
        for each in lasting:
            await each
        for kind in world.running.values():
            for room in kind:
                room.process.steps_to_live = None
        self._say("calm")
        self.calm = True

    def _say(self, what: str) -> None:
        log.info(f"**** {what}")
        self.told.append(f"{self._world.loop.now - loops.START:.1f} {what}")

    def _some(self, kind: str) -> Any | None:
        living = self._world.running[kind]
        return self._choice.choice(living) if living else None

    async def _busy(self) -> Any | None:
        """Some process that has something to lose, if one has within a while."""
        room = self._some(self._choice.choice(KINDS))
        for _ in range(100):
            if room is None or not room.process.alive or self._at_work(room):
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(self._choice.random() * 0.2)
        return room

    def _at_work(self, room: Any) -> bool:
        if hasattr(room, "tasks"):
            return bool(room.tasks._driving)
        embedders = [room] if hasattr(room, "consumer") else self._world.running["embedder"]
        return any(embedder.consumer.held for embedder in embedders)

    async def crash(self) -> None:
        room = await self._busy()
        if room is not None:
            room.process.steps_to_live = self._choice.randint(1, 100)
            self._say(f"{room.process.name} dies after {room.process.steps_to_live} steps")

    async def freeze(self) -> None:
        room = await self._busy()
        if room is None or not room.process.alive:
            return
        seconds = self._choice.choice((5.0, 35.0, 60.0))
        self._say(f"{room.process.name} stands still for {seconds} s")
        if hasattr(room, "consumer"):
            self._world.excuse(room)
        room.process.freeze()
        await asyncio.sleep(seconds)
        room.process.thaw()

    async def flush(self) -> None:
        self._say("flush")
        self._world.excuse_all()
        self._world.shared.queue.flush()
        self._world.shared.limiter.flush()

    async def delete_entry(self) -> None:
        queue = self._world.shared.queue
        entries = [(lane, entry_id) for lane in queue.lanes.values() for entry_id in lane.entries]
        if entries:
            self._say("an entry is deleted")
            self._world.excuse_all()
            lane, entry_id = self._choice.choice(entries)
            lane.delete(entry_id)

    async def remove_consumer(self) -> None:
        room = self._some("embedder")
        if room is not None:
            self._say(f"consumer {room.process.name} is removed")
            self._world.excuse_all()
            self._world.shared.queue.remove_consumer(room.process.name)

    async def lose_groups(self) -> None:
        self._say("the groups are destroyed")
        self._world.excuse_all()
        self._world.shared.queue.destroy_groups()

    async def full(self) -> None:
        self._say("Valkey is out of memory")
        self._world.shared.queue.full = True
        await asyncio.sleep(self._choice.choice((5.0, 40.0)))
        self._world.shared.queue.full = False

    async def outage(self) -> None:
        await self._cut("")

    async def partition(self) -> None:
        room = self._some(self._choice.choice(KINDS))
        if room is not None:
            await self._cut(room.process.name)

    async def _cut(self, who: str) -> None:
        world = self._world
        service, seconds = self._choice.choice(SERVICES), self._choice.choice((3.0, 20.0, 50.0))
        self._say(f"{who or 'nobody'} reaches{' no' if who else ''} {service} for {seconds} s")
        world.excuse_all()
        world.network.cut.add((who, service))
        await asyncio.sleep(seconds)
        world.excuse_all()
        world.network.cut.discard((who, service))

    async def account(self) -> None:
        world = self._world
        self._say("the account refuses")
        world.excuse_all()
        world.shared.openai.good = False
        await asyncio.sleep(self._choice.choice((5.0, 30.0)))
        world.excuse_all()
        world.shared.openai.good = True
        self._say("the account is good")

    async def pinecone(self) -> None:
        self._say("Pinecone is down")
        self._world.shared.pinecone.down = True
        await asyncio.sleep(self._choice.choice((5.0, 40.0)))
        self._world.shared.pinecone.down = False

    async def quota(self) -> None:
        world = self._world
        self._say("Pinecone's quota is used up")
        world.excuse_all()
        world.shared.pinecone.exhausted = True
        await asyncio.sleep(self._choice.choice((5.0, 30.0)))
        world.excuse_all()
        world.shared.pinecone.exhausted = False
        self._say("Pinecone's quota is raised")
