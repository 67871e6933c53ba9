"""Both clients against a line that answers what a test put there: every test runs with each."""

import asyncio
import datetime
import json
import time

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from google.rpc import error_details_pb2
from vectorline.v1 import embedder_pb2, indexer_pb2, ingest_pb2, job_pb2, monitoring_pb2

import vectorline_client as vectorline
from tests.unit.cli import fake_line
from vectorline_client import messages

INFO = error_details_pb2.ErrorInfo(reason="WHY", domain="vectorline", metadata={"task_id": "x"})


def test_a_load_is_sent_with_its_options_and_a_key_of_its_own(do, line):
    first = do("load", b"id\n1\n", question_id=7, null_values=["NULL"], filename="a.csv.gz")
    do("load", b"id\n1\n", question_id=7)

    assert first.task_id == fake_line.TASK_ID
    sent = line.requests[0]
    assert (sent.filename, sent.question_id, list(sent.null_values)) == ("a.csv.gz", 7, ["NULL"])
    assert (sent.body.content_type, sent.body.data) == ("application/gzip", b"id\n1\n")
    assert sent.delimiter == ""
    assert len({request.request_id for request in line.requests}) == 2
    assert all(request.request_id for request in line.requests)


def test_rows_are_declared_as_they_are_written_unless_something_else_is_said(do, line):
    do("load", [{"id": 1, "formatted_text": "a"}], question_id=7)
    do("load", iter([{"id": 1, "formatted_text": "a"}]), question_id=7, quoting="auto")

    assert [(each.delimiter, each.encoding, each.quoting) for each in line.requests] == [
        (",", "utf-8", "csv"),
        (",", "utf-8", "auto"),
    ]


def test_what_is_stored_already_is_not_sent(do, line):
    do("load", "s3://b/k.csv", question_id=1)
    do("load", s3_key="k.csv", question_id=1)
    do("load", upload_id="u", question_id=1)
    do("load", data_source="metabase", start_date="2026-01-01")

    assert line.calls == ["Process"] * 4
    assert [(each.data_source, each.s3_key, each.upload_id) for each in line.requests] == [
        ("s3_csv", "s3://b/k.csv", ""),
        ("s3_csv", "k.csv", ""),
        ("upload", "", "u"),
        ("metabase", "", ""),
    ]
    assert all(each.request_id for each in line.requests)


def test_an_idempotency_key_is_the_callers_if_it_gives_one(do, line):
    do("load", "s3://b/k.csv", idempotency_key="march")
    assert line.requests[0].request_id == "march"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"question": 1}, "no option 'question'; is 'question_id' meant"),
        ({"question_id": "a"}, "'question_id' takes no str"),
        ({"null_values": "NULL"}, "'null_values' takes no str like that: a list is needed"),
    ],
)
def test_a_wrong_option_is_a_type_error_and_nothing_is_sent(do, line, options, words):
    with pytest.raises(TypeError, match=words):
        do("load", "s3://b/k.csv", **options)
    assert line.calls == []


def test_nothing_to_load_is_a_type_error(do):
    with pytest.raises(TypeError, match="nothing to load"):
        do("load", question_id=1)


def test_an_upload_goes_again_after_a_break_with_the_same_key(do, line):
    line.refusals["Upload"].extend([fake_line.BREAK] * 2)

    assert do("load", [{"id": 1}], question_id=1).task_id == fake_line.TASK_ID

    assert line.calls == ["Upload"] * 3
    assert len({each.request_id for each in line.requests}) == 1


def test_a_generator_is_not_sent_twice(do, line):
    line.refusals["Upload"].append(fake_line.BREAK)
    with pytest.raises(vectorline.Unavailable):
        do("load", ({"id": number} for number in range(3)), question_id=1)
    assert line.calls == ["Upload"]


def test_an_upload_that_is_refused_is_not_repeated(do, line):
    line.refusals["Upload"].append(fake_line.Refusal(grpc.StatusCode.INTERNAL, "no"))
    with pytest.raises(vectorline.InternalError):
        do("load", b"id\n", question_id=1)
    assert line.calls == ["Upload"]


