"""What `vectorline plan` takes for given of a line is what deploy/parameters and deploy/stacks make."""

import re
from typing import Any

import pytest

from cli.planning import lines as planned
from deploy.operations import line as lines


def resources(stack: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = lines.template(stack)["Resources"]
    return found


@pytest.mark.parametrize("shape", planned.SHAPES, ids=lambda shape: shape.name)
def test_a_line_is_made_of_what_is_reckoned_with(shape: planned.Shape) -> None:
    line = lines.load(lines.ROOT / "parameters" / f"{shape.name}.json")
    given = line.parameters

    assert given["InstanceType"] == shape.instance
    assert int(given.get("MinHosts", 1)) == shape.least_hosts
    assert int(given.get("MaxHosts", 1)) == shape.most_hosts
    assert int(given.get("Replicas", 0)) == shape.replicas
    assert (given["ValkeyNodeType"], 2 if given["ValkeyMultiAz"] == "true" else 1) == (shape.node, shape.nodes)
    assert int(given["KeepDays"]) == shape.keep_days
    assert (2 if given["NatPerZone"] == "true" else 1) == shape.nats
    interfaces = [
        each
        for each in resources("network").values()
        if each.get("Properties", {}).get("VpcEndpointType") == "Interface"
    ]
    assert (len(interfaces) if given["InterfaceEndpoints"] == "true" else 0) == shape.endpoints
    disks = re.findall(
        r"VolumeSize: (\d+)", (lines.TEMPLATES / f"{'small' if not shape.replicas else 'cluster'}.yml").read_text()
    )
    assert [int(size) for size in disks] == [shape.disk_gb]
    there = [each for stack in line.stacks for each in resources(stack).values()]
    alarms = [
        each["Properties"]
        for each in there
        if each["Type"] == "AWS::CloudWatch::Alarm" and (given["Agent"] == "true" or "Condition" not in each)
    ]
    counted = sum(sum("MetricStat" in part for part in each.get("Metrics", [])) or 1 for each in alarms)
    assert counted == shape.alarm_metrics
    assert (given["Agent"] == "true") is bool(shape.metrics)


def test_every_line_has_as_many_secrets_and_keys_and_rules() -> None:
    made = [each["Type"] for stack in ("data", "observe", "edge") for each in resources(stack).values()]

    assert made.count("AWS::SecretsManager::Secret") == planned.SECRETS
    assert made.count("AWS::KMS::Key") == planned.KEYS
    assert len(resources("edge")["WebAcl"]["Properties"]["Rules"]) == planned.WAF_RULES


def test_a_task_has_the_share_of_a_cpu_that_is_reckoned_with() -> None:
    for name, share in planned.SHARES.items():
        task = resources("production")[f"{name.title()}Task"]["Properties"]
        assert int(task["Cpu"]) == 1_024 * share
    assert int(resources("agent")["AgentTask"]["Properties"]["Cpu"]) == 1_024 * planned.AGENT_SHARE
