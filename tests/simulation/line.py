"""The processes of the line, wired as their ``app`` modules do, over stand-ins at the lowest boundary."""

import asyncio
import dataclasses
import datetime
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pydantic
from vectorline.v1 import ingest_pb2, job_pb2, ledger_pb2

from services.billing import spend
from services.chunks import consumer, entry, inflight, presence
from services.embedder import indexer_client
from services.embedder.buying import account, batching, packing, tokens
from services.embedder.limiter import permits
from services.embedder.working import concurrency, consuming, unsettled, worker
from services.indexer import indexing, ledger, manifest_servicer, mirror_watch, servicer, settings
from services.indexer import removing as indexer_removing
from services.indexer.ledger import servicer as ledger_servicer
from services.indexer.pinecone import batch, reading
from services.indexer.pinecone import client as pinecone_client
from services.indexer.pinecone import deletes as pinecone_deletes
from services.indexer.pinecone import transport as pinecone_transport
from services.indexer.pinecone import wire as pinecone_wire
from services.indexer.pinecone import writer as pinecone_writer
from services.indexer.storage import clock, rejects
from services.indexer.tasks import servicer as task_servicer
from services.ingest import ledger_client, manifest_client, threads
from services.ingest.driving import comparisons, driver, merging, mirroring, removing, resubmitter
from services.ingest.jobs import adopt, believing, kinds, remove, repair, requests, sampling, tools, verify
from services.ingest.manifest import store as manifest_store
from services.ingest.planning import shelf
from services.ingest.request import options
from services.runtime import background, errors, identity
from tests.simulation import files, jobs, providers, storage, valkey, wire
from tests.simulation import loop as loops
from tests.simulation.network import Network

BUCKET = "vectorline"
MODEL = "text-embedding-3-small"
SLOTS = 4
PROBE_SECONDS = 20.0


@dataclasses.dataclass
class Shared:
    """What outlives every process."""

    loop: loops.Loop
    network: Network
    queue: valkey.Owned
    limiter: valkey.Granting
    table: storage.Watched
    bucket: storage.Bucket
    files: storage.Files
    openai: providers.OpenAI
    pinecone: providers.Pinecone
    indexers: wire.Servers
    on_hand_back: Callable[[entry.Header], None]
    # What may never happen, and did.
    broken: list[str]
    # Of a question's vectors: mirrors that would remove more are held.
    guard_percent: float = 20.0


class OlderLedger(ledger_client.Ledger):
    """Says nothing of marks and fences."""

    async def ask_turn(self, task_id: str) -> ledger_client.Turn:
        with ledger_client.translated():
            return await self._stub.AcquireTurn(ledger_pb2.AcquireTurnRequest(task_id=task_id))

    async def open_shard(self, task_id: str, shard: int, fence: int) -> None:
        with ledger_client.translated():
            await self._stub.OpenShard(ledger_pb2.OpenShardRequest(task_id=task_id, shard=shard))


class Merger(merging.Merger):
    """Tells of merges that fail for no outage: the manifest is made void after some, and nothing would show it."""

    broken: list[str]

    async def _merge(self, found: manifest_client.Manifest) -> None:
        try:
            await super()._merge(found)
        except (errors.ServiceError, ledger_client.LedgerUnavailable, ledger_client.LedgerRefused):
            raise
        except Exception as error:
            self.broken.append(f"a run of {found.pending.task_id} cannot be merged: {error!r}")
            raise


class Older:
    """Compares nothing, merges nothing."""

    async def witness(self, *_: Any) -> None:
        return None

    async def of(self, *_: Any) -> comparisons.Found:
        return comparisons.Found(None)

    async def merge_before(self, *_: Any) -> None:
        pass

    async def round(self) -> None:
        pass


