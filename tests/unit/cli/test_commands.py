from __future__ import annotations

import datetime
import io
import json
import types

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from rich import console
from vectorline.v1 import embedder_pb2, indexer_pb2, ingest_pb2

from cli import main, render
from tests.unit.cli import fake_line


def match(vector_id: str, score: float, **metadata: object) -> embedder_pb2.Match:
    return embedder_pb2.Match(id=vector_id, score=score, metadata=json_format.ParseDict(metadata, struct_pb2.Struct()))


def test_status_prints_the_task_with_zeros_and_proto_names_as_json(run, line):
    line.answers["GetTask"] = fake_line.task("processing_chunks", total=9, indexed=3)

    document = json.loads(run("status", fake_line.TASK_ID, "--json").stdout)

    assert document["progress"]["total_records"] == 9
    assert document["progress"]["failed_records"] == 0
    assert document["status"] == "processing_chunks"
    assert "completed_at" not in document


def test_tasks_pages_until_the_limit_and_passes_the_filters_on(run, line):
    def page(request: indexer_pb2.ListTasksRequest) -> indexer_pb2.ListTasksResponse:
        count = min(request.page_size, 1000)
        return indexer_pb2.ListTasksResponse(tasks=[fake_line.task()] * count, next_page_token="more")

    line.answers["ListTasks"] = page

    result = run("tasks", "--status", "completed", "--type", "upload", "--limit", "1500", "--json")

    assert len(result.stdout.splitlines()) == 1500
    assert [request.page_size for request in line.requests] == [1000, 500]
    assert [request.page_token for request in line.requests] == ["", "more"]
    assert (line.requests[0].status_filter, line.requests[0].task_type) == ("completed", "upload")


def test_tasks_shows_whole_ids_in_a_pipe(run, line):
    line.answers["ListTasks"] = indexer_pb2.ListTasksResponse(tasks=[fake_line.task(total=1200, indexed=1200)])

    result = run("tasks")

    assert fake_line.TASK_ID in result.stdout
    assert "1,200" in result.stdout
    assert "catalogue.csv" in result.stdout


def test_a_narrow_terminal_shows_whole_ids_too():
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    running = fake_line.seen(fake_line.task("partially_completed", total=100_000, indexed=45_000, failed=123))
    narrow = console.Console(file=io.StringIO(), width=80)

    narrow.print(render.tasks_table([running], now, 80))

    shown = narrow.file.getvalue().splitlines()[1]
    assert all(word in shown for word in (fake_line.TASK_ID, "partially_completed", "45,123/100,000", "123"))


def test_cancel_says_where_the_task_stands(run, line):
    line.answers["GetTask"] = fake_line.task("cancelled", total=9, indexed=3)

    result = run("cancel", fake_line.TASK_ID)

    assert result.exit_code == 0
    assert line.calls == ["CancelTask", "GetTask"]
    assert "is cancelled; 3 rows have an outcome" in result.stdout


def test_cancelling_what_is_finished_is_refused(run, line):
    line.refusals["CancelTask"].append(fake_line.Refusal(grpc.StatusCode.ABORTED, "The task is finished."))

    assert run("cancel", fake_line.TASK_ID).exit_code == 2


def test_retry_names_the_new_task(run, line):
    line.answers["RetryTask"] = ingest_pb2.ProcessResponse(task_id="new", status="pending", message="It will run.")

    result = run("retry", fake_line.TASK_ID, "--all")

    assert result.exit_code == 0
    assert line.requests[0].all
    assert "Task new is pending." in result.stdout


def test_rejects_go_to_stdout_byte_by_byte(run, line):
    line.rejects = [b"id,row_number,reason\n", "ä,2,empty_text\r\n".encode()]

    result = run("rejects", fake_line.TASK_ID, "--include", "skipped")

    assert result.stdout_bytes == b"".join(line.rejects)
    assert (line.requests[0].format, line.requests[0].include) == ("csv", "skipped")


