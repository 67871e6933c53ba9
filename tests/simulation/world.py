"""One seed: a line, some files, a fate; at the end every invariant must hold."""

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import logging
import random
import secrets
import sys
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import structlog
from vectorline.v1 import indexer_pb2

from services.chunks import entry, presence
from services.chunks import settings as queue_settings
from services.embedder.limiter import promise
from services.embedder.working import decoding
from services.indexer import servicer
from services.indexer.ledger import items, removals
from services.indexer.pinecone import concurrency
from services.ingest.manifest import comparing
from services.ingest.planning import plan
from services.ingest.request import options
from services.runtime import errors, identity
from tests.simulation import files, invariants, line, providers, storage, valkey, wire
from tests.simulation import loop as loops
from tests.simulation.fate import Fate
from tests.simulation.journal import Journal
from tests.simulation.network import Network

# Production's times, but for a longer wait for work: an idle line costs steps.
TIMING = queue_settings.Timing(block_seconds=5.0)
# After the last fault everything must be over within this much virtual time.
BOUND_SECONDS = 900.0


class Broken(Exception):
    """An invariant does not hold."""


@dataclasses.dataclass
class Report:
    """What became of a seed."""

    seed: int
    problems: list[str]
    steps: int
    seconds: float
    digest: int
    faults: list[str]


