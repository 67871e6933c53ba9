"""Tasks of a seed that are no loads: verifies, repairs, adoptions and removals, each asked for when a load is over."""

import dataclasses
import random

from tests.simulation import files

WHOLE = 1_000
# What somebody else does to the question just before a job is asked for; see `Fate.harm`.
HARMS = {
    "verify": ("", "", "delete", "overwrite", "strange", "values"),
    "adopt": ("", "", "cut", "overwrite", "model"),
    "remove": ("", "", "", "strange", "delete"),
}


@dataclasses.dataclass
class Job:
    """A job to be."""

    number: int
    kind: str
    question_id: int
    # The load after which it is asked for, and how much later.
    after: files.File
    asked_after: float
    cancelled_after: float | None = None
    # Records that are fetched and vectors that are bought again.
    fetch: int = WHOLE
    sample: int = 0
    repair: bool = False
    # Of a removal: the load is taken back, and not all of the question.
    of_load: bool = False
    # What somebody else does just before; and whether all that is known is given up then, as after a restored ledger.
    harm: str = ""
    voided: bool = False
    task_id: str = ""
    # Why the line would not take it.
    refused: str = ""
    submitted_at: float = float("inf")
    # The question's records, by id, when its look began.
    seen: dict[str, tuple[bytes, bytes]] | None = None
    # The fence under which it ended.
    looked_under: int = 0

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return f"job-{self.number}"

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.kind} {self.number}"

    @property
    def buys(self) -> bool:
        """Whether it buys vectors again."""
        return self.kind == "adopt" or self.sample > 0


def draw(seed: int, made: list[files.File], *, cancels: float, part: float = 0.4) -> list[Job]:
    """Some jobs over what a seed loads, and later states of the files, loaded after them."""
    choice = random.Random(f"jobs of {seed}")
    if choice.random() >= part:
        return []
    jobs: list[Job] = []
    for number in range(choice.choice((1, 1, 2, 3))):
        after = choice.choice(made)
        kind = choice.choice(("verify", "verify", "adopt", "remove", "remove"))
        job = Job(number, kind, after.question_id, after, choice.random() * 30)
        job.harm = choice.choice(HARMS[kind])
        job.cancelled_after = choice.random() * 30 if choice.random() < cancels / 3 else None
        job.voided = kind == "adopt" or choice.random() < 0.1
        job.of_load = kind == "remove" and choice.random() < 0.5
        job.repair = kind == "verify" and choice.random() < 0.6
        job.fetch = choice.choice((0, WHOLE, WHOLE)) if kind == "verify" else 0
        job.sample = choice.choice({"verify": (0, 1, WHOLE), "adopt": (1, WHOLE), "remove": (0,)}[kind])
        jobs.append(job)
        if choice.random() < 0.7:
            later = files.later_of(choice, len(made), after, cancels=cancels, waits=True)
            later.behind = job
            made.append(later)
    return jobs
