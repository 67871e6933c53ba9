"""gRPC channels to the other services of the line: identity, deadlines, one retry layer, keepalive, sizes."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import pydantic

from services.runtime import tls
from services.runtime.interceptors import auth
from services.runtime.tracing import callers

# One message: a batch of vectors of about 2 MB with its metadata (40 KB a row at most).
MESSAGE_BYTES = 16 * 1024 * 1024
METADATA_BYTES = 96 * 1024
UNARY_TIMEOUT_SECONDS = 10.0

# A server that stands still is given up within 20 s. gRPC does not go by keepalive_timeout_ms for that, but by its
# timeout of pings, which is a minute unless set.
KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
SIZES = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # The gateway passes heads of up to 64 KB; gRPC's own default is 16 KB, and its refusal speaks of internals.
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
)

# A proxy of the environment (http_proxy) is for the outside world: plaintext is never for it.
DIRECT = (("grpc.enable_http_proxy", 0),)

# gRPC's own defaults wait up to two minutes before they dial a server again that was away, and ask for a name's
# addresses at most every 30 s: a replica that is replaced just after it was asked for would be missed for so long.
RECONNECT = (
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 3_000),
)


def _service_config(retried: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Round robin, and the one retry layer. AIP-194: only UNAVAILABLE is retried."""
    policy = {
        "maxAttempts": 4,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    methods = [{"name": list(retried), "retryPolicy": policy}] if retried else []
    return {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods}


def internal_metadata(internal_token: pydantic.SecretStr) -> tuple[tuple[str, str], ...]:
    """The metadata that proves this process to be of the line now; made for each call, since the token may change."""
    token = internal_token.get_secret_value()
    return ((auth.INTERNAL_TOKEN, token),) if token else ()


class UnaryIdentity(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the internal identity to every unary call, what trace it is part of, and a deadline to those without any."""

    def __init__(self, internal_token: pydantic.SecretStr) -> None:
        self._token = internal_token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Identity, trace and deadline."""
        timeout = client_call_details.timeout or UNARY_TIMEOUT_SECONDS
        signed = callers.adding(client_call_details, internal_metadata(self._token), timeout)
        return await callers.unary(continuation, signed, request)


class StreamIdentity(grpc.aio.UnaryStreamClientInterceptor):
    """Adds the internal identity, and the trace, to calls that answer with a stream.

    A class of its own: grpc.aio takes an interceptor for one kind of call only, whatever else it could do.
    """

    def __init__(self, internal_token: pydantic.SecretStr) -> None:
        self._token = internal_token

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Identity and trace; a stream's length is its caller's business."""
        signed = callers.adding(client_call_details, internal_metadata(self._token))
        return await callers.streamed(continuation, signed, request)


def target(addresses: str) -> str:
    """A gRPC target from "host:port" or "host:port,host:port" (see `settings.Addresses`)."""
    return f"ipv4:{addresses}" if "," in addresses else addresses


def connect(
    addresses: str,
    internal_token: pydantic.SecretStr,
    *,
    name: str,
    files: tls.Files | None = None,
    retried: Sequence[Mapping[str, str]] = (),
) -> grpc.aio.Channel:
    """A channel to another service; round robin over what the address resolves to.

    Args:
        addresses: host:port, or several by comma.
        internal_token: Sent with each call.
        name: What the other side's certificate must be for, wherever it is: the service's name.
        files: This process's certificate; None: plaintext.
        retried: What the channel itself repeats while the other side is UNAVAILABLE, as a service config names it:
            {"service": full name}, or with "method" one of its methods. Of the others their callers decide.
    """
    options = (
        *KEEPALIVE,
        *SIZES,
        *RECONNECT,
        *DIRECT,
        ("grpc.service_config", json.dumps(_service_config(retried))),
        ("grpc.enable_retries", 1),
    )
    interceptors = [UnaryIdentity(internal_token), StreamIdentity(internal_token)]
    if files is None:
        return grpc.aio.insecure_channel(target(addresses), options=options, interceptors=interceptors)
    return grpc.aio.secure_channel(
        target(addresses),
        tls.channel_credentials(files),
        options=(*options, ("grpc.ssl_target_name_override", name)),
        interceptors=interceptors,
    )
