"""mTLS from the real Envoy to the services: health, REST, and nothing for a gateway without a good certificate."""

import asyncio
import pathlib

import httpx
import pytest

from gateway import render
from tests.integration.gateway.conftest import Gateway
from tests.support import certificates, servers


def environment(files: dict[str, str], address: str) -> dict[str, str]:
    return {**dict.fromkeys(render.ADDRESSES, address), **{name.upper(): path for name, path in files.items()}}


async def asked(gateway: Gateway, path: str = "/api/v1/status/t") -> int:
    async with httpx.AsyncClient(base_url=gateway.url, headers={"x-api-key": "k"}, timeout=20) as rest:
        return (await rest.get(path)).status_code


@pytest.mark.parametrize("wanted", [200, 503])
async def test_the_gateway_reaches_a_service_only_with_a_certificate_of_its_ca(
    tmp_path: pathlib.Path, wanted: int
) -> None:
    authority = certificates.Authority(tmp_path / "pki")
    signer = authority if wanted == 200 else certificates.Authority(tmp_path / "other")
    own = signer.sign("gateway") | {"tls_ca_file": str(authority.folder / "ca.pem")}
    # The one server of this test stands for the indexer, whose route is asked.
    async with servers.serving(api_key="k", **authority.sign("indexer")) as served:
        gateway = Gateway(tmp_path, environment(own, served.address))
        try:
            await asyncio.to_thread(gateway.wait_for, "/healthz/indexer", wanted)
            assert await asked(gateway) == wanted
            # The other two clusters find the indexer's certificate where they look for their own services.
            assert await asked(gateway, "/healthz/ingest") == 503
        finally:
            gateway.stop()


def test_two_of_three_files_are_refused() -> None:
    with pytest.raises(render.WrongValueError, match="TLS_CA_FILE"):
        render.render({"TLS_CERT_FILE": "a", "TLS_KEY_FILE": "b"})
