"""Valkey, DynamoDB and S3: each thing that the doctor looks at is broken once, on the real server or its stand-in."""

import asyncio
import contextlib
import functools
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions

from services.chunks import settings as queue_settings
from services.doctor import valkey
from tests.faults import aws as answers
from tests.integration.doctor import conftest
from tests.support import ports, proxy
from tests.support import valkey as valkey_server

Around = conftest.Surroundings
MIB = queue_settings.MIB


@contextlib.asynccontextmanager
async def rewriting(port: int, change: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """A server that is another one's answers with some words changed; they must stay as long as they were."""

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                changed = change(data)
                assert len(changed) == len(data)
                writer.write(changed)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, down, bytes), pump(up, writer, change))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


# ---- Valkey


@pytest.mark.parametrize("where", ["away", "password"])
async def test_valkey_that_does_not_answer_us(around: Around, where: str) -> None:
    with valkey_server.running(options=("--requirepass", "right-word"), password="right-word") as locked:
        port = conftest.nowhere().rpartition(":")[2] if where == "away" else locked.port
        around.set(REDIS_URL=f"redis://:{conftest.CALLER}@127.0.0.1:{port}/0")
        report = await around.look("valkey")
    assert conftest.judged(report.of("valkey", "answer")) == "broken"


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        (((b"valkey_version:9.", b"valkey_version:7."),), "warning"),
        (((b"valkey_version:", b"nobody_version:"), (b"redis_version:7.", b"redis_version:6.")), "broken"),
        (((b"valkey_version:", b"nobody_version:"),), "ok"),
    ],
    ids=["an older Valkey", "Redis 6", "Redis 7"],
)
async def test_valkeys_version(around: Around, changes: tuple[tuple[bytes, bytes], ...], level: str) -> None:
    def older(data: bytes) -> bytes:
        return functools.reduce(lambda text, change: text.replace(*change), changes, data)

    async with rewriting(around.valkey.port, older) as port:
        around.set(REDIS_URL=f"redis://127.0.0.1:{port}/0")
        report = await around.look("valkey")
    assert conftest.judged(report.of("valkey", "version")) == level


async def test_valkeys_role(around: Around) -> None:
    with around.valkey.client() as client:
        client.replicaof("127.0.0.1", ports.free())
    report = await around.look("valkey")
    assert conftest.judged(report.of("valkey", "role")) == "broken"
    assert conftest.judged(report.of("valkey", "write")) == "broken"


@pytest.mark.parametrize(
    ("maxmemory", "policy", "expected"),
    [
        (600 * MIB, "noeviction", set()),
        (600 * MIB, "allkeys-lru", {("valkey", "policy", "warning")}),
        (100 * MIB, "noeviction", {("valkey", "memory", "warning")}),
        (1, "noeviction", {("valkey", "memory", "broken")}),
    ],
)
async def test_valkeys_memory(around: Around, maxmemory: int, policy: str, expected: set[tuple[str, str, str]]) -> None:
    with around.valkey.client() as client:
        client.config_set("maxmemory", maxmemory)
        client.config_set("maxmemory-policy", policy)
        try:
            assert (await around.look("valkey")).wrong == expected
        finally:
            client.config_set("maxmemory-policy", "noeviction")


async def test_valkey_that_is_nearly_full(around: Around) -> None:
    def filled(data: bytes) -> bytes:
        found = re.search(rb"used_memory:\d+\r\nused_memory_human:[^\r]*\r\n", data)
        if found is None:
            return data
        said = b"used_memory:590000000\r\nused_memory_"
        return data.replace(found[0], said + b"x" * (len(found[0]) - len(said) - 4) + b":1\r\n")

    with around.valkey.client() as client:
        client.config_set("maxmemory", 600 * MIB)
    async with rewriting(around.valkey.port, filled) as port:
        around.set(REDIS_URL=f"redis://127.0.0.1:{port}/0")
        report = await around.look("valkey")
    assert report.wrong == {("valkey", "memory", "warning")}
    assert "full" in report.of("valkey", "memory").remedy


