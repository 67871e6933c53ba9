"""Addresses, TLS, proxies, and which calls are tried again."""

import http.server
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import ClassVar

import grpc
import pytest
from google.protobuf import descriptor_pool
from vectorline.v1 import access_pb2, embedder_pb2, embedder_pb2_grpc, indexer_pb2, ingest_pb2

import vectorline_client
from tests.support import certificates
from vectorline_client import connection, wire


@pytest.mark.parametrize(
    ("address", "where", "secured"),
    [
        ("http://localhost:8000", "localhost:8000", False),
        ("http://localhost", "localhost:80", False),
        ("https://vectorline.example", "vectorline.example:443", True),
        ("https://vectorline.example:8443/", "vectorline.example:8443", True),
        ("localhost:50051", "localhost:50051", False),
        ("http://[::1]:8000", "[::1]:8000", False),
        ("[::1]:8000", "[::1]:8000", False),
    ],
)
def test_an_address_says_where_and_how(address, where, secured):
    found = connection.target(address)
    assert set(found.addresses.values()) == {where}
    assert (found.tls is not None) == secured


@pytest.mark.parametrize(
    "address", ["localhost", "ftp://x:1", "http://x:1/api/v1", "http://a@x:1", "", "x:y", "http://", "https://x?a=b"]
)
def test_what_is_no_address_is_told_with_an_example(address):
    with pytest.raises(ValueError, match="is no address"):
        connection.target(address)


def test_services_have_addresses_of_their_own():
    found = connection.target({"ingest": "a:1", "indexer": "b:2"}, tls=True)
    assert (found.address("ingest"), found.address("indexer")) == ("a:1", "b:2")
    with pytest.raises(vectorline_client.UnknownAddress, match="EMBEDDER_ADDR"):
        found.address("embedder")
    with pytest.raises(ValueError, match="not ingestor"):
        connection.target({"ingestor": "a:1"})
    with pytest.raises(ValueError, match="same scheme"):
        connection.target({"ingest": "http://a:1", "indexer": "https://b:2"})


@pytest.mark.parametrize(("address", "tls"), [("http://x:1", True), ("https://x:1", False)])
def test_an_address_and_tls_that_contradict_each_other_are_refused(address, tls):
    with pytest.raises(ValueError, match="contradict"):
        connection.target(address, tls=tls)


def test_the_environment_names_a_gateway_or_the_services():
    assert connection.from_environment({"GATEWAY_URL": "http://g:1", "API_KEY": "k"}) == ("http://g:1", "k")
    assert connection.from_environment({"INGEST_ADDR": "a:1"}) == ({"ingest": "a:1"}, "")
    with pytest.raises(ValueError, match="GATEWAY_URL"):
        connection.from_environment({"API_KEY": "k"})


def test_a_client_without_an_address_goes_by_the_environment(line, monkeypatch):
    for name, value in line.environment.items():
        monkeypatch.setenv(name, value)
    with vectorline_client.Client() as client:
        client.health()
    assert line.metadata[0]["x-api-key"] == "test-key"


def test_no_key_of_the_environment_reaches_an_address_that_was_given(line, monkeypatch):
    monkeypatch.setenv("API_KEY", "of another line")
    with vectorline_client.Client(line.address) as client:
        client.health()
    assert "x-api-key" not in line.metadata[0]


def test_a_line_that_is_not_there_is_named_with_its_address():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with (
            vectorline_client.Client(address) as client,
            pytest.raises(vectorline_client.Unavailable, match=f"embedder at {address}") as raised,
        ):
            client.health()
    assert (raised.value.reason, raised.value.status["code"]) == ("", 14)


