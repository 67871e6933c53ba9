import datetime

import orjson
import pytest
import structlog

from services.ingest import failures
from services.ingest.contract import contract, metadata, tokens
from services.ingest.splitting import split
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
        '5",a',
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
    assert support.load(f"id,formatted_text\n{'i' * 510},a\n").reasons() == {}
    assert support.load(f"id,formatted_text\n{'i' * 511},a\n").reasons() == {1: "id_too_long"}


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


def test_ids_that_differ_in_case_or_inner_blanks_are_different() -> None:
    loaded = support.load("id,formatted_text\na b,1\n  a b,2\nA b,3\na b\u00a0,4\na  b,5\n")
    assert [(row.row_number, row.vector_id) for row in loaded.rows()] == [(1, "7.a b"), (3, "7.A b"), (5, "7.a  b")]
    assert [row["row_id"] for row in loaded.metadata()] == ["a b", "A b", "a  b"]
    for skipped in (loaded.rebuilt(2, 1)[0], loaded.rebuilt(4, 1)[0]):
        assert "Row 1 has the same id and comes first" in skipped.message


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
    assert support.load(base.format(fits)).metadata()[0]["text"] == "a"
    # What is too long by less than the text is, goes without it.
    shorter = support.load(base.format(fits + "x" * len('"text":"a",')))
    assert (shorter.reasons(), "text" in shorter.metadata()[0]) == ({}, False)
    rejected = support.load(base.format(fits + "x" * (1 + len('"text":"a",'))))
    assert rejected.reasons() == {1: "metadata_too_large"}
    assert "40,961 bytes" in rejected.rejects()[0].message
    for metadata_mode in ({"store_text": "none"}, {"metadata": "legacy"}):
        assert support.load(base.format("x" * 41_000), **metadata_mode).reasons() == {1: "metadata_too_large"}


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


def test_a_template_without_any_value_has_no_text() -> None:
    data = 'id,title,about\n1,A stool,red\n2,,\n3,A lamp,\n4," ",\u00a0\n5,<b></b>,&nbsp;\n6,n/a,-\n7,-,A rug\n'
    for sanitizer in ("clean", "none", "legacy"):
        loaded = support.load(data, text_template="{title}. {about}", null_values=("n/a", "-"), sanitizer=sanitizer)
        texts = {row.row_number: row.text for row in loaded.rows()}
        assert texts[1] == "A stool. red"
        assert loaded.reasons() == {number: "empty_text" for number in range(1, 8) if number not in texts}
        assert set(texts) == ({1, 3, 5, 7} if sanitizer == "none" else {1, 3, 7})  # tags not taken out are a text
    assert support.load("id,t\n1,x\n2,\n", text_template="Name: {t}").reasons() == {2: "empty_text"}


def test_null_values_are_neither_ids_nor_texts() -> None:
    data = "id,formatted_text\nNULL,a\n2,NULL\n 3 , NULL \nnull,b\nNULL,c\n"
    loaded = support.load(data, null_values=("NULL",))
    assert loaded.reasons() == {1: "missing_id", 2: "empty_text", 3: "empty_text", 5: "missing_id"}
    assert [row.vector_id for row in loaded.rows()] == ["7.null"]


def test_a_cell_that_excel_is_kept_from_retyping_is_its_content() -> None:
    data = 'id,formatted_text,zip\n"=""007""","=""a """"b"""" c""","=""00123"""\n007,again,1\n'
    data += '"=""8""&""9""",x,"=""1""&""2"""\n'
    loaded = support.load(data)
    assert [row.vector_id for row in loaded.rows()] == ["7.007", '7.="8"&"9"']
    assert loaded.rows()[0].text == 'a "b" c'
    assert [row["zip"] for row in loaded.metadata()] == ["00123", '="1"&"2"']
    assert loaded.rebuilt(2, 1)[0].reason == "duplicate_id"
    old = support.load(data, sanitizer="legacy", metadata="legacy")
    assert old.rows()[0].text == "a b c"
    assert old.metadata()[0]["zip"] == '="00123"'
    assert old.metadata()[0]["row_id"] == "007"


def test_a_date_that_excel_is_kept_from_retyping_is_a_date_in_the_scan_and_in_the_split() -> None:
    rows = ['"=""03/04/2024"""', '"=""25/04/2024"""', "03/05/2024"]
    data = HEAD + "".join(f"{number % 2},text,{day}\n" for number, day in enumerate(rows, start=1))
    loaded = support.load(data, start_date=datetime.date(2024, 4, 1), end_date=datetime.date(2024, 5, 30))
    assert [row.row_number for row in loaded.rows()] == [1, 2]
    assert loaded.rebuilt(3, 1)[0].reason == "duplicate_id"
    assert loaded.plan.date_orders == {"created_at": ("dmy",)}


