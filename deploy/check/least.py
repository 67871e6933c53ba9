"""The policies are as small as can be: each action, on each resource, is taken away once, and something must fail."""

import contextlib
import dataclasses
import json
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from deploy.check import life, report, roles, steps

STARTS_SECONDS: Final = 240.0  # two on an idle machine
LEAST_PATIENCE_SECONDS: Final = 3.0

# Which step needs an action: (policy, action, the end of the resource's name) to a method of `steps.Caller`.
STEPS: Final[Mapping[tuple[str, str, str], str]] = {
    ("IngestPolicy", "s3:GetObject", "/*"): "loads_from_the_bucket",
    ("IngestPolicy", "s3:GetObjectVersion", "/*"): "loads_from_the_bucket",
    ("IngestPolicy", "s3:ListBucket", ""): "loads_what_was_estimated",
    ("IngestPolicy", "s3:PutObject", "/uploads/*"): "loads",
    ("IngestPolicy", "s3:PutObject", "/plans/*"): "loads",
    ("IngestPolicy", "s3:PutObject", "/manifests/*"): "loads",
    ("IngestPolicy", "s3:DeleteObject", "/uploads/*"): "takes_back_an_upload_that_was_sent_twice",
    ("IngestPolicy", "s3:AbortMultipartUpload", "/uploads/*"): "ends_an_upload_that_breaks_off",
    ("IndexerPolicy", "dynamodb:GetItem", ""): "loads",
    ("IndexerPolicy", "dynamodb:BatchGetItem", ""): "tells_progress",
    ("IndexerPolicy", "dynamodb:PutItem", ""): "loads",
    ("IndexerPolicy", "dynamodb:UpdateItem", ""): "loads",
    ("IndexerPolicy", "dynamodb:Query", "/index/*"): "lists",
    ("IndexerPolicy", "s3:PutObject", "/rejects/*"): "loads",
    ("IndexerPolicy", "s3:GetObject", "/rejects/*"): "exports_rejects",
    ("IndexerPolicy", "s3:ListBucket", ""): "tells_missing_rejects",
}
NOT_SHOWN_HERE: Final = frozenset(
    {
        # The emulator answers 404 for an object that is missing also to those who may not list its bucket; S3: 403.
        ("IndexerPolicy", "s3:ListBucket", ""),
        # Objects of manifests are swept a day after they were written.
        ("IngestPolicy", "s3:ListBucketVersions", ""),
        ("IngestPolicy", "s3:DeleteObject", "/manifests/*"),
        ("IngestPolicy", "s3:DeleteObjectVersion", "/manifests/*"),
    }
)
PROCESSES: Final = {"IngestPolicy": "ingest", "EmbedderPolicy": "embedder", "IndexerPolicy": "indexer"}


@dataclasses.dataclass(frozen=True)
class Grant:
    """One action on one resource."""

    policy: str
    statement: int
    action: str
    resource: str

    @property
    def tail(self) -> str:
        """What of the resource is said in `STEPS`."""
        name = self.resource.rpartition(":")[2].removeprefix("table/")
        return name[name.index("/") :] if "/" in name else ""

    def __str__(self) -> str:
        """For people."""
        return f"{self.policy}: {self.action} on {self.resource.rpartition(':')[2]}"


def shown(here: roles.Standing, say: report.Report) -> None:
    """Take each of them away."""
    caller = steps.Caller(here)
    patience = _baseline(caller, say)
    policies = _Policies(here)
    for grant in policies.grants():
        if (grant.policy, grant.action, grant.tail) in NOT_SHOWN_HERE:
            say.say(f"  --  {grant}: this check does not show it")
            continue
        began = time.monotonic()
        with policies.without(grant):
            why = _failure(here, caller, grant, patience)
        report.expect(bool(why), f"nothing fails without {grant}")
        say.shown(f"without {grant}: {why.splitlines()[0][:90]}", time.monotonic() - began)


def _baseline(caller: steps.Caller, say: report.Report) -> dict[str, float]:
    """With all of them every step passes; answers how long each may take: five times as long as it took."""
    patience = {}
    for step in dict.fromkeys(STEPS.values()):
        if step == "tells_missing_rejects":
            continue
        began = time.monotonic()
        getattr(caller, step)()
        patience[step] = max(LEAST_PATIENCE_SECONDS, 5 * (time.monotonic() - began))
        say.shown(f"with all of them: {step.replace('_', ' ')}", time.monotonic() - began)
    for extra in (caller.tells_a_missing_file, caller.retries):
        extra()
    why = _provision(caller.here)
    report.expect(not why, f"provision --migrate: {why}")
    return patience


