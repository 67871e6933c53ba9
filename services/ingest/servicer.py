"""IngestService: RPC in, domain out."""

import dataclasses
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar

import grpc
from google.api import httpbody_pb2
from vectorline.v1 import ingest_pb2, ingest_pb2_grpc, job_pb2

from services.ingest import ledger_client, refusals, retries, sources, threads
from services.ingest.driving import comparisons, resubmitter
from services.ingest.estimating import estimator
from services.ingest.jobs import findings, kinds
from services.ingest.jobs import requests as job_requests
from services.ingest.planning import shelf
from services.ingest.rejects import export
from services.ingest.rejects import reading as rejected
from services.ingest.request import body, filename, options
from services.ingest.sources import named, uploads
from services.ingest.sources.metabase import export as metabase_export
from services.ingest.splitting import task_source
from services.runtime import errors, failpoints, identity, key_tokens
from services.runtime.interceptors.around import Context

FORMATS = ("", "csv", "jsonl")
# A task was not stored, unless by an attempt before: the channel makes a call again whose answer was lost.
REFUSED = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
ACCEPTED = (("x-http-code", "202"),)
Job = TypeVar("Job", job_pb2.VerifyResponse, job_pb2.AdoptResponse, job_pb2.RemoveResponse)

STORED = "The task is stored and will run."
PRICED = "Nothing was done: this is what it would cost."


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Takes tasks and hands out what became of their bad rows."""

    def __init__(
        self,
        ledger: ledger_client.Ledger,
        *,
        find: named.Sources,
        stored: uploads.Uploads,
        plans: shelf.Shelf,
        tasks: resubmitter.Resubmitter,
        compares: comparisons.Comparisons,
        defaults: options.Defaults,
        asked: metabase_export.Questions,
        estimates: estimator.Estimator,
        tokens: key_tokens.Tokens,
        jobs: job_requests.Requests,
        found: kinds.Kinds,
        rereads: threads.Pool | None = None,
    ) -> None:
        self._ledger = ledger
        self._sources = find
        self._uploads = stored
        self._plans = plans
        self._tasks = tasks
        self._comparisons = compares
        self._defaults = defaults
        self._questions = asked
        self._estimates = estimates
        self._tokens = tokens
        self._jobs = jobs
        self._found = found
        self._rereads = rereads or threads.Pool()
        self._retries = retries.Retries(ledger, require=find.require, tokens=tokens, begin=tasks.begin)

    async def Process(self, request: ingest_pb2.ProcessRequest, context: Context) -> ingest_pb2.ProcessResponse:
        """Store a task over a source that is somewhere already."""
        chosen = self._checked(request, context)
        await key_tokens.check(self._tokens)
        pinned = await self._uploaded(chosen)
        failpoints.hit("ingest.before_create")
        record = await self._ledger.create(identity.current().key_id, chosen.to_request(), pinned)
        return await self._accepted(record, context)

    async def Estimate(self, request: ingest_pb2.ProcessRequest, context: Context) -> ingest_pb2.EstimateResponse:
        """Say what a task over a source would come to."""
        chosen = self._checked(request, context)
        return await self._estimates.of(chosen, await self._uploaded(chosen), identity.current().key_id)

    async def Upload(
        self, request: AsyncIterator[ingest_pb2.UploadRequest], context: Context
    ) -> ingest_pb2.ProcessResponse:
        """Store a file that the caller streams, and a task over it or an estimate of it."""
        first = await anext(aiter(request), None)
        if first is None:
            raise errors.InvalidArgument("The upload holds nothing, not even a file name.")
        caller = identity.current().key_id
        upload_id = str(uuid.uuid4())
        name = filename.check(first.filename)
        received = body.of(first.body.content_type)
        chosen = self._upload_options(first, upload_id, context)
        if not first.estimate:
            await key_tokens.check(self._tokens)
            await self._ledger.admit(caller, chosen.request_id)  # before more of the body is read
        upload = self._uploads.begin(upload_id, filename.safe(name), caller)
        try:
            with refusals.told():
                await upload.write(received.file(first.body.data))
                async for part in request:
                    await upload.write(received.file(part.body.data))
                await upload.write(received.finish())
                pinned = await upload.finish(name)
        except BaseException:
            await upload.abandon()
            raise
        if first.estimate:
            found = await self._estimates.of(chosen, pinned, caller)
            words = "The file is stored and nothing else was done; process takes its upload_id."
            return ingest_pb2.ProcessResponse(message=words, upload_id=upload_id, estimate=found)
        failpoints.hit("ingest.before_create")
        return await self._accepted(await self._stored(chosen, pinned, upload_id, caller), context)

    async def _stored(
        self, chosen: options.Options, pinned: sources.Pinned, upload_id: str, caller: str
    ) -> ledger_client.Record:
        """The task of an upload; a file that is not needed, since the same was sent before, is taken away again."""
        try:
            record = await self._ledger.create(caller, chosen.to_request(), pinned, upload_id)
        except grpc.aio.AioRpcError as error:
            if error.code() not in REFUSED:  # nobody knows what came of it
                raise
            stored = await self._attempted(upload_id)
            if stored is None:
                await self._uploads.remove(pinned)
                raise
            record = stored
        if record.existed:
            await self._uploads.remove(pinned)
        return record

    async def _attempted(self, task_id: str) -> ledger_client.Record | None:
        """The task that an earlier attempt of a call stored, if one did."""
        try:
            return await self._ledger.find(task_id)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def _checked(self, request: ingest_pb2.ProcessRequest, context: Context) -> options.Options:
        """The request, if this deployment can serve it."""
        key = _idempotency_key(context)

        def also(asked: ingest_pb2.ProcessRequest) -> Iterator[errors.FieldViolation]:
            yield from self._sources.problems(asked)
            yield from self._questions.problems(asked)
            if key and asked.request_id != key:  # which of the two the caller goes by is not for us to guess
                words = "is another than the header Idempotency-Key; send one of the two"
                yield errors.FieldViolation("request_id", words)

        request.request_id = request.request_id or key
        chosen = options.Options.from_request(request, self._defaults, also)
        self._sources.require(chosen.to_request())
        return chosen

    async def _uploaded(self, chosen: options.Options) -> sources.Pinned | None:
        """The earlier upload that a request names, if it names one; a caller's own only."""
        if chosen.data_source != "upload":
            return None
        caller = identity.current()
        with refusals.told():
            return await self._uploads.find(chosen.upload_id, None if caller.admin else caller.key_id)

    async def RetryTask(self, request: ingest_pb2.RetryTaskRequest, context: Context) -> ingest_pb2.ProcessResponse:
        """Go on with a blocked task, or store a new one over the rejected rows of a finished one."""
        record = await self._visible(request.task_id)
        goes_on = record.status == ledger_client.BLOCKED
        stored = await self._retries.one(record, every=request.all)
        return await self._accepted(stored, context, "The task goes on." if goes_on else STORED)

    async def RetryTasks(
        self, request: ingest_pb2.RetryTasksRequest, context: Context
    ) -> ingest_pb2.RetryTasksResponse:
        """Do the same with every task that a filter matches, or say what would come of it."""
        answer = await self._retries.filtered(request)
        if not request.dry_run:
            await context.send_initial_metadata(ACCEPTED)
        return answer

    async def Verify(self, request: job_pb2.VerifyRequest, context: Context) -> job_pb2.VerifyResponse:
        """Store a task that holds what is known against the index, or price it."""
        answer = await self._jobs.verify(request, _idempotency_key(context))
        return await self._begun(answer, context, job_pb2.VerifyResponse)

    async def Adopt(self, request: job_pb2.AdoptRequest, context: Context) -> job_pb2.AdoptResponse:
        """Store a task that takes an index over, or price it."""
        answer = await self._jobs.adopt(request, _idempotency_key(context))
        return await self._begun(answer, context, job_pb2.AdoptResponse)

    async def Remove(self, request: job_pb2.RemoveRequest, context: Context) -> job_pb2.RemoveResponse:
        """Store a task that takes a question, or a load, back; or say what that would delete, and cost."""
        answer = await self._jobs.remove(request, _idempotency_key(context))
        return await self._begun(answer, context, job_pb2.RemoveResponse)

    async def ConfirmTask(self, request: ingest_pb2.ConfirmTaskRequest, context: Context) -> ingest_pb2.ProcessResponse:
        """Let a held mirror remove what it told."""
        record = await self._visible(request.task_id)
        self._sources.require(record.request)
        if not request.checksum:
            raise errors.InvalidArgument(
                "The request has a bad field.",
                violations=(errors.FieldViolation("checksum", "held.checksum of the task, as it was looked at."),),
            )
        confirmed = await self._ledger.confirm(request.task_id, request.checksum)
        return await self._accepted(confirmed, context, "The task goes on, and removes what was confirmed.")

    async def GetRejects(
        self, request: ingest_pb2.GetRejectsRequest, context: Context
    ) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """Stream the rejected rows of a task."""
        _check_rejects(request)
        record = await self._visible(request.task_id)
        if request.include == "gone":
            async for part in self._gone(record, request.format):
                yield part
            return
        with refusals.told(task_id=record.task_id):
            columns, delimiter, lines = await self._rejected(record, with_skipped=request.include == "skipped")
            out = export.Export(request.format, columns, delimiter)
            async for line in lines:
                out.add(line)
                if out.full():
                    yield httpbody_pb2.HttpBody(content_type=out.content_type, data=out.take())
        yield httpbody_pb2.HttpBody(content_type=out.content_type, data=out.take())

    async def _gone(self, record: ledger_client.Record, form: str) -> AsyncIterator[httpbody_pb2.HttpBody]:
        """The ids that a mirror removes, or would."""
        out = export.Names(form, "vector_id")
        async for ids in self._comparisons.gone(record.task_id):
            out.add(ids)
            if out.full():
                yield httpbody_pb2.HttpBody(content_type=out.content_type, data=out.take())
        yield httpbody_pb2.HttpBody(content_type=out.content_type, data=out.take())

    async def _visible(self, task_id: str) -> ledger_client.Record:
        """The task, if it is the caller's."""
        record = await self._ledger.find(task_id)
        caller = identity.current()
        if not caller.admin and record.client != caller.key_id:
            raise errors.NotFound(f"There is no task {task_id[:64]!r}.", reason="TASK_NOT_FOUND")
        return record

    async def _rejected(
        self, record: ledger_client.Record, *, with_skipped: bool
    ) -> tuple[Sequence[str], str, AsyncIterator[export.Line]]:
        """The columns of a task's rejected rows, the source's delimiter, and the rows."""
        if record.HasField("job"):
            return ("id",), "", findings.lines(self._found.found(record))
        source = await self._opened(record)
        lines = self._lines(record, source, with_skipped=with_skipped)
        return (source.plan.columns, source.plan.dialect.delimiter, lines) if source else ((), "", lines)

    async def _lines(
        self, record: ledger_client.Record, source: task_source.Opened | None, *, with_skipped: bool
    ) -> AsyncIterator[export.Line]:
        async for line in rejected.lines(self._ledger.rejects(record.task_id), source, self._rereads):
            yield line
        if with_skipped and source is not None:
            async for line in rejected.skipped(source, self._rereads):
                yield line

    async def _opened(self, record: ledger_client.Record) -> task_source.Opened | None:
        """The task's source; None before its scan ended: then there are no rejects either."""
        if not record.plan_uri:
            return None
        made = await self._plans.plan(record.plan_uri)
        opened = task_source.opened(record, made, self._sources, self._plans, self._defaults)
        kept = await self._comparisons.kept(record.task_id)
        return opened if kept is None else dataclasses.replace(opened, unchanged=kept.unchanged)

    def _upload_options(self, first: ingest_pb2.UploadRequest, upload_id: str, context: Context) -> options.Options:
        request = ingest_pb2.ProcessRequest()
        for field, value in first.ListFields():
            if field.name in ingest_pb2.ProcessRequest.DESCRIPTOR.fields_by_name:
                if field.is_repeated:
                    getattr(request, field.name).extend(value)
                else:
                    setattr(request, field.name, value)
        request.data_source = "upload"
        request.s3_key = ""
        request.upload_id = upload_id
        return self._checked(request, context)

    async def _begun(self, answer: job_requests.Answer, context: Context, response: type[Job]) -> Job:
        """A job's answer: its task, or its price."""
        if answer.record is None:
            return response(message=PRICED, forecast=answer.forecast)
        stored = await self._accepted(answer.record, context)
        return response(
            task_id=stored.task_id, status=stored.status, message=stored.message, created_at=stored.created_at
        )

    async def _accepted(
        self, record: ledger_client.Record, context: Context, words: str = STORED
    ) -> ingest_pb2.ProcessResponse:
        failpoints.hit("ingest.after_create")
        self._tasks.begin(record.task_id)
        await context.send_initial_metadata(ACCEPTED)
        if record.existed:
            words = "This was asked before; this is its task."
        return ingest_pb2.ProcessResponse(
            task_id=record.task_id,
            status=record.status,
            message=words,
            created_at=record.created_at,
            upload_id=record.request.upload_id if record.request.data_source == "upload" else None,
        )


def _idempotency_key(context: Context) -> str:
    """The header Idempotency-Key; empty: there is none."""
    for name, value in context.invocation_metadata() or ():
        if name == "idempotency-key" and isinstance(value, str):
            return value
    return ""


def _check_rejects(request: ingest_pb2.GetRejectsRequest) -> None:
    violations = []
    if request.format not in FORMATS:
        violations.append(errors.FieldViolation("format", "csv or jsonl."))
    if request.include not in {"", "skipped", "gone"}:
        violations.append(errors.FieldViolation("include", "skipped, gone, or nothing."))
    if violations:
        raise errors.InvalidArgument("The rejects cannot be given like that.", violations=tuple(violations))