def test_a_file_that_is_refused_while_it_is_sent_says_why(do, line):
    """grpc.aio forgets the answer in one of five such calls, whence the repetitions."""
    full = error_details_pb2.ErrorInfo(reason="OPEN_TASKS_QUOTA_EXCEEDED", domain="vectorline")
    for _ in range(12):
        line.refusals["Upload"].append(fake_line.Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Full.", (full,)))
        rows = ({"id": number, "formatted_text": "x" * 500} for number in range(20_000))
        with pytest.raises(vectorline.QuotaExceeded, match=r"Full\.") as refused:
            do("load", rows, question_id=1)
        assert refused.value.reason == "OPEN_TASKS_QUOTA_EXCEEDED"


async def test_a_load_that_is_given_up_leaves_nothing_behind(line, asynchronous):
    begun = asyncio.Event()

    async def source():
        yield {"id": 1}
        begun.set()
        await asyncio.sleep(60)

    line.break_off_seconds = 30
    loading = asyncio.create_task(asynchronous.load(source(), question_id=1))
    await asyncio.wait_for(begun.wait(), 30)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert line.upload_sha256 == ""
    assert (await asynchronous.health()).status == "healthy"


def test_what_reading_a_source_raises_is_raised_and_no_task_is_made(do, line):
    def source():
        yield {"id": 1, "formatted_text": "x" * 2_000_000}
        raise OSError("the disk is gone")

    line.break_off_seconds = 30
    with pytest.raises(OSError, match="the disk is gone"):
        do("load", source(), question_id=1)
    assert line.upload_sha256 == ""


async def test_an_asynchronous_source_is_for_the_asynchronous_client(line, client, asynchronous):
    async def source():
        for number in range(3):
            yield {"id": number}

    await asynchronous.load(source(), question_id=1)
    assert line.requests[0].body.data == b"id\n0\n1\n2\n"
    with pytest.raises(TypeError, match="AsyncClient"):
        await asyncio.to_thread(client.load, source(), question_id=1)


def test_an_estimate_of_a_file_and_of_what_is_stored(do, line):
    estimate = ingest_pb2.EstimateResponse(rows=9, price_usd=0.5, upload_id="u")
    line.answers["Upload"] = ingest_pb2.ProcessResponse(upload_id="u", estimate=estimate)
    line.answers["Estimate"] = ingest_pb2.EstimateResponse(rows=8)

    found, stored = do("estimate", b"id\n1\n", question_id=1), do("estimate", "s3://b/k", question_id=1)

    assert line.requests[0].estimate
    assert (found.rows, found.price_usd, found.upload_id) == (9, 0.5, "u")
    assert (stored.rows, stored.price_usd, stored.duration_seconds) == (8, None, None)


# ---- answers


def test_a_task_is_a_dataclass_with_what_is_not_set_as_none(do, line):
    made = fake_line.task("failed", total=9, failed=9, error_reason="NO_ROW_INDEXED")
    made.result.failed_by_reason["empty_text"] = 9
    made.metadata.created_at.FromJsonString("2026-11-30T06:12:00.5Z")
    made.metadata.parameters.update({"question_id": 7, "null_values": ["NULL"]})
    made.warnings.add(code="encoding_guessed", row=3)
    line.answers["GetTask"] = made

    task = do("task", fake_line.TASK_ID)

    assert isinstance(task, messages.Task)
    assert task.progress == messages.TaskProgress(total_records=9, failed_records=9, percentage=100.0)
    assert task.result is not None
    assert task.result.failed_by_reason == {"empty_text": 9}
    assert task.metadata.created_at == datetime.datetime(2026, 11, 30, 6, 12, 0, 500_000, datetime.UTC)
    assert task.metadata.parameters == {"question_id": 7, "null_values": ["NULL"]}
    assert task.warnings[0].code == "encoding_guessed"
    assert (task.started_at, task.error, task.state) == (None, None, messages.TaskState.TASK_STATE_UNSPECIFIED)
    printed = json_format.MessageToDict(
        made, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    printed["metadata"]["created_at"] = "2026-11-30T06:12:00.500000Z"
    assert json.loads(json.dumps(vectorline.as_dict(task))) == printed


def test_a_search_sends_its_filter_and_gives_matches(do, line):
    metadata = json_format.ParseDict({"price": 3, "tags": ["a"]}, struct_pb2.Struct())
    found = embedder_pb2.Match(id="7.1", score=0.5, metadata=metadata)
    line.answers["Search"] = embedder_pb2.SearchResponse(matches=[found])

    matches = do("search", "a bike", top_k=3, namespace="v2", filter={"price": {"$lt": 10}})

    sent = line.requests[0]
    assert (sent.text, sent.top_k, sent.namespace) == ("a bike", 3, "v2")
    assert json_format.MessageToDict(sent.filter) == {"price": {"$lt": 10}}
    assert matches == (messages.Match(id="7.1", score=0.5, metadata={"price": 3, "tags": ["a"]}),)
    do("search", "a bike")
    assert not line.requests[1].HasField("filter")
    assert not line.requests[1].HasField("top_k")


def test_rejects_are_rows_and_a_file(do, line, tmp_path):
    line.rejects = [b'{"id": "1", "reason": "empty_te', 'xt"}\n{"id": "ü"}\n'.encode()]
    assert do("rejects", "x", include_skipped=True) == [{"id": "1", "reason": "empty_text"}, {"id": "ü"}]
    assert (line.requests[0].format, line.requests[0].include) == ("jsonl", "skipped")

    size = do("save_rejects", "x", tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes() == b"".join(line.rejects)
    assert size == len(b"".join(line.rejects))
    assert (line.requests[1].format, line.requests[1].include) == ("csv", "")


def test_rejects_that_break_off_leave_no_half_file(do, line, tmp_path):
    line.rejects = [b"id\n", fake_line.BREAK]
    with pytest.raises(vectorline.Unavailable):
        do("save_rejects", "x", tmp_path / "r.csv")
    assert list(tmp_path.iterdir()) == []


# ---- lists


def listed(number: int, status: str = "completed", namespace: str = "v2", minutes: int = 0):
    made = fake_line.task(status)
    made.task_id = f"{status}-{number}"
    made.metadata.namespace = namespace
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes)
    made.metadata.created_at.FromDatetime(moment)
    return made


def test_tasks_are_read_page_by_page_and_no_further_than_is_asked(do, line):
    def page(request):
        start = int(request.page_token or 0)
        tasks = [listed(start + number) for number in range(request.page_size)]
        return indexer_pb2.ListTasksResponse(tasks=tasks, next_page_token=str(start + request.page_size))

    line.answers["ListTasks"] = page
    found = do("tasks", limit=1500)
    assert [task.task_id for task in found] == [f"completed-{number}" for number in range(1500)]
    assert [request.page_size for request in line.requests] == [1000, 500]


def test_filters_leave_out_what_is_another(do, line):
    tasks = [
        listed(0, minutes=1),
        listed(1, namespace="other", minutes=2),
        listed(2, minutes=30),
        listed(3, minutes=200),
    ]
    line.answers["ListTasks"] = indexer_pb2.ListTasksResponse(tasks=tasks)

    def names(**filters):
        return [task.task_id.rpartition("-")[2] for task in do("tasks", **filters)]

    assert names() == ["0", "1", "2", "3"]
    assert names(namespace="v2") == ["0", "2", "3"]
    assert names(since="2h") == names(since=datetime.timedelta(hours=2)) == ["0", "1", "2"]
    assert names(since=datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)) == ["0", "1"]
    assert names(namespace="v2", limit=1) == ["0"]
    assert names(limit=0) == []
    with pytest.raises(ValueError, match="'soon' is no moment"):
        names(since="soon")


def test_several_statuses_are_one_list_newest_first(do, line):
    by_status = {
        "failed": [listed(0, "failed", minutes=1), listed(1, "failed", minutes=9)],
        "blocked": [listed(2, "blocked", minutes=5)],
    }
    line.answers["ListTasks"] = lambda request: indexer_pb2.ListTasksResponse(tasks=by_status[request.status_filter])
    assert [task.task_id for task in do("tasks", ["failed", "blocked"])] == ["failed-0", "blocked-2", "failed-1"]


def test_retries_of_a_filter_are_one_answer_of_all_pages(do, line):
    def page(request):
        last = request.page_token == "more"
        kept = ingest_pb2.TaskRetry(task_id="b" if last else "a")
        return ingest_pb2.RetryTasksResponse(
            dry_run=True,
            matched=2,
            retried=1,
            rows=5,
            refused={"X": 1},
            tasks=[kept],
            next_page_token=["more", ""][last],
        )

    line.answers["RetryTasks"] = page
    found = do("retry_tasks", reason="index_refused", since=datetime.timedelta(hours=2), dry_run=True)
    assert (found.matched, found.retried, found.rows, found.refused) == (4, 2, 10, {"X": 2})
    assert [each.task_id for each in found.tasks] == ["a", "b"]
    assert (line.requests[0].reason, line.requests[0].dry_run, line.requests[1].page_token) == (
        "index_refused",
        True,
        "more",
    )
    since = datetime.datetime.fromisoformat(line.requests[0].since)
    assert abs(datetime.datetime.now(datetime.UTC) - since - datetime.timedelta(hours=2)) < datetime.timedelta(
        minutes=1
    )


# ---- watching


def test_waiting_goes_through_breaks_and_tells_of_each_change(do, line):
    line.watches.append([fake_line.task("processing_chunks", total=9, indexed=3), fake_line.BREAK])
    line.watches.append([fake_line.task("processing_chunks", total=9, indexed=5)])  # a server that drains
    line.watches.append([fake_line.task("completed", total=9, indexed=9)])
    told: list[str] = []

    task = do("wait", "x", lambda progress: told.append(str(progress)))

    assert task.status == "completed"
    assert told == [
        "processing_chunks: 3 of 9 rows (33 %)",
        "processing_chunks: 5 of 9 rows (56 %)",
        "completed: 9 of 9 rows (100 %)",
    ]


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (fake_line.task("partially_completed", total=9, indexed=7, failed=2), vectorline.RowsRejected),
        (fake_line.task("failed", total=9, failed=9, error_reason="NO_ROW_INDEXED"), vectorline.RowsRejected),
        (fake_line.task("failed", error="It is gone.", error_reason="SOURCE_NOT_FOUND"), vectorline.TaskFailed),
        (fake_line.task("cancelled"), vectorline.TaskCancelled),
        (fake_line.task("blocked", error_reason="ACCOUNT_REFUSED"), vectorline.Blocked),
    ],
    ids=lambda each: getattr(each, "status", ""),
)
def test_an_end_that_was_not_wished_is_a_type_of_its_own(do, line, task, error):
    line.watches.extend([[task], [task]])
    with pytest.raises(error) as raised:
        do("wait", fake_line.TASK_ID)
    assert raised.value.task.status == task.status
    assert raised.value.reason == task.error_reason
    assert fake_line.TASK_ID in str(raised.value)
    assert do("wait", fake_line.TASK_ID, check=False).status == task.status


