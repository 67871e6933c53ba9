import datetime

import pydantic
import pytest
from vectorline.v1 import ingest_pb2

from services.ingest import settings
from services.ingest.request import options, types
from services.runtime import errors

GOOD = {"data_source": "s3_csv", "s3_key": "a.csv", "question_id": 232}


def made(**fields: object) -> options.Options:
    return options.Options.from_request(ingest_pb2.ProcessRequest(**{**GOOD, **fields}), options.Defaults())


def refused(**fields: object) -> dict[str, str]:
    with pytest.raises(errors.InvalidArgument) as caught:
        made(**fields)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_absent_fields_take_the_defaults_of_the_contract() -> None:
    chosen = made()
    assert (chosen.chunk_size, chosen.namespace, chosen.priority, chosen.mode) == (1_000, "v2", "normal", "upsert")
    assert (chosen.sanitizer, chosen.metadata, chosen.on_duplicate, chosen.on_long_text) == (
        "clean", "typed", "first", "reject",
    )  # fmt: skip
    assert (chosen.id_column, chosen.text_column, chosen.date_column) == ("id", "formatted_text", "created_at")


def test_a_stored_request_reads_back_as_the_same_options() -> None:
    chosen = made(
        start_date="2024-02-29", delimiter="tab", encoding="windows-1252", text_template="{a b}",
        metadata_columns=["x"], skip_lines=0, null_values=[" NULL ", ""], column_types=["a:list(:)"],
        time_zone="Europe/Zurich",
    )  # fmt: skip
    assert chosen.start_date == datetime.date(2024, 2, 29)
    assert (chosen.delimiter, chosen.encoding) == ("\t", "cp1252")
    assert options.Options.from_request(chosen.to_request(), options.Defaults()) == chosen


def test_every_bad_field_is_named_at_once() -> None:
    fields = {
        "data_source": "ftp", "question_id": -1, "start_date": "2025-02-30", "end_date": "1/2/2025", "batch_size": 99,
        "chunk_size": 100_001, "namespace": "a\nb", "priority": "urgent", "mode": "replace", "sanitizer": "bleach",
        "metadata": "none", "text_template": "{open", "on_duplicate": "last", "on_long_text": "cut", "delimiter": "::",
        "encoding": "klingon", "metadata_columns": ["x"], "exclude_columns": ["x"], "id_column": " ",
        "request_id": "é" * 129, "quoting": "some", "on_ragged": "cut", "skip_lines": 101, "header": "last",
        "null_values": ["x"] * 101, "column_types": ["a:date"], "date_order": "mm", "time_zone": "Mars/Base",
        "on_bad_id": "hash", "store_text": "half",
    }  # fmt: skip
    assert set(refused(**fields)) == set(fields) - {"metadata_columns"}


@pytest.mark.parametrize("encoding", ["base64", "rot13", "idna", "utf-7", "unicode_escape", "../x", "a\0b", "x" * 99])
def test_only_text_encodings_are_taken(encoding: str) -> None:
    assert "encoding" in refused(encoding=encoding)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"s3_key": ""}, "s3_key"),
        ({"s3_key": "s3://b"}, "s3_key"),
        ({"s3_key": "http://b/c"}, "s3_key"),
        ({"data_source": "local_csv", "s3_key": ""}, "s3_key"),
        ({"data_source": "upload"}, "upload_id"),
        ({"data_source": ""}, "data_source"),
        ({"question_id": None}, "question_id"),
        ({"start_date": "2025-01-02", "end_date": "2025-01-01"}, "end_date"),
        ({"namespace": "n" * 513}, "namespace"),
    ],
)
def test_what_a_source_needs_is_asked_for(fields: dict[str, object], field: str) -> None:
    assert set(refused(**fields)) == {field}


@pytest.mark.parametrize("days", [{"start_date": "2025-01-01"}, {"end_date": "2025-01-01"}])
def test_a_mirror_takes_all_of_a_file(days: dict[str, object]) -> None:
    """Rows outside of the days would look as if they were gone. A question of Metabase is asked for its days anyway."""
    assert set(refused(mode="mirror", **days)) == {"mode"}
    assert made(mode="mirror").mode == "mirror"
    assert made(mode="mirror", data_source="metabase", start_date="2025-01-01").mode == "mirror"


def test_a_mirror_needs_to_know_what_is_in_the_index() -> None:
    request = ingest_pb2.ProcessRequest(data_source="s3_csv", s3_key="a.csv", question_id=1, mode="mirror")
    with pytest.raises(errors.InvalidArgument, match="SKIP_UNCHANGED"):
        options.Options.from_request(request, options.Defaults(mirrors=False))


def test_metabase_takes_the_question_of_the_configuration() -> None:
    request = ingest_pb2.ProcessRequest(data_source="metabase", start_date="2025-01-01")

    chosen = options.Options.from_request(request, options.Defaults(metabase_question_id=232))

    assert chosen.question_id == 232


def test_metabase_filters_by_its_own_query_and_not_by_a_column() -> None:
    chosen = made(data_source="metabase", s3_key="", start_date="2025-01-01")

    assert not chosen.dated
    assert made(start_date="2025-01-01").dated
    assert set(refused(data_source="metabase", s3_key="")) == {"start_date"}


@pytest.mark.parametrize(
    ("entry", "name", "kind"),
    [
        ("price:number", "price", types.Declared("number")),
        (" zip :string", "zip", types.Declared("string")),
        ("a:b:timestamp", "a:b", types.Declared("timestamp")),
        ("tags:list(|)", "tags", types.Declared("list", "|")),
        ("tags:list(:)", "tags", types.Declared("list", ":")),
        ("tags:list())", "tags", types.Declared("list", ")")),
        ("x:list(a):boolean", "x:list(a)", types.Declared("boolean")),
    ],
)
def test_declared_types_name_a_column_and_a_type(entry: str, name: str, kind: types.Declared) -> None:
    assert types.parse([entry]) == {name: kind}
    assert entry.endswith(f":{kind}")


@pytest.mark.parametrize("entries", [["price"], [":number"], ["a:date"], ["a:list()"], ["a:number", "a:string"]])
def test_what_declares_no_type_is_said(entries: list[str]) -> None:
    with pytest.raises(types.TypesError, match=r"name:type|say one"):
        types.parse(entries)


@pytest.mark.parametrize(
    "key", ["a b.csv", "a\u00a0b\u3000c.csv", "Ärger/cafe\u0301.csv", "👨‍👩‍👧.csv", "x\u200b.csv", "a" * 1_024]
)
def test_any_key_that_a_bucket_has_can_be_named(key: str) -> None:
    assert made(s3_key=key).s3_key == key


@pytest.mark.parametrize("key", ["a" * 1_025, "é" * 513, "a\0b"])
def test_a_key_that_no_bucket_has_is_refused(key: str) -> None:
    assert "s3_key" in refused(s3_key=key)


@pytest.mark.parametrize("name", ["größe", "a\tb", "\x7f", "x" * 513, "a\u00a0b", " "])
def test_a_namespace_that_the_index_refuses_is_refused_by_name(name: str) -> None:
    assert set(refused(namespace=name)) == {"namespace"}
    with pytest.raises(pydantic.ValidationError, match="printable ASCII"):
        settings.RequestSettings(PINECONE_NAMESPACE=name)
