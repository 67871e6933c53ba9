"""A key with lists reaches what they name, by every public method that names a namespace, a question or a source."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_status import rpc_status
from vectorline.v1 import access_pb2, embedder_pb2, indexer_pb2, ingest_pb2, job_pb2  # noqa: F401 (they register)

from services.runtime import identity
from services.runtime.interceptors import auth
from tests.integration.ingest.conftest import ANN, Api

# Every public method of the three services, and what of a caller's lists it is held to.
NAMES = {
    "IngestService": {
        "Process": "namespaces questions sources",
        "Estimate": "namespaces questions sources",
        "Upload": "namespaces questions",  # its bytes are the caller's own
        "RetryTask": "namespaces questions sources",
        "ConfirmTask": "namespaces questions sources",
        "RetryTasks": "namespaces questions",  # and each task that they match to its source: an outcome of that task
        "Adopt": "namespaces questions",
        "Remove": "namespaces questions",
        "Verify": "namespaces questions",  # and, where it repairs, to the source of the load that is done once more
        "GetRejects": "",  # of the caller's own tasks
    },
    "EmbedderService": {"Search": "namespaces"},
    "IndexerService": {
        "ReleaseNamespace": "namespaces",
        "GetColumns": "namespaces questions",
        "WatchTasks": "",  # of the caller's own tasks
    },
}
HELD = [(method, names) for methods in NAMES.values() for method, listed in methods.items() for names in listed.split()]
NAMING = ("namespace", "question", "s3_key")
TAKES = {"namespaces": ("mine",), "questions": ("7",), "sources": ("exports/*",)}


def public_methods(service: str) -> set[str]:
    found = descriptor_pool.Default().FindServiceByName(f"vectorline.v1.{service}")
    return {
        method.name
        for method in found.methods
        if auth.access_of(f"/vectorline.v1.{service}/{method.name}") in auth.SCOPES
        and any(word in field.name for field in method.input_type.fields for word in NAMING)
    }


@pytest.mark.parametrize("service", NAMES)
def test_no_method_that_names_something_is_forgotten(service: str) -> None:
    assert public_methods(service) <= set(NAMES[service])


async def of_process(api: Api, **named: Any) -> None:
    await api.stub.Process(ingest_pb2.ProcessRequest(data_source="s3_csv", **named))


async def of_estimate(api: Api, **named: Any) -> None:
    await api.stub.Estimate(ingest_pb2.ProcessRequest(data_source="s3_csv", **named))


async def of_upload(api: Api, **named: Any) -> None:
    del named["s3_key"]
    await api.upload(b"id,formatted_text\n1,a\n", **named)


async def of_retry(api: Api, **named: Any) -> None:
    limited, api.door.caller = api.door.caller, ANN
    stored = await api.stub.Process(ingest_pb2.ProcessRequest(data_source="s3_csv", **named))
    await api.line.book.tasks.fail(stored.task_id, "X", "It failed.")
    api.door.caller = limited
    await api.stub.RetryTask(ingest_pb2.RetryTaskRequest(task_id=stored.task_id))


async def of_confirm(api: Api, **named: Any) -> None:
    limited, api.door.caller = api.door.caller, ANN
    stored = await api.stub.Process(ingest_pb2.ProcessRequest(data_source="s3_csv", **named))
    api.door.caller = limited
    await api.stub.ConfirmTask(ingest_pb2.ConfirmTaskRequest(task_id=stored.task_id, checksum="x"))


async def of_retries(api: Api, **named: Any) -> None:
    del named["s3_key"]
    await api.stub.RetryTasks(ingest_pb2.RetryTasksRequest(**named))


async def of_verify(api: Api, **named: Any) -> None:
    del named["s3_key"]
    await api.stub.Verify(job_pb2.VerifyRequest(sample=1, **named))


async def of_adopt(api: Api, **named: Any) -> None:
    del named["s3_key"]
    await api.stub.Adopt(job_pb2.AdoptRequest(**named))


async def of_remove(api: Api, **named: Any) -> None:
    del named["s3_key"]
    await api.stub.Remove(job_pb2.RemoveRequest(dry_run=False, **named))


CALLS: dict[str, Callable[..., Awaitable[None]]] = {
    "Process": of_process, "Estimate": of_estimate, "Upload": of_upload, "RetryTask": of_retry,
    "RetryTasks": of_retries, "Verify": of_verify, "Adopt": of_adopt, "Remove": of_remove,
    "ConfirmTask": of_confirm,
}  # fmt: skip


async def refused_by(call: Callable[..., Awaitable[None]], api: Api, **named: Any) -> str:
    """The list that refused a call; empty: none did, whatever else came of it."""
    try:
        await call(api, **{"namespace": "mine", "question_id": 7, "s3_key": "exports/a.csv", **named})
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.PERMISSION_DENIED:
            return ""
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        assert status is not None
        return str(status.message).rpartition("allow.")[2].rstrip(".")
    return ""


@pytest.mark.parametrize(("method", "listed"), [each for each in HELD if each[0] in CALLS])
async def test_each_list_holds_each_method_to_its_names(s3: Any, api: Api, method: str, listed: str) -> None:
    other = {"namespaces": {"namespace": "theirs"}, "questions": {"question_id": 70}, "sources": {"s3_key": "x/a.csv"}}
    scopes = frozenset({"ingest", "read"})

    api.door.caller = identity.Caller(ANN.key_id, scopes, allow=identity.Reach(**{listed: TAKES[listed]}))
    assert await refused_by(CALLS[method], api) == ""
    assert await refused_by(CALLS[method], api, **other[listed]) == listed

    api.door.caller = identity.Caller(ANN.key_id, scopes)
    assert await refused_by(CALLS[method], api, **other[listed]) == ""


async def test_the_own_bucket_may_be_named_in_both_ways(s3: Any, api: Api) -> None:
    api.door.caller = identity.Caller(ANN.key_id, frozenset({"ingest"}), allow=identity.Reach(sources=("exports/*",)))

    assert await refused_by(of_process, api, s3_key="s3://vectorline/exports/a.csv") == ""
    assert await refused_by(of_process, api, s3_key="s3://vectorline/other/a.csv") == "sources"


# They spend nothing of a key's tokens.
FREE = ("Estimate", "Remove", "ConfirmTask")


@pytest.mark.parametrize("method", CALLS)
async def test_without_tokens_left_for_the_day_nothing_more_is_bought(s3: Any, api: Api, method: str) -> None:
    """An estimate spends nothing, and what is removed costs no tokens."""
    allowance = identity.KeyAllowance(tokens_per_day=10)
    api.door.caller = identity.Caller(ANN.key_id, frozenset({"ingest", "read"}), limits=allowance)
    api.tokens.spent(ANN.key_id, 9)
    assert "TOKENS_QUOTA_EXCEEDED" not in await said_of(CALLS[method], api)
    api.tokens.spent(ANN.key_id, 1)
    assert ("TOKENS_QUOTA_EXCEEDED" in await said_of(CALLS[method], api)) == (method not in FREE)


async def test_what_a_load_wrote_is_removed_only_where_its_key_may_use_that(s3: Any, api: Api) -> None:
    api.door.caller = ANN
    load = ingest_pb2.ProcessRequest(data_source="s3_csv", s3_key="exports/a.csv", namespace="mine", question_id=7)
    task_id = (await api.stub.Process(load)).task_id

    async def answer(**asked: Any) -> str:
        async def call(api: Api, **_: Any) -> None:
            await api.stub.Remove(job_pb2.RemoveRequest(task_id=task_id, dry_run=False, **asked))

        return await said_of(call, api)

    # It never had its turn, so nothing is there that it wrote.
    assert "SUPERSEDED" in await answer()
    assert "task_id" in await answer(namespace="mine")
    assert "task_id" in await answer(question_id=7)
    api.door.caller = identity.Caller(ANN.key_id, ANN.scopes, allow=identity.Reach(namespaces=("theirs",)))
    assert "NOT_ALLOWED" in await answer()
    api.door.caller = identity.Caller("ben", ANN.scopes)
    assert "TASK_NOT_FOUND" in await answer()


async def said_of(call: Callable[..., Awaitable[None]], api: Api) -> str:
    """All that a refusal says; empty: the call went well."""
    try:
        await call(api, namespace="mine", question_id=7, s3_key="exports/a.csv")
    except grpc.aio.AioRpcError as error:
        return f"{error.code()} {error.trailing_metadata()}"
    return ""
