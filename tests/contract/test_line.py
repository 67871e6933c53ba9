"""API §4: what `make up` promises of the addresses, the pid files and the processes; and of a blocked task, §1."""

import itertools
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc, ledger_pb2, ledger_pb2_grpc

from tests.support import csvs
from tests.support.line import Line, wait_for

TOLD = {
    *("GATEWAY_URL", "INGEST_ADDR", "EMBEDDER_ADDR", "INDEXER_ADDR", "REDIS_URL", "AWS_ENDPOINT_URL"),
    *("OPENAI_BASE_URL", "PINECONE_CONTROLLER_HOST", "API_KEY"),
}
PROCESSES = {"valkey", "aws", "openai", "pinecone", "envoy", "ingest-1", "embedder-1", "indexer-1"}


def test_endpoints_tell_all_addresses_and_the_key_to_nobody_else(line: Line) -> None:
    file = line.folder / "endpoints.env"

    assert set(line.endpoints) >= TOLD
    assert all(line.endpoints[name] for name in TOLD)
    assert file.stat().st_mode & 0o077 == 0


def test_every_process_has_a_pid_file_of_a_living_process(line: Line) -> None:
    assert {file.stem for file in line.folder.glob("*.pid")} >= PROCESSES
    for name in PROCESSES:
        os.kill(line.pid(name), 0)  # raises if there is none


def test_a_process_that_dies_is_started_again_at_its_address(line: Line) -> None:
    dead = line.kill("openai")

    wait_for("another process", lambda: line.pid("openai") != dead)
    url = line.endpoints["OPENAI_BASE_URL"].removesuffix("/v1")
    assert wait_for("its answer", lambda: _answers(f"{url}/_sandbox/requests"))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


# ---- the services' own ports


@pytest.fixture
def indexer(line: Line) -> Iterator[grpc.Channel]:
    """The indexer itself, past the gateway."""
    with grpc.insecure_channel(line.endpoints["INDEXER_ADDR"]) as opened:
        yield opened


@pytest.mark.parametrize("name", [None, "x-api-key", "x-internal-token"])
def test_internal_calls_are_refused_to_outsiders_at_the_service_itself(
    line: Line, indexer: grpc.Channel, name: str | None
) -> None:
    metadata = [(name, line.endpoints["API_KEY"])] if name else []
    with pytest.raises(grpc.RpcError) as caught:
        ledger_pb2_grpc.LedgerServiceStub(indexer).GetTaskRecord(
            ledger_pb2.GetTaskRecordRequest(task_id="x"), metadata=metadata
        )

    assert caught.value.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def test_a_service_asks_for_the_key_itself(indexer: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        indexer_pb2_grpc.IndexerServiceStub(indexer).ListTasks(indexer_pb2.ListTasksRequest())

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_reflection_is_not_served_unless_it_is_asked_for(indexer: grpc.Channel) -> None:
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection_pb2_grpc.ServerReflectionStub(indexer).ServerReflectionInfo(iter([ask])))

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# ---- a task that is blocked


@pytest.fixture
def unpaid(line: Line) -> Iterator[None]:
    """OpenAI's account is out of money for so long."""
    with httpx.Client(base_url=line.endpoints["OPENAI_BASE_URL"].removesuffix("/v1")) as openai:
        rule = {"kind": "status", "body": "insufficient_quota"}
        openai.put("/_sandbox/faults", json=[rule]).raise_for_status()
        yield
        openai.delete("/_sandbox/faults").raise_for_status()
    # It stays refused until a probe has seen that it is good again: whoever searches next would be refused with it.
    wait_for("a good account", lambda: line.rest.post("/api/v1/search", json={"text": "x"}).status_code == 200)


@pytest.fixture
def blocked(line: Line, unpaid: None) -> str:
    # A namespace of its own, or it would wait for the turn of the one before.
    task = line.upload(csvs.of(csvs.rows(5)), namespace=f"contract-blocked-{time.monotonic_ns()}")
    wait_for("a blocked task", lambda: line.task(task)["status"] == "blocked")
    return task


def test_a_retry_of_a_blocked_task_lets_the_same_task_go_on(line: Line, blocked: str) -> None:
    told = line.task(blocked)
    anomalies: list[dict[str, Any]] = line.rest.get("/api/v1/monitoring/anomalies").json()["anomalies"]
    retry = line.rest.post(f"/api/v1/task/{blocked}/retry")

    assert (told["error_reason"], told["progress"]["processed_records"]) == ("ACCOUNT_REFUSED", 0)
    assert told["error"]
    assert not {"completed_at", "result"} & set(told)
    assert [each["kind"] for each in anomalies if each.get("task_id") == blocked] == ["blocked_task"]
    assert (retry.status_code, retry.json()["task_id"]) == (202, blocked)
    assert line.rest.delete(f"/api/v1/task/{blocked}").status_code == 204
    assert line.task(blocked)["status"] == "cancelled"


def test_a_watch_says_something_every_15_seconds_while_nothing_changes(line: Line, blocked: str) -> None:
    heard: list[tuple[float, str]] = []
    with line.rest.stream("GET", f"/api/v1/status/{blocked}/watch") as answer:
        for text in answer.iter_lines():
            if text:
                heard.append((time.monotonic(), json.loads(text.removeprefix("data: "))["status"]))
            if len(heard) == 3:
                break

    assert [status for _, status in heard] == ["blocked"] * 3
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(heard)]
    assert min(gaps) < 15  # one may be late on its way, where the machine is busy
    assert line.rest.delete(f"/api/v1/task/{blocked}").status_code == 204
