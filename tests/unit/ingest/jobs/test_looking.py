"""Records as they are fetched, against what the manifest has of them."""

import pathlib
from collections.abc import Sequence
from typing import Any

import pytest

from services.ingest.contract import metadata
from services.ingest.jobs import findings, looking
from tests.unit.ingest.jobs import bucket

RECORD = {"question_id": 7.0, "record_index": 0.0, "source": "upload", "row_id": "1", "city": "Bern", "text": "Hello"}


class Index:
    """Answers records."""

    def __init__(self, found: dict[str, dict[str, Any]]) -> None:
        self.found = found
        self.paid: list[str] = []

    async def fetch(self, _namespace: str, ids: Sequence[str], task_id: str) -> dict[str, dict[str, Any]]:
        self.paid.append(task_id)
        return {name: self.found[name] for name in ids if name in self.found}


async def looked(folder: pathlib.Path, record: dict[str, Any] | None) -> looking.Looked:
    written = metadata.lasting_of(RECORD)
    assert written is not None
    entry = bucket.HASHES.entry(b"7.1", b"Hello", written)
    index: Any = Index({} if record is None else {"7.1": record})
    at = looking.Looking(index, "v2", bucket.HASHES, "task")
    (one,) = await at.again([("7.1", entry)])
    assert index.paid == ["task"]
    return one


async def test_a_record_as_it_was_written_is_fine_whoever_wrote_it_again(tmp_path: pathlib.Path) -> None:
    one = await looked(tmp_path, {**RECORD, "task_id": "later", "record_index": 8.0, "processed_at": "now"})
    assert (one.finding, one.text) == (None, "Hello")


@pytest.mark.parametrize(
    ("record", "reason", "words"),
    [
        (None, findings.MISSING, findings.WORDS[findings.MISSING]),
        ({**RECORD, "text": "Other"}, findings.DIFFERING, looking.TEXT_DIFFERS),
        ({**RECORD, "city": "Basel"}, findings.DIFFERING, looking.METADATA_DIFFER),
        ({**RECORD, "more": True}, findings.DIFFERING, looking.METADATA_DIFFER),
        ({**RECORD, "city": {"name": "Bern"}}, findings.DIFFERING, looking.METADATA_DIFFER),
    ],
    ids=["gone", "text", "value", "key", "nested"],
)
async def test_any_other_is_told_of(
    tmp_path: pathlib.Path, record: dict[str, Any] | None, reason: str, words: str
) -> None:
    one = await looked(tmp_path, record)
    assert one.finding == findings.Finding("7.1", reason, words)


async def test_a_text_that_may_have_been_cut_is_none_to_buy(tmp_path: pathlib.Path) -> None:
    cut = {**RECORD, "text_truncated": True}
    one = await looked(tmp_path, cut)
    assert one.text is None
