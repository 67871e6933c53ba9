"""Where the line is and how it is spoken to: addresses, TLS, proxies, keepalive, and which calls are tried again."""

import dataclasses
import json
import os
import pathlib
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from google.protobuf import message

from vectorline_client import errors, wire

SERVICES: Final = ("ingest", "embedder", "indexer")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
VARIABLES: Final = {"ingest": "INGEST_ADDR", "embedder": "EMBEDDER_ADDR", "indexer": "INDEXER_ADDR"}
GATEWAY_VARIABLE: Final = "GATEWAY_URL"
KEY_VARIABLE: Final = "API_KEY"

# What may be sent again without doing anything twice: reads, and what answers the same when it is repeated (what makes
# a task has an idempotency key, see `identify`; a list is confirmed once). Not: CancelTask and StopTask, whose
# repetition is a conflict, RetryTask, whose repetition finds a blocked task at work (a conflict), or over again, with
# other rows to buy, RetryTasks, which would count the first call's retries as made before, and streams, which go on
# elsewhere.
REPEATABLE: Final = (
    *("Process", "Estimate", "Verify", "Adopt", "Remove", "ConfirmTask", "Search", "GetHealth"),
    *(
        "GetDetailedHealth",
        "GetWorkers",
        "GetQueues",
        "GetLimiter",
        "GetTask",
        "ListTasks",
        "GetTaskOverview",
        "GetTaskProgress",
    ),
    *("GetActiveProgress",),
    *("GetStatistics", "GetAnomalies", "GetBill", "GetDashboard", "GetMetrics"),
)


