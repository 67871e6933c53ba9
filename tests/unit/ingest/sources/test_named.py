"""What a request may name, and what it may not."""

import pathlib
from typing import Any

import pytest
from vectorline.v1 import ingest_pb2

from services.ingest import settings
from services.ingest.sources import named


def problems(allowed: dict[str, Any], **asked: Any) -> list[str]:
    """The fields that are refused."""
    client: Any = None  # nothing is asked of S3 here
    sources = named.Sources(client, settings.SourceSettings(s3_bucket_name="ours", **allowed).allowed)
    return [each.field for each in sources.problems(ingest_pb2.ProcessRequest(question_id=1, **asked))]


@pytest.mark.parametrize("key", ["a.csv", "exports/a.csv", "s3://ours/exports/uploads/a.csv"])
def test_a_key_of_the_own_bucket_is_taken(key: str) -> None:
    assert not problems({}, data_source="s3_csv", s3_key=key)


@pytest.mark.parametrize(
    "key",
    [
        "uploads/0/another-callers.csv",
        "/uploads/0/a.csv",
        "s3://ours/uploads/0/a.csv",
        "plans/0/plan.json",
        "rejects/0/0.jsonl",
        "exports/../uploads/0/a.csv",
        "./uploads/0/a.csv",
    ],
)
def test_what_the_line_keeps_for_callers_is_not_a_key(key: str) -> None:
    assert problems({}, data_source="s3_csv", s3_key=key) == ["s3_key"]


@pytest.mark.parametrize("key", ["s3://whole/any/thing.csv", "s3://part/exports/a.csv", "s3://part/exports/b/c.csv"])
def test_other_buckets_and_prefixes_are_taken_as_configured(key: str) -> None:
    assert not problems({"s3_allowed_buckets": "whole, part/exports/"}, data_source="s3_csv", s3_key=key)


@pytest.mark.parametrize(
    "key",
    [
        "s3://other/a.csv",
        "s3://part/a.csv",
        "s3://part/exports2/a.csv",
        "s3://part/private/exports/a.csv",
        "s3://part/exports/../private/a.csv",
        "s3://wholesale/a.csv",
    ],
)
def test_any_other_bucket_or_prefix_is_refused(key: str) -> None:
    allowed = {"s3_allowed_buckets": "whole,part/exports/"}
    assert problems(allowed, data_source="s3_csv", s3_key=key) == ["s3_key"]


def test_local_files_are_off_unless_they_are_on(tmp_path: pathlib.Path) -> None:
    assert problems({}, data_source="local_csv", s3_key="a.csv") == ["data_source"]
    allowed = {"use_local_files": True, "local_csv_folder": tmp_path}
    assert not problems(allowed, data_source="local_csv", s3_key="a.csv")
