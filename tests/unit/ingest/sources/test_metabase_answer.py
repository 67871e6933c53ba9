"""What is an export of Metabase, and what only looks like one: however its bytes are cut."""

import json

import pytest

from services.ingest import failures
from services.ingest.sources.metabase import answer

GOOD = b'id,formatted_text\n1,"a ""quoted"" {""via"":1} cell"\n2,"over\ntwo lines"\n3,{curly}\n4,"a,{"\n'
ERROR = json.dumps({"via": [{"status": "failed", "error": "no such\ttable"}], "stacktrace": ["x"] * 50}).replace(
    '": ', '":'
)


def judged(data: bytes, piece_bytes: int) -> None:
    received = answer.Answer(7)
    for start in range(0, len(data), piece_bytes):
        received.add(data[start : start + piece_bytes])
    received.end()


def refusal(data: bytes, piece_bytes: int) -> failures.SourceFailure:
    with pytest.raises(failures.SourceFailure) as caught:
        judged(data, piece_bytes)
    return caught.value


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 10_000])
class TestHoweverItIsCut:
    def test_a_whole_file_is_taken(self, piece_bytes: int) -> None:
        judged(GOOD, piece_bytes)

    def test_an_error_in_place_of_the_file_is_told_in_its_words(self, piece_bytes: int) -> None:
        found = refusal(ERROR.encode(), piece_bytes)

        assert found.reason == "METABASE_REFUSED"
        assert found.message == "Question 7 failed in Metabase: no such table"

    def test_an_error_behind_rows_is_found(self, piece_bytes: int) -> None:
        assert refusal(GOOD + ERROR.encode(), piece_bytes).reason == "METABASE_REFUSED"
        assert refusal(GOOD + b"5,half a ro" + ERROR.encode(), piece_bytes).reason == "METABASE_REFUSED"

    @pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\n  <HTML lang=en>\n", b"\xef\xbb\xbf<html>"])
    def test_a_page_is_a_login(self, page: bytes, piece_bytes: int) -> None:
        assert refusal(page + b"\n" * 100, piece_bytes).reason == "METABASE_LOGIN"

    @pytest.mark.parametrize("data", [b"", GOOD[:-1], GOOD + b"5,ha"])
    def test_what_ends_within_a_line_was_cut(self, data: bytes, piece_bytes: int) -> None:
        with pytest.raises(answer.CutOff):
            judged(data, piece_bytes)


def test_no_stack_trace_is_told() -> None:
    body = json.dumps({"trace": ["secret.clj:1"], "via": []}).replace('": ', '":').encode()

    assert "secret" not in refusal(body, 100).message
