"""One retry layer: what is tried again, what is not, and what the caller hears."""

import contextlib
from typing import Any

import prometheus_client
import pytest
from botocore import exceptions

from services.indexer.storage import clock
from services.runtime import aws, errors

QUICK = aws.CallerSettings(aws_retry_seconds=0.5)
PATIENT = aws.CallerSettings(aws_retry_seconds=60)


def refusal(code: str, status: int = 400, **more: Any) -> exceptions.ClientError:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return exceptions.ClientError(answer, "Op")


class Method:
    """Fails with these, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return {"ResponseMetadata": {"HTTPHeaders": {"date": "Mon, 23 Nov 2026 21:16:43 GMT"}}}


TRANSIENT = [
    refusal("ThrottlingException"),
    refusal("Whatever", 503),
    refusal("TransactionConflictException"),
    refusal("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]),
    exceptions.ReadTimeoutError(endpoint_url="u"),
    exceptions.EndpointConnectionError(endpoint_url="u"),
    exceptions.ConnectTimeoutError(endpoint_url="u"),
    exceptions.ConnectionClosedError(endpoint_url="u"),
]


@pytest.mark.parametrize("error", TRANSIENT, ids=str)
async def test_what_passes_is_tried_again(error: Exception) -> None:
    method = Method(error, error)
    await aws.Caller("DynamoDB", PATIENT).call(method)
    assert method.calls == 3


async def test_what_lasts_becomes_unavailable() -> None:
    method = Method(*[refusal("ThrottlingException")] * 10_000)
    with pytest.raises(errors.Unavailable) as caught:
        await aws.Caller("DynamoDB", QUICK).call(method)
    assert method.calls > 1
    assert caught.value.retry_seconds
    assert "Throttling" not in caught.value.message


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
async def test_a_wrong_setup_is_unavailable_at_once(code: str) -> None:
    method = Method(refusal(code))
    with pytest.raises(errors.Unavailable):
        await aws.Caller("DynamoDB", QUICK).call(method)
    assert method.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        refusal("ConditionalCheckFailedException"),
        refusal("ValidationException"),
        refusal(
            "TransactionCanceledException",
            CancellationReasons=[{"Code": "TransactionConflict"}, {"Code": "ConditionalCheckFailed"}],
        ),
    ],
)
async def test_an_answer_is_an_answer(error: exceptions.ClientError) -> None:
    method = Method(error)
    with pytest.raises(exceptions.ClientError):
        await aws.Caller("DynamoDB", QUICK).call(method)
    assert method.calls == 1


async def test_the_clock_learns_from_answers() -> None:
    watch = clock.Clock(lambda: 0.0)
    await aws.Caller("DynamoDB", QUICK, watch).call(Method())
    assert watch.now().isoformat() == "2026-11-23T21:16:43+00:00"


def test_clients_wait_for_a_bounded_time_and_leave_retrying_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for client in (aws.dynamodb(QUICK), aws.s3(QUICK)):
        assert client.meta.config.retries["total_max_attempts"] == 1
        assert client.meta.config.connect_timeout == 2.0
        assert client.meta.config.read_timeout == 5.0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (refusal("ThrottlingException"), "throttled"),
        (refusal("TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}]), "throttled"),
        (refusal("ConditionalCheckFailedException"), "refused"),
        (refusal("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}]), "refused"),
        (refusal("AccessDeniedException"), "failed"),
        (refusal("Whatever", 500), "failed"),
        (exceptions.ReadTimeoutError(endpoint_url="u"), "failed"),
    ],
    ids=str,
)
async def test_each_try_is_counted_by_how_it_ended(error: Exception | None, outcome: str) -> None:
    def counted(how: str) -> float:
        labels = {"dependency": "Counted", "operation": "Method", "outcome": how}
        return prometheus_client.REGISTRY.get_sample_value("vectorline_aws_calls_total", labels) or 0.0

    before = {each: counted(each) for each in ("ok", outcome)}
    with contextlib.suppress(exceptions.ClientError, errors.Unavailable):
        await aws.Caller("Counted", PATIENT).call(Method(*([error] if error else [])))

    assert counted(outcome) == before[outcome] + 1
    again = error is None or aws.transient(error)  # then the second try went well
    assert counted("ok") == before["ok"] + again