def _failure(here: roles.Standing, caller: steps.Caller, grant: Grant, patience: Mapping[str, float]) -> str:
    """What fails now; empty: nothing."""
    if grant.policy == "ProvisionPolicy":
        return _provision(here)
    if grant.action == "secretsmanager:GetSecretValue":
        return _start(here, PROCESSES[grant.policy])
    step = STEPS[grant.policy, grant.action, grant.tail]
    caller.patience_seconds = patience[step]
    try:
        getattr(caller, step)()
    except (report.Broken, httpx.HTTPError) as failure:
        return str(failure) or type(failure).__name__
    return ""


def _start(here: roles.Standing, service: str) -> str:
    """Start one more of a service; its complaint, or nothing where it starts."""
    environment = {**here.environment(service), "GRPC_PORT": "0", "GRPC_HOST": "127.0.0.1", "METRICS_PORT": "0"}
    process = subprocess.Popen(
        [roles.PYTHON, "-m", f"services.{service}"],
        cwd=roles.ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = threading.Timer(STARTS_SECONDS, process.kill)
    deadline.start()
    said = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said = line.strip() or said
            if '"started"' in line:  # all of its secrets are read by then
                return ""
        report.expect(process.wait() > 0, f"{service} neither started nor refused within {STARTS_SECONDS:.0f} s")
        return said
    finally:
        deadline.cancel()
        process.kill()
        process.wait()


def _provision(here: roles.Standing) -> str:
    """Run `init --migrate` on what it has something to do with; what it did not do, or nothing."""
    table, bucket = here.shared["DYNAMODB_TABLE_NAME"], here.shared["S3_BUCKET_NAME"]
    rows, objects = here.account.client("dynamodb"), here.account.client("s3")
    old = f"of-old-{uuid.uuid4().hex}"
    for key in _marks(rows, table):
        rows.delete_item(TableName=table, Key={"task_id": {"S": key}})
    # A task of a time before there was a list for each caller, and a bucket that somebody changed by hand.
    item = {
        "task_id": old,
        "kind": "task",
        "client": "default",
        "status": "completed",
        "created": "2026-01-01T00:00:00Z",
    }
    rows.put_item(TableName=table, Item={name: {"S": value} for name, value in item.items()})
    objects.delete_bucket_lifecycle(Bucket=bucket)
    done = roles.migrate(here, STARTS_SECONDS)
    if done.returncode:
        return (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
    if "incomplete multipart uploads" not in done.stdout:
        return f"it does not see what the bucket lacks: {done.stdout}"
    found = rows.get_item(TableName=table, Key={"task_id": {"S": old}})["Item"]
    return "" if "client_listing" in found else "the task of old is not listed"


def _marks(rows: Any, table: str) -> list[str]:
    """The keys of what says that all tasks are listed."""
    asked = {"FilterExpression": "#kind = :index", "ExpressionAttributeNames": {"#kind": "kind"}}
    found = rows.scan(TableName=table, **asked, ExpressionAttributeValues={":index": {"S": "index"}})
    return [each["task_id"]["S"] for each in found["Items"]]


class _Policies:
    """The managed policies of the stack `access`, to be changed and put back."""

    def __init__(self, here: roles.Standing) -> None:
        self._iam = here.account.client("iam")
        outputs = life.manager(here.account, here.line).outputs(here.line.stack_name("access"))
        self._arns = {name: arn for name, arn in outputs.items() if name.endswith("Policy")}

    def grants(self) -> list[Grant]:
        """Everything that they allow."""
        return [
            Grant(policy, number, action, resource)
            for policy in self._arns
            for number, statement in enumerate(self._document(policy)["Statement"])
            for action in _several(statement["Action"])
            for resource in _several(statement["Resource"])
        ]

    @contextlib.contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """The policies without it for so long."""
        whole = self._document(grant.policy)
        self._write(grant.policy, _lessened(whole, grant))
        try:
            yield
        finally:
            self._write(grant.policy, whole)

    def _write(self, policy: str, document: Mapping[str, Any]) -> None:
        """Make it the policy's document; of the five versions that a policy may have, one is left."""
        arn = self._arns[policy]
        old = self._iam.list_policy_versions(PolicyArn=arn)["Versions"]
        self._iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True)
        for each in old:
            self._iam.delete_policy_version(PolicyArn=arn, VersionId=each["VersionId"])

    def _document(self, policy: str) -> dict[str, Any]:
        arn = self._arns[policy]
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        document: dict[str, Any] = json.loads(found) if isinstance(found, str) else found
        return document


def _lessened(document: dict[str, Any], grant: Grant) -> dict[str, Any]:
    """The document without one action on one resource; what else its statement allows stays."""
    statements: list[Any] = []
    for number, statement in enumerate(document["Statement"]):
        if number != grant.statement:
            statements.append(statement)
            continue
        for action in _several(statement["Action"]):
            left = [
                each for each in _several(statement["Resource"]) if (action, each) != (grant.action, grant.resource)
            ]
            if left:
                statements.append({"Effect": "Allow", "Action": action, "Resource": left})
    return {**document, "Statement": statements}


def _several(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
