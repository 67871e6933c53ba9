"""The operations of `deploy/bin` on an account: from nothing to a release, forward, back, and a release that fails."""

import dataclasses
import hashlib
import json
from typing import Any, Final

from deploy.check import engine, life, report, roles
from deploy.operations import bootstrapping, examining, releases, rolling, stacks
from deploy.operations import line as lines

KEYS: Final = {"OPENAI_API_KEY": "sandbox", "PINECONE_API_KEY": "sandbox"}
OF_A_RELEASE: Final = ("Release", "ServicesImage", "EnvoyImage")
POLL_SECONDS: Final = 0.2
NOWHERE: Final = "http://127.0.0.1:9"  # the port of discard: nobody answers


class _Well(examining.Doctor):
    """Finds nothing: whether a doctor looks is shown once a line, and takes its time."""

    def look(self) -> list[examining.Finding]:
        return []


@dataclasses.dataclass
class _Operator:
    """Who operates a line whose callers reach the line that stands."""

    here: roles.Standing
    line: lines.Line
    said: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        """Have the account."""
        self.account = engine.Account(self.here, self.here.folder.parent / f"host-{self.line.name}")

    def roll(self, url: str = "", *, looked_at: bool = False) -> rolling.Roll:
        """Releases; their load goes to `url`. `looked_at`: the doctor really looks."""
        made = stacks.Stacks(self.account.client("cloudformation"), self.line.tags, POLL_SECONDS)
        doctor = examining.Doctor if looked_at else _Well
        return rolling.Roll(
            self.line, self.account, self.said.append, url=url or self.here.gateway_url, poll_seconds=POLL_SECONDS,
            body=life.body, doctor=doctor(self.line, self.account, made, POLL_SECONDS), rows=5,
        )  # fmt: skip

    def bootstrap(self) -> bootstrapping.Bootstrap:
        """From an empty account on."""
        return bootstrapping.Bootstrap(self.roll(looked_at=True), self.account, self.said.append, KEYS)

    def push(self, tag: str) -> None:
        """What `docker push` leaves in the registry."""
        for repository in releases.REPOSITORIES.values():
            layer = hashlib.sha256(f"{repository} {tag}".encode()).hexdigest()
            manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{layer}", "size": 1}, "layers": []}
            self.here.account.client("ecr").put_image(
                repositoryName=f"{self.line.name}/{repository}", imageTag=tag, imageManifest=json.dumps(manifest)
            )

    def clear(self) -> None:
        """Empty the registry, or the stack that has it could not be deleted."""
        registry = self.here.account.client("ecr")
        for repository in releases.REPOSITORIES.values():
            name = f"{self.line.name}/{repository}"
            images = registry.list_images(repositoryName=name)["imageIds"]
            registry.batch_delete_image(repositoryName=name, imageIds=images)


def shown(here: roles.Standing, say: report.Report) -> None:
    """All of them, one after the other."""
    line = life.line_of(
        "small", here.account, BucketName="check-small", AccessLogsName="check-small-logs", AlarmEmail="",
        BudgetEmail="a@b.c",
    )  # fmt: skip
    operator = _Operator(here, _without_a_release(line))
    _refused_early(operator, say)
    _begun(operator, say)
    _forward_and_back(operator, say)
    _failing(operator, say)
    # `egress` is what the emulator has no resource of, and `life` leaves it out.
    standing = dataclasses.replace(_without_a_release(here.line), stacks=tuple(life.made_here(here.line)))
    _production(_Operator(here, standing), say)


def _without_a_release(line: lines.Line) -> lines.Line:
    kept = {name: value for name, value in line.parameters.items() if name not in OF_A_RELEASE}
    return dataclasses.replace(line, parameters=kept)


def _refused_early(operator: _Operator, say: report.Report) -> None:
    shipped = operator.line.changed(BucketName="example-bucket")
    roll = rolling.Roll(shipped, operator.account, operator.said.append)
    words = _refusal(lambda: bootstrapping.Bootstrap(roll, operator.account, operator.said.append, {}).go("v1"))
    for wanted in ("BucketName is still example-bucket", "OPENAI_API_KEY is not set", "PINECONE_API_KEY is not set"):
        report.expect(wanted in words, f"bootstrap does not say that {wanted}: {words}")
    words = _refusal(lambda: operator.roll().deploy("v1"))
    report.expect("The stack network is not there: run `bootstrap`" in words, words)
    say.shown("operations that cannot succeed are not begun, and say what is missing")


def _begun(operator: _Operator, say: report.Report) -> None:
    operator.bootstrap().go("v1", dry_run=True)
    report.expect(not operator.roll().stacks.status(operator.line.stack_name("network")), "a dry run made a stack")
    report.expect(any("cloudformation:CreateChangeSet" in each for each in operator.said), "a dry run says no calls")
    words = _refusal(lambda: operator.bootstrap().go("v1"))
    report.expect("has no image v1; push it" in words, words)
    operator.push("v1")
    _same_key(operator)
    operator.bootstrap().go("v1")
    operator.bootstrap().go("v1")
    report.expect(operator.roll().running() == "v1", f"{operator.roll().running()} runs, not v1")
    say.shown("bootstrap: said beforehand, stopped where images were missing, gone on, repeated without harm")