def test_rejected_rows_are_counted_by_reason(do, line):
    task = fake_line.task("partially_completed", total=9, indexed=6, failed=3)
    task.result.failed_by_reason.update({"empty_text": 1, "ragged_row": 2})
    line.watches.append([task])
    with pytest.raises(vectorline.RowsRejected, match=r"3 of 9 rows .* rejected: 2 ragged_row, 1 empty_text") as raised:
        do("wait", fake_line.TASK_ID)
    assert raised.value.by_reason == {"empty_text": 1, "ragged_row": 2}


def test_waiting_ends_with_its_time(do, line):
    line.watches.append([fake_line.task("processing"), lambda: line.released.wait(60)])
    began = time.monotonic()
    with pytest.raises(vectorline.WaitTimeout, match="it is processing") as raised:
        do("wait", "x", timeout=3)
    line.released.set()
    assert time.monotonic() - began < 30
    assert isinstance(raised.value, TimeoutError)


def test_a_handle_does_what_its_task_can(do, line):
    line.watches.extend([[fake_line.task("completed")], [fake_line.task("completed")]])
    line.answers["RetryTask"] = ingest_pb2.ProcessResponse(task_id="new")

    assert do(lambda client: client.handle("x").status()).task_id == fake_line.TASK_ID
    assert [task.status for task in do(lambda client: client.handle("x").watch())] == ["completed"]
    assert do(lambda client: client.handle("x").wait()).status == "completed"
    assert do(lambda client: client.handle("x").retry(all=True)).task_id == "new"
    do(lambda client: client.handle("x").cancel())
    assert do(lambda client: client.handle("x").rejects()) == []
    assert line.calls == ["GetTask", "WatchTask", "WatchTask", "RetryTask", "CancelTask", "GetRejects"]
    assert line.requests[3].all


