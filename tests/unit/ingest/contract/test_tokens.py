import time

import pytest

from services.ingest.contract import tokens
from tests.unit.ingest import support

MEGABYTE = 1_040_000  # less than the limit of a field
KINDS = {
    "blanks": " ", "tabs": "\t", "no-break blanks": "\u00a0", "lines": "\n", "CRLF": "\r\n", "zero width": "\u200b",
    "ideographic blanks": "\u3000", "a letter": "a", "a digit": "7", "an accent": "é", "a character": "漢",
    "a mark": "!", "quotes": "'", "emoji": "👩\u200d🚀", "blank and line": " \n", "a word": "dog ",
    "combining": "\u0301",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sanitizer", ["none", "clean", "legacy"])
def test_a_megabyte_of_anything_has_an_outcome_and_its_neighbours_are_loaded(kind: str, sanitizer: str) -> None:
    unit = KINDS[kind]
    run = unit * (MEGABYTE // len(unit.encode()))
    data = f'id,formatted_text\n1,good\n2,"x{run}x"\n3,good\n'.encode()
    for on_long_text in ("reject", "truncate"):
        began = time.process_time()
        (message,) = support.load(data, encoding="utf-8", sanitizer=sanitizer, on_long_text=on_long_text).messages()
        assert time.process_time() - began < 30
        rows = {row.row_number: row.text for row in message.rows}
        rejects = {reject.row_number: reject.reason for reject in message.rejects}
        assert rows.keys() - {2} == {1, 3}
        assert rejects in ({}, {2: "text_too_long"})
        assert rows.keys() | rejects.keys() == {1, 2, 3}
        assert not tokens.over_limit(rows.get(2, ""))


@pytest.mark.parametrize("on_long_text", ["reject", "truncate"])
def test_a_text_that_begins_with_a_megabyte_of_blanks_spoils_no_neighbour(on_long_text: str) -> None:
    data = f'id,formatted_text\n1,good\n2,"{" " * 1_010_000}x"\n3,good\n'
    loaded = support.load(data, sanitizer="none", on_long_text=on_long_text)
    assert loaded.reasons() == {2: "text_too_long" if on_long_text == "reject" else "empty_text"}


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_more_blanks_than_the_tokenizer_can_count_are_too_long(blank: str) -> None:
    run = blank * 1_010_000
    assert "blanks" in tokens.over_limit(run + "x")
    assert not tokens.over_limit(tokens.truncate("x" + run))