def _same_key(operator: _Operator) -> None:
    """The line that stands has one key for its callers; this line's secret gets it too."""
    outputs = operator.roll().stacks.outputs(operator.line.stack_name("data"))
    operator.here.account.client("secretsmanager").put_secret_value(
        SecretId=outputs["ApiKey"], SecretString=operator.here.shared["API_KEY"]
    )


def _forward_and_back(operator: _Operator, say: report.Report) -> None:
    for number in range(2, 8):
        operator.push(f"v{number}")
    for tag in ("v2", "v3"):
        operator.roll().deploy(tag)
        report.expect(operator.roll().running() == tag, f"{operator.roll().running()} runs, not {tag}")
    operator.roll().rollback()
    report.expect(operator.roll().running() == "v2", f"{operator.roll().running()} runs after a rollback of v3")
    operator.roll().rollback("v1")
    report.expect(operator.roll().running() == "v1", "a rollback by its tag")
    for tag in ("v4", "v5", "v6"):
        operator.roll().deploy(tag)
    kept = [each.tag for each in operator.roll().releases.history()]
    report.expect(kept == ["v6", "v5", "v4", "v1", "v2"], f"kept are {kept}")
    report.expect("kept: v6" in _refusal(lambda: operator.roll().rollback("v3")), "a tag that is not kept any more")
    say.shown("deploy, rollback, rollback by tag; the last five are kept")


def _failing(operator: _Operator, say: report.Report) -> None:
    try:
        operator.roll(NOWHERE).deploy("v7")
    except rolling.TakenBack as taken:
        report.expect("v7 did not hold" in str(taken) and "v6 runs again" in str(taken), str(taken))
    else:
        raise report.Broken("a release that nobody can reach was kept")
    report.expect(operator.roll().running() == "v6", f"{operator.roll().running()} runs after v7 failed")
    kept = [each.tag for each in operator.roll().releases.history()]
    report.expect("v7" not in kept, "a release that failed is among those to go back to")
    say.shown("a release whose load fails is taken back by itself")
    broken = operator.roll()
    broken.body = _without_an_export
    try:
        broken.deploy("v7")
    except rolling.TakenBack as taken:
        report.expect("put back what ran before" in str(taken), str(taken))
    else:
        raise report.Broken("a stack that cannot be changed was changed")
    report.expect(operator.roll().running() == "v6", f"{operator.roll().running()} runs after the stack failed")
    say.shown("a release whose stack cannot be changed leaves what ran")


def _production(operator: _Operator, say: report.Report) -> None:
    """The line that stands, whose tasks ECS would run: the doctor and the migration are run with their definitions."""
    for tag in ("v2", "v3"):
        operator.push(tag)
    operator.roll(looked_at=True).deploy("v2", dry_run=True)
    report.expect(any("ecs:RunTask" in each and "services.doctor" in each for each in operator.said), "no doctor said")
    operator.roll(looked_at=True).deploy("v2")
    report.expect(operator.roll().running() == "v2", f"{operator.roll().running()} runs, not v2")
    with engine.another_password(operator.here):
        words = _refusal(lambda: operator.roll(looked_at=True).deploy("v3"))
        report.expect(
            "ingest: valkey, answer" in words and "embedder: valkey" in words, f"the doctor does not say it: {words}"
        )
        report.expect(operator.roll().running() == "v2", "a release went out that the doctor was against")
        operator.roll(looked_at=True).deploy("v3", despite_doctor=True)
    report.expect(operator.roll().running() == "v3", f"{operator.roll().running()} runs, not v3")
    report.expect(any("valkey, answer" in each for each in operator.said), "what the doctor found is not said")
    operator.roll().rollback()
    report.expect(operator.roll().running() == "v2", f"{operator.roll().running()} runs after a rollback of v3")
    operator.clear()
    say.shown("production: the doctor looks with each task's role, and its no stops a release; migrated; rolled back")


def _without_an_export(line: lines.Line, stack: str) -> str:
    template = json.loads(life.body(line, stack))
    orphan = {"Protocol": "email", "Endpoint": "x@y.z", "TopicArn": {"Fn::ImportValue": "nobody-exports-this"}}
    template["Resources"]["Orphan"] = {"Type": "AWS::SNS::Subscription", "Properties": orphan, "DependsOn": "Hosts"}
    return json.dumps(template)


def _refusal(operation: Any) -> str:
    try:
        operation()
    except rolling.Refused as refused:
        return str(refused)
    raise report.Broken("an operation that cannot succeed was begun")
