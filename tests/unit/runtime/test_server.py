"""Where a process listens."""

import socket
from typing import Any

import prometheus_client
import pytest

from services.runtime import keys, server, settings


@pytest.mark.parametrize("host", ["[::]", "0.0.0.0", "127.0.0.1"])
def test_metrics_are_shown_where_grpc_listens(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """gRPC's way to write an IPv6 address is none to a socket: the process would not start."""
    listening: list[Any] = []

    def start(port: int, addr: str) -> None:
        listening.append(socket.getaddrinfo(addr, port, flags=socket.AI_NUMERICHOST)[0][4][:2])

    monkeypatch.setattr(prometheus_client, "start_http_server", start)
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    process = settings.ProcessSettings(grpc_host=host, metrics_port=9100)
    server._show_metrics("ingest", process, server.Authentication(keys.Keyring(process), None))

    assert listening == [(host.strip("[]"), 9100)]