class World:
    """All that there is in a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        choice = random.Random(seed)
        self.choice = choice
        self.loop = loops.Loop(random.Random(choice.random()))
        self.broken: list[str] = []
        self.network = Network(self.loop, random.Random(choice.random()))
        self.fate = Fate(self, random.Random(choice.random()))
        self.shards = choice.choice((2, 3, 256))
        self.files = files.draw(
            choice, poison=self.fate.poison, cancels=self.fate.cancels, contended=self.fate.contended
        )
        keyed = random.Random(f"keys of {seed}")
        for file in self.files:
            file.key = f"request-{file.number}" if keyed.random() < 0.6 else ""
            file.watchers = keyed.choice((0, 0, 0, 3))
        self.of_task: dict[str, files.File] = {}
        # Records that somebody else changed in the index, and when.
        self.touched: dict[str, float] = {}
        # How often each chunk may be bought once more, for what was done to those who held it.
        self.excused: Counter[tuple[str, int]] = Counter()
        self.excused_texts: Counter[str] = Counter()
        self.shared = self._shared()
        self.running: dict[str, list[Any]] = {"ingest": [], "embedder": [], "indexer": []}
        self._names: Counter[str] = Counter()
        self.died = False

    def _shared(self) -> line.Shared:
        network = self.network
        openai = providers.OpenAI(network, self.excuse_all, self._excuse_texts)
        content = {file.name: file.data for file in self.files}
        rate = self.choice.choice((5.0, 2.0, 0.0))
        limits = queue_settings.QueueLimits(queue_bytes=self.choice.choice((2_000, 1 << 20)))
        return line.Shared(
            loop=self.loop,
            network=network,
            queue=valkey.Owned(self.broken, TIMING, limits),
            limiter=valkey.Granting(promise.Quota(rate, 0.0, 1_000)),
            table=storage.Watched(network, self.broken, self._on_status, self._on_settled),
            bucket=storage.Bucket(),
            files=storage.Files(content, network),
            openai=openai,
            pinecone=providers.Pinecone(network),
            indexers=wire.Servers(self.loop, network),
            on_hand_back=self._on_hand_back,
            broken=self.broken,
            guard_percent=random.Random(f"guard of {self.seed}").choice((0.0, 20.0, 100.0)),
        )

    # ---- what is excused

    def excuse(self, embedder: Any) -> None:
        """Something is done to an embedder: what it has in hand, or is being handed, may be bought once more."""
        for delivery in embedder.consumer.held:
            self.excused[delivery.header.task_id, delivery.header.chunk] += 1
        for lane in self.shared.queue.lanes.values():
            for entry_id in lane.parked(embedder.consumer.name):
                if entry_id in lane.entries:
                    header = lane.entries[entry_id].header
                    self.excused[header.task_id, header.chunk] += 1

    def excuse_all(self) -> None:
        for embedder in self.running["embedder"]:
            self.excuse(embedder)

    def _excuse_texts(self, texts: Sequence[str]) -> None:
        self.excused_texts.update(texts)

    def _on_hand_back(self, header: entry.Header) -> None:
        """A suspect chunk goes to an embedder that is alone with it, though it may have been bought."""
        if (
            len(self.shared.queue._strikes.get((header.task_id, header.chunk), ()))
            >= self.shared.queue.limits.suspect_strikes
        ):
            self.excused[header.task_id, header.chunk] += 1

    def _on_status(self, key: str, status: str) -> None:
        if status == items.Status.BLOCKED and (file := self._file_of(key)) is not None:
            for chunk in range(file.chunks):
                self.excused[key, chunk] += 1

    def _file_of(self, task_id: str) -> files.File | None:
        asked = (each for each in self.files if task_id in invariants.tasks_of(self, each))
        return self.of_task.get(task_id) or next(asked, None)

    def _on_settled(self, task_id: str, chunk: int, outcome: dict[str, Any]) -> None:
        """What is skipped as unchanged is in the index just so, at that moment."""
        if outcome.get("u") and (file := self._file_of(task_id)) is not None:
            self.broken += invariants.skipped_wrongly(self, file, task_id, chunk)

    # ---- processes

    def start(self, kind: str) -> None:
        self._names[kind] += 1
        process = loops.Process(self.loop, f"{kind}-{self._names[kind]}")
        process.clock_off = self.fate.clock_off(kind)
        made = {"ingest": line.Ingest, "embedder": line.Embedder, "indexer": line.Indexer}[kind]
        living = self.running[kind]

        async def begin() -> None:
            try:
                room = made(self.shared, process, older=self.fate.older(kind))
            except Exception as error:
                self.broken.append(f"a process of kind {kind} cannot be made: {error!r}")
                raise
            living.append(room)

            def died() -> None:
                self.died = True
                living.remove(room)
                if kind == "embedder":
                    self.excuse(room)
                self.loop.fate.start(self._again(kind))

            process.on_death.append(died)
            await room.run()

        process.start(begin())

    async def _again(self, kind: str) -> None:
        await asyncio.sleep(self.choice.uniform(0.2, 10.0))
        self.start(kind)

    async def submit(self, file: files.File) -> None:
        """A client: submits, and repeats until it has an answer: with the same key, or after a look what came of it."""
        while file.waits and file.before is not None and self.status(file.before) not in items.TERMINAL:
            if self.broken or self.loop.now > loops.START + BOUND_SECONDS:
                return
            await asyncio.sleep(1.0)
        await asyncio.sleep(file.submitted_after)
        if file.waits:
            self.fate.interfere(file)
        file.submitted_at = self.loop.now
        request = options.Options(
            data_source="s3_csv",
            s3_key=file.name,
            question_id=file.question_id,
            chunk_size=file.chunk_size,
            priority=file.priority,
            mode=file.mode,
            request_id=file.key,
        ).to_request()
        while not file.task_id:
            if self.loop.now > loops.START + BOUND_SECONDS:
                self.broken.append(f"{file.name} could not be submitted")
                return
            if self.broken:
                return
            if not file.key and file.submissions:
                await self._look_for(file)
            if not file.task_id and (living := self.running["ingest"]):
                ingest = self.choice.choice(living)
                file.submissions += 1
                told = ingest.process.start(self._tell(ingest, request, file))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(15.0):
                        await asyncio.shield(told)
            await asyncio.sleep(1.0)
        for _ in range(file.watchers):
            self.loop.fate.start(self._watch(file))
        if file.mode == "mirror":
            self.loop.fate.start(self._confirm(file))
        if file.cancelled_after is not None:
            await asyncio.sleep(file.cancelled_after)
            await self._cancel(file)

    async def _confirm(self, file: files.File) -> None:
        """A person who looks at held mirrors now and then, and confirms what is told."""
        chance = random.Random(f"{self.seed} confirms {file.number}")
        while not self.broken and self.status(file) not in items.TERMINAL:
            await asyncio.sleep(chance.choice((1.0, 5.0, 45.0)))
            held = removals.shown(self.shared.table.items[file.task_id])
            living = [room for room in self.running["indexer"] if room.process in self.shared.indexers.live]
            if held is None or not living:
                continue
            indexer = self.choice.choice(living)
            told = indexer.process.start(indexer.book.confirm(file.task_id, held["checksum"]))
            with contextlib.suppress(TimeoutError, errors.Unavailable, errors.Conflict):
                async with asyncio.timeout(10.0):
                    await asyncio.shield(told)

    async def _look_for(self, file: files.File) -> None:
        """Without a key nobody can ask again: when nothing is under way any more, see whether the task is there."""
        while not self.fate.calm:
            await asyncio.sleep(1.0)
        await asyncio.sleep(60.0)
        if not file.task_id and (made := invariants.tasks_of(self, file)):
            file.task_id = made[0]
            self.of_task[made[0]] = file

    async def _tell(self, ingest: line.Ingest, request: Any, file: files.File) -> None:
        try:
            task_id = await ingest.submit(request)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                self.broken.append(f"{file.name} is refused: {error.code()} {error.details()}")
            return
        if file.task_id and file.task_id != task_id:
            self.broken.append(f"one key made two tasks: {file.task_id}, {task_id}")
        file.task_id = task_id
        self.of_task[task_id] = file

    async def _cancel(self, file: files.File) -> None:
        while True:
            if living := [room for room in self.running["indexer"] if room.process in self.shared.indexers.live]:
                indexer = self.choice.choice(living)
                told = indexer.process.start(indexer.book.tasks.cancel(file.task_id))
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(10.0):
                        await asyncio.shield(told)
            if self.status(file) in items.TERMINAL:
                return
            await asyncio.sleep(1.0)

    async def _watch(self, file: files.File) -> None:
        """A caller that watches, and follows when its watch breaks, until it hears how the task ended."""
        while not self.broken:
            if living := [room for room in self.running["indexer"] if room.process in self.shared.indexers.live]:
                indexer = self.choice.choice(living)
                hearing = indexer.process.start(self._hear(indexer, file))
                with contextlib.suppress(TimeoutError, asyncio.CancelledError, errors.Unavailable):
                    async with asyncio.timeout(120.0):
                        file.heard.append(await asyncio.shield(hearing))
                        return
            await asyncio.sleep(1.0)

    async def _hear(self, indexer: line.Indexer, file: files.File) -> str:
        identity.bind(identity.Caller("ann", frozenset({"read"})))
        context: Any = None
        counts, status = [0, 0, 0], ""
        async for task in indexer.watched.WatchTask(indexer_pb2.WatchTaskRequest(task_id=file.task_id), context):
            told = task.progress
            now = [told.processed_records, told.failed_records, told.skipped_records]
            if any(after < before for before, after in zip(counts, now, strict=True)):
                self.broken.append(f"a watcher of {file.name} heard {counts} and then {now}")
            if status in items.TERMINAL:
                self.broken.append(f"a watcher of {file.name} heard {task.status} after {status}")
            counts, status = now, task.status
        return status

    def status(self, file: files.File) -> str:
        return str(self.shared.table.items.get(file.task_id, {}).get("status", ""))

    # ---- the whole

    async def run(self) -> None:
        for kind, count in self.fate.line.items():
            for _ in range(count):
                self.start(kind)
        clients = [self.loop.fate.start(self.submit(file)) for file in self.files]
        await self.fate.rage()
        for client in clients:
            await client
        deadline = self.loop.now + BOUND_SECONDS
        await asyncio.sleep(2 * providers.UPSERT_DEADLINE_SECONDS)  # what is on its way to the index has come
        problems = ["nothing ran"]
        while problems:
            await asyncio.sleep(2.0)
            problems = invariants.unfinished(self)
            if problems and self.loop.now > deadline:
                self.broken += problems
                break
        if self.broken and Journal.shown:
            self._tell_where()
        if all(file.task_id for file in self.files):
            self.broken += invariants.violated(self)

    def _tell_where(self) -> None:
        """Where every task of the living stands."""
        for room in (room for rooms in self.running.values() for room in rooms):
            for task in room.process.tasks:
                if not task.done():
                    print(f"---- {room.process.name} {task.get_coro()}")  # noqa: T201
                    awaited = task.get_coro()
                    while awaited is not None and getattr(awaited, "cr_frame", None) is not None:
                        frame = awaited.cr_frame
                        print(f"  {frame.f_code.co_filename.split('/')[-1]}:{frame.f_lineno}")  # noqa: T201
                        awaited = awaited.cr_await


class _Died(BaseException):
    """Ends the step of a process that has just died in CPU work."""


@contextlib.contextmanager
def _nature(world: World) -> Iterator[None]:
    """Time, chance and threads are the seed's."""
    identities = random.Random(world.seed)
    originals = [
        (holder, name, getattr(holder, name))
        for holder, name in (
            (time, "monotonic"),
            (time, "time"),
            (uuid, "uuid4"),
            (secrets, "token_hex"),
            (asyncio, "to_thread"),
            (presence, "unique_name"),
            (plan, "SHARD_CHUNKS"),
            (items, "CHUNKS_PER_SHARD"),
            (options, "CHUNK_SIZE"),
            (concurrency, "FIRST"),
            (comparing, "SAMPLE_ROWS"),
            (servicer, "_decode"),
        )
    ]
    decode = servicer._decode

    async def to_thread(function: Any, /, *arguments: Any, **named: Any) -> Any:
        await world.network.pause()
        if inspect.unwrap(function) is decoding.decode_each and files.POISON_EMBEDDER in str(function(*arguments)):
            loops.CURRENT.get().kill()
            await loops.for_ever()
        result = function(*arguments, **named)
        await world.network.pause()
        return result

    def decode_or_die(raw: bytes, *rest: Any) -> Any:
        if files.POISON_INDEXER.encode() in raw:
            loops.CURRENT.get().kill()
            raise _Died
        return decode(raw, *rest)

    time.monotonic = time.time = world.loop.time  # type: ignore[assignment]
    uuid.uuid4 = lambda: uuid.UUID(int=identities.getrandbits(128), version=4)
    secrets.token_hex = lambda nbytes=16: f"{identities.getrandbits(8 * nbytes):0{2 * nbytes}x}"
    asyncio.to_thread = to_thread  # type: ignore[assignment]
    presence.unique_name = lambda: f"process-{identities.getrandbits(32):x}"
    plan.SHARD_CHUNKS = items.CHUNKS_PER_SHARD = world.shards  # type: ignore[misc]
    options.CHUNK_SIZE = range(1, 100)
    comparing.SAMPLE_ROWS = world.fate.sample  # type: ignore[misc]
    if world.fate.contended:
        concurrency.FIRST = concurrency.LEAST  # as after much push-back: upserts wait for each other
    servicer._decode = decode_or_die
    Journal.world = world
    state = random.getstate()
    random.seed(world.seed)
    try:
        yield
    finally:
        random.setstate(state)
        Journal.world = None
        for holder, name, original in originals:
            setattr(holder, name, original)


