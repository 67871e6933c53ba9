"""Very many callers at once: slow ones, idle ones, large ones. Everybody else goes on as before."""

import contextlib
import pathlib
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from vectorline.v1 import indexer_pb2, indexer_pb2_grpc

from tests.integration.gateway import sockets
from tests.integration.gateway.conftest import Gateway, started

IDLE = 10_000
CAP = IDLE + 100
MIB = 1024 * 1024
# Over a hundred of these, each nearly as large as a body may be, would be more than the small heap below.
LARGE = b"POST /api/v1/process" + sockets.HEAD + b"Content-Type: application/json\r\nContent-Length: 1040000\r\n\r\n"
HEAP_MEGABYTES = 50


@pytest.fixture
def hasty(upstream: Any, tmp_path: pathlib.Path) -> Iterator[Gateway]:
    """A second for a head, and three for a whole call of one message."""
    short = {"ENVOY_UNARY_SECONDS": "2", "ENVOY_HEADERS_SECONDS": "1", "ENVOY_BODY_SECONDS": "1"}
    with started(upstream, tmp_path, **short) as gateway:
        yield gateway


@pytest.fixture
def files() -> Iterator[None]:
    """As many open files as the connections need, here and (inherited) in Envoy."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CAP + 1000
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"ulimit -Hn {hard} is too low: {wanted} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def dribble(callers: list[socket.socket]) -> None:
    """One more byte from each that the gateway still listens to."""
    for caller in callers:
        with contextlib.suppress(OSError):
            caller.send(b"x")


def test_callers_that_dribble_are_cut_off_and_slow_nobody_down(hasty: Gateway) -> None:
    """Heads without an end and bodies without an end, also to a path that does not exist and to a wrong method."""
    paths = (b"/api/v1/process", b"/nope", b"/api/v1/tasks")
    bodies = [b"POST " + path + sockets.HEAD + b"Content-Length: 1000\r\n\r\n" + b'{"s3_key": "' for path in paths]
    taken: list[float] = []
    with httpx.Client(base_url=hasty.url, timeout=30) as rest:
        alone = sockets.milliseconds(rest, 200)
        while len(taken) < 200:  # a slow machine sees few calls until a crowd has been cut off: then another comes
            with contextlib.ExitStack() as crowd:
                slow = [
                    crowd.enter_context(sockets.many(hasty.port, 200, b"GET /api/v1/status/t" + sockets.HEAD + b"a: "))
                ]
                slow += [crowd.enter_context(sockets.many(hasty.port, 100, body)) for body in bodies]
                callers = [caller for each in slow for caller in each]
                deadline = time.monotonic() + 60
                while callers:
                    assert time.monotonic() < deadline, f"{len(callers)} are still there"
                    dribble(callers)
                    taken += sockets.milliseconds(rest, 20)
                    callers = [caller for caller in callers if not sockets.ended(caller)]
        alone += sockets.milliseconds(rest, 200)

    assert not sockets.slowed_down(taken, alone)


def test_an_upload_has_all_the_time_it_needs(hasty: Gateway, seen: Any) -> None:
    """It takes longer than any call of one message may, byte by byte."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=20) as caller:
        caller.sendall(b"POST /api/v1/upload/slowly.csv" + sockets.HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        count, until = 0, time.monotonic() + 3.5
        while time.monotonic() < until:
            caller.sendall(b"1\r\nx\r\n")
            count += 1
            time.sleep(0.1)  # the pace of a slow sender
        caller.sendall(b"0\r\n\r\n")

        assert caller.recv(65536).startswith(b"HTTP/1.1 202")
    assert seen.upload_bytes == count


@pytest.mark.usefixtures("files")
def test_10000_idle_connections_cost_little_and_the_cap_refuses_only_newcomers(
    upstream: Any, tmp_path: pathlib.Path
) -> None:
    with started(upstream, tmp_path, ENVOY_MAX_CONNECTIONS=str(CAP)) as gateway:
        with httpx.Client(base_url=gateway.url, timeout=30) as rest:
            alone = sockets.milliseconds(rest, 200)
        before = gateway.resident_bytes()
        with sockets.many(gateway.port, IDLE) as idle, httpx.Client(base_url=gateway.url, timeout=30) as rest:
            crowded = [sockets.milliseconds(rest, 200)]
            assert gateway.resident_bytes() - before < 200 * MIB
            assert not any(sockets.ended(caller) for caller in idle)

            idle.extend(newcomers_until_refused(gateway.port))

            assert not any(sockets.ended(caller) for caller in idle[:IDLE])
            idle[0].setblocking(True)
            idle[0].sendall(b"GET /api/v1/status/t-1" + sockets.HEAD + b"\r\n")
            assert idle[0].recv(65536).startswith(b"HTTP/1.1 200")
            crowded.append(sockets.milliseconds(rest, 200))
        gateway.wait_for("/healthz", 200)
        with httpx.Client(base_url=gateway.url, timeout=30) as rest:
            alone += sockets.milliseconds(rest, 200)
        assert not any(sockets.slowed_down(taken, alone) for taken in crowded)


def newcomers_until_refused(port: int) -> list[socket.socket]:
    """Connections opened until the gateway closes one at once."""
    opened: list[socket.socket] = []
    deadline = time.monotonic() + 20
    while not any(sockets.ended(caller) for caller in opened):
        assert time.monotonic() < deadline
        if len(opened) <= CAP - IDLE:
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=20))
        else:
            time.sleep(0.05)
    return opened


def pressure_percent(admin: httpx.Client) -> int:
    return int(admin.get("/stats?filter=fixed_heap.pressure").text.rpartition(": ")[2])


def test_short_of_memory_the_gateway_refuses_in_the_same_form_and_comes_back(
    upstream: Any, tmp_path: pathlib.Path
) -> None:
    get = indexer_pb2.GetTaskRequest(task_id="t-1")
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(started(upstream, tmp_path, ENVOY_HEAP_MEGABYTES=str(HEAP_MEGABYTES)))
        rest = stack.enter_context(httpx.Client(base_url=gateway.url, timeout=30))
        admin = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{gateway.admin_port}", timeout=30))
        stub = indexer_pb2_grpc.IndexerServiceStub(
            stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{gateway.port}"))
        )
        rest.get("/api/v1/status/t-1").raise_for_status()
        stub.GetTask(get, timeout=20)

        with sockets.many(gateway.port, 0) as large:
            deadline = time.monotonic() + 20
            while pressure_percent(admin) < 95:
                assert time.monotonic() < deadline, "more is held than there is memory"
                if len(large) == 3 * HEAP_MEGABYTES:
                    time.sleep(0.05)  # all is sent: the gateway reads it, and looks at its memory four times a second
                    continue
                large.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=20))
                with contextlib.suppress(ConnectionError):  # refused already
                    large[-1].sendall(LARGE + b'{"s3_key": "' + b"x" * 1_000_000)
            answer = rest.get("/api/v1/status/t-1")
            with pytest.raises(grpc.RpcError) as refused:
                stub.GetTask(get, timeout=20)

        assert answer.status_code == 503
        assert answer.json()["details"][0]["reason"] == "SERVICE_UNAVAILABLE"
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "{" not in str(refused.value.details())
        gateway.wait_for("/healthz", 200)
        assert rest.get("/api/v1/status/t-1").status_code == 200