async def test_valkey_far_away(around: Around) -> None:
    with conftest.before(around.valkey.port) as between, between.toxic(proxy.Kind.LATENCY, seconds=0.02):
        around.set(REDIS_URL=f"redis://127.0.0.1:{between.port}/0")
        report = await around.look("valkey")
    assert report.wrong == {("valkey", "latency", "warning")}


async def test_a_user_who_may_not_ask_valkey_about_itself(around: Around) -> None:
    with around.valkey.client() as client:
        client.execute_command("ACL", "SETUSER", "line", "on", f">{conftest.CALLER}", "~*", "+@all", "-info", "-config")
        try:
            around.set(REDIS_URL=f"redis://line:{conftest.CALLER}@127.0.0.1:{around.valkey.port}/0")
            report = await around.look("valkey")
        finally:
            client.execute_command("ACL", "DELUSER", "line")
    assert report.wrong == {("valkey", "version", "warning")}


async def test_a_cluster_of_shards(around: Around) -> None:
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    with valkey_server.running(options=options) as first, valkey_server.running(options=options) as second:
        with first.client() as one, second.client() as other:
            one.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 8000)
            other.execute_command("CLUSTER", "ADDSLOTSRANGE", 8001, 16383)
            other.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port)
            async with asyncio.timeout(30):
                while int(one.execute_command("CLUSTER INFO")["cluster_size"]) < 2:
                    await asyncio.sleep(0.05)
        around.set(REDIS_URL=first.url)
        report = await around.look("valkey")
    assert conftest.judged(report.of("valkey", "kind")) == "broken"


# ---- DynamoDB

DENIED = answers.refused({"__type": "com.amazonaws.dynamodb.v20120810#AccessDeniedException", "message": "no"})


async def test_dynamodb_away_and_a_table_that_is_not_there(around: Around) -> None:
    around.set(DYNAMODB_TABLE_NAME="another")
    missing = (await around.look("dynamodb")).of("dynamodb", "table")
    assert (conftest.judged(missing), "vectorline init" in missing.remedy) == ("broken", True)

    around.set(AWS_ENDPOINT_URL=f"http://{conftest.nowhere()}")
    assert conftest.judged((await around.look("dynamodb")).of("dynamodb", "table")) == "broken"


async def test_no_credentials(around: Around, tmp_path: Path) -> None:
    around.patch.delenv("AWS_SECRET_ACCESS_KEY")
    around.patch.delenv("AWS_ACCESS_KEY_ID")
    around.set(AWS_EC2_METADATA_DISABLED="true", HOME=tmp_path)
    report = await around.look("dynamodb", "s3")
    assert "credentials" in report.of("dynamodb", "table").message
    assert "credentials" in report.of("s3", "bucket").message


