"""The stacks of a line from their creation to their end: created, changed, broken, put back, drifted, deleted."""

import json
from collections.abc import Mapping
from typing import Any

from botocore import exceptions

from deploy.check import account as accounts
from deploy.check import lacking, report
from deploy.operations import line as lines
from deploy.operations import stacks

ACCOUNT = "000000000000"
POLL_SECONDS = 0.2


def line_of(which: str, account: accounts.Account, **parameters: str) -> lines.Line:
    """A line with the parameters of its file, and what only this account knows."""
    return lines.load(lines.ROOT / "parameters" / f"{which}.json").changed(
        HostedZoneId=account.zone_id,
        HostImage=accounts.HOST_IMAGE,
        DomainName=f"{which}.{accounts.ZONE}",
        Release="v1",
        ServicesImage=f"registry.example/services@sha256:{'a' * 64}",
        EnvoyImage=f"registry.example/envoy@sha256:{'b' * 64}",
        ProtectTable="false",
        ProtectLoadBalancer="false",
        **parameters,
    )


def body(line: lines.Line, stack: str) -> str:
    """A stack's template as the emulator takes it."""
    made = lacking.without(lines.template(stack), lacking.ON_MOTO | lacking.LINTED_ONLY)
    return json.dumps(lacking.trusting(lacking.counted(made, line.parameters), ACCOUNT))


def manager(account: accounts.Account, line: lines.Line) -> stacks.Stacks:
    """What makes stacks there."""
    return stacks.Stacks(account.client("cloudformation"), line.tags, POLL_SECONDS)


def create(account: accounts.Account, line: lines.Line, say: report.Report) -> None:
    """Create all stacks of a line but those that the emulator has no resource of."""
    made = manager(account, line)
    for stack in made_here(line):
        made.apply(line.stack_name(stack), body(line, stack), line.of(stack), lambda _: None)
        report.expect(made.status(line.stack_name(stack)) == "CREATE_COMPLETE", f"{stack} is not created")
    say.shown(f"{line.runs}: created {', '.join(made_here(line))}")


def made_here(line: lines.Line) -> list[str]:
    """Its stacks but for the one whose whole purpose the emulator does not know; `on_moto` makes that one."""
    return [stack for stack in line.stacks if stack != "egress"]


def whole(account: accounts.Account, say: report.Report) -> None:
    """The life of the stacks of `small`."""
    line = line_of("small", account)
    create(account, line, say)
    made = manager(account, line)
    _tagged(account, line, say)
    _only_by_tls(account, line, say)
    _again(made, line, say)
    _changed(account, made, line, say)
    _broken(account, made, line, say)
    _drifted(account, made, line, say)
    delete(account, line, say)


def _tagged(account: accounts.Account, line: lines.Line, say: report.Report) -> None:
    table = account.client("dynamodb").describe_table(TableName=line.name)["Table"]["TableArn"]
    tags = account.client("dynamodb").list_tags_of_resource(ResourceArn=table)["Tags"]
    group = account.client("logs").list_tags_log_group(logGroupName=f"/{line.name}/ingest")["tags"]
    vpc = account.client("ec2").describe_vpcs(Filters=[{"Name": "tag:line", "Values": [line.name]}])["Vpcs"]
    for found in (tags, vpc[0]["Tags"]):
        report.expect({"Key": "line", "Value": line.name} in found, f"a resource lacks the tag `line`: {found}")
    report.expect(group.get("line") == line.name, f"a log group lacks the tag `line`: {group}")
    say.shown("stack tags reach the resources")


def _only_by_tls(account: accounts.Account, line: lines.Line, say: report.Report) -> None:
    role = manager(account, line).outputs(line.stack_name("access"))["IngestRole"]
    try:
        account.client("s3", **account.credentials(role)).get_object(Bucket=line.parameters["BucketName"], Key="x")
    except exceptions.ClientError as error:  # the policy of its role allows it, the bucket's does not
        report.expect(error.response["Error"]["Code"] == "AccessDenied", f"without TLS the bucket answers {error}")
    say.shown("the bucket answers nobody without TLS")


