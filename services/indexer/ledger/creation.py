"""Stores a task once for each (client, request_id)."""

import dataclasses
import hashlib
import uuid
from typing import Any

import structlog

from services.indexer.ledger import items
from services.indexer.ledger.items import Status
from services.indexer.storage import clock, table
from services.runtime import errors, failpoints, identity

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True)
class NewTask:
    """A task to store.

    Args:
        client: The key id of who submits it.
        request_id: The idempotency key; empty: none.
        request: The serialised ProcessRequest.
        body: The same without its request_id, serialised deterministically.
        task_type: Its data_source.
        namespace: Its Pinecone namespace.
        task_id: A UUID, made by whoever asks: a call that is repeated names the same task.
        question_id: Its question, if any.
        source: The serialised PinnedSource; empty: not pinned yet.
        parent_task_id: The task whose rejected rows it retries; empty: none.
        recency: Of a retry, or of a load done once more, how new its rows are; see `turns`. None: as new as can be.
        limits: What its client may use.
        traceparent: W3C trace context of the request; empty: it is not recorded.
        job: The serialised Job; empty: the task is a load.
    """

    client: str
    request_id: str
    request: bytes
    body: bytes
    task_type: str
    namespace: str
    task_id: str
    question_id: int | None = None
    source: bytes = b""
    parent_task_id: str = ""
    recency: int | None = None
    limits: identity.KeyAllowance = identity.UNLIMITED
    traceparent: str = ""
    job: bytes = b""


class Creation:
    """Creates tasks. A caller that repeats a call that broke finds its own task."""

    def __init__(self, storage: table.Table, watch: clock.Clock) -> None:
        self._table = storage
        self._clock = watch

    async def create(self, new: NewTask) -> tuple[table.Item, bool]:
        """Store a task.

        Returns:
            The task, and whether another call had stored it before.

        Raises:
            errors.InvalidArgument: task_id is no UUID, or the request is larger than an item has room for.
            errors.AlreadyExists: The key was used with another body (IDEMPOTENCY_KEY_REUSED), or the id is taken.
            errors.Unavailable: The table does not answer. Either nothing was stored, or repeating finds it.
        """
        task = self._new(new)
        try:
            if new.request_id:
                await self._put_both(new, task)
            else:
                await self._table.put(table.Put(task, when=(table.Missing(table.KEY),)))
        except (table.Cancelled, table.ConditionFailed):
            stored = await self._stored(new, task)
            return stored, stored["token"] != task["token"]
        failpoints.hit("indexer.after_create")
        log.info("A task was stored.", action="task_created", task_id=task[table.KEY], client=new.client)
        return task, False

    async def find(self, new: NewTask) -> table.Item | None:
        """The task that this idempotency key made before, or an earlier attempt of this call, if either did.

        Raises:
            errors.AlreadyExists: It was used with another body.
        """
        task = self._new(new)
        if await self.known(new.client, new.request_id) or await self._table.get(str(task[table.KEY])) is not None:
            return await self._stored(new, task)
        return None

    async def known(self, client: str, request_id: str) -> bool:
        """Whether this idempotency key made a task before."""
        return bool(request_id) and await self._table.get(items.request_key(client, request_id)) is not None

    async def _put_both(self, new: NewTask, task: table.Item) -> None:
        request = {
            table.KEY: items.request_key(new.client, new.request_id),
            "kind": "request",
            "task": task[table.KEY],
            "body": task["body"],
            "created_at": clock.text(self._clock.now()),
        }
        await self._table.transact([table.Put(one, when=(table.Missing(table.KEY),)) for one in (request, task)])

    async def _stored(self, new: NewTask, task: table.Item) -> table.Item:
        """The task that stands where this one was to go."""
        task_id = str(task[table.KEY])
        if new.request_id:
            request = await self._table.get(items.request_key(new.client, new.request_id))
            if request is not None:
                if request["body"] != task["body"]:
                    raise errors.AlreadyExists(
                        "This idempotency key was used with another request. Use a new key, or repeat that request.",
                        reason="IDEMPOTENCY_KEY_REUSED",
                        metadata={"task_id": str(request["task"])},
                    )
                task_id = str(request["task"])
        stored = await self._table.get(task_id)
        if stored is None:
            raise errors.Unavailable("The task was stored and is gone again; try once more.", retry_seconds=1.0)
        if stored.get("client") != task["client"] or stored.get("body") != task["body"]:
            raise errors.AlreadyExists("This task id is taken. Use a new one.", reason="TASK_ID_TAKEN")
        return stored

    def _new(self, new: NewTask) -> table.Item:
        task_id = _canonical(new.task_id)
        _check_size(new.request)
        now = clock.text(self._clock.now())
        optional: dict[str, Any] = {}
        if new.question_id is not None:
            optional["question_id"] = new.question_id
        if new.source:
            optional["source"] = new.source
        if new.parent_task_id:
            optional["parent_task_id"] = new.parent_task_id
        if new.recency is not None:
            optional["recency"] = new.recency
        if new.limits.rows_per_day:
            optional["rows_per_day"] = new.limits.rows_per_day
        if new.limits.tokens_per_day:
            optional["tokens_per_day"] = new.limits.tokens_per_day
        if new.traceparent:
            optional["traceparent"] = new.traceparent
        if new.job:
            optional["job"] = new.job
        token = uuid.uuid4().hex
        return {
            table.KEY: task_id,
            "kind": "task",
            "token": token,
            "client": new.client,
            "request": new.request,
            "body": hashlib.sha256(new.body).hexdigest(),
            "task_type": new.task_type,
            "namespace": new.namespace,
            "status": str(Status.PENDING),
            "status_at": now,
            "status_token": token,
            **{str(name): value for name, value in items.listed(new.client, Status.PENDING).items()},
            table.ALL.sort: f"{now}#{task_id}",
            "created_at": now,
            "sealed": False,
            "s": {},
            "shards_opened": 0,
            "shards_settled": 0,
            "indexed": 0,
            "skipped": 0,
            "failed": 0,
            **optional,
        }


def _canonical(task_id: str) -> str:
    try:
        if str(uuid.UUID(task_id)) == task_id:
            return task_id
    except ValueError:
        pass
    raise errors.InvalidArgument(
        "The request has a bad field.",
        violations=(errors.FieldViolation("task_id", "A UUID in lower case with hyphens."),),
    )


def _check_size(request: bytes) -> None:
    if len(request) > items.REQUEST_BYTES:
        words = (
            f"The request takes {len(request)} bytes, and the ledger keeps at most {items.REQUEST_BYTES}. Shorten its "
            f"longest fields: metadata_columns, exclude_columns, column_types, null_values, text_template."
        )
        raise errors.InvalidArgument(words, violations=(errors.FieldViolation("request", words),))