def test_rejects_can_be_written_to_a_file(run, line, tmp_path):
    line.rejects = [b"{}\n", b"{}\n"]

    result = run("rejects", fake_line.TASK_ID, "--format", "jsonl", "-o", "bad.jsonl")

    assert result.exit_code == 0
    assert (tmp_path / "bad.jsonl").read_bytes() == b"{}\n{}\n"
    assert line.requests[0].format == "jsonl"


def test_rejects_that_break_off_leave_no_half_file(run, line, tmp_path):
    line.rejects = [b"id\n", fake_line.BREAK]

    result = run("rejects", fake_line.TASK_ID, "-o", "bad.csv")

    assert result.exit_code == 3
    assert list(tmp_path.iterdir()) == []


def test_search_sends_the_filter_and_shows_the_text(run, line):
    line.answers["Search"] = embedder_pb2.SearchResponse(
        matches=[match("232.7", 0.8125, text="A spade for heavy clay.", category="garden", price=29.5, task_id="t")]
    )

    result = run("search", "dig a hole", "--top-k", "3", "--namespace", "demo", "--filter", '{"price": {"$lt": 30}}')

    request = line.requests[0]
    assert (request.text, request.top_k, request.namespace) == ("dig a hole", 3, "demo")
    assert json_format.MessageToDict(request.filter) == {"price": {"$lt": 30}}
    assert "232.7" in result.stdout
    assert "0.812" in result.stdout
    assert "A spade for heavy clay." in result.stdout
    assert "category garden · price 29.5" in result.stdout


@pytest.mark.parametrize("document", ["price", "[1]", '{"price": '])
def test_a_filter_that_is_no_json_object_is_a_usage_error(run, line, document):
    result = run("search", "x", "--filter", document)

    assert result.exit_code == 2
    assert line.calls == []


def test_text_of_a_row_cannot_steer_the_terminal(run, line):
    line.answers["Search"] = embedder_pb2.SearchResponse(matches=[match("1\x1b[2J", 1, text="\x1b]0;owned\x07 [red]x")])

    result = run("search", "x")

    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[red]x" in result.stdout


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("degraded", 1), ("unhealthy", 1)])
def test_health_exits_1_unless_healthy(run, line, status, code):
    line.answers["GetHealth"] = embedder_pb2.GetHealthResponse(status=status, services={"indexer": status})

    result = run("health")

    assert result.exit_code == code
    assert status in result.stdout


@pytest.mark.parametrize("code", [0, 1])
def test_init_runs_the_provisioning_and_keeps_its_exit_code(run, monkeypatch, code):
    asked: list[bool] = []

    def main(*, migrate):
        asked.append(migrate)
        return code

    module = types.SimpleNamespace(main=main)
    monkeypatch.setattr("importlib.import_module", {"services.indexer.provision": module}.__getitem__)

    assert [run("init").exit_code, run("init", "--migrate").exit_code] == [code, code]
    assert asked == [False, True]


def test_root_flags_are_understood_after_the_command_and_only_before_a_double_dash(run, line):
    run("search", "--api-key", "other", "--", "--json")

    assert line.requests[0].text == "--json"
    assert line.metadata[0]["x-api-key"] == "other"


def test_a_fault_of_the_command_is_told_without_a_traceback(run, monkeypatch):
    def fault(self, task_id):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("vectorline_client.Client.task", fault)

    result = run("status", "x")

    assert result.exit_code == 1
    assert "Unexpected ZeroDivisionError: oh" in result.stderr
    assert "Traceback" not in result.output


def test_the_root_help_documents_the_exit_codes(run):
    assert "3 the line cannot be reached" in " ".join(run("--help").stdout.split())
    assert main.app.info.name == "vectorline"


def test_an_empty_namespace_is_released(run, line):
    result = run("namespace", "release", "v2")

    assert [request.namespace for request in line.requests] == ["v2"]
    assert "Namespace v2 is free; it was held for ada (1536 values)." in result.stdout + result.stderr
    assert json.loads(run("namespace", "release", "v2", "--json").stdout)["model"] == "ada"