# ---- what is in the index


def test_a_verify_is_priced_and_then_a_task_to_wait_for(do, line):
    line.answers["Verify"] = lambda asked: (
        job_pb2.VerifyResponse(forecast=job_pb2.JobForecast(ids=3))
        if asked.dry_run
        else job_pb2.VerifyResponse(task_id="new")
    )
    assert do("verify_price", 232, namespace="v2", sample=5).ids == 3
    assert do("verify", 232, namespace="v2", sample=5, fetch=0, repair=True).task_id == "new"
    priced, asked = line.requests
    assert (priced.dry_run, asked.dry_run) == (True, False)
    assert (asked.question_id, asked.sample, asked.HasField("fetch"), asked.fetch, asked.repair) == (
        232,
        5,
        True,
        0,
        True,
    )
    assert asked.request_id, "so that what is repeated after a broken connection still makes one task"


def test_an_adoption_likewise(do, line):
    line.answers["Adopt"] = lambda asked: (
        job_pb2.AdoptResponse(forecast=job_pb2.JobForecast(ids=3))
        if asked.dry_run
        else job_pb2.AdoptResponse(task_id="new")
    )
    assert do("adopt_price", 232, namespace="v2").ids == 3
    assert do("adopt", 232, namespace="v2", sample=5).task_id == "new"
    priced, asked = line.requests
    assert (priced.dry_run, priced.HasField("sample"), asked.sample) == (True, False, 5)
    assert asked.request_id