class Ingest:
    """An ingest process; an older release knows nothing of manifests."""

    def __init__(self, shared: Shared, process: loops.Process, *, older: bool = False) -> None:
        self.process = process
        channel: Any = wire.Channel(process, shared.indexers)
        self.ledger = OlderLedger(channel) if older else ledger_client.Ledger(channel, marks=True)
        queue: Any = valkey.Queue(shared.queue, process, shared.network)
        objects = manifest_store.Store(shared.bucket.client(process, shared.network), BUCKET)
        manifests, work = manifest_client.Manifests(channel), threads.Pool()
        merger = Merger(self.ledger, manifests, objects, queue=queue, folder=None, work=work)
        merger.broken = shared.broken
        compares: Any = comparisons.Comparisons(
            self.ledger, manifests, objects, merger, skips=True, folder=None, work=work
        )
        self.merges = not older
        if older:
            compares = merger = Older()  # type: ignore[assignment]
        no_metabase: Any = None
        nobody: Any = None
        self._requests = requests.Requests(
            self.ledger,
            manifests,
            objects=objects,
            find=shared.files,
            prices=nobody,
            defaults=options.Defaults(),
            skips=True,
            tokens=nobody,
            work=work,
        )
        remover = removing.Remover(self.ledger, manifests, objects, work=work)
        buying = sampling.Buying(self.ledger, queue, objects)
        believed = believing.Believing(manifests, objects, merger)
        with_tools = tools.Tools(self.ledger, manifests, objects, believed, buying, None, work)
        repairs = repair.Repair(self.ledger, manifests, objects, folder=None, work=work)
        known: dict[str, kinds.Kind] = {
            "verify": verify.Verify(with_tools, repairs),
            "adopt": adopt.Adopt(with_tools, lambda: datetime.datetime.fromtimestamp(shared.loop.now, datetime.UTC)),
            "remove": remove.Remove(with_tools, remover),
        }
        drive = driver.Driver(
            self.ledger,
            queue,
            find=shared.files,
            plans=shelf.Shelf(shared.bucket.client(process, shared.network), BUCKET),
            defaults=options.Defaults(),
            scratch=None,
            compares=compares,
            mirrors=mirroring.Mirrors(self.ledger, compares, remover, guard_percent=shared.guard_percent),
            asked=no_metabase,
            jobs=kinds.Kinds({} if older else known),
        )
        self.tasks = resubmitter.Resubmitter(
            drive,
            self.ledger,
            inflight.InFlight(queue),
            presence.Presence(queue, resubmitter.PRESENCE),
            merger,
            splitters=4,
            resubmit_seconds=15.0,
            presence_seconds=30.0,
        )

    async def run(self) -> None:
        self.tasks.start()

    async def submit(self, request: ingest_pb2.ProcessRequest) -> str:
        """As ProcessFile: store the task, begin to drive it."""
        identity.bind(identity.Caller("ann", frozenset({"ingest"})))
        record = await self.ledger.create("ann", request, None)
        self.tasks.begin(record.task_id)
        return str(record.task_id)

    async def ask(self, job: jobs.Job) -> str:
        """As Verify, Adopt and Remove: store the task, begin to drive it."""
        identity.bind(identity.Caller("ann", frozenset({"ingest"})))
        at = {"namespace": files.NAMESPACE, "question_id": job.question_id}
        if job.kind == "verify":
            looked = job_pb2.VerifyRequest(**at, fetch=job.fetch, sample=job.sample, repair=job.repair)
            answer = await self._requests.verify(looked, job.key)
        elif job.kind == "adopt":
            answer = await self._requests.adopt(job_pb2.AdoptRequest(**at, sample=job.sample), job.key)
        else:
            named = {"task_id": job.after.task_id} if job.of_load else at
            answer = await self._requests.remove(job_pb2.RemoveRequest(**named, dry_run=False), job.key)
        assert answer.record is not None
        self.tasks.begin(answer.record.task_id)
        return str(answer.record.task_id)


class Embedder:
    """An embedder process."""

    def __init__(self, shared: Shared, process: loops.Process, **_: Any) -> None:
        self.process = process
        network = shared.network
        indexer = indexer_client.Indexer(wire.Channel(process, shared.indexers), tuple)
        source = providers.Embeddings(shared.openai, process)
        limiter = valkey.Limiter(shared.limiter, process, network)
        permit = permits.Permits(limiter)
        batcher = batching.Batcher(
            source,
            permit,
            limiter,
            packing.RequestSize(inputs=6),
            requests_in_flight=SLOTS,
            request_limited=shared.limiter.quota.requests_per_second > 0,
        )
        self.consumer = consumer.Consumer(
            valkey.Queue(shared.queue, process, network, shared.on_hand_back), slots=SLOTS, name=process.name
        )
        # Its processors are always full: the number of chunks in hand changes as it does nowhere else.
        wanted = concurrency.Concurrency(SLOTS, lambda: 1.0)
        self.loose = loose = unsettled.Unsettled(indexer)
        work = worker.Worker(
            self.consumer,
            indexer,
            batcher,
            wanted,
            unsettled=loose,
            model=MODEL,
            dimension=providers.DIMENSION,
            count=tokens.bound,
        )
        self.consumption = consuming.Consuming(self.consumer, work, batcher, wanted)
        probe = account.Account(limiter, source, indexer, PROBE_SECONDS)
        self._loops = {"permits": permit.run, "batching": batcher.run, "account": probe.run, "unsettled": loose.run}
        self._limiter = limiter

    async def run(self) -> None:
        for name, loop in self._loops.items():
            self.process.start(background.forever(name, loop))
        await self.consumption.start()


