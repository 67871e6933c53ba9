"""Whatever the bytes are: a named failure, or every row accounted for, the same from every start."""

import gzip

from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import failures
from tests.unit.ingest import support

# Pieces that meet each other's rules: quotes, delimiters, line ends, broken UTF-8, NUL, tags, numbers.
PIECES = st.sampled_from([
    b"1,a\n", b"2,b,5\r\n", b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\n\n", b"\xff", b"\xe9", "é".encode(),
    b"\x00", b"\x1f", b";", b"\t", b"|", b" ", b"<b>", b"&amp;", b"id", b"true", b"1e400", b'3,"q\n",7\n', b"=1+1",
    b"x" * 70, "\u2028".encode(),
])  # fmt: skip
HEADS = st.sampled_from([b"id,formatted_text,n\n", b"\xef\xbb\xbfid,formatted_text\r", b"formatted_text;id\r\n", b""])


@settings(deadline=None, max_examples=300)
@given(
    data=st.builds(
        lambda head, parts: head + b"".join(parts), HEADS, st.lists(st.one_of(PIECES, st.binary(max_size=6)))
    ),
    packed=st.booleans(),
    piece_bytes=st.sampled_from([1, 5, 1 << 20]),
    encoding=st.sampled_from(["", "utf-8", "cp1252", "shift_jis", "utf-16-le"]),
)
def test_any_bytes_end_in_a_named_failure_or_in_rows_that_add_up(
    data: bytes, packed: bool, piece_bytes: int, encoding: str
) -> None:
    stored = gzip.compress(data) if packed else data
    try:
        loaded = support.load(stored, piece_bytes=piece_bytes, encoding=encoding, chunk_size=2)
    except failures.FileFailure as error:
        failed: failures.FileFailure | None = error
    else:
        failed = None
    if failed is not None:
        assert failed.reason.isupper()
        assert failed.message
        return
    chunks = loaded.chunks()
    assert sum(chunk.rows for chunk in chunks) == loaded.plan.rows_total
    assert len(chunks) == loaded.plan.chunks_total
    again = support.load(stored, encoding=encoding, chunk_size=2)
    assert again.plan == loaded.plan
    assert again.chunks() == chunks
    numbers = {row.row_number for row in loaded.rows()} | set(loaded.reasons())
    skipped = {row.row_number for row in loaded.rebuilt(1, loaded.plan.rows_total) if row.skipped}
    assert sorted([*numbers, *skipped]) == list(range(1, loaded.plan.rows_total + 1))