def test_a_removal_likewise(do, line):
    line.answers["Remove"] = lambda asked: (
        job_pb2.RemoveResponse(forecast=job_pb2.JobForecast(removed=3))
        if asked.dry_run
        else job_pb2.RemoveResponse(task_id="new")
    )
    assert do("remove_price", 232, namespace="v2").removed == 3
    assert do("remove", task_id="load").task_id == "new"
    priced, asked = line.requests
    assert (priced.dry_run, priced.question_id) == (True, 232)
    assert (asked.HasField("dry_run"), asked.dry_run, asked.HasField("question_id"), asked.task_id) == (
        True,
        False,
        False,
        "load",
    )
    assert asked.request_id


# ---- errors


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, vectorline.InvalidRequest),
        (grpc.StatusCode.UNAUTHENTICATED, vectorline.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, vectorline.NotAllowed),
        (grpc.StatusCode.NOT_FOUND, vectorline.NotFound),
        (grpc.StatusCode.ABORTED, vectorline.Conflict),
        (grpc.StatusCode.ALREADY_EXISTS, vectorline.Conflict),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, vectorline.QuotaExceeded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, vectorline.DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, vectorline.Unsupported),
        (grpc.StatusCode.INTERNAL, vectorline.InternalError),
    ],
)
def test_each_refusal_is_a_type_with_its_reason(do, line, code, error):
    line.refusals["GetTask"].append(fake_line.Refusal(code, "It is so.", (INFO,)))
    with pytest.raises(error, match=r"It is so\.") as raised:
        do("task", "x")
    assert (raised.value.code, raised.value.reason, raised.value.metadata) == (code.name, "WHY", {"task_id": "x"})
    assert raised.value.status["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert isinstance(raised.value, vectorline.VectorlineError)


def test_a_quota_says_when_to_come_back(do, line):
    retry = error_details_pb2.RetryInfo(retry_delay={"seconds": 7, "nanos": 500_000_000})
    line.refusals["Search"].append(fake_line.Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Later.", (INFO, retry)))
    with pytest.raises(vectorline.QuotaExceeded) as raised:
        do("search", "x")
    assert raised.value.retry_after == 7.5


def test_bad_fields_are_named_all_at_once(do, line):
    bad = error_details_pb2.BadRequest(
        field_violations=[{"field": "chunk_size", "description": "too small"}, {"field": "mode", "description": "none"}]
    )
    line.refusals["Process"].append(fake_line.Refusal(grpc.StatusCode.INVALID_ARGUMENT, "Bad.", (INFO, bad)))
    with pytest.raises(vectorline.InvalidRequest) as raised:
        do("load", "s3://b/k")
    assert [each.field for each in raised.value.fields] == ["chunk_size", "mode"]
    assert str(raised.value) == "Bad.\n  chunk_size: too small\n  mode: none"


def test_a_refusal_without_details_still_has_the_form_of_rest(do, line):
    line.refusals["GetTask"].append(fake_line.Refusal(grpc.StatusCode.NOT_FOUND, "no"))
    with pytest.raises(vectorline.NotFound) as raised:
        do("task", "x")
    assert raised.value.status == {"code": 5, "message": "no", "details": []}


# ---- calls


def test_every_call_has_a_deadline_and_the_key(do, line):
    line.watches.append([fake_line.task("completed")])
    line.answers["GetQueues"] = monitoring_pb2.QueuesView()
    do("load", b"id\n", question_id=1)
    do("load", "s3://b/k")
    do("wait", "x")
    do("rejects", "x")
    do("search", "x")
    do("health")
    do("cancel", "x")
    assert len(line.deadlines) == 7
    longest = 6 * 3600 + 100  # gRPC sends three digits of a deadline, rounded up
    assert [seconds for seconds in line.deadlines if seconds is None or not 0 < seconds <= longest] == []
    assert all(each["x-api-key"] == "test-key" for each in line.metadata)


def test_what_is_idempotent_is_tried_again_and_nothing_else(do, line):
    once = {"CancelTask": ("cancel", "x"), "RetryTask": ("retry", "x"), "RetryTasks": ("retry_tasks",)}
    for name in ("GetTask", "Process", *once):
        line.refusals[name].extend([fake_line.BREAK] * 2)
    do("task", "x")
    do("load", "s3://b/k")
    assert line.calls == ["GetTask"] * 3 + ["Process"] * 3
    for name, call in once.items():
        line.calls.clear()
        with pytest.raises(vectorline.Unavailable):
            do(*call)
        assert line.calls == [name]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Process", {"data_source": "s3_csv", "s3_key": "k"}),
        ("Verify", {"question_id": 232}),
        ("Adopt", {"question_id": 232}),
        ("Remove", {"question_id": 232, "dry_run": False}),
    ],
)
def test_what_makes_a_task_by_its_own_name_is_repeated_under_one_key(do, line, name, fields):
    line.refusals[name].extend([fake_line.BREAK] * 2)
    do("call", name, **fields)
    do("call", name, **fields)
    do("call", name, **fields, request_id="mine")
    *same, other, mine = [request.request_id for request in line.requests]
    assert len(same) == 3
    assert len({*same, other}) == 2
    assert all([*same, other])
    assert mine == "mine"


def test_what_makes_no_task_needs_no_key(do, line):
    for name in ("Verify", "Adopt", "Remove"):
        do("call", name, question_id=232, dry_run=True)
    assert [request.request_id for request in line.requests] == [""] * 3


def test_a_method_that_has_no_name_here_is_called_by_its_own(do, line):
    line.answers["GetHealth"] = embedder_pb2.GetHealthResponse(version="1")
    assert do("call", "GetHealth", messages.GetHealthResponse).version == "1"
    with pytest.raises(TypeError, match="no method 'GetHealt'; is 'GetHealth' meant"):
        do("call", "GetHealt", messages.GetHealthResponse)
