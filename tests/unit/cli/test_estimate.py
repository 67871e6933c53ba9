from __future__ import annotations

import hashlib
import json

import grpc
from vectorline.v1 import ingest_pb2

from tests.unit.cli import fake_line


def answer(**more: object) -> ingest_pb2.EstimateResponse:
    made = ingest_pb2.EstimateResponse(
        rows=1_000,
        usable=990,
        skipped=4,
        rejected=6,
        tokens=64_000,
        billed_tokens=60_000,
        price_usd=0.0012,
        tokens_per_text=ingest_pb2.TokenProfile(min=3, median=60, p95=120, max=400, mean=64.6),
        requests=1,
        duration_seconds=0.2,
        chunks=1,
        model="text-embedding-3-small",
        encoding="utf-8",
        delimiter="\t",
        newline="lf",
        size_bytes=123_456,
        columns=[ingest_pb2.Column(name="id", type="string")],
        namespace_check=ingest_pb2.NamespaceCheck(namespace="v2", dimension=1536),
    )
    group = made.rejects.add(reason="empty_text", rows=6)
    group.samples.add(row_number=17, reason="empty_text", message="The row has no text.")
    made.MergeFrom(ingest_pb2.EstimateResponse(**more))
    return made


def test_a_local_file_is_sent_once_and_told_how_to_go_on(run, line, tmp_path):
    file = tmp_path / "catalogue.csv"
    file.write_bytes(b"id,formatted_text\n1,a\n")
    line.answers["Process"] = ingest_pb2.ProcessResponse(
        upload_id=fake_line.TASK_ID, estimate=answer(upload_id=fake_line.TASK_ID)
    )

    result = run("estimate", str(file), "--question-id", "232", "--delimiter", "tab")

    assert result.exit_code == 0, result.stderr
    assert (line.requests[0].estimate, line.requests[0].question_id, line.requests[0].delimiter) == (True, 232, "\t")
    assert line.upload_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "1,000 read: 990 usable, 4 skipped" in result.stdout
    assert "row 17: The row has no text." in result.stdout
    assert "$0.001200 with text-embedding-3-small" in result.stdout
    assert f"vectorline process upload:{fake_line.TASK_ID}" in result.stdout


def test_an_object_is_estimated_where_it_is(run, line):
    line.answers["Estimate"] = answer()

    document = json.loads(run("estimate", "s3://bucket/a.csv", "--question-id", "1", "--json").stdout)

    assert line.calls == ["Estimate"]
    assert (line.requests[0].data_source, line.requests[0].s3_key) == ("s3_csv", "s3://bucket/a.csv")
    assert (document["tokens"], document["rejects"][0]["samples"][0]["row_number"]) == (64_000, 17)
    assert "upload_id" not in document


def test_an_earlier_upload_is_named_by_its_id(run, line):
    line.answers["Estimate"] = answer()
    run("estimate", f"upload:{fake_line.TASK_ID}", "--question-id", "1")
    run("process", f"upload:{fake_line.TASK_ID}", "--question-id", "1")

    assert line.calls == ["Estimate", "Process"]
    assert [(each.data_source, each.upload_id) for each in line.requests] == [("upload", fake_line.TASK_ID)] * 2


def test_rows_that_would_cost_nothing_are_told(run, line):
    line.answers["Estimate"] = answer(skipped=904, unchanged=900, usable=90)
    result = run("estimate", "s3://bucket/a.csv", "--question-id", "1")
    assert "1,000 read: 90 usable, 904 skipped (900 unchanged)" in result.stdout


def test_what_a_mirror_would_remove_is_told(run, line):
    line.answers["Estimate"] = answer(removed=1_234)
    done = run("estimate", "s3://exports/items.csv", "--question-id", "232", "--mode", "mirror")
    assert "1,234 vectors" in done.output
    assert line.requests[-1].mode == "mirror"


def test_a_namespace_that_refuses_is_said_and_is_no_success(run, line):
    check = ingest_pb2.NamespaceCheck(problem="Namespace 'v2' holds vectors of ada.")
    line.answers["Estimate"] = answer(namespace_check=check)

    result = run("estimate", "s3://bucket/a.csv", "--question-id", "1")

    assert result.exit_code == 1
    assert "holds vectors of ada" in result.stdout


def test_what_is_not_known_is_not_invented(run, line):
    found = answer()
    found.ClearField("price_usd")
    found.ClearField("duration_seconds")
    line.answers["Estimate"] = found

    result = run("estimate", "s3://bucket/a.csv", "--question-id", "1")

    assert "not known of text-embedding-3-small" in result.stdout
    assert "no limit that would make it wait" in result.stdout


def test_a_file_that_no_task_could_load_ends_with_its_reason(run, line):
    line.refusals["Estimate"].append(fake_line.Refusal(grpc.StatusCode.INVALID_ARGUMENT, "A quote is open at row 7."))

    result = run("estimate", "s3://bucket/a.csv", "--question-id", "1")

    assert result.exit_code == 2
    assert "A quote is open at row 7." in result.stderr


def test_what_may_not_be_as_meant_is_said(run, line):
    warning = {"code": "encoding_guessed", "message": "The encoding cp1252 is a guess.", "count": 3}
    line.answers["Estimate"] = answer(encoding="cp1252", warnings=[warning], encoding_guessed=True)
    result = run("estimate", "s3://bucket/a.csv", "--question-id", "1")

    assert result.exit_code == 0, result.stderr
    assert "The encoding cp1252 is a guess. (encoding_guessed)" in result.stdout
    assert "cp1252 (guessed; --encoding declares it)" in result.stdout
