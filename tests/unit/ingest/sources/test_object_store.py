"""The line's own bucket: what passes by itself is asked again, what does not is named."""

import io
from typing import Any

import pytest
from botocore import exceptions as aws

from services.ingest import app, failures
from services.ingest.planning import shelf
from services.ingest.sources import object_store
from services.runtime import aws as aws_settings
from services.runtime import errors


def refusing(code: str, status: int) -> Any:
    def call(**_arguments: Any) -> Any:
        answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
        raise aws.ClientError(answer, "PutObject")

    return call


@pytest.mark.parametrize(
    ("code", "status", "reason", "words"),
    [
        ("AccessDenied", 403, "STORE_FORBIDDEN", "PutObject.*s3:PutObject"),
        ("NoSuchBucket", 404, "STORE_MISSING", "does not exist"),
        ("NoSuchUpload", 404, "STORE_MISSING", "does not exist"),
        ("InvalidObjectState", 403, "STORE_REFUSED", "archive"),
        ("EntityTooLarge", 400, "STORE_REFUSED", "EntityTooLarge"),
    ],
)
async def test_what_does_not_pass_by_itself_is_named(code: str, status: int, reason: str, words: str) -> None:
    with pytest.raises(failures.StoreFailure, match=words) as caught:
        await object_store.call(refusing(code, status))
    assert caught.value.reason == reason


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("ExpiredToken", 400), ("RequestTimeTooSkewed", 403)])
async def test_what_passes_is_asked_again(code: str, status: int) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        await object_store.call(refusing(code, status))
    assert caught.value.retry_seconds


async def test_a_plan_that_the_lifecycle_took_is_expired() -> None:
    class Empty:
        get_object = copy_object = staticmethod(refusing("NoSuchKey", 404))

    plans = shelf.Shelf(Empty(), "ours")  # type: ignore[arg-type]  # as far as it is used
    for reading in (lambda: plans.pairs(plans.plan_uri("t"))(0, 16),):
        with pytest.raises(failures.StoreFailure, match="PLAN_EXPIRED"):
            reading()
    with pytest.raises(failures.StoreFailure, match="PLAN_EXPIRED"):
        await plans.plan(plans.plan_uri("t"))


@pytest.mark.parametrize(("endpoint", "sums"), [("http://127.0.0.1:9", False), (None, True)])
def test_stores_with_an_endpoint_of_their_own_are_sent_no_checksums(
    monkeypatch: pytest.MonkeyPatch, endpoint: str | None, sums: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = app._s3(aws_settings.AwsSettings(aws_endpoint_url=endpoint), 1.0)
    sent: dict[str, dict[str, Any]] = {}

    def stop(request: Any, event_name: str, **_: Any) -> None:
        sent[event_name.rpartition(".")[2]] = {name.lower(): value for name, value in request.headers.items()}
        raise ConnectionAbortedError

    client.meta.events.register("before-send.s3", stop)
    for call in (
        lambda: client.put_object(Bucket="b", Key="k", Body=io.BytesIO(b"x")),
        lambda: client.upload_part(Bucket="b", Key="k", Body=io.BytesIO(b"x"), UploadId="u", PartNumber=1),
        lambda: client.get_object(Bucket="b", Key="k"),
    ):
        with pytest.raises((ConnectionAbortedError, aws.HTTPClientError)):
            call()
    assert set(sent) == {"PutObject", "UploadPart", "GetObject"}
    for headers in sent.values():
        checksums = [name for name in headers if name.startswith(("x-amz-checksum", "x-amz-trailer"))]
        assert bool(checksums) == sums, headers
    client.close()
