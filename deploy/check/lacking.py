"""What the emulator has no word for: taken out of a template before it is created there; made elsewhere, or linted."""

import json
from collections.abc import Mapping
from typing import Any, Final

# Resource types that ministack 1.5.33 refuses. What of them moto knows is created there (see `on_moto`); of the rest
# only cfn-lint and checkov have seen the properties. deploy/README.md names them.
SCALING: Final = frozenset(
    {"AWS::ApplicationAutoScaling::ScalableTarget", "AWS::ApplicationAutoScaling::ScalingPolicy"}
)
# The emulator has alarms, but on single metrics only.
METRIC_MATH: Final = "AWS::CloudWatch::Alarm (metric math)"
ON_MOTO: Final = frozenset({"AWS::EC2::EIP", "AWS::EC2::FlowLog", "AWS::EC2::NatGateway", METRIC_MATH}) | SCALING
LINTED_ONLY: Final = frozenset(
    {
        "AWS::Budgets::Budget",
        "AWS::ECS::CapacityProvider",
        "AWS::ECS::ClusterCapacityProviderAssociations",
        "AWS::WAFv2::WebACLAssociation",
    }
)


def without(template: dict[str, Any], types: frozenset[str]) -> dict[str, Any]:
    """A template without the resources of these types; what refers to one of them gets its logical name instead."""
    gone = {name for name, resource in template["Resources"].items() if kind(resource) in types}
    kept = {name: resource for name, resource in template["Resources"].items() if name not in gone}
    changed: dict[str, Any] = _unreferred({**template, "Resources": kept}, gone)
    return changed


def kind(resource: Mapping[str, Any]) -> str:
    """A resource's type, as far as it matters to who makes it."""
    math = resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    return METRIC_MATH if math else str(resource["Type"])


def counted(template: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """A template whose counts of tasks are numbers: the emulator does not make one of a parameter, which is a text."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for resource in copy["Resources"].values():
        count = resource.get("Properties", {}).get("DesiredCount")
        if resource["Type"] == "AWS::ECS::Service" and isinstance(count, dict):
            resource["Properties"]["DesiredCount"] = int(parameters[count["Ref"]])
    return copy


def trusting(template: dict[str, Any], account: str) -> dict[str, Any]:
    """A template whose roles the account's root may assume, since nobody here is ECS or EC2, whom they trust."""
    copy: dict[str, Any] = json.loads(json.dumps(template))
    for resource in copy["Resources"].values():
        if resource["Type"] == "AWS::IAM::Role":
            resource["Properties"]["AssumeRolePolicyDocument"]["Statement"].append(
                {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
            )
    return copy


def _unreferred(part: Any, gone: set[str]) -> Any:
    if isinstance(part, list):
        return [_unreferred(each, gone) for each in part]
    if not isinstance(part, dict):
        return part
    if part.keys() == {"Ref"} and part["Ref"] in gone:
        return part["Ref"]
    if part.keys() == {"Fn::GetAtt"} and part["Fn::GetAtt"][0] in gone:
        return part["Fn::GetAtt"][0]
    return {key: _unreferred(value, gone) for key, value in part.items()}
