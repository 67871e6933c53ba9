"""mTLS: a certificate with a service's name is the internal identity; changed files count at the next handshake."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pydantic
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from vectorline.v1 import ledger_pb2, ledger_pb2_grpc

from services.runtime import channels, probe, server, settings, tls
from tests.support import certificates, servers

NO_TOKEN = pydantic.SecretStr("")


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> certificates.Authority:
    return certificates.Authority(tmp_path / "pki")


def files(where: dict[str, str]) -> tls.Files:
    found = tls.files(settings.TlsSettings.model_validate(where))
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def ledger(served: servers.Served, where: dict[str, str], name: str = "indexer") -> AsyncIterator[Any]:
    async with channels.connect(served.address, NO_TOKEN, name=name, files=files(where)) as channel:
        yield ledger_pb2_grpc.LedgerServiceStub(channel)


def ask(stub: Any) -> Any:
    return stub.GetTaskRecord(ledger_pb2.GetTaskRecordRequest(task_id="t"), timeout=30)


async def code_of(stub: Any) -> grpc.StatusCode:
    try:
        await ask(stub)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_service_is_internal_by_its_certificate_alone(authority: certificates.Authority) -> None:
    async with (
        servers.serving(**authority.sign("indexer")) as served,
        ledger(served, authority.sign("embedder")) as stub,
        ledger(served, authority.sign("ingest", san=False)) as by_common_name,
    ):
        assert (await ask(stub)).task_id == "t"
        assert await code_of(by_common_name) == grpc.StatusCode.OK
        assert {caller.key_id for caller in served.servicers.callers} == {"internal"}


async def test_the_gateways_certificate_opens_the_connection_and_no_internal_method(
    authority: certificates.Authority,
) -> None:
    async with servers.serving(api_key="vl_key", **authority.sign("indexer")) as served:
        gateway = channels.connect(served.address, NO_TOKEN, name="indexer", files=files(authority.sign("gateway")))
        async with served.tasks(gateway) as tasks:
            internal = ledger_pb2_grpc.LedgerServiceStub(gateway)
            assert await code_of(internal) == grpc.StatusCode.PERMISSION_DENIED
            await tasks.GetTask(servers.task(), metadata=servers.key("vl_key"))
        assert [caller.key_id for caller in served.servicers.callers] == ["default"]


async def test_a_call_that_a_gateway_passed_on_is_never_internal(authority: certificates.Authority) -> None:
    async with (
        servers.serving(**authority.sign("indexer")) as served,
        ledger(served, authority.sign("ingest")) as stub,
    ):
        asked = ledger_pb2.GetTaskRecordRequest(task_id="t")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetTaskRecord(asked, metadata=(("x-forwarded-for", "192.0.2.1"),), timeout=30)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_without_a_certificate_or_with_another_cas_nobody_comes_in(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    other = certificates.Authority(tmp_path / "other").sign("ingest")
    other["tls_ca_file"] = str(authority.folder / "ca.pem")
    async with servers.serving(api_key="vl_key", **authority.sign("indexer")) as served:
        async with served.tasks() as plaintext:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await plaintext.GetTask(servers.task(), metadata=servers.key("vl_key"), timeout=30)
        async with ledger(served, other) as stub:
            assert await code_of(stub) == grpc.StatusCode.UNAVAILABLE
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert not served.servicers.callers


async def test_a_channel_speaks_only_to_the_service_that_it_means(authority: certificates.Authority) -> None:
    async with (
        servers.serving(**authority.sign("embedder")) as served,
        ledger(served, authority.sign("ingest"), name="indexer") as stub,
    ):
        assert await code_of(stub) == grpc.StatusCode.UNAVAILABLE


async def test_changed_files_count_at_the_next_handshake(
    authority: certificates.Authority, tmp_path: pathlib.Path
) -> None:
    """The CA itself is changed, so that only the new files let the new client in."""
    where = authority.sign("indexer")
    later = certificates.Authority(tmp_path / "later")
    newer, client = later.sign("indexer"), later.sign("ingest")
    async with servers.serving(**where) as served, ledger(served, authority.sign("ingest")) as before:
        assert await code_of(before) == grpc.StatusCode.OK

        move(newer, where, "tls_cert_file")  # half of the change: not yet used
        async with ledger(served, authority.sign("embedder")) as meanwhile:
            assert await code_of(meanwhile) == grpc.StatusCode.OK

        move(newer, where, "tls_key_file")
        move(newer, where, "tls_ca_file")
        async with ledger(served, client | {"tls_ca_file": where["tls_ca_file"]}) as after:
            assert await code_of(after) == grpc.StatusCode.OK
        assert await code_of(before) == grpc.StatusCode.OK  # a connection that is open stays so


def move(newer: dict[str, str], where: dict[str, str], name: str) -> None:
    pathlib.Path(newer[name]).replace(where[name])


def test_two_of_three_files_name_the_third(
    authority: certificates.Authority, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in authority.sign("indexer").items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.delenv("TLS_CA_FILE")

    with pytest.raises(SystemExit):
        settings.load(settings.TlsSettings)

    said = capsys.readouterr().err
    assert "mTLS needs TLS_CA_FILE too" in said
    assert said.count("\n") == 1


def test_files_that_do_not_belong_together_stop_the_process(
    authority: certificates.Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    where = authority.sign("indexer") | {"tls_key_file": authority.sign("ingest")["tls_key_file"]}

    with pytest.raises(SystemExit):
        server._authentication(settings.ProcessSettings.model_validate(where))

    assert "TLS_CERT_FILE" in capsys.readouterr().err


def test_production_starts_with_mtls_or_a_token_and_with_some_key(
    authority: certificates.Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    def authenticate(**chosen: str) -> None:
        server._authentication(settings.ProcessSettings.model_validate({"environment": "production", **chosen}))

    authenticate(api_key="k", internal_token="t")
    authenticate(api_key="k", **authority.sign("indexer"))
    for lacking, name in (({"api_key": "k"}, "INTERNAL_TOKEN"), ({"internal_token": "t"}, "API_KEY")):
        with pytest.raises(SystemExit):
            authenticate(**lacking)
        said = capsys.readouterr().err
        assert name in said
        assert said.count("\n") == 1


async def test_the_probe_of_a_container_has_the_services_certificate(
    authority: certificates.Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = authority.sign("indexer")
    for name, value in where.items():
        monkeypatch.setenv(name.upper(), value)
    listening = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    await servicer.set("vectorline.v1.IndexerService", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, listening)
    port = listening.add_secure_port("127.0.0.1:0", tls.server_credentials(files(where)))
    await listening.start()

    answered = await asyncio.to_thread(probe.main, [f"127.0.0.1:{port}", "vectorline.v1.IndexerService"])

    await listening.stop(None)
    assert answered == 0
