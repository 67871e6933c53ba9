"""The tasks of a seed: small files whose outcome is known row by row."""

import dataclasses
import random

from services.indexer.ledger.items import Status
from tests.simulation import providers

NAMESPACE = "v2"
POISON_EMBEDDER = "poisonembedder"
POISON_INDEXER = "poisonindexer"


@dataclasses.dataclass
class Row:
    """A row and what must become of it: indexed, skipped, or the reason of its rejection."""

    vector_id: str
    text: str
    outcome: str


@dataclasses.dataclass
class File:
    """A task to be."""

    number: int
    question_id: int
    chunk_size: int
    submitted_after: float
    rows: list[Row]
    poison: frozenset[int]
    priority: str
    cancelled_after: float | None
    # The idempotency key; empty: submitted without one.
    key: str = ""
    submissions: int = 0
    # Callers that watch its task, and the terminal status that each of them heard.
    watchers: int = 0
    heard: list[str] = dataclasses.field(default_factory=list)
    task_id: str = ""

    @property
    def name(self) -> str:
        return f"file-{self.number}.csv"

    @property
    def data(self) -> bytes:
        lines = ["id,formatted_text"]
        lines += [f"{row.vector_id.partition('.')[2]},{row.text}" for row in self.rows]
        return ("\n".join(lines) + "\n").encode()

    def chunk_of(self, position: int) -> int:
        return position // self.chunk_size

    @property
    def chunks(self) -> int:
        return -(-len(self.rows) // self.chunk_size)

    def indexed(self) -> dict[str, bytes]:
        """Vector ids and values that a completed task has written."""
        return {row.vector_id: providers.vector_of(row.text) for row in self.rows if row.outcome == "indexed"}

    def counts(self) -> tuple[int, int, int]:
        kinds = [row.outcome for row in self.rows]
        indexed, skipped = kinds.count("indexed"), kinds.count("skipped")
        return indexed, skipped, len(kinds) - indexed - skipped

    def expected_status(self) -> Status:
        indexed, _, failed = self.counts()
        if not failed:
            return Status.COMPLETED
        return Status.PARTIALLY_COMPLETED if indexed else Status.FAILED


def draw(choice: random.Random, *, poison: bool, cancels: float, contended: bool) -> list[File]:
    """Some files; `cancels` is the part that is cancelled, contended ones are all on one question."""
    count = choice.choice((2, 3, 3, 4)) if contended else choice.choice((1, 1, 2, 2, 3))
    questions = [0 if contended else choice.randrange(2) for _ in range(count)]
    return [_file(choice, number, questions[number], poison=poison, cancels=cancels) for number in range(count)]


def _file(choice: random.Random, number: int, question: int, *, poison: bool, cancels: float) -> File:
    size = choice.randint(1, 4)
    chunks = choice.choice((0, 1, 1, 2, 3, 4, 6))
    rows: list[Row] = []
    for position in range(max(0, chunks * size - choice.randrange(size))):
        vector_id, text = f"{question}.k{position}", f"file{number} row{position} words"
        drawn = choice.random()
        if drawn < 0.06:
            rows.append(Row(vector_id, "", "empty_text"))
        elif drawn < 0.12 and rows:
            again = choice.choice(rows).vector_id
            # A row that is rejected while it is read is nobody's first.
            taken = any(row.vector_id == again and row.outcome != "empty_text" for row in rows)
            rows.append(Row(again, text, "skipped" if taken else "indexed"))
        elif drawn < 0.16:
            rows.append(Row(vector_id, f"{text} {providers.REFUSED_WORD}", "embedding_refused"))
        else:
            rows.append(Row(vector_id, text, "indexed"))
    struck: set[int] = set()
    if poison and rows and choice.random() < 0.5:
        victim = choice.choice(rows)
        chunk = rows.index(victim) // size
        members = rows[chunk * size : (chunk + 1) * size]
        decodable = [row for row in members if row.outcome == "indexed"]
        if decodable:
            struck.add(chunk)
            decodable[0].text += " " + choice.choice((POISON_EMBEDDER, POISON_INDEXER))
            for row in members:
                if row.outcome != "skipped":
                    row.outcome = "poison"
    return File(
        number=number,
        question_id=question,
        chunk_size=size,
        submitted_after=choice.random() * 15,
        rows=rows,
        poison=frozenset(struck),
        priority=choice.choice(("normal", "high", "low")),
        cancelled_after=choice.random() * 60 if choice.random() < cancels else None,
    )
