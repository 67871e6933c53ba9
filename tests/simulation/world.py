"""One seed: a line, some files, a fate; at the end every invariant must hold."""

import asyncio
import contextlib
import dataclasses
import datetime
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

import structlog

from services.chunks import entry, presence
from services.chunks import settings as queue_settings
from services.embedder.limiter import promise
from services.embedder.working import decoding
from services.indexer import late, receiving
from services.indexer.ledger import items
from services.indexer.ledger import records as task_records
from services.indexer.pinecone import concurrency
from services.ingest.jobs import adopt
from services.ingest.manifest import comparing, comparison
from services.ingest.planning import plan
from services.ingest.request import options
from tests.simulation import files, invariants, jobs, line, people, providers, storage, valkey, verdicts, wire
from tests.simulation import loop as loops
from tests.simulation.fate import Fate
from tests.simulation.journal import Journal
from tests.simulation.network import Network

# Production's times, but for a longer wait for work: an idle line costs steps.
TIMING = queue_settings.Timing(block_seconds=5.0)


# Nothing may have been written for so long before an adoption; in production an hour.
QUIET = datetime.timedelta(seconds=20)
# Of a job whose task is blocked; there are fewer.
MOST_CHUNKS = 20


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
        self.jobs = [] if self.fate.poison else jobs.draw(seed, self.files, cancels=self.fate.cancels)
        self.of_task: dict[str, files.File] = {}
        # Records that somebody else changed in the index, and when; and of these, those of which the metadata say
        # nothing of it.
        self.touched: dict[str, float] = {}
        self.vague: set[str] = set()
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
        limits = queue_settings.QueueLimits(
            queue_bytes=self.choice.choice((2_000, 1 << 20)),
            # Small chunks go together, or none is small.
            slot_rows=random.Random(f"slots of {self.seed}").choice((1, 1_000)),
        )
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
        queue = self.shared.queue
        if queue.struck.of((header.task_id, header.chunk)) >= queue.limits.suspect_strikes:
            self.excused[header.task_id, header.chunk] += 1

    def _on_status(self, key: str, status: str) -> None:
        if (job := self.job_of(key)) is not None:
            self.broken += verdicts.on_status(self, job, key, status)
        elif status == items.Status.PENDING:
            self._on_repair(key)
        if status == items.Status.BLOCKED:
            file = self._file_of(key)
            for chunk in range(MOST_CHUNKS if file is None else file.chunks):
                self.excused[key, chunk] += 1

    def _on_repair(self, key: str) -> None:
        """A load of a file that a verify has stored, not its submitter, is a task over that file like any other."""
        item = self.shared.table.items[key]
        verify = self.job_of(task_records.request(item).request_id.partition(":")[2])
        if verify is None:
            return
        name = task_records.source(item).uri.removeprefix("memory:")
        (file,) = [each for each in self.files if each.name == name and each.repairs is None]
        again = dataclasses.replace(
            file, task_id=key, mode="upsert", cancelled_after=None, watchers=0, heard=[], repairs=verify
        )
        again.submitted_at = verify.submitted_at if verdicts.finds_all(verify) else self.loop.now
        self.files.append(again)
        self.of_task[key] = again

    def job_of(self, task_id: str) -> jobs.Job | None:
        """The job that a task is."""
        item = self.shared.table.items.get(task_id, {})
        if "job" not in item:
            return None
        key = task_records.request(item).request_id
        return next((job for job in self.jobs if job.key == key), None)

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

    def status(self, task: files.File | jobs.Job) -> str:
        return str(self.shared.table.items.get(task.task_id, {}).get("status", ""))

    # ---- the whole

    async def run(self) -> None:
        for kind, count in self.fate.line.items():
            for _ in range(count):
                self.start(kind)
        clients = [self.loop.fate.start(people.submit(self, file)) for file in self.files]
        clients += [self.loop.fate.start(people.ask(self, job)) for job in self.jobs]
        if self.fate.quota_ends:
            self.loop.fate.start(people.resume(self))
        await self.fate.rage()
        for client in clients:
            await client
        deadline = self.loop.now + people.BOUND_SECONDS
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
            (comparison, "DELETED"),
            (adopt, "QUIET"),
            (late, "_clock"),
            (receiving.OneChunk, "read"),
            (receiving.SeveralChunks, "read"),
        )
    ]
    readers = (receiving.OneChunk, receiving.SeveralChunks)

    async def to_thread(function: Any, /, *arguments: Any, **named: Any) -> Any:
        await world.network.pause()
        if inspect.unwrap(function) is decoding.decode_each and files.POISON_EMBEDDER in str(function(*arguments)):
            loops.CURRENT.get().kill()
            await loops.for_ever()
        result = function(*arguments, **named)
        await world.network.pause()
        return result

    def deadly(read: Any) -> Any:
        def read_or_die(reader: Any, raw: bytes, *rest: Any) -> Any:
            if files.POISON_INDEXER.encode() in raw:
                loops.CURRENT.get().kill()
                raise _Died
            return read(reader, raw, *rest)

        return read_or_die

    time.monotonic = time.time = world.loop.time  # type: ignore[assignment]
    uuid.uuid4 = lambda: uuid.UUID(int=identities.getrandbits(128), version=4)
    secrets.token_hex = lambda nbytes=16: f"{identities.getrandbits(8 * nbytes):0{2 * nbytes}x}"
    asyncio.to_thread = to_thread  # type: ignore[assignment]
    presence.unique_name = lambda: f"process-{identities.getrandbits(32):x}"
    plan.SHARD_CHUNKS = items.CHUNKS_PER_SHARD = world.shards  # type: ignore[misc]
    options.CHUNK_SIZE = range(1, 100)
    comparing.SAMPLE_ROWS = world.fate.sample  # type: ignore[misc]
    comparison.DELETED = random.Random(f"deletes of {world.seed}").choice((1, 2, 1_000))  # type: ignore[misc]
    late._clock = world.loop.time
    adopt.QUIET = QUIET  # type: ignore[misc]
    if world.fate.contended:
        concurrency.FIRST = concurrency.LEAST  # as after much push-back: upserts wait for each other
    for kind in readers:
        kind.read = deadly(kind.read)  # type: ignore[method-assign]
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
    frozen = gc.get_freeze_count()
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
        if frozen:
            gc.freeze()
        if enabled:
            gc.enable()
