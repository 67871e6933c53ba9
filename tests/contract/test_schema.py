"""schemathesis through Envoy: whatever the description allows or forbids, no 5xx, and every answer is as described."""

import json
import pathlib
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import checks

from tests.support.line import Line

OPENAPI = pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "protos" / "openapi.json"
EXAMPLES = 12
# The answers are judged, not which wrong requests are refused: unknown fields of a JSON body are dropped on purpose,
# and much that is wrong (a file that is not there) no schema can tell.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
]

schema = schemathesis.openapi.from_dict(json.loads(OPENAPI.read_text()))
# Its answer never ends; `test_all_tasks_are_told_as_they_change` reads what comes first.
ENDLESS = "GET /api/v1/tasks:watch"
OPERATIONS = [each for each in (every.ok() for every in schema.get_all_operations()) if each.label != ENDLESS]


@schemathesis.serializer("text/csv", "application/gzip")
def as_it_is(ctx: Any, value: Any) -> Any:
    """A file is sent as the bytes that were made up."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda each: each.value)
def test_no_request_breaks_the_line_or_the_description(
    line: Line, operation: Any, mode: schemathesis.GenerationMode
) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def every(case: Any) -> None:
        headers = {"X-API-Key": line.endpoints["API_KEY"]}
        case.call_and_validate(base_url=line.endpoints["GATEWAY_URL"], headers=headers, checks=CHECKS, timeout=30)

    try:
        every()
    except hypothesis.errors.Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # nothing about this operation can be wrong
