from __future__ import annotations

import hashlib
import json
import os
import random
import re
import threading
import uuid

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.unit.cli import fake_line
from vectorline_client import content


@pytest.fixture
def big_file(tmp_path):
    file = tmp_path / "catalogue.csv"
    file.write_bytes(random.Random(1).randbytes(5 * 2**20 + 17))
    return file


def test_a_local_file_is_streamed_whole_in_messages_of_one_mebibyte(run, line, big_file):
    result = run("process", str(big_file), "--question-id", "232", "--namespace", "v2")

    assert result.exit_code == 0, result.stderr
    assert line.upload_sha256 == hashlib.sha256(big_file.read_bytes()).hexdigest()
    assert max(line.upload_sizes) == 2**20
    assert len(line.upload_sizes) == 6
    assert fake_line.TASK_ID in result.stdout


def test_the_first_message_of_an_upload_carries_every_option(run, line, big_file):
    options = {
        "--question-id": "232",
        "--namespace": "v3",
        "--id-column": "page_id",
        "--text-column": "name",
        "--text-template": "{name} {eye}",
        "--chunk-size": "500",
        "--sanitizer": "legacy",
        "--metadata": "legacy",
        "--priority": "high",
        "--delimiter": "tab",
        "--encoding": "cp1252",
        "--start-date": "2025-01-01",
        "--end-date": "2025-12-31",
        "--date-column": "made",
        "--mode": "mirror",
        "--on-duplicate": "fail",
        "--on-long-text": "truncate",
        "--metadata-columns": "a, b",
        "--exclude-columns": "c",
        "--request-id": "once",
        "--quoting": "backslash",
        "--on-ragged": "pad",
        "--skip-lines": "0",
        "--header": "none",
        "--date-order": "dmy",
        "--time-zone": "Europe/Zurich",
        "--on-bad-id": "escape",
        "--store-text": "none",
    }
    repeated = ["--null", "NULL", "--null", "N/A", "--column-type", "a:list(|)", "--column-type", "b:number"]
    run("process", str(big_file), *repeated, *(part for option in options.items() for part in option))

    first = line.requests[0]
    assert first.filename == "catalogue.csv"
    assert (first.question_id, first.namespace, first.chunk_size) == (232, "v3", 500)
    assert (first.id_column, first.text_column, first.text_template) == ("page_id", "name", "{name} {eye}")
    assert (first.sanitizer, first.metadata, first.priority) == ("legacy", "legacy", "high")
    assert (first.delimiter, first.encoding) == ("\t", "cp1252")
    assert (first.start_date, first.end_date, first.date_column) == ("2025-01-01", "2025-12-31", "made")
    assert (first.on_duplicate, first.on_long_text, first.request_id) == ("fail", "truncate", "once")
    assert first.mode == "mirror"
    assert (list(first.metadata_columns), list(first.exclude_columns)) == (["a", "b"], ["c"])
    assert (first.quoting, first.on_ragged, first.header, first.date_order) == ("backslash", "pad", "none", "dmy")
    assert (first.HasField("skip_lines"), first.skip_lines) == (True, 0)
    assert (first.time_zone, first.on_bad_id, first.store_text) == ("Europe/Zurich", "escape", "none")
    assert (list(first.null_values), list(first.column_types)) == (["NULL", "N/A"], ["a:list(|)", "b:number"])


def test_options_that_were_not_given_are_absent_so_that_the_line_s_defaults_hold(run, line, big_file):
    run("process", str(big_file))

    first = line.requests[0]
    assert not first.HasField("question_id")
    assert not first.HasField("chunk_size")
    assert first.namespace == first.sanitizer == first.priority == ""


def test_an_empty_file_is_sent_so_that_the_line_says_what_is_wrong_with_it(run, line, tmp_path):
    (tmp_path / "empty.csv").touch()

    run("process", "empty.csv")

    assert line.upload_sizes == [0]
    assert line.requests[0].filename == "empty.csv"


def test_every_request_has_an_idempotency_key_of_its_own(run, line):
    run("process", "s3://bucket/a.csv")
    run("process", "s3://bucket/a.csv")

    first, second = (uuid.UUID(request.request_id) for request in line.requests)
    assert first != second


@pytest.mark.parametrize(
    ("source", "key"),
    [("s3://bucket/in/a.csv", "s3://bucket/in/a.csv"), ("key:in/a.csv", "in/a.csv"), ("key:key:x", "key:x")],
)
def test_an_object_in_s3_is_named_as_such(run, line, source, key):
    result = run("process", source, "--question-id", "1")

    assert result.exit_code == 0
    assert line.calls == ["Process"]
    assert (line.requests[0].data_source, line.requests[0].s3_key) == ("s3_csv", key)