def table(around: Around, name: str, *, indexes: tuple[str, ...], provisioned: bool = False) -> None:
    attributes = sorted({"task_id", *indexes, *(["created"] if indexes else [])})
    made: dict[str, Any] = {
        "TableName": name,
        "KeySchema": [{"AttributeName": "task_id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in attributes],
    }
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    if indexes:
        made["GlobalSecondaryIndexes"] = [
            {
                "IndexName": each,
                "KeySchema": [
                    {"AttributeName": each, "KeyType": "HASH"},
                    {"AttributeName": "created", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
                **({"ProvisionedThroughput": units} if provisioned else {}),
            }
            for each in indexes
        ]
    mode = {"ProvisionedThroughput": units} if provisioned else {"BillingMode": "PAY_PER_REQUEST"}
    around.tables.create_table(**made, **mode)
    around.set(DYNAMODB_TABLE_NAME=name)


@pytest.mark.parametrize(
    ("indexes", "provisioned", "expected"),
    [
        ((), False, {("table", "broken"), ("list", "broken")}),
        (("listing",), False, {("index", "warning"), ("version", "warning")}),
        (("listing", "client_listing"), True, {("capacity", "warning"), ("version", "warning")}),
    ],
    ids=["no index", "an earlier version", "provisioned"],
)
async def test_the_tables_shape(
    around: Around, indexes: tuple[str, ...], provisioned: bool, expected: set[tuple[str, str]]
) -> None:
    table(around, f"shape-{os.urandom(4).hex()}", indexes=indexes, provisioned=provisioned)
    wrong = {(part, level) for _, part, level in (await around.look("dynamodb")).wrong}
    assert wrong - {("version", "warning")} == expected - {("version", "warning")}
    assert ("version", "warning") in wrong


@pytest.mark.parametrize(
    ("match", "body", "part", "level", "words"),
    [
        (b"GetItem", answers.THROTTLED, "read", "broken", "throttled"),
        (b"PutItem", answers.THROTTLED, "write", "broken", "throttled"),
        (b"Query", DENIED, "list", "broken", "Query is refused"),
        (b"DescribeTable", DENIED, "table", "warning", "may not describe"),
    ],
)
async def test_the_tables_use(around: Around, match: bytes, body: bytes, part: str, level: str, words: str) -> None:
    with conftest.before(around.aws.port) as between:
        around.set(AWS_ENDPOINT_URL=f"http://127.0.0.1:{between.port}")
        with between.toxic(proxy.Kind.ANSWER, match=answers.DYNAMODB + match, body=body):
            report = await around.look("dynamodb")
    assert {(part, level)} == {(each, how) for _, each, how in report.wrong}
    assert words in report.of("dynamodb", part).message


# ---- S3


def refused(status: str, code: str) -> bytes:
    return proxy.answer(status, "application/xml", f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


async def test_a_role_that_may_delete_only_uploads_suffices(around: Around) -> None:
    """As the README and the stack `access` have it."""
    with conftest.before(around.aws.port) as between:
        around.set(AWS_ENDPOINT_URL=f"http://127.0.0.1:{between.port}")
        refuse = refused("403 Forbidden", "AccessDenied")
        bucket = os.environ["S3_BUCKET_NAME"].encode()
        with (
            between.toxic(proxy.Kind.ANSWER, match=b"DELETE /%b/plans" % bucket, body=refuse),
            between.toxic(proxy.Kind.ANSWER, match=b"DELETE /%b/rejects" % bucket, body=refuse),
        ):
            assert (await around.look("s3")).wrong == set()


async def test_a_valkey_that_did_not_answer_once_is_asked_again(
    around: Around, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other checks, or a machine without a free core, may have held up the doctor himself."""
    asked = []
    fastest = valkey._fastest_ms

    async def late(client: Any) -> float:
        asked.append(client)
        if len(asked) < 3:
            raise redis.exceptions.TimeoutError("Timeout connecting to server")
        return await fastest(client)

    monkeypatch.setattr(valkey, "_fastest_ms", late)
    assert (await around.look("valkey")).wrong == set()
    assert len(asked) == 3


async def test_the_bucket_is_not_there_or_keeps_no_versions(around: Around) -> None:
    bucket = f"plain-{os.urandom(4).hex()}"
    around.set(S3_BUCKET_NAME=bucket)
    assert conftest.judged((await around.look("s3")).of("s3", "bucket")) == "broken"

    around.objects.create_bucket(Bucket=bucket)
    report = await around.look("s3")
    assert report.wrong == {("s3", "versioning", "warning")}


@pytest.mark.parametrize(
    ("match", "body", "part", "words"),
    [
        (b"PUT /%b/uploads", refused("403 Forbidden", "AccessDenied"), "uploads", "PutObject is refused"),
        (b"GET /%b/rejects", refused("403 Forbidden", "AccessDenied"), "rejects", "GetObject is refused"),
        (b"DELETE /%b/uploads", refused("403 Forbidden", "AccessDenied"), "uploads", "DeleteObject is refused"),
        (
            b"GET /%b/plans",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nstale",
            "plans",
            "something else was read",
        ),
    ],
)
async def test_the_buckets_folders(around: Around, match: bytes, body: bytes, part: str, words: str) -> None:
    with conftest.before(around.aws.port) as between:
        around.set(AWS_ENDPOINT_URL=f"http://127.0.0.1:{between.port}")
        named = match % os.environ["S3_BUCKET_NAME"].encode()
        with between.toxic(proxy.Kind.ANSWER, match=named, body=body):
            report = await around.look("s3")
    assert report.wrong == {("s3", part, "broken")}
    assert words in report.of("s3", part).message
