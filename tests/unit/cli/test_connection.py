from __future__ import annotations

import json
import socket

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.unit.cli import fake_line


def test_a_unary_call_is_tried_again_after_unavailable(run, line):
    line.refusals["GetTask"].extend([fake_line.BREAK, fake_line.BREAK])

    assert run("status", fake_line.TASK_ID).exit_code == 0
    assert line.calls == ["GetTask"] * 3


@pytest.mark.parametrize("code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL])
def test_nothing_else_is_tried_again(run, line, code):
    line.refusals["GetTask"].append(fake_line.Refusal(code, "no"))

    assert run("status", fake_line.TASK_ID).exit_code != 0
    assert line.calls == ["GetTask"]


@pytest.mark.parametrize(
    "command",
    [
        ["process", "s3://b/k"],
        ["status", "x"],
        ["tasks"],
        ["cancel", "x"],
        ["search", "x"],
        ["health"],
    ],
)
def test_every_unary_call_has_a_deadline_and_carries_the_key(run, line, command):
    run(*command)

    assert line.calls
    # The wire rounds a deadline up.
    assert all(0 < seconds <= 60 + 1 for seconds in line.deadlines)
    assert all(metadata["x-api-key"] == "test-key" for metadata in line.metadata)


def test_a_line_that_is_not_there_is_named_with_its_address(run, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can take the port meanwhile
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        result = run("health", "--embedder-addr", address)

    assert result.exit_code == 3
    assert result.stderr.startswith(f"✗ The line cannot be reached: embedder at {address} (Connection refused).\n")
    assert "make up" in result.stderr


def test_an_unknown_address_names_its_variable(run, monkeypatch):
    monkeypatch.delenv("INDEXER_ADDR")

    result = run("status", "x")

    assert result.exit_code == 3
    assert "INDEXER_ADDR" in result.stderr


def test_a_service_that_says_when_to_come_back_is_quoted(run, line):
    line.refusals["Search"].append(
        fake_line.Refusal(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Too many searches.",
            (
                error_details_pb2.ErrorInfo(reason="RATE", domain="vectorline"),
                error_details_pb2.RetryInfo(retry_delay={"seconds": 7}),
            ),
        )
    )
    result = run("search", "x")

    assert result.exit_code == 4  # a limit, and not failed rows
    assert result.stderr == "✗ Too many searches.\n  Try again in 7 s.\n"


def test_with_json_an_error_has_the_form_of_a_rest_error(run, line):
    info = error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="vectorline", metadata={"task_id": "x"})
    line.refusals["GetTask"].append(fake_line.Refusal(grpc.StatusCode.NOT_FOUND, "There is no task x.", (info,)))

    result = run("status", "x", "--json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert json.loads(result.stderr) == {
        "code": 5,
        "message": "There is no task x.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NOT_FOUND",
                "domain": "vectorline",
                "metadata": {"task_id": "x"},
            }
        ],
    }


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED])
def test_a_refused_key_is_the_caller_s_to_mend(run, line, code):
    line.refusals["GetTask"].append(fake_line.Refusal(code, "The key is refused."))

    result = run("status", "x")

    assert result.exit_code == 2
    assert "--api-key" in result.stderr
