import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.contract import metadata
from tests.unit.ingest import support

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(name=TEXT, value=st.one_of(TEXT, st.booleans(), st.floats(allow_nan=False), st.lists(TEXT)))
def test_an_entry_is_what_protobuf_writes(name: str, value: str | float | bool | list[str]) -> None:
    expected = struct_pb2.Struct()
    expected[name] = value  # type: ignore[assignment]  # lists of texts are Values too
    assert metadata.Field(name).any(value) == expected.SerializeToString()


@pytest.mark.parametrize("size", [0, 1, 127, 128, 511, 512, 16_383, 16_384, 2_097_152])
def test_lengths_around_the_steps_of_varints_are_right(size: int) -> None:
    field = metadata.Field("k" * 130)
    for _ in range(2):
        assert support.struct(field.string("x" * size)) == {"k" * 130: "x" * size}


def test_typed_metadata_follow_the_whole_column() -> None:
    data = (
        "id,formatted_text,n,f,b,zip,mixed,big,nan,empty,exp\n"
        "1,one,1,-1.5,TRUE,00123,1,9007199254740993,1,,1e3\n"
        "2,two,,2,false,4,x,1,NaN,  ,1e999\n"
    )
    first, second = support.load(data).metadata()
    assert (first["n"], first["f"], first["b"]) == (1.0, -1.5, True)
    assert (first["zip"], first["mixed"], first["big"], first["nan"], first["exp"]) == (
        "00123", "1", "9007199254740993", "1", "1e3",
    )  # fmt: skip
    assert (second["f"], second["b"]) == (2.0, False)
    assert not {"n", "empty", "id", "formatted_text"} & set(second)


def test_the_rows_own_place_is_in_its_metadata() -> None:
    made = support.load("id,formatted_text\na,one\nb,<i>two</i>\n").metadata()[1]
    assert made == {
        "text": "two", "source": "upload", "s3_key": "things.csv", "chunk_id": 0.0, "record_index": 1.0,
        "task_id": "task-1", "question_id": 7.0, "row_id": "b", "processed_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip


def test_colliding_columns_are_kept_under_another_name() -> None:
    made = support.load("id,formatted_text,text,source,csv_source,$price\n1,a,b,c,d,9\n").metadata()[0]
    assert (made["text"], made["csv_text"], made["source"], made["csv_source"]) == ("a", "b", "upload", "d")
    assert (made["csv_csv_source"], made["csv_$price"]) == ("c", 9.0)


def test_legacy_metadata_are_strings_and_the_text_is_cut() -> None:
    made = support.load(f"id,formatted_text,n\n1,{'x' * 1_500},5\n", metadata="legacy").metadata()[0]
    assert (made["n"], made["question_id"], made["chunk_id"], made["record_index"]) == ("5", "7", "0", "0")
    assert len(made["text"]) == 1_000


def test_columns_are_chosen_and_excluded() -> None:
    data = "id,formatted_text,a,b,c\n1,t,x,y,z\n"
    ours = set(metadata.RESERVED)
    assert set(support.load(data, metadata_columns=("b", "id")).metadata()[0]) - ours == {"b"}
    assert set(support.load(data, exclude_columns=("b",)).metadata()[0]) - ours == {"a", "c"}


def test_what_precedes_strings_is_kept_for_so_many_lengths_only() -> None:
    """Many columns with cells of many lengths once held 216 MB for ever."""
    chosen = support.options.Options(data_source="upload", question_id=7)
    for columns in (10, 3_000):
        names = ("id", "formatted_text", *(f"c{number}" for number in range(columns)))
        encoder = metadata.Encoder(names, ("string",) * len(names), chosen)
        for length in range(1, 700, 7):
            cells = ["1", "a", *["x" * length] * columns]
            made = support.struct(encoder.row(cells, "a", "1", 0))
            assert made["c7"] == "x" * length
        kept = sum(len(field._before) for _, field, _, _ in encoder._columns)
        assert kept <= 65_536


def fetched(made: dict[str, object], common: dict[str, object]) -> dict[str, object]:
    """A record as the index gives it back: in no order that anybody knows."""
    return dict(sorted({**common, **made}.items(), reverse=True))


@pytest.mark.parametrize(
    ("header", "cells", "options"),
    [
        ("id,formatted_text,b,a,c", "1,Some text,x,12.5,true", {}),
        ("c,a,formatted_text,id,b", "true,12.5,Some text,1,x", {"column_types": ("a:number", "b:list(;)")}),
        ("id,formatted_text,b,text_truncated,a", "1,Some text,x,yes,2", {"metadata": "legacy"}),
        ("id,formatted_text,b,a", f"1,{'long ' * 9_000},x,1", {"on_long_text": "truncate"}),
        ("id,formatted_text,text,row_id", "1,Some text,own,7", {}),
    ],
    ids=["typed", "declared", "legacy", "cut", "ours"],
)
def test_a_record_says_what_is_hashed_of_the_row_that_it_was_made_of(
    header: str, cells: str, options: dict[str, object]
) -> None:
    """Whatever the order of its file's columns: nobody asks the file, or its plan."""
    loaded = support.load(f"{header}\n{cells}\n", **options)
    (message,) = loaded.messages()
    (row,) = message.rows
    record = json_format.MessageToDict(struct_pb2.Struct.FromString(row.metadata + message.common_metadata))
    judge = loaded.plan.row_contract(loaded.options)
    hashed = judge.encoder.lasting_common(judge.common(loaded.task, 0)) + metadata.lasting(row.metadata)
    assert metadata.lasting_of(fetched(record, {})) == hashed
    assert metadata.lasting_of(fetched(record, {"task_id": "another", "record_index": 99.0})) == hashed
    assert metadata.lasting_of(fetched(record, {"more": "x"})) != hashed


def test_what_no_row_has_is_hashed_as_none() -> None:
    assert metadata.lasting_of({"a": {"nested": 1}}) is None
    assert metadata.lasting_of({"a": [1.0]}) is None


@pytest.mark.parametrize(
    ("record", "whole"),
    [
        ({"text": "t" * 999, "question_id": "7"}, True),
        ({"text": "t" * 1_000, "question_id": "7"}, False),  # the predecessor may have cut it
        ({"text": "t" * 1_000}, False),  # nobody knows who wrote it
        ({"text": "t" * 1_000, "question_id": 7.0, "record_index": 0.0}, True),
        ({"text": "t", "question_id": 7.0, "record_index": 0.0, "text_truncated": True}, False),
        ({"text": ""}, False),
        ({"text": 5.0}, False),
        ({}, False),
    ],
)
def test_a_text_is_whole_only_where_nobody_may_have_cut_it(record: dict[str, object], *, whole: bool) -> None:
    assert metadata.whole_text(record) == (record["text"] if whole else None)
