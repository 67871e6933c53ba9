"""Health as an AWS load balancer asks for it: its HTTP target groups by GET, its gRPC ones by a method's name.

A gRPC target group sends POST over HTTP/2 with an empty message and compares the answer's grpc-status with its matcher:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
"""

from typing import Any

import pytest

from tests.integration.gateway import http2

PATHS = {
    "/vectorline.Healthz/Line": {"ingest", "embedder", "indexer"},
    "/vectorline.Healthz/Ingest": {"ingest"},
    "/vectorline.Healthz/Embedder": {"embedder"},
    "/vectorline.Healthz/Indexer": {"indexer"},
    "/healthz": {"ingest", "embedder", "indexer"},
    "/healthz/embedder": {"embedder"},
}
HEADERS = (("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "ELB-HealthChecker/2.0"))
EMPTY_MESSAGE = bytes(5)
SERVING, UNAVAILABLE = "0", "14"


def grpc_status(port: int, path: str, content: bytes = EMPTY_MESSAGE) -> str:
    """What the load balancer reads."""
    headers, _ = http2.ask(port, "POST", path, HEADERS, content)
    assert headers[":status"] == "200"
    assert headers["content-type"].startswith("application/grpc")
    return headers["grpc-status"]


@pytest.mark.parametrize("content", [EMPTY_MESSAGE, b""], ids=["an empty message", "no message"])
def test_a_line_that_serves_is_0_by_grpc(gateway: Any, content: bytes) -> None:
    for path in PATHS:
        assert grpc_status(gateway.port, path, content) == SERVING, path


@pytest.mark.parametrize("sick", ["ingest", "embedder", "indexer"])
def test_a_service_that_does_not_serve_is_14_where_it_is_asked_for(gateway: Any, upstream: Any, sick: str) -> None:
    upstream.serving(sick, False)
    try:
        gateway.wait_for(f"/healthz/{sick}", 503)
        for path, services in PATHS.items():
            assert grpc_status(gateway.port, path) == (UNAVAILABLE if sick in services else SERVING), path
    finally:
        upstream.serving(sick, True)
        gateway.wait_for("/healthz", 200)


def test_a_name_that_nobody_has_is_no_health(gateway: Any) -> None:
    """What a matcher of 0 to 99 would have taken for well."""
    assert grpc_status(gateway.port, "/AWS.ALB/healthcheck") not in (SERVING, UNAVAILABLE)
    assert grpc_status(gateway.port, "/vectorline.Healthz/Nobody") not in (SERVING, UNAVAILABLE)
