"""What callers ask of jobs: checked, priced, stored."""

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Final

from vectorline.v1 import ingest_pb2, job_pb2

from services.ingest import failures, ledger_client, manifest_client, refusals, sources, threads
from services.ingest.driving import merging
from services.ingest.jobs import believing, forecasts, remove
from services.ingest.manifest import store as objects_store
from services.ingest.request import options
from services.ingest.sources import named
from services.runtime import errors, identity, index_names, key_tokens

MOST_SAMPLED: Final = 10_000
FETCHED: Final = 1_000
ADOPT_SAMPLED: Final = 100
# Loads that were no use to a repair are passed over, so many at most.
MOST_BACK: Final = 100

NO_SOURCE: Final = (
    "No load of this question is known whose source could be loaded again; name one by repair_task_id, or load a file."
)

# Tasks that write nothing, though they have turns.
READING: Final = frozenset({"verify", "adopt"})

Record = ledger_client.Record
Request = job_pb2.VerifyRequest | job_pb2.AdoptRequest | job_pb2.RemoveRequest


@dataclasses.dataclass(frozen=True)
class Asked:
    """What every job's request has.

    Args:
        namespace: The namespace.
        question_id: The question.
        request_id: The idempotency key.
        word: The kind's.
    """

    namespace: str
    question_id: int
    request_id: str
    word: str

    def carrier(self) -> ingest_pb2.ProcessRequest:
        """What is stored of it as of every task."""
        return ingest_pb2.ProcessRequest(
            data_source=self.word,
            namespace=self.namespace,
            question_id=self.question_id,
            request_id=self.request_id,
            priority="normal",
        )


@dataclasses.dataclass(frozen=True)
class Answer:
    """The stored task, or what it would cost."""

    record: Record | None = None
    forecast: job_pb2.JobForecast | None = None


