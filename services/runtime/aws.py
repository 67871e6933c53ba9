"""boto3 clients: explicit timeouts, one retry layer, calls in threads."""

import asyncio
import concurrent.futures
import contextvars
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import boto3
import prometheus_client
import pydantic
import structlog
import tenacity
from botocore import config, exceptions

from services.runtime import errors, metrics, settings, stages
from services.runtime.tracing import spans

if TYPE_CHECKING:  # the stubs are there for mypy only
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client


log = structlog.get_logger()

Answer = TypeVar("Answer")

CALLS = prometheus_client.Counter(
    "vectorline_aws_calls",
    "Calls to AWS, each try: ok, refused (a condition that does not hold is one), throttled, failed.",
    ["dependency", "operation", "outcome"],
)
SECONDS = prometheus_client.Histogram(
    "vectorline_aws_seconds", "Seconds of a call to AWS, of one try.", ["dependency", "operation"]
)

# Worth another try: the service is busy or broken for the moment, or two transactions met on an item.
TRANSIENT: Final = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
# The configuration is wrong; asking again at once changes nothing, and it is not the caller's fault.
MISCONFIGURED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidSignatureException",
        "NoSuchBucket",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
# Of those that are worth another try: we ask for more than the account or the table gives.
THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_CANCELLED_TRANSIENT: Final = frozenset(
    {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
)
RETRY_AFTER_SECONDS: Final = 2.0


class AwsSettings(settings.Section):
    """Which AWS."""

    aws_region: str = pydantic.Field("us-east-1", pattern=r"^[a-z0-9-]+$", description="Region.")
    aws_endpoint_url: settings.HttpUrl | None = pydantic.Field(
        None, description="Another endpoint than AWS's own, e.g. ministack."
    )


class CallerSettings(AwsSettings):
    """How boto3 is called."""

    aws_threads: int = pydantic.Field(
        32, ge=1, description="Calls to DynamoDB at once; also to S3. Each has a connection of its own."
    )
    aws_connect_timeout_seconds: float = pydantic.Field(2.0, gt=0, description="Time to connect.")
    aws_read_timeout_seconds: float = pydantic.Field(5.0, gt=0, description="Time for an answer.")
    aws_retry_seconds: float = pydantic.Field(
        8.0, ge=0, description="How long a throttled or broken call is tried again before the caller hears UNAVAILABLE."
    )


class Watch(Protocol):
    """A clock that learns from what AWS says the time is."""

    wall: Callable[[], float]

    def observe(self, date: str, sent: float) -> None:
        """Learn from an answer: its Date header, and the local time (`wall`) when the request was sent."""


def code(error: BaseException) -> str:
    """AWS's name of an error; empty for any other exception."""
    if isinstance(error, exceptions.ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def transient(error: BaseException) -> bool:
    """Whether the same call may succeed in a moment. It may also have been carried out already."""
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.IncompleteReadError):
        return True
    if not isinstance(error, exceptions.ClientError):
        return False
    if code(error) == "TransactionCanceledException":
        reasons = _cancelled_for(error)
        return bool(reasons) and reasons <= _CANCELLED_TRANSIENT
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code(error) in TRANSIENT or status >= 500


def outcome(error: BaseException | None) -> str:
    """How a try ended, in the words of `CALLS`."""
    if error is None:
        return "ok"
    if code(error) in THROTTLED or _throttled_within(error):
        return "throttled"
    return "failed" if transient(error) or code(error) in MISCONFIGURED or not code(error) else "refused"


def operation(method: Callable[..., object]) -> str:
    """As AWS calls it: GetItem."""
    return _spoken(_name(method))


def _name(method: Callable[..., object]) -> str:
    """What a client's method is called: few, and the same for all callers."""
    return str(getattr(method, "__name__", type(method).__name__)).strip("_")


def _spoken(name: str) -> str:
    return name.title().replace("_", "")


def _throttled_within(error: BaseException) -> bool:
    """Whether a transaction was cancelled since one of its items is throttled."""
    if not isinstance(error, exceptions.ClientError):
        return False
    return not _cancelled_for(error).isdisjoint({"ThrottlingError", "ProvisionedThroughputExceeded"})


def _cancelled_for(error: exceptions.ClientError) -> set[str]:
    """Why a transaction was cancelled, of each of its items; nothing where none was."""
    return {str(reason.get("Code", "None")) for reason in error.response.get("CancellationReasons", [])}


class Caller:
    """Runs client methods in its own threads and tries transient failures again, with full jitter.

    Only callers whose calls are safe to repeat may use it: an attempt that timed out may have been carried out.

    Args:
        name: What people call the dependency.
        aws: Timeouts and the time to keep trying.
        watch: A clock that learns from the answers' Date.
    """

    def __init__(self, name: str, aws: CallerSettings, watch: Watch | None = None) -> None:
        self.name = name
        self._watch = watch
        self._retry_seconds = aws.aws_retry_seconds
        self._threads = concurrent.futures.ThreadPoolExecutor(aws.aws_threads, thread_name_prefix=name.lower())

    async def call(self, method: Callable[..., Answer], **arguments: Any) -> Answer:
        """Call a client method.

        Raises:
            errors.Unavailable: It does not answer, is throttled for too long, or is not set up.
            exceptions.ClientError: Any other refusal, e.g. a condition that does not hold.
        """
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(transient),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=1.0),
            stop=tenacity.stop_before_delay(self._retry_seconds),
            reraise=True,
        )
        try:
            return await retrying(self._try, functools.partial(method, **arguments), _name(method))
        except (exceptions.ClientError, exceptions.BotoCoreError) as error:
            if isinstance(error, exceptions.ClientError) and not transient(error) and code(error) not in MISCONFIGURED:
                raise
            log.warning("A call to AWS failed.", action="aws_failed", dependency=self.name, error=str(error))
            raise errors.Unavailable(
                f"{self.name} does not answer now. Nothing is lost; try again.",
                retry_seconds=RETRY_AFTER_SECONDS,
                metadata={"dependency": self.name},
            ) from error

    async def _try(self, method: Callable[[], Answer], name: str) -> Answer:
        """One try, counted, as a span."""
        began = time.monotonic()
        failure: Exception | None = None
        try:
            with spans.span(f"{self.name} {_spoken(name)}", spans.Kind.CLIENT):
                return await self._in_thread(method)
        except Exception as error:
            failure = error
            raise
        finally:
            metrics.child(SECONDS, self.name, name).observe(time.monotonic() - began)
            metrics.child(CALLS, self.name, name, outcome(failure)).inc()

    async def _in_thread(self, method: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        sent = self._watch.wall() if self._watch else 0.0
        answer = await loop.run_in_executor(self._threads, contextvars.copy_context().run, stages.helping(method))
        if self._watch and isinstance(answer, dict):
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            if date:
                self._watch.observe(date, sent)
        return answer

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def dynamodb(aws: CallerSettings) -> "DynamoDBClient":
    """A DynamoDB client that neither waits for ever nor retries by itself."""
    return boto3.client("dynamodb", config=_config(aws), endpoint_url=aws.aws_endpoint_url, region_name=aws.aws_region)


def s3(aws: CallerSettings) -> "S3Client":
    """An S3 client that neither waits for ever nor retries by itself."""
    return boto3.client("s3", config=_config(aws), endpoint_url=aws.aws_endpoint_url, region_name=aws.aws_region)


def _config(aws: CallerSettings) -> config.Config:
    return config.Config(
        connect_timeout=aws.aws_connect_timeout_seconds,
        read_timeout=aws.aws_read_timeout_seconds,
        max_pool_connections=aws.aws_threads,
        retries={"mode": "standard", "total_max_attempts": 1},  # `Caller` retries
        # Path style reaches a bucket also where no wildcard DNS name exists.
        s3={"addressing_style": "path" if aws.aws_endpoint_url else "auto"},
    )