def _again(made: stacks.Stacks, line: lines.Line, say: report.Report) -> None:
    for stack in made_here(line):
        change = made.plan(line.stack_name(stack), body(line, stack), line.of(stack))
        report.expect(change is None, f"{stack}: the same template once more would change {change and change.lines}")
    say.shown("the same once more changes nothing")


def _changed(account: accounts.Account, made: stacks.Stacks, line: lines.Line, say: report.Report) -> None:
    name = line.stack_name("observe")
    change = made.plan(name, body(line, "observe"), line.changed(LogDays="14").of("observe"))
    if change is None:
        raise report.Broken("a change of LogDays changes nothing")
    report.expect(all(each.startswith("Modify ") for each in change.lines), f"it would {change.lines}")
    change.make()
    report.expect(_retention(account, line) == 14, "the change set did not change the retention")
    say.shown("a change set is looked at, then made")


def _retention(account: accounts.Account, line: lines.Line) -> int:
    groups = account.client("logs").describe_log_groups(logGroupNamePrefix=f"/{line.name}/ingest")["logGroups"]
    return int(groups[0]["retentionInDays"])


def _broken(account: accounts.Account, made: stacks.Stacks, line: lines.Line, say: report.Report) -> None:
    name = line.stack_name("observe")
    template: dict[str, Any] = json.loads(body(line, "observe"))
    template["Resources"]["IngestLogs"]["Properties"]["RetentionInDays"] = 7
    # What no stack exports cannot be made; what was changed before it is to be put back.
    template["Resources"]["Orphan"] = {
        "Type": "AWS::SNS::Subscription",
        "DependsOn": "IngestLogs",
        "Properties": {
            "Protocol": "email",
            "Endpoint": "x@y.z",
            "TopicArn": {"Fn::ImportValue": "nobody-exports-this"},
        },
    }
    try:
        made.apply(name, json.dumps(template), line.changed(LogDays="14").of("observe"), lambda _: None)
    except stacks.Failed as failure:
        report.expect("Orphan" in str(failure), f"the reason is not said: {failure}")
    else:
        raise report.Broken("a template that cannot be made was made")
    report.expect(made.status(name) == "UPDATE_ROLLBACK_COMPLETE", f"it is {made.status(name)}")
    report.expect(_retention(account, line) == 14, "the retention was not put back")
    say.shown("a change that fails half way is put back, and its reason is said")


def _drifted(account: accounts.Account, made: stacks.Stacks, line: lines.Line, say: report.Report) -> None:
    name = line.stack_name("observe")
    report.expect(made.drift(name) == {}, f"there is drift before anybody did anything: {made.drift(name)}")
    group = f"/{line.name}/ingest"
    account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=3)
    report.expect("IngestLogs" in made.drift(name), "a retention that was changed by hand is not seen")
    account.client("logs").put_retention_policy(logGroupName=group, retentionInDays=14)
    say.shown("what is changed by hand is seen as drift")


def delete(account: accounts.Account, line: lines.Line, say: report.Report) -> None:
    """Delete all stacks, the last one first; bucket, table and secrets must stay with what is in them."""
    before = _kept(account, line)
    made = manager(account, line)
    for stack in reversed(made_here(line)):
        made.delete(line.stack_name(stack))
        report.expect(not made.status(line.stack_name(stack)), f"{stack} is still there")
    report.expect(_kept(account, line) == before, f"of {before} only {_kept(account, line)} is left")
    report.expect(
        not account.client("ec2").describe_vpcs(Filters=[{"Name": "tag:Name", "Values": [line.name]}])["Vpcs"],
        "the network is still there",
    )
    say.shown(f"{line.runs}: deleted; bucket, table and secrets are kept")


def _kept(account: accounts.Account, line: lines.Line) -> Mapping[str, Any]:
    bucket = line.parameters["BucketName"]
    secrets = account.client("secretsmanager").list_secrets()["SecretList"]
    return {
        "bucket": [each["Name"] for each in account.client("s3").list_buckets()["Buckets"] if each["Name"] == bucket],
        "table": account.client("dynamodb").describe_table(TableName=line.name)["Table"]["TableArn"],
        "secrets": sorted(each["Name"] for each in secrets if each["Name"].startswith(f"{line.name}/")),
    }
