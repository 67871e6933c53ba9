"""The description of the REST face is valid, and is of exactly what is public."""

import json
import pathlib
import re
from typing import Any

import openapi_spec_validator
import pytest
from google.api import annotations_pb2
from vectorline.v1 import access_pb2, embedder_pb2, indexer_pb2, ingest_pb2, ledger_pb2

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
MODULES = (ingest_pb2, embedder_pb2, indexer_pb2, ledger_pb2)
BY_THE_GATEWAY = {
    "/healthz",
    "/healthz/ingest",
    "/healthz/embedder",
    "/healthz/indexer",
    "/api/v1/openapi.json",
    "/api/v1/docs",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "build" / "protos" / "openapi.json").read_text())
    return loaded


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["operationId"]: each for verbs in document["paths"].values() for each in verbs.values()}


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_it_has_every_public_path_and_no_other(document: dict[str, Any]) -> None:
    public = set()
    for service in (each for module in MODULES for each in module.DESCRIPTOR.services_by_name.values()):
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for each in (rule, *rule.additional_bindings):
                if each.WhichOneof("pattern"):
                    public.add((each.WhichOneof("pattern"), getattr(each, each.WhichOneof("pattern"))))

    told = {(verb, path) for path, verbs in document["paths"].items() for verb in verbs}
    assert {(verb, path) for verb, path in told if path not in BY_THE_GATEWAY} == public
    assert {path for _, path in told} >= BY_THE_GATEWAY


def test_only_what_is_public_needs_no_key(document: dict[str, Any]) -> None:
    keyless = {name for name, each in operations(document).items() if each.get("security") == []}
    methods = {
        method.name
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().Extensions[access_pb2.access] == access_pb2.ACCESS_PUBLIC
    }

    assert {name for name in keyless if not name.startswith(("GetHealthz", "GetOpenapi", "GetDocs"))} == methods


def test_everything_is_described(document: dict[str, Any]) -> None:
    for name, each in operations(document).items():
        assert each["summary"], name
        assert all(parameter["description"] for parameter in each.get("parameters", ())), name
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        bare = [field for field, told in schema["properties"].items() if not told.get("description")]
        assert not bare or name in {"Error", "ErrorDetail"}, (name, bare)


def test_no_count_is_a_string(document: dict[str, Any]) -> None:
    assert not re.search(
        r'"format": "u?int64"[^}]*"type": "string"|"type": "string", "format": "u?int64"', str(document)
    )


def test_an_upload_is_a_csv_with_its_options_as_query_parameters(document: dict[str, Any]) -> None:
    upload = operations(document)["Upload"]
    query = {each["name"] for each in upload["parameters"] if each["in"] == "query"}

    assert "text/csv" in upload["requestBody"]["content"]
    assert {"question_id", "chunk_size", "estimate"} <= query
    assert not {"data_source", "s3_key", "upload_id", "body", "filename"} & query
    assert set(upload["responses"]) >= {"200", "202", "400", "401"}


def test_streams_are_told_as_they_come(document: dict[str, Any]) -> None:
    by_name = operations(document)

    assert set(by_name["WatchTask"]["responses"]["200"]["content"]) == {"text/event-stream"}
    assert set(by_name["GetRejects"]["responses"]["200"]["content"]) == {"text/csv", "application/jsonl"}
    assert by_name["StreamTasks"]["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert "content" not in by_name["CancelTask"]["responses"]["204"]


def test_the_page_that_shows_it_asks_no_other_host() -> None:
    page = (ROOT / "gateway" / "docs.html").read_text()

    assert not re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", page.replace("// ", ""))
    assert "innerHTML" not in page


@pytest.mark.parametrize("path", ["/api/v1/verify", "/api/v1/adopt", "/api/v1/remove"])
def test_a_task_that_was_stored_is_202_and_its_price_200(document: dict[str, Any], path: str) -> None:
    """The contract suite found a 202 that nothing described."""
    answers = document["paths"][path]["post"]["responses"]
    assert {"200", "202"} <= set(answers)
