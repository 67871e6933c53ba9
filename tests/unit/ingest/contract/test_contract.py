import datetime

import orjson
import pytest

from services.ingest import failures
from services.ingest.contract import contract, tokens
from tests.unit.ingest import support

HEAD = "id,formatted_text,created_at\n"


def test_every_bad_row_is_a_named_reject_and_no_neighbour_suffers() -> None:
    long_id = "i" * 511
    rows = [
        "1,good",
        ",a",
        "  ,a",
        "2,<b> </b>",
        "3",
        "4,a,b",
        f"{long_id},a",
        '"5',
        '",a',
        "9,good",
    ]
    loaded = support.load("\n".join(["id,formatted_text", *rows]))
    assert loaded.reasons() == {
        2: "missing_id", 3: "empty_id", 4: "empty_text", 5: "ragged_row", 6: "ragged_row", 7: "id_too_long",
        8: "bad_id",
    }  # fmt: skip
    assert [(row.row_number, row.vector_id) for row in loaded.rows()] == [(1, "7.1"), (9, "7.9")]
    chunk = loaded.chunks()[0]
    assert (chunk.rows, chunk.skipped, chunk.rejected) == (9, 0, 7)
    assert list(loaded.rejects()[4].cells) == ["4", "a", "b"]


def test_a_vector_id_of_512_bytes_is_taken() -> None:
    assert support.load(f"id,formatted_text\n{'é' * 255},a\n").reasons() == {}
    assert support.load(f"id,formatted_text\n{'é' * 256},a\n").reasons() == {1: "id_too_long"}


def test_later_rows_of_an_id_are_skipped_naming_the_first() -> None:
    loaded = support.load("id,formatted_text\na,1\nb,2\na,3\nA,4\na,5\n,6\n,7\n")
    chunk = loaded.chunks()[0]
    assert (chunk.rows, chunk.skipped, chunk.rejected) == (7, 2, 2)
    skipped = [row for row in loaded.rebuilt(1, 7) if row.skipped]
    assert [(row.row_number, row.reason) for row in skipped] == [(3, "duplicate_id"), (5, "duplicate_id")]
    assert "Row 1 " in skipped[1].message


def test_the_date_filter_skips_and_rejects() -> None:
    days = ["2024-12-31T23:59:59Z", "2025-01-01", "1/2/2025", "2025-01-03 10:00", "1-4-2025", "", "soon", "2025-02-30"]
    data = HEAD + "".join(f"{number},text,{day}\n" for number, day in enumerate(days, start=1))
    first, last = datetime.date(2025, 1, 1), datetime.date(2025, 1, 3)
    loaded = support.load(data, start_date=first, end_date=last, date_order="mdy")
    assert [row.row_number for row in loaded.rows()] == [2, 3, 4]
    assert loaded.reasons() == {6: "bad_date", 7: "bad_date", 8: "bad_date"}
    assert loaded.chunks()[0].skipped == 2


def test_only_rows_within_the_dates_compete_for_an_id() -> None:
    data = HEAD + "a,old,2024-01-01\na,no day,soon\na,new,2025-01-01\na,newer,2025-01-02\nb,x,2024-05-05\n"
    for chosen in ({"start_date": datetime.date(2025, 1, 1)}, {"end_date": datetime.date(2025, 1, 1)}):
        loaded = support.load(data, **chosen)
        again = loaded.rebuilt(1, 5)
        assert loaded.reasons() == {2: "bad_date"}
        assert loaded.plan.duplicates_total == 1
        taken = [row.row_number for row in loaded.rows()]
        assert taken == ([3] if "start_date" in chosen else [1, 5])
        first = taken[0]
        duplicate = next(row for row in again if row.reason == "duplicate_id")
        assert (duplicate.row_number, f"Row {first} " in duplicate.message) == (first + (1 if first == 3 else 2), True)
    once = data.replace("a,newer,2025-01-02\n", "")
    assert len(support.load(once, start_date=datetime.date(2025, 1, 1), on_duplicate="fail").rows()) == 1


def test_ids_that_differ_in_case_or_blanks_are_different() -> None:
    loaded = support.load("id,formatted_text\na,1\n a,2\nA,3\na ,4\na,5\n")
    assert [row.vector_id for row in loaded.rows()] == ["7.a", "7. a", "7.A", "7.a "]
    assert "Row 1 has the same id and comes first" in loaded.rebuilt(5, 1)[0].message


def test_text_over_8192_tokens_is_rejected_or_truncated() -> None:
    fits, long = "dog " * 8_191 + "dog", "dog " * 8_200
    data = f"id,formatted_text\n1,{fits}\n2,{long}\n3,{'日本 ' * 9_000}\n4,{'a' * 8_192}\n"
    assert support.load(data).reasons() == {2: "text_too_long", 3: "text_too_long"}
    rows = support.load(data, on_long_text="truncate", metadata="legacy").rows()
    assert [row.row_number for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert not tokens.over_limit(row.text)
    assert rows[1].text == fits
    assert rows[2].text.startswith("日本 日本")
    assert "\ufffd" not in rows[2].text


@pytest.mark.parametrize(("size", "fits"), [(40_000, True), (41_000, False)])
@pytest.mark.parametrize("filler", ["x", '"'])
def test_metadata_over_40_kb_as_json_is_rejected(size: int, fits: bool, filler: str) -> None:
    cell = filler * (size if filler == "x" else size // 2)
    loaded = support.load(f'id,formatted_text,big\n1,a,"{cell.replace(chr(34), chr(34) * 2)}"\n')
    assert loaded.reasons() == ({} if fits else {1: "metadata_too_large"})


def test_metadata_of_exactly_40_kb_are_taken() -> None:
    base = "id,formatted_text,big\n1,a,{}\n"
    size = len(orjson.dumps(support.load(base.format("")).metadata()[0] | {"big": ""}))
    size -= len(".0" * 3)  # chunk_id, record_index and question_id count as whole numbers
    fits = "é" * ((40_960 - size) // 2) + "x" * ((40_960 - size) % 2)
    assert support.load(base.format(fits)).reasons() == {}
    rejected = support.load(base.format(fits + "x"))
    assert rejected.reasons() == {1: "metadata_too_large"}
    assert "40,961 bytes" in rejected.rejects()[0].message


def test_columns_that_are_left_out_count_for_nothing_but_are_still_used() -> None:
    data = f"{HEAD.strip()},big\n1,a,2025-01-01,{'x' * 50_000}\n"
    loaded = support.load(
        data, exclude_columns=("big", "id", "formatted_text", "created_at"), start_date=datetime.date(2025, 1, 1)
    )
    assert not {"big", "id", "formatted_text", "created_at"} & set(loaded.metadata()[0])
    for chosen in ({"metadata_columns": ("absent",)}, {"exclude_columns": ("absent",)}, {"text_template": "{absent}"}):
        with pytest.raises(failures.FileFailure, match="no column 'absent'"):
            support.load(data, **chosen)


def test_a_template_replaces_the_text_column() -> None:
    loaded = support.load("ID,id,A b\nx,1,y\n", text_template="{A b}/{ID}")
    assert loaded.rows()[0].text == "y/x"
    assert loaded.metadata()[0]["ID"] == "x"


def test_the_judgement_needs_nothing_but_the_row() -> None:
    assert contract.Contract(
        ("id", "formatted_text"), ("string", "string"), support.load("id,formatted_text\n").options
    )