def test_null_values_are_no_text_in_the_predecessors_mode_either() -> None:
    chosen = {"null_values": ("NULL",), "sanitizer": "legacy", "metadata": "legacy"}
    loaded = support.load("id,formatted_text,x\n1,NULL,a\n2,b,NULL\n", **chosen)
    assert loaded.reasons() == {1: "empty_text"}
    assert loaded.metadata()[0]["x"] == "NULL"


def test_the_copy_of_a_long_text_is_cut_to_what_fits_and_says_so() -> None:
    long = 'information about "Größe"\\ ' * 1_000
    cell = long.replace('"', '""')
    data = f'id,formatted_text,note,text_truncated\n1,"{cell}",{"n" * 20_000},x\n2,short,,\n'
    loaded = support.load(data, on_long_text="truncate", sanitizer="none")
    row, other = loaded.metadata()
    assert row["text_truncated"] is True
    assert "text_truncated" not in other
    assert row["csv_text_truncated"] == "x"
    assert loaded.rows()[0].text.startswith(row["text"])
    assert len(loaded.rows()[0].text) > len(row["text"])
    # Whole numbers count as such.
    size = len(orjson.dumps(row)) - len(".0" * 3)
    assert 40_960 - 30 < size <= 40_960
    assert [chunk.texts_cut for chunk in loaded.chunks()] == [1]
    assert loaded.chunks()[0].first_cut == 1
    without = support.load(data, on_long_text="truncate", sanitizer="none", store_text="none")
    assert not any("text" in each or "text_truncated" in each for each in without.metadata())
    assert without.rows()[0].text == loaded.rows()[0].text
    legacy = support.load(data, on_long_text="truncate", sanitizer="none", store_text="none", metadata="legacy")
    assert legacy.metadata()[0]["text"] == long[:1_000]
    assert legacy.metadata()[0]["text_truncated"] == "x"


@pytest.mark.parametrize("spare", range(-12, 60))
def test_a_text_is_never_a_reason_to_refuse_metadata(spare: int) -> None:
    """Whatever room the columns leave: the row is loaded within the limit, with all that fits of its text."""
    base = f"id,formatted_text,big\n1,{'t' * 30},{{}}\n"
    rest = support.load(base.format("b"), store_text="none").metadata()[0]
    size = len(orjson.dumps(rest | {"big": ""})) - len(".0" * 3)
    loaded = support.load(base.format("b" * (40_960 - size - spare)))
    if spare < 0:
        assert loaded.reasons() == {1: "metadata_too_large"}
        return
    (row,) = loaded.metadata()
    assert len(orjson.dumps(row)) - len(".0" * 3) <= 40_960
    whole, flag = len(f',"text":"{"t" * 30}"'), len(',"text_truncated":true')
    room = spare - flag - len(',"text":""')
    expected = "t" * 30 if spare >= whole else "t" * room if room > 0 else None
    assert row.get("text") == expected
    assert row.get("text_truncated") is (True if flag <= spare < whole else None)


def test_a_row_that_our_code_falls_over_is_a_reject_and_its_neighbours_are_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = metadata.Encoder.row

    def broken(encoder: metadata.Encoder, cells: list[str], text: str | None, row_id: str, index: int) -> bytes:
        return bytes(1 // 0) if "evil" in str(text) else real(encoder, cells, text, row_id, index)

    monkeypatch.setattr(metadata.Encoder, "row", broken)
    rows = "".join(f"{number},{'evil' if number % 4 == 0 else 'good'} text\n" for number in range(300))
    loaded = support.load("id,formatted_text\n" + rows + "0,the next of its id\n", chunk_size=100)
    before = split.DEFECTS._value.get()
    with structlog.testing.capture_logs() as logs:
        assert set(loaded.reasons().values()) == {"row_defect"}
    assert split.DEFECTS._value.get() - before == 75
    told = [entry for entry in logs if entry["action"] == "row_defect"]
    assert [(entry["chunk"], entry["rows"], entry["row"]) for entry in told] == [(0, 25, 1), (1, 25, 101), (2, 25, 201)]
    assert len({entry["incident"] for entry in told}) == 3
    assert "ZeroDivisionError at test_contract.py:" in loaded.rejects()[0].message
    assert len(loaded.rows()) == 300 - 75 + 1
    assert loaded.chunks() == loaded.chunks()


def test_a_machine_without_memory_is_no_fault_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(metadata.Encoder, "row", exhausted)
    with pytest.raises(MemoryError):
        support.load("id,formatted_text\n1,a\n").rows()


def test_the_judgement_needs_nothing_but_the_row() -> None:
    chosen = support.load("id,formatted_text\n").options
    judge = contract.Contract(("id", "formatted_text"), ("string", "string"), chosen)
    common = metadata.Common({}, b"")
    outcome = judge.judge([" 8 ", "<i>a</i>"], "", 0, 3, common)
    assert isinstance(outcome, contract.Usable)
    assert (outcome.vector_id, outcome.text) == ("7.8", "a")
    assert support.struct(outcome.metadata) == {"text": "a", "row_id": "8", "record_index": 3.0}
    assert judge.judge([" 8 ", "<i>a</i>"], "", 0, 3, common) == outcome
