"""What the services say to each other; a caller never meets it."""

from typing import Final

from services.reasons.reason import Reason

INTERNAL: Final = (
    Reason("STALE", "The turn has passed to another task, or the comparison to another.", "The work is dropped."),
    Reason("SETTLED", "The chunk is settled already.", "It is acknowledged without being settled again."),
    Reason("CANCELLED", "The task was cancelled.", "Its chunks are dropped; nothing more is bought."),
    Reason("BLOCKED", "The task is blocked.", "Its chunks are dropped, and made anew when it goes on."),
    Reason("WAIT", "The index takes no vectors at the moment.", "The chunk waits, unbought."),
    Reason("WRONG_STATUS", "The task's status does not allow the step.", "The driver looks at the task again."),
    Reason(
        "SHARD_NOT_OPEN", "A chunk was to be settled in a shard that no driver opened.", "The chunk stays unsettled."
    ),
    Reason("SEALED_OTHERWISE", "Two splits of one source gave different chunks.", "A defect: the driver gives it up."),
    Reason("MANIFEST_CHANGED", "Another process wrote the manifest meanwhile.", "It is read again."),
    Reason(
        "REMOVAL_REFUSED",
        "The task may not delete: nothing is marked, or another had the turn.",
        "It is looked at again.",
    ),
    Reason("INTERNAL_ONLY", "The method is for the line's own services.", "Call a public one."),
)
