"""An account of AWS on this machine: an emulator with IAM enforced, and what an account has before a line comes."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any, Final

import boto3

from deploy.check import servers

REGION: Final = "us-east-1"
ROOT: Final = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
ZONE: Final = "example.com"
HOST_IMAGE: Final = "/host-image"
START_SECONDS: Final = 60.0
_boto3: Any = boto3  # its stubs know each service by a literal name
HERE: Final = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Account:
    """A running emulator.

    Attributes:
        url: Its endpoint.
        folder: Where it keeps what it has.
        authority: PEM file of who signed its certificate; none: it speaks plain HTTP.
    """

    url: str
    folder: pathlib.Path
    authority: pathlib.Path | None
    zone_id: str = ""

    def client(self, service: str, **credentials: str) -> Any:
        """A boto3 client, root's unless it is given the credentials of a role."""
        verify = str(self.authority) if self.authority else None
        return _boto3.client(service, endpoint_url=self.url, region_name=REGION, verify=verify, **(credentials or ROOT))

    def credentials(self, role_arn: str, seconds: int = 3600) -> dict[str, str]:
        """What a task of this role would be given."""
        made = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="task", DurationSeconds=seconds)
        given = made["Credentials"]
        return {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretAccessKey"],
            "aws_session_token": given["SessionToken"],
        }

    def decisions(self) -> list[dict[str, Any]]:
        """What IAM was asked by roles, and answered."""
        path = self.folder / "decisions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def running(python: pathlib.Path, folder: pathlib.Path, *, tls: bool, valkey_port: int) -> Iterator[Account]:
    """An account that is empty but for a hosted zone and the images of hosts, which AWS has for everybody.

    Args:
        python: The emulator's own.
        folder: For its state and logs.
        tls: Serve HTTPS; the bucket of a line is closed to all else.
        valkey_port: Where ElastiCache's servers are, all of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = servers.free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": ROOT["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": ROOT["aws_secret_access_key"],
        "AUTH": "true",
        "IOT_MTLS_ENABLED": "0",  # these two would listen at ports of their own
        "SFTP_ENABLED": "0",
        "USE_SSL": "1" if tls else "0",
        "TMPDIR": str(folder),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "0",
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(valkey_port),
        "LOG_LEVEL": "WARNING",
        "DECISIONS": str(folder / "decisions.jsonl"),
    }
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), str(HERE / "emulator.py")], env=environment, stdout=log, stderr=log, cwd=folder
        )
    try:
        authority = folder / "ministack-tls" / "server.crt" if tls else None
        account = Account(f"{'https' if tls else 'http'}://localhost:{port}", folder, authority)
        _wait_until_it_serves(process, account)
        yield dataclasses.replace(account, zone_id=_furnish(account))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _furnish(account: Account) -> str:
    account.client("ssm").put_parameter(Name=HOST_IMAGE, Type="String", Value="ami-0123456789abcdef0")
    zone = account.client("route53").create_hosted_zone(Name=ZONE, CallerReference="deploy-check")
    return str(zone["HostedZone"]["Id"]).rpartition("/")[2]


def _wait_until_it_serves(process: "subprocess.Popen[bytes]", account: Account) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        # Its certificate is not there yet, or half of it is.
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError, FileNotFoundError, ssl.SSLError):
            trust = ssl.create_default_context(cafile=str(account.authority)) if account.authority else None
            with urllib.request.urlopen(f"{account.url}/_ministack/health", timeout=2, context=trust):
                return
        time.sleep(0.1)  # between two looks, bounded by the deadline
    raise RuntimeError(f"The emulator does not start; {account.folder / 'emulator.log'} says why.")
