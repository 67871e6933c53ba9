"""The pages of operators: each call of `aws` is one that AWS has, with options that it takes; links lead somewhere."""

import pathlib
import re
import shlex
from collections.abc import Iterator

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import OperationModel

from deploy.operations import line as lines

ROOT = lines.ROOT.parent
PAGES = sorted((lines.ROOT / "runbooks").glob("*.md"))
SCANNED = [*PAGES, ROOT / "docs" / "deployment.md", ROOT / "docs" / "operating.md"]
# What the command has besides AWS's API: waiting, and templates from files.
OF_THE_COMMAND = {("cloudformation", "deploy"), ("ecr", "get-login-password")}
SESSION = botocore.session.Session()


def calls() -> Iterator[object]:
    for page in SCANNED:
        for found in re.findall(
            r"^ *(?:[A-Z_]+=\S+ )*(aws [a-z0-9-]+ [a-z0-9-]+[^\n]*)", page.read_text(), re.MULTILINE
        ):
            yield pytest.param(found, id=f"{page.stem}: {found[:60]}")
        for found in re.findall(r"`(aws [a-z0-9-]+ [^`]+)`", page.read_text()):
            yield pytest.param(found, id=f"{page.stem}: {found[:60]}")


def named(option: str) -> str:
    return option.removeprefix("--")


def operation(service: str, name: str) -> OperationModel:
    model = SESSION.get_service_model(service)
    found = {xform_name(each, "-"): each for each in model.operation_names}
    assert name in found, f"aws {service} has no {name}"
    return model.operation_model(found[name])


@pytest.mark.parametrize("call", list(calls()))
def test_a_call_of_aws_is_one_that_aws_has(call: str) -> None:
    words = shlex.split(call)
    _, service, name, *rest = words[: words.index("|")] if "|" in words else words
    if (service, name) in OF_THE_COMMAND:
        return
    assert service in SESSION.get_available_services()
    options = {named(each) for each in rest if each.startswith("--")}
    if name == "wait":
        client = SESSION.create_client(service, region_name="us-east-1")
        assert rest[0].replace("-", "_") in client.waiter_names
        return
    asked = operation(service, name).input_shape
    members = {xform_name(each, "-"): each for each in asked.members}
    flags = {f"no-{each}" for each in members}
    assert options <= set(members) | flags, options - set(members)
    assert {xform_name(each, "-") for each in asked.required_members} <= options, asked.required_members


def test_there_are_calls_of_every_kind() -> None:
    found = list(calls())
    assert len(found) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_files_that_a_page_names_are_there(page: pathlib.Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path, anchor in re.findall(r"\]\(([^)#:]+\.md)(?:#([^)]+))?\)", text):
        target = (page.parent / path).resolve()
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, anchor
    for command in re.findall(r"\bdeploy/(?:bin|compose)/\w+", text):
        assert (ROOT / command).is_file(), command
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in targets, target


def test_each_page_is_listed() -> None:
    listed = (lines.ROOT / "runbooks" / "README.md").read_text()
    assert all(f"({page.name})" in listed for page in PAGES if page.name != "README.md")


def test_parameters_that_a_page_tells_to_change_are_the_stacks() -> None:
    known = {name for path in lines.TEMPLATES.glob("*.yml") for name in lines.template(path.stem).get("Parameters", {})}
    text = (lines.ROOT / "runbooks" / "capacity.md").read_text()
    told = {
        "Replicas",
        "MostEmbedders",
        "MaxHosts",
        "InstanceType",
        "ValkeyNodeType",
        "OpenAiTokensPerMinute",
        "Embedders",
        "InterfaceEndpoints",
    }
    assert all(f"`{name}`" in text or f" {name}" in text for name in told)
    assert told <= known
