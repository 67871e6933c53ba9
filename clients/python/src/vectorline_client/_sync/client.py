# Made by unasync.py of _async/client.py: edit that one.
"""The client. What stands here twice, asynchronous and not, is written once: the other half is made by unasync.py."""

from __future__ import annotations

import os
import pathlib
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeVar, Unpack, overload

from vectorline_messages import messages

from vectorline_client import connection, content, errors, filters, outcome, wire
from vectorline_client._sync import calls, listing, rejected, task_handle, uploading, watching

# Deadlines in seconds of what takes longer than other calls may.
ESTIMATE_SECONDS: Final = 300.0  # every row is read and counted; the line refuses what takes longer
SEARCH_SECONDS: Final = 60.0  # a search may wait for its turn at the provider
RELEASE_SECONDS: Final = 90.0  # it waits for as long as an upsert may take
RETRY_SECONDS: Final = 120.0  # a page of a thousand tasks
UPLOAD_SECONDS: Final = 6 * 3600.0
REJECTS_SECONDS: Final = 3600.0
SLOW: Final = {
    "Estimate": ESTIMATE_SECONDS,
    "Search": SEARCH_SECONDS,
    "ReleaseNamespace": RELEASE_SECONDS,
    "RetryTasks": RETRY_SECONDS,
    "HealTasks": RETRY_SECONDS,
}
S3_PREFIX: Final = "s3://"

Answer = TypeVar("Answer")
JobAnswer = TypeVar("JobAnswer", messages.VerifyResponse, messages.AdoptResponse, messages.RemoveResponse)