@pytest.mark.parametrize("command", ["process", "estimate"])
@pytest.mark.parametrize(
    "source", ["bikse.csv", "data\\bikes.csv", "s3:/b/k", "./a.csv", "/nowhere/a.csv", ".", "a\0b"]
)
def test_a_mistyped_name_is_a_usage_error_and_no_key(run, line, command, source):
    result = run(command, source)

    assert result.exit_code == 2
    assert line.calls == []
    assert source == "." or "key:" in result.stderr


def test_standard_input_is_an_upload(run, line):
    result = run("process", "-", "--question-id", "1", input="id,formatted_text\n1,a\n")

    assert result.exit_code == 0, result.stderr
    assert line.requests[0].filename == "stdin.csv"
    assert line.upload_sha256 == hashlib.sha256(b"id,formatted_text\n1,a\n").hexdigest()


def test_a_named_pipe_is_an_upload(run, line, tmp_path):
    content = random.Random(2).randbytes(3 * 2**20)
    pipe = tmp_path / "items.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    result = run("process", "items.csv")
    writer.join(timeout=30)

    assert result.exit_code == 0, result.stderr
    assert line.requests[0].filename == "items.csv"
    assert line.upload_sha256 == hashlib.sha256(content).hexdigest()


def test_process_and_estimate_take_the_same_options_of_a_load(run):
    def options(command: str) -> set[str]:
        return set(re.findall(r"--[a-z-]+", run(command, "--help").stdout))

    assert options("process") - options("estimate") == {"--watch", "--no-watch", "--priority", "--request-id"}
    assert not options("estimate") - options("process")
    assert {"--quoting", "--skip-lines", "--null", "--column-type", "--date-order"} <= options("estimate")


@pytest.mark.parametrize("flag", [["--chunk-size", "-1"], ["--question-id", "9999999999"], ["--priority", "urgent"]])
def test_a_value_that_no_message_can_carry_is_a_usage_error(run, line, flag):
    assert run("process", "s3://bucket/a.csv", *flag).exit_code == 2
    assert line.calls == []


def test_a_file_that_cannot_be_read_to_its_end_makes_no_task(run, line, big_file, monkeypatch):
    real = content._read

    def breaks_after_two(read):
        pieces = real(read)
        yield next(pieces)
        yield next(pieces)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(content, "_read", breaks_after_two)
    line.break_off_seconds = 30
    result = run("process", str(big_file))

    assert result.exit_code == 2
    assert "cannot be read: Input/output error" in result.stderr
    assert "Traceback" not in result.stderr
    assert line.upload_sha256 == ""


def test_a_refused_upload_names_every_bad_field(run, line, big_file):
    violations = error_details_pb2.BadRequest(
        field_violations=[
            {"field": "question_id", "description": "is needed for a CSV"},
            {"field": "namespace", "description": "has 600 characters, at most 512"},
        ]
    )
    line.refusals["Upload"].append(
        fake_line.Refusal(grpc.StatusCode.INVALID_ARGUMENT, "2 fields are wrong.", (violations,))
    )
    result = run("process", str(big_file))

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "✗ 2 fields are wrong.",
        "  question_id: is needed for a CSV",
        "  namespace: has 600 characters, at most 512",
    ]


def test_with_watch_the_exit_code_is_the_task_s(run, line, big_file):
    line.watches.append(
        [
            fake_line.task("processing"),
            fake_line.task("processing_chunks", total=10, indexed=4),
            fake_line.task("partially_completed", total=10, indexed=7, skipped=1, failed=2),
        ]
    )
    result = run("process", str(big_file), "--watch")

    assert result.exit_code == 1
    assert f"vectorline rejects {fake_line.TASK_ID}" in result.stdout
    assert "rows read" in result.stdout
    assert all(line == line.rstrip() and len(line) < 120 for line in result.stdout.splitlines())


def test_with_json_stdout_holds_one_document_a_line_and_nothing_else(run, line, big_file):
    line.watches.append([fake_line.task("processing"), fake_line.task("completed", total=3, indexed=3)])

    result = run("process", str(big_file), "--watch", "--json")

    stored, scanning, done = map(json.loads, result.stdout.splitlines())
    assert result.exit_code == 0
    assert stored["task_id"] == fake_line.TASK_ID
    assert scanning["progress"]["processed_records"] == 0
    assert (done["status"], done["progress"]["processed_records"]) == ("completed", 3)
    assert result.stderr == ""
