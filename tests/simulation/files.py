"""The tasks of a seed: small files whose outcome is known row by row."""

import dataclasses
import random
from typing import TYPE_CHECKING

from services.indexer.ledger.items import Status
from tests.simulation import providers

if TYPE_CHECKING:
    from tests.simulation.jobs import Job

NAMESPACE = "v2"
POISON_EMBEDDER = "poisonembedder"
POISON_INDEXER = "poisonindexer"
CHANGED = " changed"
# Of a file's rows, those that its later state has no more, with another text, or without any.
GONE, ALTERED, EMPTIED = 0.12, 0.23, 0.05


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
    # The file that it is a later state of, and whether it is submitted only when that one's task is over.
    before: "File | None" = None
    waits: bool = False
    mode: str = "upsert"
    # A job that is to be over, too.
    behind: "Job | None" = None
    # The verify that had it loaded once more.
    repairs: "Job | None" = None
    # When its task was first asked for.
    submitted_at: float = float("inf")

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

    def clears(self, vector_id: str) -> bool:
        """Whether an id is of its question, and none of its rows has it."""
        mine = vector_id.startswith(f"{self.question_id}.")
        return mine and all(row.vector_id != vector_id for row in self.rows)

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
    made = [_file(choice, number, questions[number], poison=poison, cancels=cancels) for number in range(count)]
    if poison:
        return made
    related = random.Random(choice.random())
    if contended:
        for number in range(1, count):
            _later(related, made[number], related.choice(made[:number]), waits=False)
    for _ in range(related.choice((0, 0, 1, 2, 3))):
        before = related.choice(made)
        after = _file(related, len(made), before.question_id, poison=False, cancels=cancels)
        _later(related, after, before, waits=related.random() < 0.7)
        made.append(after)
    return made


def later_of(choice: random.Random, number: int, before: File, *, cancels: float, waits: bool) -> File:
    """A later state of a file."""
    file = _file(choice, number, before.question_id, poison=False, cancels=cancels)
    _later(choice, file, before, waits=waits)
    return file


def _later(choice: random.Random, file: File, before: File, *, waits: bool) -> None:
    """Make a file a later state of another: most rows are as they were, some have changed, some are gone or new."""
    rows: list[Row] = []
    for row in before.rows:
        drawn = choice.random()
        if drawn < GONE:
            continue
        text = row.text
        if GONE + ALTERED < drawn < GONE + ALTERED + EMPTIED and row.outcome == "indexed":
            rows.append(Row(row.vector_id, "", "empty_text"))  # what the index has of it stays
            continue
        if drawn < GONE + ALTERED and row.outcome == "indexed":
            # Back and forth, so that a text that was there once comes back.
            text = text.removesuffix(CHANGED) if text.endswith(CHANGED) else text + CHANGED
        rows.append(Row(row.vector_id, text, row.outcome))
    seen: set[str] = set()
    for row in rows:  # of rows with the same id the first that is read counts
        if row.outcome in ("indexed", "skipped", "embedding_refused"):
            if row.vector_id in seen:
                row.outcome = "skipped"
            elif row.outcome == "skipped":
                row.outcome = "indexed"
            seen.add(row.vector_id)
    if choice.random() < 0.3:
        rows.append(Row(f"{before.question_id}.n{file.number}", f"file{file.number} new row words", "indexed"))
    file.rows, file.before, file.waits, file.question_id = rows, before, waits, before.question_id
    file.submitted_after = choice.random() * (20 if waits else 60)
    file.mode = choice.choice(("upsert",) * 5 + ("mirror", "mirror", "force"))


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
