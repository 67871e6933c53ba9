"""Servers that integration tests share: one process a session, empty for each test."""

from collections.abc import Iterator

import pytest

from tests.support import valkey as valkey_server


@pytest.fixture(scope="session")
def _valkey_process() -> Iterator[valkey_server.ValkeyServer]:
    with valkey_server.running() as server:
        yield server


@pytest.fixture
def valkey(_valkey_process: valkey_server.ValkeyServer) -> Iterator[valkey_server.ValkeyServer]:
    """A real valkey-server, flushed and with its settings as they were."""
    with _valkey_process.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")
    yield _valkey_process
    with _valkey_process.client() as client:
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")
