"""Creates on moto what the emulator has no word for: run by the emulator's Python, with this repository on its path.

Prints a line for each stack and line; exit code 1 where moto refuses.
"""

import json
import os
import sys
from typing import Any

os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}

import boto3
import moto

from deploy.check import lacking
from deploy.operations import line as lines
from deploy.operations import stacks

# The network is there for the two others, which is why its endpoints are left out: moto asks AWS's names for them.
STACKS = ("network", "egress", "guard")


def main() -> None:
    """All of `STACKS`, for small and for production."""
    client, ec2 = boto3.client("cloudformation"), boto3.client("ec2")
    for which in ("small", "production"):
        line = lines.load(lines.ROOT / "parameters" / f"{which}.json").changed(InterfaceEndpoints="false")
        for stack in STACKS:
            template = lacking.without(lines.template(stack), lacking.LINTED_ONLY)
            # Not by a change set: moto then forgets what a stack exports.
            client.create_stack(
                StackName=line.stack_name(stack),
                TemplateBody=json.dumps(template),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in line.of(stack).items()],
                Capabilities=stacks.CAPABILITIES,
                Tags=[{"Key": "line", "Value": line.name}],
            )
        vpc = _outputs(client, line.stack_name("network"))["Vpc"]
        nats = ec2.describe_nat_gateways(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NatGateways"]
        addresses = {each["AllocationId"] for nat in nats for each in nat["NatGatewayAddresses"]}
        flows = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"]
        found = {"NAT": len(nats), "EIP": len(addresses), "flow log": len(flows)}
        zones = 2 if line.parameters["NatPerZone"] == "true" else 1
        if found != {"NAT": zones, "EIP": zones, "flow log": 1}:
            sys.exit(f"{which}: moto made {found}")
        sys.stdout.write(f"{which}: {', '.join(f'{count} {what}' for what, count in found.items())}\n")
    sys.stdout.write(f"production: {_scaling()}\n")
    sys.stdout.write(f"production: {_alarms()}\n")


def _alarms() -> str:
    """Alarms on metric math, by the calls that CloudFormation makes of them: moto knows no alarms as resources."""
    line = lines.load(lines.ROOT / "parameters" / "production.json")
    watch = boto3.client("cloudwatch")
    made = [
        _resolved(each["Properties"], dict(line.of("production")) | {"Name": line.name})
        for stack in ("observe", "production")
        for each in lines.template(stack)["Resources"].values()
        if lacking.kind(each) == lacking.METRIC_MATH
    ]
    for each in made:
        watch.put_metric_alarm(**each)
    kept = watch.describe_alarms(AlarmNamePrefix=f"{line.name}-")["MetricAlarms"]
    if sorted(each["AlarmName"] for each in kept) != sorted(each["AlarmName"] for each in made):
        sys.exit(f"moto made {kept}")
    return f"{len(kept)} alarms on metric math"


def _scaling() -> str:
    """The embedders' scaling, by the calls that CloudFormation makes of it: moto knows it, but not as resources."""
    line = lines.load(lines.ROOT / "parameters" / "production.json")
    scaling, containers = boto3.client("application-autoscaling"), boto3.client("ecs")
    containers.create_cluster(clusterName=line.name)
    task = containers.register_task_definition(
        family="embedder", containerDefinitions=[{"name": "embedder", "image": "x", "memory": 64}]
    )["taskDefinition"]["taskDefinitionArn"]
    containers.create_service(cluster=line.name, serviceName="embedder", taskDefinition=task, desiredCount=2)
    made = [
        _resolved(each["Properties"], dict(line.of("production")) | {"Name": line.name})
        for each in lines.template("production")["Resources"].values()
        if each["Type"] in lacking.SCALING
    ]
    target, *policies = made
    where = {name: target[name] for name in ("ServiceNamespace", "ScalableDimension", "ResourceId")}
    scaling.register_scalable_target(
        **where, MinCapacity=int(target["MinCapacity"]), MaxCapacity=int(target["MaxCapacity"])
    )
    for policy in policies:
        del policy["ScalingTargetId"]
        scaling.put_scaling_policy(**where, **policy)
    kept = scaling.describe_scaling_policies(ServiceNamespace="ecs", ResourceId=target["ResourceId"])
    steps = sum(len(each["StepScalingPolicyConfiguration"]["StepAdjustments"]) for each in kept["ScalingPolicies"])
    if (len(policies), steps) != (2, 3):
        sys.exit(f"moto made {kept}")
    return f"embedders scale from {target['MinCapacity']} to {target['MaxCapacity']} in {steps} steps"


def _resolved(part: Any, values: dict[str, str]) -> Any:
    """A part of a template with its parameters put in."""
    if isinstance(part, list):
        return [_resolved(each, values) for each in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"Ref"}:
        return values.get(part["Ref"], part["Ref"])
    if part.keys() == {"Fn::Sub"}:
        return part["Fn::Sub"].replace("${Name}", values["Name"])
    return {key: _resolved(value, values) for key, value in part.items()}


def _outputs(client: stacks.Client, name: str) -> dict[str, str]:
    found = client.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {each["OutputKey"]: each["OutputValue"] for each in found}


if __name__ == "__main__":
    with moto.mock_aws():
        main()
