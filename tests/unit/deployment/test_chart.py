"""deploy/helm/vectorline: what it renders is what Kubernetes takes, and what the services and compose say."""

import copy
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gateway import render
from tests.support import helm
from tests.unit.deployment import code

CHART = code.ROOT / "deploy" / "helm" / "vectorline"
SETS = ("small", "production", "mtls")
KUBERNETES = "1.37"
NAME = "line"
# Of the container, not of the line.
LEFT_TO_DEFAULTS = {"GRPC_HOST"}


@pytest.fixture(autouse=True, scope="module")
def _needs_helm() -> None:
    try:
        helm.program()
    except helm.NoHelm as error:
        pytest.skip(str(error))


@functools.cache
def rendered(values: str) -> str:
    ran = helm.run(
        "template", NAME, str(CHART), "--namespace", "lines", "--values", str(CHART / "ci" / f"{values}.yaml")
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@functools.cache
def documents(values: str) -> tuple[dict[str, Any], ...]:
    return tuple(each for each in yaml.safe_load_all(rendered(values)) if each)


def of_kind(values: str, kind: str) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"].removeprefix(f"{NAME}-"): each for each in documents(values) if each["kind"] == kind
    }


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def told(service: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in service.get("env") or ()}


def pods(values: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("Deployment", "Job"):
        for name, each in of_kind(values, kind).items():
            yield name, each["spec"]["template"]["spec"]


@pytest.mark.parametrize("values", SETS)
def test_helm_finds_nothing_to_complain_about(values: str) -> None:
    ran = helm.run("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / f"{values}.yaml"))

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("values", SETS)
def test_kubernetes_takes_what_is_rendered(values: str) -> None:
    found = documents(values)

    assert len(found) > 10
    for each in found:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_what_kubernetes_does_not_know_would_be_refused() -> None:
    wrong = copy.deepcopy(of_kind("small", "Deployment")["ingest"])
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("values", SETS)
@pytest.mark.parametrize("name", code.SERVICES)
def test_a_service_is_told_variables_that_it_reads(values: str, name: str) -> None:
    given = set(told(container(of_kind(values, "Deployment")[name])))

    assert given <= code.variables(name), given - code.variables(name)
    assert {"GRPC_PORT", "PROCESS_NAME"} <= given


@pytest.mark.parametrize("values", SETS)
def test_the_gateway_is_rendered_with_variables_that_it_knows_and_dials_the_services(values: str) -> None:
    spec = of_kind(values, "Deployment")["gateway"]["spec"]["template"]["spec"]
    given = told(spec["initContainers"][0])
    services = of_kind(values, "Service")

    assert set(given) <= set(render.DEFAULTS)
    for name in code.SERVICES:
        port = services[name]["spec"]["ports"][0]["port"]
        assert given[f"{name.upper()}_ADDRS"] == f"{NAME}-{name}:{port}"
        assert services[name]["spec"]["clusterIP"] == "None"  # every replica has an address


@pytest.mark.parametrize("values", SETS)
def test_nothing_runs_as_root_or_writes_to_its_image(values: str) -> None:
    for name, spec in pods(values):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["automountServiceAccountToken"] is False, name
        for each in [*spec["containers"], *spec.get("initContainers", ())]:
            security = each["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, name
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["runAsUser"] > 0, name
            assert {"requests", "limits"} <= each["resources"].keys(), name


@pytest.mark.parametrize("name", code.SERVICES)
def test_a_service_is_asked_for_its_health_by_grpc_and_lives_without_its_dependencies(name: str) -> None:
    plain, secured = (container(of_kind(values, "Deployment")[name]) for values in ("small", "mtls"))
    service = f"vectorline.v1.{name.capitalize()}Service"

    assert plain["readinessProbe"]["grpc"] == {"port": int(told(plain)["GRPC_PORT"]), "service": service}
    assert secured["readinessProbe"]["exec"]["command"][-1] == service  # Kubernetes' own probes speak no TLS
    assert "grpc" not in plain["livenessProbe"]


def test_a_service_has_the_time_to_drain() -> None:
    needed = sum(float(value) for each in ("LEAVE_SECONDS", "GRACE_SECONDS") for value in code.defaults()[each])

    for name in code.SERVICES:
        spec = of_kind("small", "Deployment")[name]["spec"]["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] > needed


def test_each_service_has_a_role_of_its_own_and_its_secrets_alone() -> None:
    accounts, deployments = of_kind("production", "ServiceAccount"), of_kind("production", "Deployment")
    roles = {name: accounts[name]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for name in code.SERVICES}
    secrets = {name: code.secrets() & set(told(container(deployments[name]))) for name in code.SERVICES}

    assert len(set(roles.values())) == len(code.SERVICES)
    for name in code.SERVICES:
        assert deployments[name]["spec"]["template"]["spec"]["serviceAccountName"] == f"{NAME}-{name}"
    assert {name for name, own in secrets.items() if "OPENAI_API_KEY" in own} == {"embedder"}
    assert {name for name, own in secrets.items() if "PINECONE_API_KEY" in own} == {"indexer"}
    assert {name for name, own in secrets.items() if "REDIS_URL" in own} == {"ingest", "embedder"}


def test_every_part_survives_a_drained_node_and_the_embedders_grow_by_the_backlog() -> None:
    budgets, scalers = of_kind("production", "PodDisruptionBudget"), of_kind("production", "HorizontalPodAutoscaler")

    assert set(budgets) == set(scalers) == {*code.SERVICES, "gateway"}
    assert scalers["embedder"]["spec"]["metrics"][0]["external"]["metric"]["name"] == "vectorline_queue_chunks"
    for name, deployment in of_kind("production", "Deployment").items():
        assert "replicas" not in deployment["spec"], name  # the scaler's to say
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread[0]["topologyKey"] == "topology.kubernetes.io/zone"
        assert spread[0]["labelSelector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]
        assert budgets[name]["spec"]["selector"] == deployment["spec"]["selector"]


def test_the_backlogs_metric_is_one_that_the_embedders_have() -> None:
    sources = "".join(path.read_text() for path in (code.ROOT / "services" / "embedder").rglob("*.py"))

    assert '"vectorline_queue_chunks"' in sources


def test_who_may_call_whom_is_written_down_for_every_part() -> None:
    policies = of_kind("production", "NetworkPolicy")
    callers = {
        name: {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for rule in policies[name]["spec"]["ingress"]
            for peer in rule.get("from", ())
            if "podSelector" in peer
        }
        for name in policies
    }

    assert callers == {
        "ingest": {"gateway"},
        "embedder": {"gateway"},
        "indexer": {"gateway", "ingest", "embedder"},
        "gateway": set(),  # anybody
    }
    assert all(each["spec"]["policyTypes"] == ["Ingress", "Egress"] for each in policies.values())


def test_the_images_are_those_of_compose(services: dict[str, Any]) -> None:
    deployments = of_kind("small", "Deployment")

    assert container(deployments["gateway"])["image"] == services["envoy"]["image"]
    assert {container(deployments[name])["image"] for name in code.SERVICES} == {"vectorline:0.1.0"}
    assert container(of_kind("production", "Deployment")["ingest"])["image"].endswith("@sha256:" + "a" * 64)


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("image.digest", "latest", "digest"),
        ("services.ingest.replicas", 0, "replicas"),
        ("services.embeder", {}, "embeder"),
        ("env.api-host", "x", "api-host"),
        ("secrets.OPENAI_API_KEY", "sk-plain", "OPENAI_API_KEY"),
        ("secrets.OPENAI_API_KEY", {"arn": "sk-plain"}, "OPENAI_API_KEY"),
        ("services.embedder.autoscaling.backlog.chunks", 0, "chunks"),
        ("topologySpread.zone", "Sometimes", "zone"),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(path: str, value: object, words: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema())
    inner = values
    *folders, last = path.split(".")
    for each in folders:
        inner = inner[each]
    inner[last] = value

    with pytest.raises(jsonschema.ValidationError) as error:
        jsonschema.validate(values, schema())
    assert words in f"{error.value.json_path} {error.value.message}"


def test_helm_holds_values_against_the_schema() -> None:
    ran = helm.run("template", NAME, str(CHART), "--set", "services.embeder.replicas=2")

    assert ran.returncode != 0
    assert "embeder" in ran.stderr


def test_a_secret_without_a_place_in_a_service_is_refused_by_the_schema() -> None:
    """A mistyped name would otherwise be told to nobody."""
    names = set(schema()["properties"]["secrets"]["properties"])

    assert names == code.secrets() & names
    assert {"API_KEY", "INTERNAL_TOKEN", "OPENAI_API_KEY", "PINECONE_API_KEY", "REDIS_URL"} <= names
    assert schema()["properties"]["secrets"]["additionalProperties"] is False
    template = (CHART / "templates" / "_helpers.tpl").read_text()
    assert names == set(re.findall(r'"([A-Z_]{7,})"', template)) & code.secrets()
