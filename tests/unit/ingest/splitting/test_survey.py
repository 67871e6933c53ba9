"""What a comparison is told of a file's rows."""

import pytest

from services.ingest.manifest import records
from services.ingest.splitting import survey
from tests.unit.ingest import support

HASHES = records.Hashes(b"k" * records.KEY_BYTES)


def held(rows: str, *, held: bool = True) -> tuple[set[bytes], int]:
    """Ids of rows that are not usable, by their hashes, and how many cannot be read."""
    loaded = support.load(f"id,formatted_text\n{rows}")
    chunks = list(
        survey.survey(loaded.source, loaded.pinned, loaded.plan, loaded.task, loaded.pairs, hashes=HASHES, held=held)
    )
    told = b"".join(chunk.held for chunk in chunks)
    return {told[at : at + 16] for at in range(0, len(told), 16)}, sum(chunk.unreadable for chunk in chunks)


@pytest.mark.parametrize(
    ("rows", "ids", "unreadable"),
    [
        ("1,a\n", set(), 0),
        ("1,a\n2,\n 3 ,<b> </b>\n", {"7.2", "7.3"}, 0),  # rejected: no text
        ("1,a\n1,b\n", {"7.1"}, 0),  # a duplicate
        ("1,a\n,b\n ,c\n", set(), 2),  # no id
        ("1,a\n2\n3,a,b\n", set(), 2),  # nobody knows which cell is the id
        ("1,a\n\n,\nid,formatted_text\n", set(), 0),  # no rows
    ],
)  # fmt: skip
def test_the_file_holds_every_id_that_can_be_read(rows: str, ids: set[str], unreadable: int) -> None:
    assert held(rows) == ({HASHES.id(each.encode()) for each in ids}, unreadable)


def test_only_a_mirror_asks_for_them() -> None:
    assert held("1,a\n2,\n,b\n", held=False) == (set(), 0)
