"""Which tasks a caller wants to see: every field lets all pass until it is set."""

import dataclasses
import datetime

from services.indexer.ledger import items
from services.indexer.tasks import overview

# Neither blocked nor terminal.
OPEN = "open"
STATUSES = (OPEN, *(str(status) for status in items.Status))


@dataclasses.dataclass(frozen=True)
class TaskFilter:
    """Passes tasks.

    Attributes:
        status: One of STATUSES.
        namespace: The Pinecone namespace.
        question_id: The question.
        reason: Why it failed or is blocked, or a reason for which rows of it were rejected.
        text: Stands in its id, source, namespace, key id or error; upper and lower case are one.
        since: Stored then or later.
        client: The key that stored it.
    """

    status: str = ""
    namespace: str = ""
    question_id: int | None = None
    reason: str = ""
    text: str = ""
    since: datetime.datetime | None = None
    client: str = ""

    @property
    def by_status_only(self) -> bool:
        """Whether nothing but the status, and whose task it is, counts."""
        return dataclasses.replace(self, status="", client="") == TaskFilter()

    def passes_status(self, status: str) -> bool:
        """Whether a status passes."""
        return not self.status or (status in items.OPEN if self.status == OPEN else status == self.status)

    def passes_rest(self, note: overview.Note) -> bool:
        """Whether everything else passes."""
        return (
            (not self.client or note.client == self.client)
            and (not self.namespace or note.namespace == self.namespace)
            and (self.question_id is None or note.question_id == self.question_id)
            and (self.since is None or note.created >= self.since)
            and (not self.reason or self.reason == note.error_reason or self.reason in note.reasons)
            and (not self.text or self.text.casefold() in _words(note))
        )


def _words(note: overview.Note) -> str:
    return "\n".join((note.task_id, note.source, note.namespace, note.client, note.error)).casefold()