class Requests:
    """Takes them.

    Args:
        ledger: Stores tasks.
        manifests: What is known of the index.
        objects: Where manifests lie.
        find: Finds the sources of loads.
        prices: Says what a job would cost.
        defaults: For what a request leaves open.
        skips: SKIP_UNCHANGED: without it nothing is known of the index.
        tokens: What was bought for keys today.
        work: Where sources are looked at.
    """

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        manifests: manifest_client.Manifests,
        *,
        objects: objects_store.Store,
        find: named.Sources,
        prices: forecasts.Forecasts,
        defaults: options.Defaults,
        skips: bool,
        tokens: key_tokens.Tokens,
        work: threads.Pool,
    ) -> None:
        self._ledger = ledger
        self._manifests = manifests
        self._objects = objects
        self._sources = find
        self._prices = prices
        self._defaults = defaults
        self._skips = skips
        self._tokens = tokens
        self._work = work

    async def verify(self, request: job_pb2.VerifyRequest, key: str) -> Answer:
        """Store a verify, or price it.

        Args:
            request: As it came; its defaults are filled in.
            key: The header Idempotency-Key.

        Raises:
            errors.ServiceError: Bad fields, all at once; what the key may not use; nothing is known; no source repairs.
        """
        asked = self._checked(request, key, "verify", _sample_problems(request.sample, least=0))
        if not request.HasField("fetch"):
            request.fetch = FETCHED
        if (before := await self._repeated(asked, request)) is not None:
            return before
        if not request.dry_run and (request.sample or request.repair):
            await key_tokens.check(self._tokens)
        with _asking():
            manifest = await self._manifests.about(asked.namespace, asked.question_id)
        if not manifest.uri and not manifest.HasField("pending"):
            words = believing.nothing_known(asked.namespace, str(asked.question_id))
            raise errors.Conflict(words.message, reason="NOTHING_KNOWN")
        job = job_pb2.Job(verify=request)
        if request.repair:
            load = await self._load(request.repair_task_id, manifest)
            if not request.repair_task_id:
                job.last_load = load.task_id
        if request.dry_run:
            known = manifest.known
            if manifest.HasField("pending"):  # what its run wrote is not counted yet
                with _asking():
                    known = max(known, (await self._manifests.count(asked.namespace))[0])
            sampled = min(request.sample, known)
            fetched = min(max(request.fetch, request.sample), known)
            at = asked.namespace, asked.question_id
            with _asking():
                price = self._prices.of(*at, ids=known, fetched=fetched, sampled=sampled, believes=True)
                return Answer(forecast=await price)
        return await self._stored(asked, job)

    async def adopt(self, request: job_pb2.AdoptRequest, key: str) -> Answer:
        """Store an adoption, or price it.

        Args:
            request: As it came; its defaults are filled in.
            key: The header Idempotency-Key.

        Raises:
            errors.ServiceError: Bad fields, all at once; what the key may not use; the question is known already.
        """
        if not request.HasField("sample"):
            request.sample = ADOPT_SAMPLED
        asked = self._checked(request, key, "adopt", _sample_problems(request.sample, least=1))
        if (before := await self._repeated(asked, request)) is not None:
            return before
        if not request.dry_run:
            await key_tokens.check(self._tokens)
        with _asking():
            manifest = await self._manifests.about(asked.namespace, asked.question_id)
        if manifest.known or manifest.HasField("pending"):
            raise errors.Conflict(
                "The line knows already what it wrote of this question; verify says whether it still is so.",
                reason="ALREADY_KNOWN",
            )
        if request.dry_run:
            with _asking():
                there, _ = await self._manifests.count(asked.namespace)
                at, sampled = (asked.namespace, asked.question_id), min(request.sample, there)
                price = self._prices.of(*at, ids=there, fetched=there, sampled=sampled, believes=False)
                return Answer(forecast=await price)
        return await self._stored(asked, job_pb2.Job(adopt=request))

    async def remove(self, request: job_pb2.RemoveRequest, key: str) -> Answer:
        """Store a removal, or say what it would delete and cost: that is the default.

        Args:
            request: As it came; its defaults are filled in.
            key: The header Idempotency-Key.

        Raises:
            errors.ServiceError: Bad fields, all at once; what the key may not use; a load that cannot be told apart.
        """
        if not request.HasField("dry_run"):
            request.dry_run = True
        if load := request.task_id:
            also = [errors.FieldViolation("task_id", "names a load; leave namespace and question_id out")]
            if bad := also if request.namespace or request.HasField("question_id") else []:
                raise errors.InvalidArgument("The request has bad fields: task_id.", violations=tuple(bad))
            record = await self._own_load(load)
            request.namespace, request.question_id = record.request.namespace, record.request.question_id
        asked = self._checked(request, key, "remove", iter(()))
        if (before := await self._repeated(asked, request)) is not None:
            return before
        with _asking():
            manifest = await self._manifests.about(asked.namespace, asked.question_id)
        if load:
            await self._check_alone(load, manifest)
        if request.dry_run:
            with _asking():
                at = asked.namespace, asked.question_id
                return Answer(forecast=await self._prices.of_removal(manifest, *at, load=bool(load)))
        return await self._stored(asked, job_pb2.Job(remove=request))

    async def _own_load(self, task_id: str) -> Record:
        """A load of the caller's own (an admin's: any), of a question."""
        caller = identity.current()
        load = await self._ledger.find(task_id)
        if not caller.admin and load.client != caller.key_id:
            raise errors.NotFound(f"There is no task {task_id[:64]!r}.", reason="TASK_NOT_FOUND")
        if load.HasField("job") or not load.request.HasField("question_id"):
            violation = errors.FieldViolation("task_id", "is no load of a question")
            raise errors.InvalidArgument("The request has bad fields: task_id.", violations=(violation,))
        return load

    async def _check_alone(self, load: str, manifest: manifest_client.Manifest) -> None:
        """Whether what a load wrote is known: nobody wrote after it, and nobody else before it.

        Looked at once more in the task's turn.
        """
        if await self._last_writer(manifest) != load:
            raise errors.Conflict(remove.SUPERSEDED, reason="SUPERSEDED", metadata={"task_id": load})
        if not manifest.uri:
            if not manifest.HasField("pending"):
                words = believing.nothing_known(manifest.namespace, manifest.question_id)
                raise errors.Conflict(words.message, reason="NOTHING_KNOWN")
            return
        # One that cannot be read is told by the task.
        with contextlib.suppress(objects_store.Broken, failures.StoreFailure):
            made = await asyncio.to_thread(merging.header_of, self._objects, manifest)
            if made is not None and not remove.alone(made, load):
                raise errors.Conflict(remove.SHARED, reason="REMOVE_SHARED", metadata={"task_id": load})

    async def _last_writer(self, manifest: manifest_client.Manifest) -> str:
        """The last task that had the turn and may have written in it; empty: nobody is known to have."""
        task_id = manifest.opened_task
        for _ in range(MOST_BACK):
            if not task_id:
                break
            record = await self._ledger.find(task_id)
            if record.request.data_source not in READING:
                return task_id
            task_id = record.after_task_id
        return ""

    def _checked(
        self,
        request: Request,
        key: str,
        word: str,
        also: Iterator[errors.FieldViolation],
    ) -> Asked:
        """Check what every job's request has, and fill it in."""
        request.namespace = request.namespace or self._defaults.namespace
        if bad := [*_problems(request, key), *also]:
            fields = ", ".join(each.field for each in bad)
            raise errors.InvalidArgument(f"The request has bad fields: {fields}.", violations=tuple(bad))
        request.request_id = request.request_id or key
        identity.require(namespace=request.namespace, question=request.question_id)
        if not self._skips:
            raise errors.Conflict(
                "Nothing is known of the index here: SKIP_UNCHANGED is off. Set SKIP_UNCHANGED=true for every ingest.",
                reason="SKIP_UNCHANGED_OFF",
            )
        return Asked(request.namespace, request.question_id, request.request_id, word)

    async def _repeated(self, asked: Asked, request: Request) -> Answer | None:
        """The task that the same call has stored before: what its own turn has changed since would refuse it now."""
        if not asked.request_id or request.dry_run:
            return None
        job = job_pb2.Job()
        getattr(job, asked.word).CopyFrom(request)
        found = await self._stored(asked, job, validate_only=True)
        return found if found.record is not None and found.record.task_id else None

    async def _stored(self, asked: Asked, job: job_pb2.Job, *, validate_only: bool = False) -> Answer:
        """Store a task; with `validate_only` find the one that the same idempotency key has stored."""
        client, carrier = identity.current().key_id, asked.carrier()
        return Answer(record=await self._ledger.create(client, carrier, None, job=job, validate_only=validate_only))

    async def _load(self, task_id: str, manifest: manifest_client.Manifest) -> Record:
        """The load whose source repairs: the caller's own (an admin's: any), and still there."""
        caller = identity.current()
        load = await self._ledger.find(task_id) if task_id else await self._last(manifest)
        if load is None or load.HasField("job"):
            raise errors.Conflict(NO_SOURCE, reason="REPAIR_SOURCE_UNKNOWN")
        if not caller.admin and load.client != caller.key_id:
            if task_id:
                raise errors.NotFound(f"There is no task {task_id[:64]!r}.", reason="TASK_NOT_FOUND")
            raise errors.PermissionDenied(
                "The last load of this question is another key's, whose source is not this key's to load. Name one of "
                "its own by repair_task_id, or load a file.",
                reason="NOT_ALLOWED",
            )
        self._sources.require(load.request)
        same = (load.request.namespace, load.request.question_id) == (manifest.namespace, int(manifest.question_id))
        if not same:
            words = f"Loaded question {load.request.question_id} into namespace {load.request.namespace!r}."
            violation = errors.FieldViolation("repair_task_id", words)
            raise errors.InvalidArgument("The request has bad fields: repair_task_id.", violations=(violation,))
        with refusals.told(task_id=load.task_id):
            await self._work.run(_look_at, self._sources.of_pin(sources.Pinned.from_proto(load.source)), load)
        return load

    async def _last(self, manifest: manifest_client.Manifest) -> Record | None:
        """The last load of a whole source that may have written."""
        task_id = manifest.opened_task
        for _ in range(MOST_BACK):
            if not task_id:
                return None
            record = await self._ledger.find(task_id)
            if not record.HasField("job") and not record.parent_task_id and record.plan_uri:
                return record
            task_id = record.after_task_id
        return None


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Let a caller hear that the ledger does not answer."""
    try:
        yield
    except ledger_client.LedgerUnavailable as error:
        raise errors.Unavailable("The ledger does not answer now.", retry_seconds=1.0) from error


def _look_at(source: sources.Source, load: Record) -> None:
    """Whether a pinned source is still there. Blocking.

    Raises:
        failures.SourceFailure: It is gone, or another by now.
        failures.SourceUnavailable: It does not answer now.
    """
    try:
        source.open(sources.Pinned.from_proto(load.source)).close()
    except failures.SourceFailure as gone:
        raise failures.SourceFailure(
            gone.reason,
            f"What differs would be bought by loading the source of task {load.task_id} once more, which cannot be "
            f"had: {gone.message} Verify without repair, or load a file.",
        ) from gone


def _problems(request: Request, key: str) -> Iterator[errors.FieldViolation]:
    if problem := index_names.problem(request.namespace):
        yield errors.FieldViolation("namespace", problem)
    if not request.HasField("question_id"):
        yield errors.FieldViolation("question_id", "is needed: it is part of every vector id")
    elif request.question_id < 0:
        yield errors.FieldViolation("question_id", f"is {request.question_id}; must be 0 or more")
    if len(request.request_id.encode()) > options.REQUEST_ID_BYTES:
        yield errors.FieldViolation("request_id", f"is longer than {options.REQUEST_ID_BYTES} bytes")
    elif key and request.request_id and request.request_id != key:
        yield errors.FieldViolation("request_id", "is another than the header Idempotency-Key; send one of the two")


def _sample_problems(sample: int, *, least: int) -> Iterator[errors.FieldViolation]:
    if not least <= sample <= MOST_SAMPLED:
        yield errors.FieldViolation("sample", f"is {sample}; must be within {least} and {MOST_SAMPLED}")
