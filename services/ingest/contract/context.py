"""What the rows' metadata say about their task."""

import dataclasses

from services.ingest import sources
from services.ingest.request import options

# The rows' metadata name their task and count towards a limit: what is as long stands in for a task that is not known.
_ANY_TASK_ID = "00000000-0000-4000-8000-000000000000"
_ANY_TIME = "2000-01-01T00:00:00.000000Z"
# RFC 3339 in UTC; always six digits of a second, so that all are as long.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclasses.dataclass(frozen=True)
class Context:
    """One task, as its rows know it."""

    task_id: str
    options: options.Options
    # Metadata ``source`` and ``s3_key`` of every row.
    source: str
    s3_key: str
    # As TIME_FORMAT; the task's created_at and not the clock, since a chunk split again must be the same.
    processed_at: str
    # No row of it replaces a record of the index.
    replaces_nothing: bool = False
    # A comparison says of each row whether it replaces one.
    replaced_known: bool = False


def of_any_task(chosen: options.Options, pinned: sources.Pinned) -> Context:
    """Return the context of a task that does not exist (yet), whose rows are judged as any task's would be."""
    return Context(_ANY_TASK_ID, chosen, chosen.data_source, chosen.s3_key or pinned.display_name, _ANY_TIME)
