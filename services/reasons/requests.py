"""Why a request was refused: `ErrorInfo.reason`. What only the gateway says stands in `gateway/render.py`."""

from typing import Final

from services.reasons.reason import Reason

REQUESTS: Final = (
    Reason("INVALID_ARGUMENT", "Fields of the request are wrong; field_violations names each.", "Mend what they say."),
    Reason("MALFORMED_MESSAGE", "The message cannot be decoded.", "Send what the proto says."),
    Reason(
        "BAD_FORM",
        "The form in the body cannot be read, or holds not one file.",
        "Send the file as the body, or one file by -F.",
    ),
    Reason("UNSUPPORTED_MEDIA_TYPE", "The body is of a kind that is not read.", "curl --data-binary @file.csv."),
    Reason(
        "ESTIMATE_TOO_LONG",
        "The source cannot be counted within ESTIMATE_SECONDS.",
        "Process it without an estimate, or estimate a part.",
    ),
    Reason("UNAUTHENTICATED", "No caller is known for this call.", "Send a key."),
    Reason("API_KEY_INVALID", "The key is missing or wrong.", "Send it as X-API-Key."),
    Reason("API_KEY_EXPIRED", "The key has expired.", "Ask for a new one."),
    Reason("SCOPE_MISSING", "The key lacks the scope.", "Use a key that has it."),
    Reason("NOT_ALLOWED", "The key's allow list does not name it.", "Use what it names, or have the list changed."),
    Reason("TASK_NOT_FOUND", "There is no such task, or it is another caller's.", "Look at the id and the key."),
    Reason(
        "UPLOAD_NOT_FOUND",
        "There is no such upload, or it is another caller's, or it expired.",
        "Upload the file again.",
    ),
    Reason(
        "REJECTS_MISSING",
        "The rejects were deleted from the bucket.",
        "Load the source again; keep rejects/ for longer.",
    ),
    Reason("NAMESPACE_UNCLAIMED", "This line wrote nothing to the namespace.", "Nothing is to be released."),
    Reason(
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key was used with another request.",
        "Use a new one, or repeat that request.",
    ),
    Reason("TASK_ID_TAKEN", "The task id is taken.", "Use a new one."),
    Reason("TASK_FINISHED", "The task is finished and cannot be cancelled.", "Nothing."),
    Reason("TASK_UNFINISHED", "Only a finished or a blocked task can be retried.", "Wait for it, or cancel it."),
    Reason(
        "NOTHING_TO_RETRY",
        "No rejected row of the task may go through as it is.",
        "Mend the rows and load them; all=true takes all.",
    ),
    Reason(
        "RETRIED_BEFORE", "Of a filter's tasks: it was retried before; the answer names that retry.", "Watch that one."
    ),
    Reason(
        "SUPERSEDED",
        "A later task over this question and namespace has written since.",
        "Retry the later one, or submit the file anew.",
    ),
    Reason(
        "SKIP_UNCHANGED_OFF",
        "Nothing is known of the index: SKIP_UNCHANGED is off.",
        "Set SKIP_UNCHANGED=true for every ingest.",
    ),
    Reason(
        "NOTHING_KNOWN",
        "Nothing is known of the question in this namespace.",
        "Load its file; then it can be verified.",
    ),
    Reason(
        "ALREADY_KNOWN", "The line knows what it wrote of the question, so there is nothing to adopt.", "Verify it."
    ),
    Reason(
        "REMOVE_SHARED",
        "What is known of the question does not come from this load alone, so its vectors cannot be told apart.",
        "Remove the question, or mirror the right file.",
    ),
    Reason(
        "REPAIR_SOURCE_UNKNOWN",
        "No load of the question is known whose source could be loaded again.",
        "Name one by repair_task_id, verify without repair, or load a file.",
    ),
    Reason(
        "NAMESPACE_IN_USE",
        "A task writes to the namespace, or somebody else releases it.",
        "Wait for its tasks, or cancel them.",
    ),
    Reason(
        "NAMESPACE_NOT_EMPTY", "Only an empty namespace is released.", "Delete its vectors at Pinecone, or use another."
    ),
    Reason(
        "NAMESPACE_REFUSED",
        "The namespace holds vectors of another model or dimension.",
        "Use another, or the model that it holds.",
    ),
    Reason(
        "DIMENSION_REFUSED", "The index takes another number of values.", "Set EMBEDDING_DIMENSIONS to the index's."
    ),
    Reason("INDEX_UNUSABLE", "The index keeps sparse vectors or documents.", "Name another in PINECONE_INDEX_NAME."),
    Reason("INDEX_QUOTA_EXCEEDED", "Pinecone's plan is used up.", "Upgrade, delete records or wait for the month."),
    Reason("INDEX_UNCONFIRMED", "The index does not confirm what it is sent.", "Put the index right."),
    Reason("INDEX_REFUSED", "The index refused every record that it was sent.", "Put the index right."),
    Reason("ROWS_UNACCOUNTED", "The rows of a chunk do not add up.", "A defect: report it."),
    Reason("MIRROR_HELD", "A held mirror does not go on by a retry.", "Confirm its list of ids, or cancel it."),
    Reason("MIRROR_NOT_HELD", "The task is no held mirror.", "Nothing is to be confirmed."),
    Reason("MIRROR_CHANGED", "The list of ids is another one than was confirmed.", "Look at it, and confirm that."),
    Reason("LIST_EXPIRED", "The list of a mirror's ids was deleted from the bucket.", "Submit the mirror again."),
    Reason(
        "TOO_MANY_CHUNKS", "The task would have over 500,000 chunks.", "Use a larger chunk_size, or split the file."
    ),
    Reason("REQUESTS_QUOTA_EXCEEDED", "The key's requests_per_second are used up.", "Ask again after retry-after."),
    Reason("SEARCHES_QUOTA_EXCEEDED", "The key's searches_per_second are used up.", "Ask again after retry-after."),
    Reason(
        "SEARCHES_OVER_QUOTA",
        "More searches wait for the embedding quota than it allows in time.",
        "Ask again after retry-after; raise the quota.",
    ),
    Reason(
        "OPEN_TASKS_QUOTA_EXCEEDED", "The key has as many unfinished tasks as it may.", "Wait for one, or cancel one."
    ),
    Reason("ROWS_QUOTA_EXCEEDED", "The key's rows of the day are used up.", "Tomorrow (UTC)."),
    Reason("TOKENS_QUOTA_EXCEEDED", "The key's tokens of the day are used up.", "Tomorrow (UTC)."),
    Reason("WATCHES_QUOTA_EXCEEDED", "The key has as many watches open as it may.", "Close one."),
    Reason(
        "UNAVAILABLE",
        "A part of the line, or what it depends on, does not answer now.",
        "Ask again; retry-after says when.",
    ),
    Reason("SOURCE_UNAVAILABLE", "The source does not answer now.", "Ask again."),
    Reason(
        "LIMITER_UNAVAILABLE", "The quota cannot be looked up, and nothing is bought without it.", "Restore Valkey."
    ),
    Reason("ACCOUNT_REFUSED", "The embedding account refuses.", "Pay, or renew the key."),
    Reason("ESTIMATES_BUSY", "Other estimates are being counted.", "Ask again; more ingests count more."),
    Reason("INDEX_MISSING", "There is no such index at Pinecone.", "PINECONE_INDEX_NAME, or vectorline init."),
    Reason("PINECONE_UNAVAILABLE", "Pinecone does not answer now.", "Ask again."),
    Reason("PINECONE_BUSY", "Pinecone is asked for more than its limits a second.", "Ask again."),
    Reason(
        "INTERNAL",
        "A defect of ours; the message names only an incident.",
        "Report it with the log line of that incident.",
    ),
)
