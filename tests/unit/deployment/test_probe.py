"""The healthcheck's question, asked of real servers, and of what is none."""

import contextlib
import os
import pathlib
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.runtime import probe, settings, tls
from tests.support import certificates

NAME = "vectorline.v1.IngestService"
# As the compose files, the chart and the task definitions start it.
COMMAND = (sys.executable, "-S", "-P", probe.__file__)
CPU_SECONDS = 0.030


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def address(servicer: health.HealthServicer) -> Iterator[str]:
    with serving(servicer, lambda server: server.add_insecure_port("127.0.0.1:0")) as listening:
        yield listening


@contextlib.contextmanager
def serving(servicer: health.HealthServicer, listen: Callable[[grpc.Server], int]) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = listen(server)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def strange() -> Iterator[Callable[[bytes], str]]:
    """An address where somebody takes one connection, says these bytes and stays; nothing: says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(said: bytes) -> str:
            def speak() -> None:
                taken, _ = server.accept()
                with taken, contextlib.suppress(ConnectionError):  # the probe may hang up while it is spoken to
                    taken.sendall(said)
                    while taken.recv(4096):
                        pass

            threading.Thread(target=speak, daemon=True).start()
            return f"127.0.0.1:{server.getsockname()[1]}"

        yield answer


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags, 0, 0, 0, 1)) + payload


def test_a_serving_service_is_healthy(servicer: health.HealthServicer, address: str) -> None:
    servicer.set(NAME, health_pb2.HealthCheckResponse.SERVING)

    assert probe.main([address, NAME]) == 0


def test_the_whole_process_is_healthy_by_the_empty_name(address: str) -> None:
    assert probe.main([address, ""]) == 0


def test_a_service_that_says_not_serving_is_not(
    servicer: health.HealthServicer, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    servicer.set(NAME, health_pb2.HealthCheckResponse.NOT_SERVING)

    assert probe.main([address, NAME]) == 1
    assert capsys.readouterr().err == f"{NAME} at {address}: NOT_SERVING\n"


def test_a_service_that_nobody_serves_is_not(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([address, "vectorline.v1.Nobody"]) == 1
    assert "NOT_FOUND" in capsys.readouterr().err


def test_a_name_of_any_length_is_asked_for(servicer: health.HealthServicer, address: str) -> None:
    for size in (126, 127, 128, 300):
        servicer.set("x" * size, health_pb2.HealthCheckResponse.SERVING)
        assert probe.main([address, "x" * size]) == 0, size


def test_a_port_where_nobody_listens_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main(["127.0.0.1:1", NAME]) == 1
    assert "refused" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["127.0.0.1:1"], ["127.0.0.1", NAME], ["127.0.0.1:x", NAME], []])
def test_what_is_no_question_is_refused(arguments: list[str]) -> None:
    assert probe.main(arguments) == 2


def test_one_that_says_nothing_is_given_up(
    strange: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.2)

    assert probe.main([strange(b""), NAME]) == 1
    assert "no answer within 0.2 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n", "more than a health service"),
        (frame(probe.GOAWAY, 0, bytes(8)), "going away"),
        (frame(probe.RST_STREAM, 0, bytes(4)), "broke the call off"),
        (frame(probe.DATA, probe.END_STREAM, b"\0\0\0\0\3abc"), "no HealthCheckResponse"),
        (frame(probe.DATA, probe.END_STREAM, b"\0\0\0\0\2\x08\x09"), "no HealthCheckResponse"),
        (frame(probe.HEADERS, probe.END_STREAM, b"\x88"), "without a status"),
        (frame(probe.HEADERS, probe.END_STREAM, b"\0\x0bgrpc-status\x0299"), "without a status"),
        (frame(probe.HEADERS, probe.END_STREAM, b"\0\x0bgrpc-status"), "without a status"),
        (frame(probe.DATA, probe.END_STREAM, b"\0\0\0\0\0"), "UNKNOWN"),
    ],
)
def test_what_is_no_health_service_is_said(
    strange: Callable[[bytes], str], capsys: pytest.CaptureFixture[str], said: bytes, words: str
) -> None:
    assert probe.main([strange(said), NAME]) == 1
    assert words in capsys.readouterr().err


def test_an_answer_in_pieces_padded_and_among_other_frames_is_read(strange: Callable[[bytes], str]) -> None:
    said = (
        frame(probe.SETTINGS, 0, b"")
        + frame(probe.PING, 0, bytes(8))
        + frame(8, 0, bytes(4))  # WINDOW_UPDATE
        + frame(probe.HEADERS, probe.END_HEADERS, b"\x88")
        + frame(probe.DATA, 0, b"\0\0\0")
        + frame(probe.DATA, probe.PADDED, b"\2\0\2\x08\0\0")
        + frame(probe.DATA, 0, b"\x01")
        + frame(probe.HEADERS, probe.END_STREAM | probe.END_HEADERS, b"\0\x0bgrpc-status\x010")
    )

    assert probe.main([strange(said), NAME]) == 0


@pytest.mark.parametrize("san", [True, False])
def test_with_mtls_it_shows_its_certificate_and_expects_the_services(
    tmp_path: pathlib.Path, servicer: health.HealthServicer, monkeypatch: pytest.MonkeyPatch, san: bool
) -> None:
    authority = certificates.Authority(tmp_path / "ca")
    ours = authority.sign("ingest", san=san)
    files = tls.files(settings.TlsSettings(**ours))  # type: ignore[arg-type]
    assert files is not None
    credentials = tls.server_credentials(files)
    servicer.set(NAME, health_pb2.HealthCheckResponse.SERVING)
    other = NAME.replace("Ingest", "Indexer")
    servicer.set(other, health_pb2.HealthCheckResponse.SERVING)
    with serving(servicer, lambda server: server.add_secure_port("127.0.0.1:0", credentials)) as address:
        assert probe.main([address, NAME]) == 1  # in plaintext

        for variable, path in ours.items():
            monkeypatch.setenv(variable.upper(), path)
        assert probe.main([address, NAME]) == 0
        assert probe.main([address, other]) == 1  # the certificate is another service's

        monkeypatch.setenv("TLS_KEY_FILE", "")
        assert probe.main([address, NAME]) == 1


def test_a_certificate_of_another_authority_is_not_believed(
    tmp_path: pathlib.Path,
    servicer: health.HealthServicer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = tls.files(settings.TlsSettings(**certificates.Authority(tmp_path / "theirs").sign("ingest")))  # type: ignore[arg-type]
    assert files is not None
    credentials = tls.server_credentials(files)
    servicer.set(NAME, health_pb2.HealthCheckResponse.SERVING)
    for variable, path in certificates.Authority(tmp_path / "ours").sign("ingest").items():
        monkeypatch.setenv(variable.upper(), path)
    with serving(servicer, lambda server: server.add_secure_port("127.0.0.1:0", credentials)) as address:
        assert probe.main([address, NAME]) == 1
        assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


def test_it_costs_little(servicer: health.HealthServicer, address: str) -> None:
    """Three services ask every 10 s; with grpc imported it cost 350 ms of CPU, and under load missed its deadline."""
    servicer.set(NAME, health_pb2.HealthCheckResponse.SERVING)

    def cost(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert subprocess.run(command, check=False, env=os.environ).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    asked = min(cost(*COMMAND, address, NAME) for _ in range(10))
    # On a machine where the bare interpreter takes longer than ours, so may the question.
    bare = min(cost(sys.executable, "-S", "-P", "-c", "pass") for _ in range(10))
    assert asked < max(CPU_SECONDS, 3 * bare), f"{asked * 1000:.0f} ms; a bare interpreter takes {bare * 1000:.0f}"
