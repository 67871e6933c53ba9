"""The line under the roles of the stacks: IAM enforced, secrets by ARN, each service with what its task would get."""

import contextlib
import dataclasses
import os
import pathlib
import re
import secrets
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.check import account as accounts
from deploy.check import life, report, servers
from deploy.operations import line as lines

ROOT: Final = lines.ROOT.parent
PYTHON: Final = sys.executable
ROLES: Final = ("ingest", "embedder", "indexer", "provision")
# Set here and not by the line's own stand-ins: these two processes are the check's.
NOT_THE_LINES: Final = "tests/contract/test_line.py::test_every_process_has_a_pid_file_of_a_living_process"
CONTRACT_SECONDS: Final = 1200  # two minutes on an idle machine


@dataclasses.dataclass(frozen=True)
class Standing:
    """A line that runs.

    Attributes:
        account: Where its stacks are.
        line: Its parameters.
        folder: Its run folder: logs, pids, endpoints.env.
        environments: What the processes of each role are told on top of the shared variables.
        shared: The variables of all.
    """

    account: accounts.Account
    line: lines.Line
    folder: pathlib.Path
    environments: Mapping[str, Mapping[str, str]]
    shared: Mapping[str, str]

    def environment(self, role: str) -> dict[str, str]:
        """The whole environment of a process of this role."""
        return {**_inherited(), **self.shared, **self._told(), **self.environments[role]}

    def inside(self) -> dict[str, str]:
        """What stands here for addresses inside of the line's network, and for the accounts outside of AWS."""
        return {name: value for name, value in self._told().items() if name != "GATEWAY_URL"}

    def _told(self) -> dict[str, str]:
        text = (self.folder / "endpoints.env").read_text()
        wanted = ("OPENAI_BASE_URL", "PINECONE_CONTROLLER_HOST", "INDEXER_ADDR", "GATEWAY_URL")
        return {name: value for name, value in re.findall(r"^(\w+)='?(.*?)'?$", text, re.M) if name in wanted}

    @property
    def gateway_url(self) -> str:
        """Where its Envoy is."""
        return self._told()["GATEWAY_URL"]

    def logs(self) -> str:
        """What its services have said so far."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "logs").glob("*.log")))


@contextlib.contextmanager
def standing(account: accounts.Account, line: lines.Line, folder: pathlib.Path, valkey_port: int) -> Iterator[Standing]:
    """A line on what the stacks of `line` made, each of its services under its own role."""
    made = life.manager(account, line)
    data, access = made.outputs(line.stack_name("data")), made.outputs(line.stack_name("access"))
    vault = account.client("secretsmanager")
    for secret in ("OpenAiKey", "PineconeKey"):
        vault.put_secret_value(SecretId=data[secret], SecretString="sandbox")
    # The emulator makes passwords with the signs that it is told to leave out; a key goes through shells and headers.
    vault.put_secret_value(SecretId=data["ApiKey"], SecretString=secrets.token_hex(20))
    read = ("ApiKey", "ValkeyPassword", "ValkeyUrl")
    value = {name: vault.get_secret_value(SecretId=data[name])["SecretString"] for name in read}
    report.expect(
        data["ValkeyPort"] == str(valkey_port), f"ElastiCache names {data['ValkeyHost']}:{data['ValkeyPort']}"
    )
    made_of = f"rediss://:{value['ValkeyPassword']}@{data['ValkeyHost']}:{data['ValkeyPort']}/0"
    report.expect(value["ValkeyUrl"] == made_of, "the secret valkey-url is not made of address and password")
    # The Valkey that can be had here speaks no TLS; and the emulator makes passwords with the signs that it is told to
    # leave out.
    password = urllib.parse.quote(value["ValkeyPassword"], safe="")
    address = f"redis://:{password}@{data['ValkeyHost']}:{data['ValkeyPort']}/0"
    vault.put_secret_value(SecretId=data["ValkeyUrl"], SecretString=address)

    shared = {
        "ENVIRONMENT": "production",
        "AWS_ENDPOINT_URL": account.url,
        "AWS_CA_BUNDLE": str(account.authority),
        "AWS_REGION": accounts.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "S3_BUCKET_NAME": data["Bucket"],
        "DYNAMODB_TABLE_NAME": data["Table"],
        "REDIS_URL": address,
        "API_KEY": value["ApiKey"],  # for callers; the services get its ARN
        "OPENAI_RATE_LIMIT": "0",
        "PROBE_SECONDS": "1",
    }
    own = {
        "API_KEY": data["ApiKey"],
        "INTERNAL_TOKEN": data["InternalToken"],
        "OPENAI_API_KEY": data["OpenAiKey"],
        "PINECONE_API_KEY": data["PineconeKey"],
        "REDIS_URL": data["ValkeyUrl"],
    }
    reads = {
        "ingest": ("API_KEY", "INTERNAL_TOKEN", "REDIS_URL"),
        "embedder": ("API_KEY", "INTERNAL_TOKEN", "REDIS_URL", "OPENAI_API_KEY"),
        "indexer": ("API_KEY", "INTERNAL_TOKEN", "PINECONE_API_KEY"),
        "provision": ("PINECONE_API_KEY",),
    }
    environments = {
        role: {
            **{name.upper(): given for name, given in account.credentials(access[f"{role.title()}Role"]).items()},
            **{name: own[name] for name in reads[role]},
        }
        for role in ROLES
    }
    folder.mkdir(parents=True)
    here = Standing(account, line, folder, environments, shared)
    with servers.valkey(folder.parent, valkey_port, value["ValkeyPassword"]):
        try:
            _sandbox("up", here)
            done = migrate(here, seconds=120)
            report.expect(done.returncode == 0, f"provision --migrate under its role: {done.stdout}{done.stderr}")
            yield here
        finally:
            _sandbox("down", here)


def contract(here: Standing, say: report.Report) -> None:
    """The whole contract suite against it; IAM must have refused nothing."""
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "tests/contract", "-q", "-x", "--deselect", NOT_THE_LINES, "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**_inherited(), "STANDING_LINE": str(here.folder), "AWS_CA_BUNDLE": str(here.account.authority)},
        capture_output=True,
        text=True,
        timeout=CONTRACT_SECONDS,
        check=False,
    )
    report.expect(done.returncode == 0, f"the contract is broken:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    say.shown(f"the contract under the stacks' roles: {done.stdout.strip().splitlines()[-1].strip('= ')}")
    decisions = here.account.decisions()
    refused = sorted({(each["role"], each["action"]) for each in decisions if not each["allowed"]})
    report.expect(not refused, f"IAM refused {refused}")
    report.expect("AccessDenied" not in here.logs(), "a log has AccessDenied")
    say.shown(f"IAM was asked {len(decisions)} times by roles and refused nothing")


def migrate(here: Standing, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run `init --migrate` under its role, for so many seconds at most."""
    return subprocess.run(
        [PYTHON, "-m", "services.indexer.provision", "--migrate"],
        cwd=ROOT,
        env=here.environment("provision"),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def _sandbox(command: str, here: Standing) -> None:
    of_roles = {
        f"{role.upper()}__{name}": value for role, told in here.environments.items() for name, value in told.items()
    }
    done = subprocess.run(
        [PYTHON, "-m", "sandbox", command],
        cwd=ROOT,
        env={**_inherited(), **here.shared, **of_roles, "RUN_DIR": str(here.folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report.expect(done.returncode == 0, f"sandbox {command}: {done.stdout[-3000:]}{done.stderr[-3000:]}")


def _inherited() -> dict[str, str]:
    foreign = ("AWS_", "REDIS_", "OPENAI_", "PINECONE_", "METABASE_", "API_", "S3_", "DYNAMODB_", "INTERNAL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