@dataclasses.dataclass(frozen=True)
class TLS:
    """How to speak TLS: each a path, or what would be in the file.

    Attributes:
        ca: Certificates to trust in place of the system's.
        cert: Our own certificate, where the line asks for one.
        key: Its private key.
        server_name: The name to expect in the line's certificate, where it is another than the address's.
    """

    ca: str | os.PathLike[str] | bytes | None = None
    cert: str | os.PathLike[str] | bytes | None = None
    key: str | os.PathLike[str] | bytes | None = dataclasses.field(default=None, repr=False)
    server_name: str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The same as gRPC takes it.

        Raises:
            OSError: A file cannot be read.
        """
        return grpc.ssl_channel_credentials(_content(self.ca), _content(self.key), _content(self.cert))


@dataclasses.dataclass(frozen=True)
class Target:
    """The line.

    Attributes:
        addresses: ingest, embedder and indexer to host:port; through a gateway all the same. One may be missing.
        tls: None: plaintext.
        proxy: http://host:port that CONNECTs to the addresses; None: what the environment says (https_proxy, no_proxy)
            with TLS, none without.
    """

    addresses: Mapping[str, str]
    tls: TLS | None = None
    proxy: str | None = None

    def address(self, service: str) -> str:
        """Where a service is.

        Raises:
            errors.UnknownAddress: Nobody said.
        """
        address = self.addresses.get(service)
        if not address:
            words = f"No address of {service} is known: give one ({VARIABLES[service]}), or that of a gateway."
            raise errors.UnknownAddress(words, code="UNAVAILABLE")
        return address

    def options(self) -> list[tuple[str, Any]]:
        """What channels to it are made with."""
        options: list[tuple[str, Any]] = [*OPTIONS]
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        if self.proxy:
            options.append(("grpc.http_proxy", self.proxy))
        elif self.tls is None:
            options.append(("grpc.enable_http_proxy", 0))  # a proxy of the environment is for the outside world
        return options


def target(address: str | Mapping[str, str], *, tls: bool | TLS | None = None, proxy: str | None = None) -> Target:
    """The line at an address.

    Args:
        address: http://host:port or https://host of a gateway, host:port, or one host:port for each service by name.
        tls: True or how; False: plaintext; None: as the address says, plaintext where it does not.
        proxy: See Target.

    Raises:
        ValueError: The address is none, or contradicts `tls`.
    """
    if isinstance(address, str):
        where, scheme = _parsed(address)
        addresses = dict.fromkeys(SERVICES, where)
    else:
        unknown = sorted(set(address) - set(SERVICES))
        if unknown or not address:
            raise ValueError(f"Services are {', '.join(SERVICES)}, not {', '.join(unknown) or 'none at all'}.")
        parsed = {service: _parsed(each) for service, each in address.items()}
        schemes = {scheme for _, scheme in parsed.values()}
        if len(schemes) > 1:
            raise ValueError("Of several addresses all have the same scheme, or none.")
        addresses, scheme = {service: where for service, (where, _) in parsed.items()}, schemes.pop()
    if tls is not None and scheme and bool(tls) != (scheme == "https"):
        raise ValueError(f"The address begins with {scheme}:// and tls={tls!r}: they contradict each other.")
    secured = tls if isinstance(tls, TLS) else TLS() if tls or scheme == "https" else None
    return Target(addresses, secured, proxy)


def from_environment(environ: Mapping[str, str]) -> tuple[str | Mapping[str, str], str]:
    """Address and key as GATEWAY_URL, or INGEST_ADDR, EMBEDDER_ADDR and INDEXER_ADDR, and API_KEY say.

    Raises:
        ValueError: There is no address.
    """
    key = environ.get(KEY_VARIABLE, "")
    if gateway := environ.get(GATEWAY_VARIABLE):
        return gateway, key
    services = {service: environ[name] for service, name in VARIABLES.items() if environ.get(name)}
    if not services:
        raise ValueError(f"Set {GATEWAY_VARIABLE}, or {', '.join(VARIABLES.values())}.")
    return services, key


def identify(method: str, request: message.Message) -> None:
    """Give a request that may be sent again an idempotency key, where its method takes one and the caller has none.

    Without it a repetition would make a second task. Where no task is made the key is ignored: in an estimate, and in a
    dry run that is the default.
    """
    if method not in REPEATABLE or "request_id" not in request.DESCRIPTOR.fields_by_name:
        return
    made: Any = request
    if not made.request_id and not getattr(made, "dry_run", False):
        made.request_id = str(uuid.uuid4())


def _parsed(address: str) -> tuple[str, str]:
    """host:port and the scheme, empty where there is none."""
    if "://" not in address:
        host, _, port = address.rpartition(":")
        if not host or not port.isascii() or not port.isdigit():
            raise ValueError(f"{address!r} is no address: http://host:port, https://host or host:port is.")
        return address, ""
    url = urllib.parse.urlsplit(address)
    if url.scheme not in DEFAULT_PORTS or not url.hostname or url.path.strip("/") or url.query or url.username:
        raise ValueError(f"{address!r} is no address: http://host:port or https://host, with nothing behind, is.")
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return f"{host}:{url.port or DEFAULT_PORTS[url.scheme]}", url.scheme


def _content(given: str | os.PathLike[str] | bytes | None) -> bytes | None:
    if given is None or isinstance(given, bytes):
        return given
    if isinstance(given, str) and given.lstrip().startswith("-----BEGIN"):
        return given.encode()
    return pathlib.Path(given).read_bytes()


def _config(names: Sequence[str]) -> str:
    """GRFC A6: a policy without its methodConfig is ignored silently. Only UNAVAILABLE is tried again (AIP-194)."""
    paths = [wire.METHODS[name].path[1:].split("/") for name in names if name in wire.METHODS]
    retry = {
        "maxAttempts": 5,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    named = [{"service": service, "method": method} for service, method in paths]
    return json.dumps({"methodConfig": [{"name": named, "retryPolicy": retry}]})


OPTIONS: Final = (
    ("grpc.service_config", _config(REPEATABLE)),
    ("grpc.enable_retries", 1),
    ("grpc.keepalive_time_ms", 20_000),  # the services allow one every 5 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_send_message_length", 4 * 2**20),
    ("grpc.max_receive_message_length", wire.LARGEST_ANSWER_BYTES),
)
