"""What of deploy/stacks is made of `observe/`: it is what CloudFormation takes, and the agent reaches what it reads."""

import json
import re
from typing import Any

import pytest

from deploy.operations import line as lines
from observe import alarms, cloudwatch, dashboards, scaling, stacks

NAME = "vectorline"
# CloudFormation's limit of a template that is handed over as it is.
MOST_BYTES = 51_200


def resources(stack: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = lines.template(stack)["Resources"]
    return found


def put_in(text: str) -> str:
    """As Fn::Sub does: what begins with `!` stays, without it."""
    known = {"Name": NAME, "AWS::Region": "us-east-1"}
    found = re.sub(r"\$\{([^!}][^}]*)\}", lambda each: known[each[1]], text)
    return found.replace("${!", "${")


@pytest.mark.parametrize("path", sorted(lines.TEMPLATES.glob("*.yml")), ids=lambda path: path.stem)
def test_a_template_is_short_enough_to_be_handed_over_and_has_no_alias(path: Any) -> None:
    text = path.read_text(encoding="utf-8")

    assert len(text.encode()) <= MOST_BYTES
    assert not re.search(r"[:-] [&*][A-Za-z]\w*( |$)", text, re.MULTILINE), "CloudFormation's YAML has no aliases"


def test_the_dashboards_are_those_of_the_definition_with_the_lines_own_namespace() -> None:
    for each in dashboards.ALL:
        made = resources("observe")[f"{each.name.title()}Dashboard"]
        body = put_in(made["Properties"]["DashboardBody"]["Fn::Sub"])
        assert json.loads(body) == json.loads(cloudwatch.dashboard(each, f"Vectorline/{NAME}"))
        assert made["Condition"] == stacks.CONDITION


def test_the_alarms_are_those_of_the_definition_and_tell_the_topic() -> None:
    for each in alarms.ALL:
        made = resources("observe")[each.name]
        assert made["Condition"] == stacks.CONDITION
        assert made["Properties"]["AlarmActions"] == made["Properties"]["OKActions"] == [{"Ref": "Topic"}]
        found = json.loads(
            put_in(
                json.dumps(made["Properties"]["Metrics"]).replace('{"Fn::Sub": "Vectorline/${Name}"}', '"Vectorline"')
            )
        )
        assert found == cloudwatch.alarm(each)["Properties"]["Metrics"]


def test_embedders_are_scaled_by_the_two_alarms_within_the_parameters() -> None:
    made = resources("production")
    target = made["Embedders"]["Properties"]

    assert (target["MinCapacity"], target["MaxCapacity"]) == ({"Ref": "Replicas"}, {"Ref": "MostEmbedders"})
    assert made["EmbeddersWanted"]["Properties"]["AlarmActions"] == [{"Ref": "MoreEmbedders"}]
    assert made["EmbeddersIdle"]["Properties"]["AlarmActions"] == [{"Ref": "FewerEmbedders"}]
    assert made["EmbeddersIdle"]["Properties"]["TreatMissingData"] == "missing"
    assert "DesiredCount" not in made["EmbedderService"]["Properties"], "a release would put the number back"
    steps = made["MoreEmbedders"]["Properties"]["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert [each["ScalingAdjustment"] for each in steps] == [1, 2]
    assert steps[0]["MetricIntervalLowerBound"] == 0
    assert scaling.WANTED.above == 7


def told(name: str) -> Any:
    container = resources("agent")["AgentTask"]["Properties"]["ContainerDefinitions"][0]
    return json.loads(
        put_in(next(each["Value"]["Fn::Sub"] for each in container["Environment"] if each["Name"] == name))
    )


def test_the_agent_publishes_in_the_namespace_that_alarms_and_dashboards_ask() -> None:
    config = told("CW_CONFIG_CONTENT")["logs"]["metrics_collected"]["prometheus"]

    assert config["emf_processor"]["metric_namespace"] == f"Vectorline/{NAME}"
    assert config["prometheus_config_path"] == "env:PROMETHEUS_CONFIG_CONTENT"
    group = resources("observe")["PrometheusLogs"]["Properties"]["LogGroupName"]["Fn::Sub"]
    assert config["log_group_name"] == put_in(group)
    declared = json.loads(cloudwatch.agent())["logs"]["metrics_collected"]["prometheus"]["emf_processor"]
    assert config["emf_processor"]["metric_declaration"] == declared["metric_declaration"]


def test_the_agent_is_let_in_where_it_reads() -> None:
    """Names of Cloud Map, ports of the tasks, groups of the network."""
    names = {each["Properties"]["Name"]: key for key, each in resources("cluster").items() if key.endswith("Name")}
    for job in told("PROMETHEUS_CONFIG_CONTENT")["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        assert found["names"] == [f"{job['job_name']}.{NAME}.internal"]
        service = job["job_name"].title()
        registry = resources("production")[f"{service}Service"]["Properties"]["ServiceRegistries"]
        assert registry[0]["RegistryArn"]["Fn::ImportValue"]["Fn::Sub"] == f"${{Name}}-{names[job['job_name']]}"
        ports = [
            port["ContainerPort"]
            for container in resources("production")[f"{service}Task"]["Properties"]["ContainerDefinitions"]
            for port in container.get("PortMappings", [])
        ]
        assert found["port"] in ports
        rules = resources("network")[f"{service}Group"]["Properties"]["SecurityGroupIngress"]
        agents = [rule["FromPort"] for rule in rules if rule["SourceSecurityGroupId"] == {"Ref": "AgentGroup"}]
        assert agents == [found["port"]]
        assert found["port"] in [
            each["FromPort"] for each in resources("network")["AgentGroup"]["Properties"]["SecurityGroupEgress"]
        ]


def test_a_template_without_the_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="has no lines"):
        stacks.filled("Resources:\n", {})