def test_repeatable_methods_exist_and_are_no_streams():
    """What is sent again is written down by name; a name that is gone would be ignored silently."""
    methods = {
        method.name: method
        for module in (ingest_pb2, embedder_pb2, indexer_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().Extensions[access_pb2.access] != access_pb2.ACCESS_INTERNAL
    }
    for name in connection.REPEATABLE:
        assert not methods[name].client_streaming, name
        assert not methods[name].server_streaming, name
    config = json.loads(dict(connection.OPTIONS)["grpc.service_config"])
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    named = {each["method"] for each in config["methodConfig"][0]["name"]}
    assert named == set(connection.REPEATABLE)
    once = {"CancelTask", "StopTask", "RetryTask", "RetryTasks", "Upload", "HealTasks", "ReleaseNamespace"}
    assert not named & once


def test_the_messages_of_the_client_are_apart_from_those_of_the_process():
    ours = wire.POOL.FindMessageTypeByName("vectorline.v1.Task")
    assert ours is not descriptor_pool.Default().FindMessageTypeByName("vectorline.v1.Task")


def test_nothing_but_grpc_and_protobuf_is_imported():
    """In a process of its own, for this one has everything."""
    code = "import sys, vectorline_client; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    # The rest is what a .pth of the environment may bring along.
    assert not tops & {"pandas", "numpy", "boto3", "openai", "pydantic", "vectorline", "services", "cli", "grpc_status"}
    assert {"grpc", "google", "vectorline_client", "vectorline_messages"} <= tops
    assert "google.api" not in loaded
    assert "google.rpc" not in loaded


# ---- TLS and proxies


class Well(embedder_pb2_grpc.EmbedderServiceServicer):
    def GetHealth(self, request, context):
        return embedder_pb2.GetHealthResponse(status="healthy")


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> certificates.Authority:
    return certificates.Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(authority: certificates.Authority) -> Iterator[str]:
    """A line that wants a certificate of its callers; its own is for `line`."""
    files = authority.sign("line")
    pair = tuple(pathlib.Path(files[name]).read_bytes() for name in ("tls_key_file", "tls_cert_file"))
    roots = pathlib.Path(files["tls_ca_file"]).read_bytes()
    credentials = grpc.ssl_server_credentials([pair], roots, require_client_auth=True)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    embedder_pb2_grpc.add_EmbedderServiceServicer_to_server(Well(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_line_with_certificates_is_spoken_to_by_files_and_by_their_content(authority, secured):
    files = authority.sign("caller")
    paths = {name: files[f"tls_{name}_file"] for name in ("ca", "cert", "key")}
    contents = {name: pathlib.Path(path).read_bytes() for name, path in paths.items()}
    texts = {name: data.decode() for name, data in contents.items()}
    for given in (paths, contents, texts):
        tls = vectorline_client.TLS(**given, server_name="line")
        with vectorline_client.Client(f"https://{secured}", tls=tls) as client:
            assert client.health().status == "healthy"
        assert "PRIVATE" not in repr(tls)


async def test_the_asynchronous_client_speaks_tls_too(authority, secured):
    files = authority.sign("caller")
    tls = vectorline_client.TLS(files["tls_ca_file"], files["tls_cert_file"], files["tls_key_file"], "line")
    async with vectorline_client.AsyncClient(secured, tls=tls) as client:
        assert (await client.health()).status == "healthy"


def test_a_line_of_an_authority_that_is_not_trusted_is_not_spoken_to(secured):
    with (
        vectorline_client.Client(secured, tls=True, timeout=3.0) as client,
        pytest.raises(vectorline_client.Unavailable),
    ):
        client.health()


class Connecting(http.server.BaseHTTPRequestHandler):
    """A proxy that CONNECTs and notes where to."""

    asked: ClassVar[list[str]] = []

    def do_CONNECT(self):
        self.asked.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.send_response(200)
            self.end_headers()
            pair = [self.connection, upstream]
            while ready := select.select(pair, [], [], 10)[0]:
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    pair[one is self.connection].sendall(data)

    def log_message(self, format, *args):  # noqa: A002 (as it is called)
        pass


@pytest.fixture
def proxy() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Connecting)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Connecting.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_proxy_that_is_given_is_gone_through(line, proxy):
    with vectorline_client.Client(line.address, proxy=proxy) as client:
        assert client.health().status == "healthy"
    assert Connecting.asked == [line.address]


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_of_the_environment_is_for_tls_only(line, proxy, authority, secured, tls):
    """In a process of its own, for grpc reads the environment."""
    files = authority.sign("caller")
    tls_of = f"TLS({files['tls_ca_file']!r}, {files['tls_cert_file']!r}, {files['tls_key_file']!r}, 'line')"
    given = f"{secured!r}, tls={tls_of}" if tls else repr(line.address)
    code = f"from vectorline_client import Client, TLS; print(Client({given}).health().status)"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"https_proxy": proxy, "http_proxy": proxy, "grpc_proxy": proxy}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == "healthy"
    assert Connecting.asked == ([secured] if tls else [])
