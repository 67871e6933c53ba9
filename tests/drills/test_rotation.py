"""Every secret of the line is rotated in mid load: the new one is let in, then told, then the old one goes."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from services.runtime import keys
from tests.faults import scene as scenes
from tests.faults import stage as stages
from tests.support import line as lines
from tests.support import proxy

pytestmark = pytest.mark.timeout(600)

ROWS = 6_000
PEPPER = "pepper-pepper-pepper"
USER = "line"
REFUSED = proxy.answer(
    "401 Unauthorized",
    "application/json",
    b'{"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key", '
    b'"type": "invalid_request_error"}}',
)


class Vault:
    """Secrets Manager, and ARNs of what lies there."""

    def __init__(self, stage: stages.Stage) -> None:
        self._client = boto3.client(
            "secretsmanager",
            endpoint_url=f"http://127.0.0.1:{stage.aws_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def put(self, name: str, value: str) -> str:
        """Store a secret, new or renewed; its ARN."""
        try:
            return str(self._client.create_secret(Name=f"drill/{name}", SecretString=value)["ARN"])
        except self._client.exceptions.ResourceExistsException:
            return str(self._client.put_secret_value(SecretId=f"drill/{name}", SecretString=value)["ARN"])

    def close(self) -> None:
        self._client.close()


def entries(*secrets: str) -> str:
    """API_KEYS with these secrets of one caller, as a rotation has two for a while."""
    scopes = ["read", "ingest"]
    return json.dumps([{"id": "ann", "hash": keys.digest(each, PEPPER).hex(), "scopes": scopes} for each in secrets])


@pytest.fixture
def vault(stage: stages.Stage) -> Iterator[Vault]:
    made = Vault(stage)
    yield made
    made.close()


@contextlib.contextmanager
def doors(stage: stages.Stage) -> Iterator[tuple[proxy.Proxy, proxy.Proxy]]:
    """OpenAI and Pinecone behind proxies that can refuse a key."""
    with contextlib.ExitStack() as stack:
        made = []
        for url in (stage.openai_url, stage.pinecone_url):
            made.append(proxy.Proxy(int(url.rpartition(":")[2])))
            stack.callback(made[-1].close)
        yield made[0], made[1]


def status_of(scene: scenes.Scene, secret: str) -> int:
    url = f"{scene.line.endpoints['GATEWAY_URL']}/api/v1/tasks"
    return httpx.get(url, headers={"X-API-Key": secret}, timeout=15).status_code


def test_every_secret_is_rotated_in_mid_load(scene: scenes.Scene, vault: Vault) -> None:
    stage = scene.stage
    with stage.redis() as valkey, doors(stage) as (openai, pinecone):
        valkey.acl_setuser(USER, enabled=True, passwords=["+old"], keys=["*"], channels=["*"], categories=["+@all"])

        def url(password: str) -> str:
            return f"redis://{USER}:{password}@127.0.0.1:{stage.valkey.port}/0"

        told: dict[str, Any] = {
            "INTERNAL_TOKEN": vault.put("internal", "internal-old"),
            "OPENAI_API_KEY": vault.put("openai", "openai-old"),
            "PINECONE_API_KEY": vault.put("pinecone", "pinecone-old"),
            "REDIS_URL": vault.put("valkey", url("old")),
            "API_KEYS": vault.put("keys", entries("caller-old")),
            "API_KEY_PEPPER": PEPPER,
            "SECRETS_REFRESH_SECONDS": "2",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1",
            "PINECONE_CONTROLLER_HOST": f"http://127.0.0.1:{pinecone.port}",
            "PINECONE_TRANSPORT": "sdk",  # HTTP/1.1, in which a proxy can read the key
        }
        stage.configure(told)
        stage.reset()
        scene.slow(300)
        job = scene.upload(ROWS)
        job.wait_chunks(3)

        with (
            scene.fault(),
            # From here on nobody sells to, or stores for, the old keys.
            openai.toxic(proxy.Kind.ANSWER, match=b"openai-old", body=REFUSED) as unsold,
            pinecone.toxic(proxy.Kind.ANSWER, match=b"pinecone-old", body=REFUSED) as unstored,
        ):
            vault.put("openai", "openai-new")
            vault.put("pinecone", "pinecone-new")
            vault.put("internal", "internal-new")
            vault.put("keys", entries("caller-old", "caller-new"))
            lines.wait_for("the caller's new key", lambda: status_of(scene, "caller-new") == 200, 60)
            assert status_of(scene, "caller-old") == 200
            vault.put("keys", entries("caller-new"))

            valkey.acl_setuser(USER, enabled=True, passwords=["+new"])
            vault.put("valkey", url("new"))
            job.wait_chunks(job.chunks + 5, 90)
            valkey.acl_setuser(USER, enabled=True, passwords=["-old"])
            valkey.execute_command("CLIENT", "KILL", "USER", USER)
            job.wait_chunks(job.chunks + 5, 90)
            lines.wait_for("the end of the caller's old key", lambda: status_of(scene, "caller-old") == 401, 60)

            scene.lifted()
            scene.finish(job, within=180)
            assert unsold.fired or unstored.fired
        users = {each["user"] for each in valkey.client_list() if each["name"] != "drill"}
        assert USER in users  # the services are back, by the new password
        # What was in hand twice: when the index refused the old key, and when Valkey's connections were cut.
        scene.check(twice=2 * stages.IN_HAND * stages.EMBEDDERS)
        # The stage's other scenes have no vault.
        stage.configure({})
        valkey.acl_deluser(USER)
