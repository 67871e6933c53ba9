"""The ledger's word before each upsert: never older than two seconds when the upsert goes."""

import types
from typing import Any

import pytest

from services.indexer import indexing
from services.indexer.ledger import gate, namespaces
from services.runtime import errors

FENCE = 3
WANTED = namespaces.Wanted("v2", namespaces.Kind("ada", 3))


class Gate:
    """Answers in this order, each after so many seconds."""

    def __init__(self, *answers: tuple[gate.Answer, float]) -> None:
        self.now = 0.0
        self.asked = 0
        self._answers = list(answers)

    async def check_write(self, _task_id: str, _fence: int, _wanted: namespaces.Wanted) -> gate.Answer:
        answer, seconds = self._answers.pop(0)
        self.now += seconds
        self.asked += 1
        return answer


def permissions(monkeypatch: pytest.MonkeyPatch, *answers: tuple[gate.Answer, float]) -> tuple[Any, Gate]:
    asked = Gate(*answers)
    monkeypatch.setattr(indexing, "time", types.SimpleNamespace(monotonic=lambda: asked.now))
    book: Any = types.SimpleNamespace(gate=asked)
    return indexing.Permissions(book), asked


async def test_an_answer_that_was_long_under_way_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An indexer that stood still between question and answer wrote after its task's turn had passed on."""
    checks, _ = permissions(monkeypatch, (gate.Answer.GO, 60.0), (gate.Answer.STALE, 0.1))

    with pytest.raises(errors.Conflict) as refused:
        await checks.check("t", FENCE, WANTED)

    assert refused.value.reason == "STALE"


async def test_a_fresh_answer_serves_for_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    checks, asked = permissions(monkeypatch, (gate.Answer.GO, 0.1), (gate.Answer.GO, 0.1))

    await checks.check("t", FENCE, WANTED)
    asked.now += 1.5
    await checks.check("t", FENCE, WANTED)
    assert asked.asked == 1
    asked.now += 1.0
    await checks.check("t", FENCE, WANTED)
    assert asked.asked == 2
