"""Asks a service for its health, for a container's healthcheck: ``python -m services.runtime.probe ADDRESS SERVICE``.

Exit code 0: SERVING. 1: it says something else, or nothing within the deadline. 2: usage. With mTLS (TLS_CERT_FILE and
the others) it shows the container's own certificate, and expects that of the service.
"""

import sys
from collections.abc import Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.runtime import settings, tls

TIMEOUT_SECONDS = 3.0


def main(arguments: Sequence[str]) -> int:
    """Ask once; one line on stderr says what is wrong."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m services.runtime.probe HOST:PORT FULL.SERVICE.NAME\n")
        return 2
    address, service = arguments
    with _channel(address, service) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the stubs do not type its methods
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            said = error.code().name if isinstance(error, grpc.Call) else repr(error)
            sys.stderr.write(f"{service} at {address}: {said}\n")
            return 1
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        sys.stderr.write(f"{service} at {address}: {status}\n")
        return 1
    return 0


def _channel(address: str, service: str) -> grpc.Channel:
    # As `channels.DIRECT`, whose imports would double what a healthcheck costs.
    direct = ("grpc.enable_http_proxy", 0)
    files = tls.files(settings.load(settings.TlsSettings))
    if files is None:
        return grpc.insecure_channel(address, options=[direct])
    # "vectorline.v1.IngestService" has a certificate for "ingest".
    name = service.rpartition(".")[2].removesuffix("Service").lower()
    options = [direct, ("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(address, tls.channel_credentials(files), options=options)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
