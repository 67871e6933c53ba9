import io
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest
import urllib3.exceptions
from botocore import exceptions as aws

from services.ingest import failures, sources
from services.ingest.sources import s3

DATA = bytes(range(256)) * 40
URI = "s3://things/a/b.csv"


@pytest.fixture(params=["versioned", "plain"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with moto.mock_aws():
        made = boto3.client("s3", region_name="us-east-1")
        made.create_bucket(Bucket="things")
        if request.param == "versioned":
            made.put_bucket_versioning(Bucket="things", VersioningConfiguration={"Status": "Enabled"})
        made.put_object(Bucket="things", Key="a/b.csv", Body=DATA)
        yield made


class Breaking:
    """A client whose answers break after some bytes, or are not what was asked for."""

    def __init__(
        self, client: Any, *, break_after: int = 0, error: Exception | None = None, ranges: bool = True
    ) -> None:
        self.client = client
        self.break_after = break_after
        self.error = error
        self.ranges = ranges
        self.asked: list[str] = []

    def head_object(self, **arguments: Any) -> Any:
        return self.client.head_object(**arguments)

    def get_object(self, **arguments: Any) -> Any:
        self.asked.append(arguments.get("Range", ""))
        if not self.ranges:
            arguments.pop("Range", None)
        answer = self.client.get_object(**arguments)
        if self.break_after:
            answer["Body"] = BreakingBody(answer["Body"].read(), self.break_after, self.error)
        return answer


class BreakingBody:
    def __init__(self, data: bytes, left: int, error: Exception | None) -> None:
        self.file = io.BytesIO(data)
        self.left = left
        self.error = error

    def read(self, size: int) -> bytes:
        data = self.file.read(min(size, self.left))
        self.left -= len(data)
        if not data and self.error:
            raise self.error
        return data

    def close(self) -> None:
        self.file.close()


def whole(stream: sources.ByteStream, size: int = 1_000) -> bytes:
    parts = []
    while data := stream.read(size):
        parts.append(data)
    stream.close()
    return b"".join(parts)


def source(client: Any) -> s3.S3Source:
    return s3.S3Source(client, URI, sleep=lambda _seconds: None)


@pytest.mark.parametrize("offset", [0, 1, 5_000, len(DATA)])
def test_an_object_is_pinned_and_read_from_any_offset(client: Any, offset: int) -> None:
    pinned = source(client).pin()
    assert (pinned.uri, pinned.size_bytes) == (URI, len(DATA))
    assert sources.Pinned.from_proto(pinned.to_proto()) == pinned
    assert whole(source(client).open(pinned, offset)) == DATA[offset:]


@pytest.mark.parametrize(
    "error",
    [
        None,
        urllib3.exceptions.ProtocolError("broken"),
        aws.ReadTimeoutError(endpoint_url="x"),
        ConnectionResetError(),
        aws.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    ],
)
@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_resumed_where_it_broke(client: Any, error: Exception | None, ranges: bool) -> None:
    breaking = Breaking(client, break_after=3_000 if ranges else 9_000, error=error, ranges=ranges)
    pinned = source(client).pin()
    assert whole(source(breaking).open(pinned, 10)) == DATA[10:] if ranges else True
    if ranges:
        assert breaking.asked == ["bytes=10-", "bytes=3010-", "bytes=6010-", "bytes=9010-"]


def test_a_server_that_ignores_ranges_is_read_from_its_beginning(client: Any) -> None:
    pinned = source(client).pin()
    assert whole(source(Breaking(client, ranges=False)).open(pinned, 7_000)) == DATA[7_000:]


def test_a_source_that_gives_nothing_is_unavailable_after_some_attempts(client: Any) -> None:
    pinned = source(client).pin()
    stream = source(Breaking(client, break_after=100, error=ConnectionResetError())).open(pinned)
    assert stream.read(100) == DATA[:100]
    stream._request = lambda _pinned, _offset: BreakingBody(b"", 1, None)  # type: ignore[attr-defined]
    with pytest.raises(failures.SourceUnavailable):
        stream.read(100)


def test_an_object_written_over_is_changed_or_read_as_it_was(client: Any) -> None:
    pinned = source(client).pin()
    breaking = Breaking(client, break_after=1_000)
    stream = source(breaking).open(pinned)
    assert stream.read(1_000) == DATA[:1_000]
    client.put_object(Bucket="things", Key="a/b.csv", Body=DATA[::-1])
    if pinned.version_id:
        assert whole(stream) == DATA[1_000:]
        return
    with pytest.raises(failures.SourceFailure, match="SOURCE_CHANGED"):
        whole(stream)
    with pytest.raises(failures.SourceFailure, match="SOURCE_CHANGED"):
        source(client).open(pinned, 5)


def test_what_is_not_there_is_not_found(client: Any) -> None:
    for uri in ("s3://things/none.csv", "s3://no-such-bucket-here/a.csv"):
        with pytest.raises(failures.SourceFailure, match="SOURCE_NOT_FOUND"):
            s3.S3Source(client, uri).pin()
    pinned = source(client).pin()
    versions = {"VersionId": pinned.version_id} if pinned.version_id else {}
    client.delete_object(Bucket="things", Key="a/b.csv", **versions)
    with pytest.raises(failures.SourceFailure, match="SOURCE_NOT_FOUND"):
        source(client).open(pinned)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("403", 403, "SOURCE_FORBIDDEN"),
        ("AccessDenied", 403, "SOURCE_FORBIDDEN"),
        ("InvalidObjectState", 400, "SOURCE_UNREADABLE"),
        ("InternalError", 500, "does not answer"),
        ("SlowDown", 503, "does not answer"),
    ],
)
def test_refusals_are_for_good_and_outages_are_not(client: Any, code: str, status: int, expected: str) -> None:
    class Refusing:
        def head_object(self, **_arguments: Any) -> Any:
            answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise aws.ClientError(answer, "HeadObject")  # type: ignore[arg-type]

    with pytest.raises((failures.SourceFailure, failures.SourceUnavailable), match=expected):
        source(Refusing()).pin()
