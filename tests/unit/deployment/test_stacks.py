"""deploy/stacks and deploy/parameters against each other and against the code. `make deploy-check` creates them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.check import lacking
from deploy.operations import line as lines
from gateway import render
from services.indexer import migration
from services.indexer.storage import table
from services.ingest.sources import uploads
from tests.unit.deployment import code

STACKS = sorted(path.stem for path in lines.TEMPLATES.glob("*.yml"))
LINES = ("small", "production")
# What `deploy` says of a release; the files of parameters do not.
OF_A_RELEASE = {"Release", "ServicesImage", "EnvoyImage"}
KEPT = {"AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"}


def line(which: str) -> lines.Line:
    return lines.load(lines.ROOT / "parameters" / f"{which}.json")


def text(stack: str) -> str:
    return (lines.TEMPLATES / f"{stack}.yml").read_text()


def resources(stack: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = lines.template(stack)["Resources"]
    return found


def walk(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from walk(each)
    elif isinstance(part, list):
        for each in part:
            yield from walk(each)


def imports(stack: str) -> set[str]:
    named = (each["Fn::ImportValue"] for each in walk(lines.template(stack)) if "Fn::ImportValue" in each)
    return {each["Fn::Sub"].removeprefix("${Name}-") for each in named}


def exports(stack: str) -> set[str]:
    outputs = lines.template(stack).get("Outputs", {}).values()
    return {each["Export"]["Name"]["Fn::Sub"].removeprefix("${Name}-") for each in outputs if "Export" in each}


@pytest.mark.parametrize("which", LINES)
def test_the_parameters_of_a_line_are_complete_and_none_is_left_over(which: str) -> None:
    made = line(which)  # it refuses what none of its stacks takes

    assert {name for stack in made.stacks for name in made.missing(stack)} == OF_A_RELEASE


@pytest.mark.parametrize("which", LINES)
def test_a_stack_imports_only_what_one_before_it_exports(which: str) -> None:
    there: set[str] = set()
    for stack in line(which).stacks:
        assert imports(stack) <= there, stack
        there |= exports(stack)


def test_each_stack_belongs_to_a_line_and_says_what_it_is() -> None:
    assert {stack for which in LINES for stack in line(which).stacks} == set(STACKS)
    for stack in STACKS:
        template = lines.template(stack)
        assert template["Description"].startswith(f"Vectorline, {stack}: ")
        assert template["Parameters"]["Name"]["AllowedPattern"]


@pytest.mark.parametrize("stack", STACKS)
def test_what_holds_data_outlives_its_stack(stack: str) -> None:
    for name, each in resources(stack).items():
        if each["Type"] in KEPT:
            assert (each["DeletionPolicy"], each["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), name


def statements(stack: str) -> list[tuple[str, str]]:
    """Each statement of a policy as it is written, and the line above it."""
    found = []
    last, above, indent, block = "", "", -1, ""
    for each in text(stack).splitlines():
        here = len(each) - len(each.lstrip())
        if block and each.strip() and here <= indent:
            found.append((block, above))
            block = ""
        if re.match(r"\s*- Sid: ", each):
            indent, block, above = here, each, last
        elif block:
            block += "\n" + each
        last = each
    return [*found, *([(block, above)] if block else [])]


@pytest.mark.parametrize("stack", STACKS)
def test_a_wildcard_of_a_policy_stands_under_a_sentence_that_says_why(stack: str) -> None:
    for block, above in statements(stack):
        if re.search(r'"[a-z0-9-]*:?[A-Za-z]*\*"', block):
            assert above.strip().startswith("#"), f"{stack}: {block}"


def test_the_search_for_wildcards_finds_them() -> None:
    wild = [block for stack in STACKS for block, _ in statements(stack) if '"*"' in block]

    assert len(wild) > 5
    assert all(re.search(r'"[a-z0-9-]*:?[A-Za-z]*\*"', each) for each in wild)


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_listens_for_ssh_and_no_host_has_a_key_pair(stack: str) -> None:
    for each in walk(lines.template(stack)):
        assert not (each.get("FromPort", 99) <= 22 <= each.get("ToPort", 0))
        assert "KeyName" not in each


def test_groups_let_in_only_other_groups_but_for_the_load_balancers() -> None:
    for name, each in resources("network").items():
        if each["Type"] == "AWS::EC2::SecurityGroup" and name not in ("LoadBalancerGroup", "EndpointGroup"):
            for rule in each["Properties"]["SecurityGroupIngress"]:
                assert "SourceSecurityGroupId" in rule, name


def test_the_table_is_the_one_that_init_creates() -> None:
    made = resources("data")["Table"]["Properties"]

    assert made["AttributeDefinitions"] == migration.attributes(*table.INDEXES)
    assert made["KeySchema"] == [{"AttributeName": table.KEY, "KeyType": "HASH"}]
    wanted = [migration.definition(each) for each in table.INDEXES]
    assert [{key: each[key] for key in wanted[0]} for each in made["GlobalSecondaryIndexes"]] == wanted


def test_the_bucket_forgets_what_the_line_writes_and_nothing_else() -> None:
    rules = resources("data")["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule} == set(uploads.RESERVED)
    assert [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule and "Prefix" not in rule]


# ---- what the tasks of production are told


def containers() -> dict[str, dict[str, Any]]:
    return {
        container["Name"]: container
        for each in resources("production").values()
        if each["Type"] == "AWS::ECS::TaskDefinition"
        for container in each["Properties"]["ContainerDefinitions"]
    }


def told(container: str) -> dict[str, Any]:
    return {each["Name"]: each["Value"] for each in containers()[container]["Environment"]}


@pytest.mark.parametrize("service", [*code.SERVICES, "provision"])
def test_a_task_is_told_only_variables_that_its_service_reads(service: str) -> None:
    read = code.variables("init" if service == "provision" else service)

    assert set(told(service)) <= read | (
        {"ENVIRONMENT", "METRICS_PORT", "GRPC_PORT"} if service in code.SERVICES else set()
    )


@pytest.mark.parametrize("service", [*code.SERVICES, "provision"])
def test_secrets_are_told_by_their_arn(service: str) -> None:
    exported = {f"${{Name}}-{name}" for name in ("ApiKey", "InternalToken", "ValkeyUrl", "OpenAiKey", "PineconeKey")}
    secret = {name: value for name, value in told(service).items() if name in code.secrets()}

    assert secret
    for name, value in secret.items():
        assert value["Fn::ImportValue"]["Fn::Sub"] in exported, name


def test_envoy_is_told_only_variables_that_it_reads() -> None:
    assert set(told("gateway")) <= set(render.DEFAULTS)


@pytest.mark.parametrize("service", code.SERVICES)
def test_a_tasks_port_is_the_one_that_its_group_and_its_neighbours_know(service: str) -> None:
    port = int(told(service)["GRPC_PORT"])
    group = resources("network")[f"{service.title()}Group"]["Properties"]["SecurityGroupIngress"]

    assert {"ContainerPort": port} in containers()[service]["PortMappings"]
    assert port in {rule["FromPort"] for rule in group}
    assert f":{port}" in told("gateway")[f"{service.upper()}_ADDRS"]["Fn::Sub"]
    command = containers()[service]["HealthCheck"]["Command"]
    assert command[:5] == ["CMD", "python", "-S", "-P", "services/runtime/probe.py"], "as in compose: no import of grpc"
    assert command[-2] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("container", ["envoy", *code.SERVICES])
def test_a_container_is_as_hardened_as_in_compose(container: str) -> None:
    made = containers()[container]

    assert made["ReadonlyRootFilesystem"] is True
    assert made["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
    assert "Privileged" not in made
    assert made["LogConfiguration"]["LogDriver"] == "awslogs"


# ---- how the check makes a template the emulator's


def test_what_the_emulator_lacks_is_taken_out_with_what_refers_to_it() -> None:
    template = {
        "Resources": {
            "Gone": {"Type": "AWS::EC2::EIP"},
            "Stays": {
                "Type": "AWS::EC2::VPC",
                "Properties": {"A": {"Ref": "Gone"}, "B": {"Fn::GetAtt": ["Gone", "X"]}},
            },
        }
    }

    made = lacking.without(template, lacking.ON_MOTO)

    assert made["Resources"] == {"Stays": {"Type": "AWS::EC2::VPC", "Properties": {"A": "Gone", "B": "Gone"}}}


@pytest.mark.parametrize("kind", sorted(lacking.ON_MOTO | lacking.LINTED_ONLY))
def test_each_type_that_the_emulator_lacks_is_named_in_the_readme_of_deploy(kind: str) -> None:
    assert f"`{kind}`" in (lines.ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON object"),
        ('{"stacks": ["network"]}', "parameters"),
        ('{"stacks": ["nothing"], "parameters": {"Name": "x"}}', "deploy/stacks/nothing.yml"),
        ('{"stacks": ["network"], "parameters": {"Name": "x", "Nmae": "y"}}', "Nmae"),
        ('{"stacks": ["network"], "parameters": {}}', "Name"),
    ],
)
def test_a_file_of_parameters_that_cannot_be_used_is_refused_by_name(tmp_path: Any, content: str, words: str) -> None:
    path = tmp_path / "parameters.json"
    path.write_text(content)

    with pytest.raises(lines.Unusable, match=words):
        lines.load(path)


def test_the_files_of_parameters_hold_no_secret() -> None:
    for which in LINES:
        assert not re.search(r"\b(sk-|pcsk_|vl_|AKIA)\w{8,}", json.dumps(dict(line(which).parameters)))
