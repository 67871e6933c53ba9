"""Creates on moto what the emulator has no word for: run by the emulator's Python, with this repository on its path.

Prints a line for each stack and line; exit code 1 where moto refuses.
"""

import json
import os
import sys

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


def _outputs(client: stacks.Client, name: str) -> dict[str, str]:
    found = client.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    return {each["OutputKey"]: each["OutputValue"] for each in found}


if __name__ == "__main__":
    with moto.mock_aws():
        main()
