"""The healthcheck's question, asked of a real server."""

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.runtime import probe

NAME = "vectorline.v1.IngestService"


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def address(servicer: health.HealthServicer) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_serving_service_is_healthy(servicer: health.HealthServicer, address: str) -> None:
    servicer.set(NAME, health_pb2.HealthCheckResponse.SERVING)

    assert probe.main([address, NAME]) == 0


def test_a_service_that_says_not_serving_is_not(
    servicer: health.HealthServicer, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    servicer.set(NAME, health_pb2.HealthCheckResponse.NOT_SERVING)

    assert probe.main([address, NAME]) == 1
    assert capsys.readouterr().err == f"{NAME} at {address}: NOT_SERVING\n"


def test_a_service_that_nobody_serves_is_not(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([address, "vectorline.v1.Nobody"]) == 1
    assert "NOT_FOUND" in capsys.readouterr().err


def test_a_port_where_nobody_listens_is_not() -> None:
    assert probe.main(["127.0.0.1:1", NAME]) == 1


def test_a_question_without_a_service_is_refused() -> None:
    assert probe.main(["127.0.0.1:1"]) == 2
