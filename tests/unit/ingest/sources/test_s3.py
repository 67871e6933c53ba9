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
        self,
        client: Any,
        *,
        break_after: int = 0,
        breaks: int = 1_000,
        error: Exception | None = None,
        ranges: bool = True,
    ) -> None:
        self.client = client
        self.break_after = break_after
        self.breaks = breaks
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
        if self.break_after and len(self.asked) <= self.breaks:
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
def test_a_broken_connection_is_resumed_where_it_broke(client: Any, error: Exception | None) -> None:
    breaking = Breaking(client, break_after=3_000, error=error)
    pinned = source(client).pin()
    assert whole(source(breaking).open(pinned, 10)) == DATA[10:]
    assert breaking.asked == ["bytes=10-", "bytes=3010-", "bytes=6010-", "bytes=9010-"]


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_server_that_ignores_ranges_is_resumed_where_it_broke(client: Any, error: Exception | None) -> None:
    breaking = Breaking(client, break_after=9_000, breaks=1, error=error, ranges=False)
    pinned = source(client).pin()
    assert whole(source(breaking).open(pinned, 10)) == DATA[10:]
    assert breaking.asked == ["bytes=10-", "bytes=9000-"]


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


def answered(code: str, status: int, message: str = "", operation: str = "GetObject") -> aws.ClientError:
    told: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return aws.ClientError(told, operation)


class Refusing:
    """As S3 does: a HEAD is told the bare status, a GET the code."""

    def __init__(self, error: aws.ClientError) -> None:
        self.error = error

    def head_object(self, **_arguments: Any) -> Any:
        status = self.error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise answered(str(status), status, "Bad Request", "HeadObject")

    def get_object(self, **_arguments: Any) -> Any:
        raise self.error


LATER, NEVER = failures.SourceUnavailable, failures.SourceFailure


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "words"),
    [
        ("AccessDenied", 403, "", NEVER, "SOURCE_FORBIDDEN: .*s3:GetObject"),
        ("AllAccessDisabled", 403, "", NEVER, "SOURCE_FORBIDDEN"),
        ("InvalidAccessKeyId", 403, "", NEVER, "SOURCE_FORBIDDEN: .*credentials"),
        ("SignatureDoesNotMatch", 403, "", NEVER, "SOURCE_FORBIDDEN: .*credentials"),
        ("InvalidObjectState", 403, "", NEVER, "SOURCE_ARCHIVED: .*restore it"),
        ("AccessDenied", 403, "not authorized to perform: kms:Decrypt on", NEVER, "SOURCE_FORBIDDEN: .*kms:Decrypt"),
        ("AccessDenied", 403, "The ciphertext refers to a customer master key", NEVER, "kms:Decrypt"),
        ("AccessDenied", 403, "Bucket is a requester pays bucket", NEVER, "S3_REQUESTER_PAYS"),
        ("KMS.DisabledException", 400, "", NEVER, "SOURCE_UNREADABLE: .*KMS key that is disabled"),
        ("KMS.KMSInvalidStateException", 400, "", NEVER, "SOURCE_UNREADABLE: .*KMS key"),
        ("KMS.NotFoundException", 400, "", NEVER, "SOURCE_UNREADABLE: .*KMS key"),
        ("KMS.ThrottlingException", 400, "", LATER, "does not answer now"),
        ("InvalidRequest", 400, "stored using a form of Server Side Encryption", NEVER, "SSE-C"),
        ("PermanentRedirect", 301, "", NEVER, "SOURCE_UNREADABLE: .*AWS_REGION"),
        ("AuthorizationHeaderMalformed", 400, "", NEVER, "SOURCE_UNREADABLE: .*AWS_REGION"),
        ("TemporaryRedirect", 307, "", LATER, "does not answer now"),
        ("ExpiredToken", 400, "", LATER, "session token has expired"),
        ("TokenRefreshRequired", 400, "", LATER, "session token has expired"),
        ("RequestTimeTooSkewed", 403, "", LATER, "clock is off"),
        ("OperationAborted", 409, "", LATER, "does not answer now"),
        ("InternalError", 500, "", LATER, "does not answer now"),
        ("SlowDown", 503, "", LATER, "does not answer now"),
        ("XMinioServerNotInitialized", 503, "", LATER, "does not answer now"),
        ("NotImplemented", 501, "", NEVER, "SOURCE_UNREADABLE: .*NotImplemented"),
        ("KeyTooLongError", 400, "", NEVER, "SOURCE_UNREADABLE: .*KeyTooLongError"),
    ],
)
def test_every_refusal_has_its_words_and_passes_by_itself_or_does_not(
    code: str, status: int, message: str, kind: type[Exception], words: str
) -> None:
    pinned = sources.Pinned(URI, etag="e", size_bytes=10)
    refusing = source(Refusing(answered(code, status, message)))
    for call in (refusing.pin, lambda: refusing.open(pinned)):
        with pytest.raises(kind, match=words) as caught:
            call()
        assert "things/a/b.csv" in str(caught.value)


def test_a_bucket_whose_readers_pay_is_told_and_read_by_who_agrees(client: Any) -> None:
    class Paid:
        def __getattr__(self, name: str) -> Any:
            def call(**arguments: Any) -> Any:
                if arguments.pop("RequestPayer", "") != "requester":
                    raise answered("403" if name == "head_object" else "AccessDenied", 403)
                return getattr(client, name)(**arguments)

            return call

    with pytest.raises(failures.SourceFailure, match=r"SOURCE_FORBIDDEN: .*S3_REQUESTER_PAYS=true"):
        source(Paid()).pin()
    paying = s3.S3Source(Paid(), URI, requester_pays=True)  # type: ignore[arg-type]  # as far as it is used
    assert whole(paying.open(paying.pin())) == DATA


def test_a_name_that_no_bucket_can_have_is_not_asked_for_ever(client: Any) -> None:
    with pytest.raises(failures.SourceFailure, match="SOURCE_NOT_FOUND"):
        s3.S3Source(client, "s3://no bucket/a.csv").pin()