class Index:
    """`pinecone_client.Pinecone`, as far as writing needs it."""

    host = ""
    problem = None

    def __init__(self, shared: "Shared") -> None:
        self._pinecone = shared.pinecone

    def find_anew(self) -> None:
        """It is where it was."""

    async def index(self) -> pinecone_client.Index:
        return pinecone_client.Index("idx", "http://nowhere", providers.DIMENSION)

    async def ask_dimension(self) -> int:
        return providers.DIMENSION

    async def count(self, namespace: str) -> int:
        return len(await self._pinecone.records(namespace))

    async def position(self, namespace: str) -> tuple[int | None, spend.Spend]:
        await self._pinecone.records(namespace)
        return self._pinecone.lsn[namespace] or None, spend.NOTHING


class Reads:
    """`pinecone_reading.Reading`."""

    def __init__(self, shared: "Shared", index: Index) -> None:
        self.index = index
        self._pinecone = shared.pinecone

    def dimension(self) -> int:
        return 4

    async def list_ids(self, namespace: str, prefix: str, token: str = "") -> AsyncIterator[reading.Page]:
        del token  # there is one page
        ids = [name for name in await self._pinecone.records(namespace) if name.startswith(prefix)]
        yield reading.Page(ids, "", spend.NOTHING)

    async def fetch(self, namespace: str, ids: Sequence[str]) -> tuple[dict[str, batch.Record], spend.Spend]:
        found = await self._pinecone.records(namespace)
        vectors = self._pinecone.vectors
        there = {name: batch.Record(found[name], vectors[namespace, name]) for name in ids if name in found}
        return there, spend.NOTHING


class Indexer:
    """An indexer process."""

    def __init__(self, shared: Shared, process: loops.Process, **_: Any) -> None:
        self.process = process
        self._shared = shared
        loop, network = shared.loop, shared.network
        watch = clock.Clock(lambda: loop.now + process.clock_off)
        caller: Any = storage.Caller(process, network)
        index: Any = Index(shared)
        store = rejects.RejectStore(shared.bucket.client(process), BUCKET, caller)
        way = pinecone_wire.Wire(index, pydantic.SecretStr(""), providers.UPSERT_DEADLINE_SECONDS)
        no_fetch: Any = None
        way._calls = pinecone_wire.Calls(
            shared.pinecone.call_of(process),
            shared.pinecone.delete_of(process),
            no_fetch,
            shared.pinecone.drop_of(process),
        )
        transport = pinecone_transport.Transport(index, way, way, "wire")
        upserts = pinecone_writer.Upserts(transport)
        upserts.circuit._clock = loop.time  # its default was the real one before the seed began
        book = ledger.Ledger(
            storage.Table(shared.table, process, network, watch),
            watch,
            index="idx",
            upsert_deadline_seconds=providers.UPSERT_DEADLINE_SECONDS,
            circuit_open=lambda: upserts.circuit.open,
        )
        self.book = book
        rules = settings.LedgerSettings()
        permissions = indexing.Permissions(book)
        self.watched = tasks = task_servicer.TaskServicer(book, rules)
        reads: Any = Reads(shared, index)
        way_out = pinecone_deletes.Deletes(transport, upserts.circuit)
        remover = indexer_removing.Remover(book, reads, way_out, permissions)
        self._servicers = (
            servicer.IndexerServicer(tasks, book, reads, upserts, store, rules=rules, permissions=permissions),
            ledger_servicer.LedgerServicer(book, store, index.ask_dimension),
            manifest_servicer.ManifestServicer(book, reads, remover),
        )
        self._watch = mirror_watch.MirrorWatch(book)

    async def run(self) -> None:
        """Serve once the ledger's table has answered, as the health of a new process does; it sets the clock, too."""
        while True:
            try:
                await self.book.probe()
            except errors.Unavailable:
                await asyncio.sleep(1.0)
            else:
                break
        self.process.start(background.forever("spending", self.book.spending.run))
        self.process.start(background.forever("mirror_watch", self._watch.run))
        self._shared.indexers.up(self.process, *self._servicers)
