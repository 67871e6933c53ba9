"""`.env.example` and the reference's tables against the settings of the code, both ways."""

import re

import pytest

from gateway import render
from tests.unit.deployment import code

Example = list[tuple[str, str, bool]]

# Read by libraries or by compose itself; each is explained where it stands.
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
COMPOSE = {"VECTORLINE_TAG", "OPEN_FILES_LIMIT"}
NAMED_FILES = {"ENVOY_DESCRIPTORS", "ENVOY_LUA", "ENVOY_OPENAPI", "ENVOY_DOCS"}


def read_by_code() -> set[str]:
    return set(code.defaults()) | set(render.DEFAULTS)


def test_every_variable_of_the_code_is_in_the_example_and_the_other_way_round(example: Example) -> None:
    assert {name for name, _, _ in example} - AWS - COMPOSE == read_by_code()


def test_no_variable_is_there_twice(example: Example) -> None:
    names = [name for name, _, _ in example]

    assert len(names) == len(set(names))


def test_secrets_are_empty(example: Example) -> None:
    values = {name: value for name, value, _ in example}

    for name in (code.secrets() | AWS) & values.keys():
        assert values[name] == "", name


def test_what_is_shown_is_the_default(example: Example) -> None:
    defaults = {**code.defaults(), **{name: {value} for name, value in render.DEFAULTS.items()}}

    for name, value, _ in example:
        if name in defaults and name not in NAMED_FILES and name != "API_HOST":
            assert value in (defaults[name] or {""}), name


def test_only_what_must_be_filled_in_is_not_commented_out(example: Example) -> None:
    needed = {name for name, _, commented in example if not commented}

    assert needed == {"API_KEY", "INTERNAL_TOKEN", "OPENAI_API_KEY", "PINECONE_API_KEY"} | (AWS - {"AWS_SESSION_TOKEN"})


def test_the_reference_explains_every_variable(example: Example) -> None:
    text = (code.ROOT / "docs" / "reference" / "configuration.md").read_text()
    rows = {
        name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([A-Z0-9_]+)`", line)
    }

    assert {name for name, _, _ in example} <= rows


@pytest.mark.parametrize(
    "file", ["Dockerfile", "docker-compose.yml", ".dockerignore", ".env.example", "README.md", "docs/architecture.md"]
)
def test_no_registry_host_machine_path_or_key_is_in_a_file(file: str) -> None:
    text = (code.ROOT / file).read_text()

    assert not re.search(r"\b(docker\.io|ghcr\.io|quay\.io|gcr\.io|amazonaws\.com|pypi\.org|pythonhosted)\b", text)
    assert not re.search(r"(?<![\w.])/(work|root|home)/", text)
    assert not re.search(r"\b(vl_|sk-)[A-Za-z0-9_-]{16,}", text)