class Client:
    """A client of a Vectorline line, by its gateway or by its services.

    To be closed, best as a context manager. It may be shared by all of a process; after a fork, make another.

    Args:
        address: http://host:port or https://host of the gateway, host:port, or host:port of each service by name. None:
            GATEWAY_URL or INGEST_ADDR, EMBEDDER_ADDR and INDEXER_ADDR of the environment, and API_KEY with it.
        api_key: The key; None: none, or the environment's where the address is.
        tls: True, or how; None: as the address says.
        proxy: http://host:port of a proxy that CONNECTs to the line; None: as the environment says, with TLS only.
        timeout: Seconds for one call, its repetitions included. What may take longer has deadlines of its own.

    Raises:
        ValueError: The address is none.
        OSError: A file of `tls` cannot be read.
    """

    def __init__(
        self,
        address: str | Mapping[str, str] | None = None,
        *,
        api_key: str | None = None,
        tls: bool | connection.TLS | None = None,
        proxy: str | None = None,
        timeout: float = 30.0,
    ) -> None:
        if address is None:
            address, found = connection.from_environment(os.environ)
            api_key = found if api_key is None else api_key
        self._timeout = timeout
        self._calls = calls.Calls(connection.target(address, tls=tls, proxy=proxy), api_key or "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    # ---- loading

    def load(
        self,
        source: content.Source | None = None,
        *,
        filename: str | None = None,
        columns: Sequence[str] | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[messages.LoadOptions],
    ) -> task_handle.TaskHandle:
        """Load rows: each becomes a vector, or a reject with its reason.

        Args:
            source: A path, bytes, a binary stream, a data frame, or rows as mappings (a generator is read once, piece
                by piece); s3://bucket/key is left where it is. None: the options say where it is: s3_key, upload_id, or
                data_source="metabase" with question_id and start_date.
            filename: What the line calls it; .gz at its end means gzip.
            columns: Of rows: the columns in their order, where the first row does not have them all.
            idempotency_key: The same key answers the same task. None: a new one is made, so that what is repeated
                after a broken connection still makes one task.
            on_sent: Called with the bytes sent so far, maybe from another thread.
            timeout: Seconds for sending it, six hours where it is not given.
            options: See LoadOptions.

        Raises:
            errors.InvalidRequest: The options are wrong; every bad one is named.
            errors.QuotaExceeded: A limit of the key is reached.
            errors.ApiError: It is refused for another reason, or the line cannot be reached.
            OSError: The file cannot be read.
            TypeError: It is nothing that can be loaded.
        """
        asked = {**options, "request_id": idempotency_key or str(uuid.uuid4())}
        if (stored := _stored(source, asked)) is not None:
            raw = self._calls.unary("Process", stored, timeout or self._timeout)
        else:
            sent = content.of(_given(source), filename, columns)
            raw = uploading.upload(self._calls, sent, asked, timeout=timeout or UPLOAD_SECONDS, on_sent=on_sent)
        return task_handle.TaskHandle(self, wire.read(messages.ProcessResponse, raw))

    def estimate(
        self,
        source: content.Source | None = None,
        *,
        filename: str | None = None,
        columns: Sequence[str] | None = None,
        on_sent: Callable[[int], object] | None = None,
        timeout: float | None = None,
        **options: Unpack[messages.LoadOptions],
    ) -> messages.EstimateResponse:
        """What `load` would come to: rows, rejects with samples, exact tokens, price and time. Nothing is bought.

        What was sent for it stays: `load(upload_id=found.upload_id, …)` takes it without sending it again.

        Args and errors are those of `load`.
        """
        if (stored := _stored(source, options)) is not None:
            raw = self._calls.unary("Estimate", stored, timeout or ESTIMATE_SECONDS)
            return wire.read(messages.EstimateResponse, raw)
        sent = content.of(_given(source), filename, columns)
        asked = {**options, "estimate": True}
        raw = uploading.upload(self._calls, sent, asked, timeout=timeout or UPLOAD_SECONDS, on_sent=on_sent)
        answer = wire.read(messages.ProcessResponse, raw)
        assert answer.estimate is not None
        return answer.estimate

    # ---- tasks

    def task(self, task_id: str) -> messages.Task:
        """A task as it is now.

        Raises:
            errors.NotFound: There is none, or it is another key's.
        """
        return self.call("GetTask", messages.Task, task_id=task_id)

    def handle(self, task_id: str) -> task_handle.TaskHandle:
        """A task that was submitted before, to hold on to. Nothing is asked of the line yet."""
        return task_handle.TaskHandle(self, messages.ProcessResponse(task_id=task_id))

    def tasks(
        self, status: str | Sequence[str] | None = None, **chosen: Unpack[filters.Filters]
    ) -> Iterator[messages.Task]:
        """Tasks, newest first, page by page as they are read.

        Args:
            status: Only these, e.g. "failed", or ("failed", "blocked"); None: all.
            chosen: See Filters.
        """
        return listing.tasks(self._calls, status, self._timeout, chosen)

    def watch(
        self, task_id: str, *, timeout: float | None = None, on_break: Callable[[], object] | None = None
    ) -> Iterator[messages.Task]:
        """A task whenever it changes, until it is over (a blocked one is); through broken connections.

        Args:
            task_id: The task.
            timeout: Seconds after which to stop watching; None: as long as it takes.
            on_break: Called when the connection broke and is being made anew.
        """
        until = None if timeout is None else time.monotonic() + timeout
        return watching.watch(self._calls, task_id, until=until, on_break=on_break)

    def wait(
        self,
        task_id: str,
        progress: Callable[[outcome.Progress], object] | None = None,
        *,
        timeout: float | None = None,
        check: bool = True,
    ) -> messages.Task:
        """Wait until a task is over.

        Args:
            task_id: The task.
            progress: Called whenever the task changes; print will do.
            timeout: Seconds to wait at most; None: as long as it takes.
            check: Raise what is wrong with its end; False: answer the task however it ended, also blocked.

        Returns:
            The task: completed, if `check`.

        Raises:
            errors.RowsRejected: Some rows were rejected, or all.
            errors.TaskFailed: Its source cannot be used.
            errors.TaskCancelled: Somebody stopped it.
            errors.Blocked: An account or a namespace refuses; it waits for somebody to mend that.
            errors.WaitTimeout: It is not over yet.
        """
        task = None
        for task in self.watch(task_id, timeout=timeout):
            if progress is not None:
                progress(outcome.Progress(task))
        if task is None or not outcome.is_over(task):
            raise errors.WaitTimeout(task_id, timeout or 0.0, task)
        problem = outcome.problem(task) if check else None
        if problem is not None:
            raise problem
        return task

    def cancel(self, task_id: str) -> None:
        """Stop a task. What is in flight is counted, nothing more is bought.

        Raises:
            errors.Conflict: It is over already.
        """
        self._calls.unary("CancelTask", {"task_id": task_id}, self._timeout)

    def retry(self, task_id: str, *, all: bool = False) -> task_handle.TaskHandle:  # noqa: A002 (as the API calls it)
        """Take the rejected rows of a finished task again, in a new task; let a blocked one go on.

        Args:
            task_id: The task.
            all: Rows rejected for any reason, not only for those that may go away by themselves.

        Raises:
            errors.Conflict: NOTHING_TO_RETRY, SUPERSEDED (a later task wrote the same source), or it is not over.
        """
        stored = self.call("RetryTask", messages.ProcessResponse, task_id=task_id, all=all)
        return task_handle.TaskHandle(self, stored)

    def retry_tasks(
        self,
        *,
        status: str | None = None,
        reason: str | None = None,
        since: filters.Since | None = None,
        namespace: str | None = None,
        question_id: int | None = None,
        task_ids: Sequence[str] | None = None,
        all: bool = False,  # noqa: A002 (as the API calls it)
        dry_run: bool = False,
    ) -> messages.RetryTasksResponse:
        """Retry every task that a filter matches; with `dry_run` only say what would come of it.

        Args:
            status: failed, partially_completed, cancelled or blocked; None: all of these.
            reason: Only tasks with this error_reason, or with rows that were rejected for it.
            since: Only tasks stored since then: a time, a span before now, or as the API takes it: 2h, 2026-11-30.
            namespace: Only tasks of this namespace.
            question_id: Only tasks of this question.
            task_ids: Only these, at most 1000.
            all: Rows rejected for any reason.
            dry_run: Count, and do nothing.

        Raises:
            errors.InvalidRequest: There is no filter, or a bad one.
        """
        fields = {
            "status": status,
            "reason": reason,
            "since": None if since is None else filters.moment_text(since),
            "namespace": namespace,
            "question_id": question_id,
            "task_ids": task_ids,
            "all": all,
            "dry_run": dry_run,
        }
        whole = self.call("RetryTasks", messages.RetryTasksResponse, **fields)
        while whole.next_page_token:
            page = self.call("RetryTasks", messages.RetryTasksResponse, **fields, page_token=whole.next_page_token)
            whole = filters.joined(whole, page)
        return whole

    # ---- what is in the index

    def verify(
        self,
        question_id: int,
        *,
        namespace: str | None = None,
        sample: int = 0,
        fetch: int | None = None,
        repair: bool = False,
        repair_task_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> task_handle.TaskHandle:
        """Hold what is known of a question against what the index says.

        What it finds is in the task's result (missing, strange, differing) and, id by id, in its rejects.

        Args:
            question_id: The question.
            namespace: Where; None: the line's own.
            sample: Vectors that are bought again and compared, at most 10,000.
            fetch: Records whose metadata and text are compared; None: 1,000.
            repair: What is missing or differs is bought again, by a load after it (the result's repair_task_id).
            repair_task_id: The load whose source repairs; None: the last one.
            idempotency_key: See `load`.

        Raises:
            errors.Conflict: NOTHING_KNOWN, or no source repairs.
        """
        return self._job(
            "Verify",
            messages.VerifyResponse,
            idempotency_key,
            question_id=question_id,
            namespace=namespace,
            sample=sample,
            fetch=fetch,
            repair=repair,
            repair_task_id=repair_task_id,
        )

    def verify_price(
        self, question_id: int, *, namespace: str | None = None, sample: int = 0, fetch: int | None = None
    ) -> messages.JobForecast:
        """What `verify` would cost; nothing is done."""
        fields = {"question_id": question_id, "namespace": namespace, "sample": sample, "fetch": fetch}
        return self._price("Verify", messages.VerifyResponse, **fields)

    def adopt(
        self,
        question_id: int,
        *,
        namespace: str | None = None,
        sample: int | None = None,
        idempotency_key: str | None = None,
    ) -> task_handle.TaskHandle:
        """Take over what others filled, or a line whose ledger was lost: the next load of the same file skips it.

        Args:
            question_id: The question: its vectors' ids begin with "{question_id}.".
            namespace: Where; None: the line's own.
            sample: Vectors that are bought again and must agree, at most 10,000; None: 100.
            idempotency_key: See `load`.

        Raises:
            errors.Conflict: ALREADY_KNOWN.
        """
        return self._job(
            "Adopt",
            messages.AdoptResponse,
            idempotency_key,
            question_id=question_id,
            namespace=namespace,
            sample=sample,
        )

    def adopt_price(
        self, question_id: int, *, namespace: str | None = None, sample: int | None = None
    ) -> messages.JobForecast:
        """What `adopt` would cost; nothing is done."""
        fields = {"question_id": question_id, "namespace": namespace, "sample": sample}
        return self._price("Adopt", messages.AdoptResponse, **fields)

    def remove(
        self,
        question_id: int | None = None,
        *,
        namespace: str | None = None,
        task_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> task_handle.TaskHandle:
        """Delete every vector of a question from a namespace, or those that one load wrote.

        Nothing of it is known any more then: the next load buys all of its rows. See `remove_price` first.

        Args:
            question_id: The question; None: task_id names a load.
            namespace: Where; None: the line's own.
            task_id: In place of both: the load.
            idempotency_key: See `load`.

        Raises:
            errors.Conflict: Of a load: SUPERSEDED, REMOVE_SHARED, NOTHING_KNOWN.
        """
        return self._job(
            "Remove",
            messages.RemoveResponse,
            idempotency_key,
            question_id=question_id,
            namespace=namespace,
            task_id=task_id,
            dry_run=False,
        )

    def remove_price(
        self, question_id: int | None = None, *, namespace: str | None = None, task_id: str | None = None
    ) -> messages.JobForecast:
        """What `remove` would delete (`removed`), and cost; nothing is done."""
        fields = {"question_id": question_id, "namespace": namespace, "task_id": task_id}
        return self._price("Remove", messages.RemoveResponse, **fields)

    def _job(
        self, method: str, answer: type[JobAnswer], idempotency_key: str | None, **fields: Any
    ) -> task_handle.TaskHandle:
        stored = self.call(method, answer, **fields, request_id=idempotency_key)
        return task_handle.TaskHandle(self, stored)

    def _price(self, method: str, answer: type[JobAnswer], **fields: Any) -> messages.JobForecast:
        priced = self.call(method, answer, **fields, dry_run=True)
        assert priced.forecast is not None
        return priced.forecast

    # ---- rows that were not used

    def rejects(self, task_id: str, *, include_skipped: bool = False) -> Iterator[dict[str, Any]]:
        """The rejected rows of a task: the original columns, and row_number, line_number, reason, message, line_text.

        pandas.DataFrame(client.rejects(task_id)) makes a frame of them.

        Args:
            task_id: The task.
            include_skipped: Also the rows that were left out on purpose.
        """
        include = "skipped" if include_skipped else ""
        return rejected.rows(self._calls, task_id, include=include, timeout=REJECTS_SECONDS)

    def gone(self, task_id: str) -> Iterator[str]:
        """The vector ids that a mirror removes, or would if it is held; none of a task that is no mirror."""
        for row in rejected.rows(self._calls, task_id, include="gone", timeout=REJECTS_SECONDS):
            yield row["vector_id"]

    def confirm(self, task_id: str, checksum: str) -> task_handle.TaskHandle:
        """Let a held mirror (MIRROR_HELD) remove what it told.

        Args:
            task_id: The task.
            checksum: `held.checksum` of the task as it was looked at.

        Raises:
            errors.Conflict: MIRROR_NOT_HELD, or MIRROR_CHANGED: the list of ids is another one by now.
        """
        stored = self.call("ConfirmTask", messages.ProcessResponse, task_id=task_id, checksum=checksum)
        return task_handle.TaskHandle(self, stored)

    def save_rejects(
        self,
        task_id: str,
        path: str | os.PathLike[str],
        *,
        format: str = "csv",  # noqa: A002 (as the API calls it)
        include_skipped: bool = False,
    ) -> int:
        """Write the rejected rows to a file, all of it or nothing.

        Args:
            task_id: The task.
            path: The file; what is there is replaced at the end.
            format: csv, or jsonl.
            include_skipped: Also the rows that were left out on purpose.

        Returns:
            Bytes written.

        Raises:
            OSError: It cannot be written.
        """
        pieces = self.rejects_file(task_id, format=format, include_skipped=include_skipped)
        return rejected.save(pieces, pathlib.Path(path))

    def rejects_file(
        self,
        task_id: str,
        *,
        format: str = "csv",  # noqa: A002 (as the API calls it)
        include_skipped: bool = False,
    ) -> Iterator[bytes]:
        """The same as the pieces of a file."""
        include = "skipped" if include_skipped else ""
        return rejected.file(self._calls, task_id, form=format, include=include, timeout=REJECTS_SECONDS)

    def save_gone(
        self,
        task_id: str,
        path: str | os.PathLike[str],
        *,
        format: str = "csv",  # noqa: A002 (as the API calls it)
    ) -> int:
        """Write what `gone` tells to a file, all of it or nothing; bytes written. Raises OSError where it cannot."""
        return rejected.save(self.gone_file(task_id, format=format), pathlib.Path(path))

    def gone_file(self, task_id: str, *, format: str = "csv") -> Iterator[bytes]:  # noqa: A002 (as the API calls it)
        """What `gone` tells as the pieces of a file, csv (one column, vector_id) or jsonl."""
        return rejected.file(self._calls, task_id, form=format, include="gone", timeout=REJECTS_SECONDS)

    # ---- search

    def search(
        self,
        text: str,
        *,
        namespace: str | None = None,
        top_k: int | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 (as the API calls it)
    ) -> tuple[messages.Match, ...]:
        """The rows nearest in meaning to a text, best first.

        Args:
            text: What to look for, at most 8,192 tokens.
            namespace: Where; None: the line's own.
            top_k: How many, 1 to 1000; None: 10.
            filter: Pinecone's, e.g. {"price": {"$lt": 10}}.

        Raises:
            errors.QuotaExceeded: Too many searches wait for the quota.
        """
        fields = {"text": text, "namespace": namespace, "top_k": top_k, "filter": filter}
        return (self.call("Search", messages.SearchResponse, **fields)).matches

    # ---- the line

    def health(self) -> messages.GetHealthResponse:
        """The health of the line. Needs no key."""
        return self.call("GetHealth", messages.GetHealthResponse)

    def queue(self) -> messages.QueuesView:
        """The queue of chunks, lane by lane."""
        return self.call("GetQueues", messages.QueuesView)

    def workers(self) -> messages.WorkersView:
        """The embedders that are alive."""
        return self.call("GetWorkers", messages.WorkersView)

    def limits(self) -> messages.LimiterView:
        """The limiter of requests and tokens."""
        return self.call("GetLimiter", messages.LimiterView)

    def statistics(self, hours: int | None = None) -> messages.Statistics:
        """Tasks, rows, failures and pace of the last hours (None: 24)."""
        return self.call("GetStatistics", messages.Statistics, hours=hours)

    def bill(self, hours: int | None = None) -> messages.BillOverview:
        """What was spent on the days of the last hours (None: 24), by day, key and namespace."""
        return self.call("GetBill", messages.BillOverview, hours=hours)

    def anomalies(self, hours: int | None = None) -> messages.Anomalies:
        """What is not as it should be."""
        return self.call("GetAnomalies", messages.Anomalies, hours=hours)

    def dashboard(self, hours: int | None = None) -> messages.Dashboard:
        """Statistics, open tasks and anomalies in one answer."""
        return self.call("GetDashboard", messages.Dashboard, hours=hours)

    def release_namespace(self, namespace: str) -> messages.ReleaseNamespaceResponse:
        """Let the next task decide whose vectors an empty namespace holds. Takes a quarter of a minute; for admins."""
        return self.call("ReleaseNamespace", messages.ReleaseNamespaceResponse, namespace=namespace)

    @overload
    def call(self, method: str, answer: type[Answer], **fields: Any) -> Answer: ...
    @overload
    def call(self, method: str, answer: None = None, **fields: Any) -> None: ...
    def call(self, method: str, answer: Any = None, **fields: Any) -> Any:
        """Any public method with one answer, by its name in the protos.

        Args:
            method: E.g. "GetMetrics".
            answer: What its answer becomes, e.g. messages.Metrics; None: it has none, or it is not wanted.
            fields: Of its request; what is None is left out. Where it makes a task and there is no request_id, a new
                one is made, as in `load`.
        """
        raw = self._calls.unary(method, fields, SLOW.get(method, self._timeout))
        return None if answer is None else wire.read(answer, raw)

    def stream(
        self, method: str, answer: type[Answer], *, timeout: float = watching.STREAM_SECONDS, **fields: Any
    ) -> Iterator[Answer]:
        """Any public method with many answers, likewise. It ends with its time, or with the line's.

        Args:
            method: E.g. "StreamTasks".
            answer: What each answer becomes, e.g. messages.Task.
            timeout: Seconds until it is broken off.
            fields: Of its request; what is None is left out.
        """
        for raw in self._calls.stream(method, fields, timeout):
            yield wire.read(answer, raw)


def _stored(source: Any, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The request for what is stored already; None: the source is to be sent."""
    if isinstance(source, str) and source.startswith(S3_PREFIX):
        return {**options, "data_source": "s3_csv", "s3_key": source}
    if source is not None:
        return None
    if options.get("data_source"):
        return dict(options)
    if options.get("s3_key"):
        return {**options, "data_source": "s3_csv"}
    return {**options, "data_source": "upload"} if options.get("upload_id") else None


def _given(source: content.Source | None) -> content.Source:
    if source is None:
        raise TypeError("There is nothing to load: give a source, or s3_key, upload_id or data_source.")
    return source
