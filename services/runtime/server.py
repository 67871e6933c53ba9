"""Runs a service: listens, follows its dependencies' health, and drains on SIGTERM.

One function owns the signals and the order of closing: NOT_SERVING first, so that load balancers turn away; then the
service stops taking work and finishes or hands back what it holds; then calls get the rest of the grace period; then
whatever start-up opened is closed, last opened first.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import importlib
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping

import grpc
import prometheus_client
import structlog
import uvloop
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime import (
    background,
    channels,
    expiry,
    failpoints,
    health,
    heap,
    host,
    key_rates,
    keys,
    logs,
    metrics,
    secrets,
    settings,
    tls,
)
from services.runtime.interceptors import auth, decoding, failures, journal, tracing
from services.runtime.tracing import spans

log = structlog.get_logger()

SERVER_OPTIONS = (
    *channels.KEEPALIVE,
    *channels.SIZES,
    # Pings of callers that we send nothing meanwhile, as in an upload: of Envoy and of our channels every 10 s.
    # gRPC allows three in 15 minutes, then ends the connection and the calls on it (Too many pings).
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Callers look their names up again only on a new connection: without an end to old ones, new replicas idle. What is
    # under way on an old one goes on for as long as it must (no grpc.max_connection_age_grace_ms): uploads and exports
    # last for hours, and a caller that is gone falls to the keepalive.
    ("grpc.max_connection_age_ms", 300_000),
    # Two processes on one port would share it silently; a second one is to fail.
    ("grpc.so_reuseport", 0),
    # A stream's bytes that lie here before they are asked for. gRPC would have it follow the connection's speed: an
    # upload or a chunk on a fast network then stood in memory with tens of MB, and went no faster.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
)


# A thread that computes (a scan, a split, a decoder) gives the interpreter to the event loop after so long. With
# Python's 5 ms a step of the loop that waits for a thread or a socket took 23 ms at the 90th percentile beside a split;
# now it is 8, for no more CPU: what is lost to more switches is less than can be measured.
SWITCH_SECONDS = 0.001
STOPS = (signal.SIGTERM, signal.SIGINT)


async def _nothing() -> None:
    """A service that holds no work has nothing to drain."""


@dataclasses.dataclass(frozen=True)
class Service:
    """What a room hands to the runtime."""

    # Full service names, as health reports them.
    names: tuple[str, ...]
    # Adds the servicers to the server.
    register: Callable[[grpc.aio.Server], None]
    dependencies: Mapping[str, health.Dependency]
    # Stops taking work, finishes or hands back what is held.
    drain: Callable[[], Awaitable[None]] = _nothing
    # Counts requests by key; without Valkey each replica counts for itself.
    rate: key_rates.Rate = dataclasses.field(default_factory=key_rates.LocalRate)
    # Names in certificates that make a caller another service of the line: see `auth.Auth`.
    peers: frozenset[str] = frozenset()
    # How methods begin that are logged only when they fail: see `journal.Journal`.
    quiet: tuple[str, ...] = ()


Opener = Callable[[], contextlib.AbstractAsyncContextManager[Service]]


@dataclasses.dataclass(frozen=True)
class Authentication:
    """Who may come in, and over what: made once, before anything is opened."""

    keys: keys.Keyring
    files: tls.Files | None


def run(name: str, process: settings.ProcessSettings, opener: Opener, vault: secrets.Vault) -> None:
    """Run the service until SIGTERM or SIGINT."""
    if process.production and failpoints.active():
        settings.refuse("FAILPOINT: it lets a process die, hang or fail on purpose, for tests; production takes none")
    authentication = _authentication(process)
    logs.configure(process, name)
    # When each counter began is a series of its own in the text format: half of them, and nobody asks.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    _trace(name, process)
    heap.tune()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        uvloop.run(_serve(name, process, opener, vault, authentication))
    finally:
        spans.close()


def _trace(name: str, process: settings.ProcessSettings) -> None:
    """Record spans where they are wanted. Without an endpoint nothing of OpenTelemetry is imported."""
    if process.otel_exporter_otlp_endpoint is None:
        return
    try:
        otel = importlib.import_module("services.runtime.tracing.otel")
    except ModuleNotFoundError as missing:
        settings.refuse(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: {missing.name} is not installed, which it needs; install the extra "
            "`tracing`, or leave the variable out"
        )
    spans.use(otel.OpenTelemetry(name, process))


def _authentication(process: settings.ProcessSettings) -> Authentication:
    """Stops the process when anybody could come in, or nobody."""
    files = tls.files(process)
    if process.production and not process.internal_token.get_secret_value() and files is None:
        settings.refuse(
            "INTERNAL_TOKEN: production needs it, or mTLS by TLS_CERT_FILE, TLS_KEY_FILE and TLS_CA_FILE, or anybody "
            "who reaches a port is a service of the line"
        )
    if process.production and not (process.api_key.get_secret_value() or process.api_keys.get_secret_value()):
        settings.refuse("API_KEY: production needs at least one key, here or in API_KEYS")
    try:
        return Authentication(keys.Keyring(process), files)
    except keys.WrongKeys as error:
        settings.refuse(f"API_KEYS: {error}")


def interceptors(
    process: settings.ProcessSettings, authentication: Authentication, service: Service, vault: secrets.Vault
) -> list[grpc.aio.ServerInterceptor]:
    """Around each call, the outermost first."""
    return [
        *([tracing.Tracing(service.quiet)] if spans.on() else []),
        journal.Journal(service.quiet),
        failures.Failures(),
        auth.Auth(authentication.keys, process.internal_token, service.rate, vault.look, peers=service.peers),
        decoding.Decoding(),
    ]


def _show_metrics(name: str, process: settings.ProcessSettings, authentication: Authentication) -> None:
    if not process.metrics_port:
        return
    metrics.show_build(name)
    prometheus_client.REGISTRY.register(host.Host())
    prometheus_client.REGISTRY.register(expiry.Expiry(_ends(authentication)))
    # gRPC wants an IPv6 address in brackets, a socket wants it without.
    prometheus_client.start_http_server(process.metrics_port, addr=process.grpc_host.strip("[]"))


def _ends(authentication: Authentication) -> dict[str, Callable[[], datetime.datetime | None]]:
    """When what this process has runs out, by kind."""
    ends: dict[str, Callable[[], datetime.datetime | None]] = {
        "key": lambda: authentication.keys.first_end(datetime.datetime.now(datetime.UTC))
    }
    if (files := authentication.files) is not None:
        ends["certificate"] = lambda: expiry.of_certificates(files.certificate.read_text())
        ends["authority"] = lambda: expiry.of_certificates(files.authority.read_text())
    return ends


def _listen(server: grpc.aio.Server, process: settings.ProcessSettings, authentication: Authentication) -> int:
    address = f"{process.grpc_host}:{process.grpc_port}"
    if authentication.files is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, tls.server_credentials(authentication.files))


async def _serve(
    name: str, process: settings.ProcessSettings, opener: Opener, vault: secrets.Vault, authentication: Authentication
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:  # a second signal sets what is set: no change
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopping.set))
    _show_metrics(name, process, authentication)
    async with opener() as service:
        server = grpc.aio.server(
            interceptors=interceptors(process, authentication, service, vault), options=SERVER_OPTIONS
        )
        service.register(server)
        watcher = health.Health(service.names, service.dependencies)
        await watcher.begin()
        health_pb2_grpc.add_HealthServicer_to_server(watcher.servicer, server)
        if process.grpc_reflection:
            reflection.enable_server_reflection([*service.names, reflection.SERVICE_NAME], server)
        port = _listen(server, process, authentication)
        await server.start()
        heap.keep()
        log.info("The process listens.", action="started", name=name, port=port)
        async with (
            background.running("health", watcher.watch),
            background.running("secrets", lambda: vault.run(process.secrets_refresh_seconds)),
        ):
            await stopping.wait()
            await _stop(process, service, watcher, server)
    for number in STOPS:
        # One that comes while the last is cleared away would end the process out of order. A loop that is told to
        # remove its own handler puts the default action in its place first, and one may come right then.
        signal.signal(number, signal.SIG_IGN)
    log.info("The process has stopped in order.", action="stopped", name=name)


async def _stop(
    process: settings.ProcessSettings, service: Service, watcher: health.Health, server: grpc.aio.Server
) -> None:
    log.info(
        "The process takes nothing new, and finishes or hands back what it holds.",
        action="draining",
        grace_seconds=process.grace_seconds,
    )
    deadline = asyncio.get_running_loop().time() + process.grace_seconds
    await watcher.leave()
    try:
        async with asyncio.timeout_at(deadline):
            await asyncio.gather(service.drain(), asyncio.sleep(process.leave_seconds))
    except TimeoutError:
        log.warning("The grace period ended before all work was handed back.", action="drain_cut")
    except Exception:  # calls are still to be ended in order
        log.exception("Draining failed inside.", action="drain_failed")
    left = max(0.5, deadline - asyncio.get_running_loop().time())
    await server.stop(left)