def run(seed: int) -> Report:
    """Run one seed, within `tidy`; its problems are in the report."""
    real = time.perf_counter()
    world = World(seed)
    loop = world.loop
    with _nature(world):
        asyncio.events.set_event_loop(None)
        main = loop.fate.start(world.run())
        try:
            loop.run_until_complete(main)
        except loops.Stuck:
            world.broken.append("the line stands still")
        except Exception as error:
            logging.getLogger(__name__).debug("broken", exc_info=error)
            world.broken.append(f"the simulation failed: {error!r}")
            if Journal.shown:
                raise
        loop.close()
    return Report(
        seed=seed,
        problems=[*dict.fromkeys([*world.broken, *loop.defects])],
        steps=loop.steps,
        seconds=time.perf_counter() - real,
        digest=hash((loop.steps, round(loop.now, 6), tuple(sorted(world.shared.openai.bought.values())))),
        faults=world.fate.told,
    )


@contextlib.contextmanager
def tidy() -> Iterator[Callable[[], None]]:
    """Seeds leave coroutines that never end; collect them where their last words disturb nobody."""
    hook, enabled, configured = sys.unraisablehook, gc.isenabled(), structlog.get_config()
    structlog.configure(wrapper_class=Journal, cache_logger_on_first_use=False)
    gc.collect()
    gc.freeze()
    gc.disable()

    def collect() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.unraisablehook = lambda _: None
            try:
                gc.collect()
            finally:
                sys.unraisablehook = hook

    try:
        yield collect
    finally:
        collect()
        structlog.configure(**configured)
        gc.unfreeze()
        if enabled:
            gc.enable()
