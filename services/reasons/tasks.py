"""Why a task failed, or waits for a person: its `error_reason`. An estimate is refused by the same names."""

from typing import Final

from services.reasons.reason import Reason

FAILED: Final = (
    Reason("SOURCE_NOT_FOUND", "The object, file or bucket is not there.", "Look at bucket, key and spelling."),
    Reason(
        "SOURCE_FORBIDDEN",
        "This service may not read it, or its bucket or folder is not allowed.",
        "Allow s3:GetObject and s3:ListBucket (kms:Decrypt on its key); S3_ALLOWED_BUCKETS, USE_LOCAL_FILES.",
    ),
    Reason("SOURCE_ARCHIVED", "It lies in an archive tier of S3.", "Restore it there, then start a new task."),
    Reason(
        "SOURCE_CHANGED",
        "It was changed after the task began.",
        "Start a new task; keep sources in a versioned bucket.",
    ),
    Reason(
        "SOURCE_UNREADABLE",
        "S3 refuses for good: a disabled key, SSE-C, another region.",
        "Do what the message says, then start a new task.",
    ),
    Reason("EMPTY_FILE", "The file has no bytes, or blank lines only.", "Send a file with a header line."),
    Reason("NOT_TEXT", "The file is binary: a workbook, an archive, an image.", "Export it as CSV."),
    Reason("NOT_CSV", "The file is JSON, XML or a web page.", "Export it as CSV with a header line."),
    Reason(
        "BAD_ENCODING",
        "The file is not in the encoding that was declared, or starts like another.",
        "Leave encoding out, or name the right one.",
    ),
    Reason(
        "ENCODING_UNCERTAIN",
        "Several legacy encodings are as likely; the likeliest three are shown with a line each.",
        "Name encoding.",
    ),
    Reason("GZIP_CORRUPT", "The gzip data is damaged, or other bytes follow it.", "Pack it again; gzip -t checks it."),
    Reason("GZIP_TRUNCATED", "The gzip data ends in the middle.", "Upload the whole file."),
    Reason("GZIP_BOMB", "The file unpacks to far more than it could hold.", "Send it unpacked."),
    Reason(
        "NO_HEADER",
        "No line could be read as a header.",
        "Put the columns' names into the first line, or say header=none.",
    ),
    Reason("HEADER_TOO_LARGE", "All names together have over 256 KiB.", "Shorten them."),
    Reason("TOO_MANY_COLUMNS", "The header has too many columns.", "Split the table, or leave columns out."),
    Reason("DUPLICATE_HEADER", "A name that the request wants stands twice.", "Rename one of the columns."),
    Reason("OTHER_HEADER", "Another table begins further down.", "Send each table as a file of its own."),
    Reason(
        "MISSING_COLUMN",
        "A column that the request wants is not in the header.",
        "Name id_column, text_column or the others as they are spelt there.",
    ),
    Reason(
        "UNBALANCED_QUOTE",
        "A quoted field is never closed, or in another row's text, or holds lines that look like rows.",
        'Close it, write quotes inside as ""; or say quoting.',
    ),
    Reason(
        "DATE_ORDER_UNCLEAR", "Day and month cannot be told apart, and a row's place depends on it.", "Name date_order."
    ),
    Reason(
        "DUPLICATE_IDS", "Ids are not unique, and on_duplicate is fail.", "Mend the file, or use on_duplicate=first."
    ),
    Reason(
        "TOO_MANY_CHUNKS", "The task would have over 500,000 chunks.", "Use a larger chunk_size, or split the file."
    ),
    Reason(
        "ROWS_QUOTA_EXCEEDED",
        "The file would pass the key's rows of the day. Nothing was bought.",
        "Try again tomorrow (UTC), or raise rows_per_day.",
    ),
    Reason(
        "METABASE_LOGIN",
        "Metabase does not know our key, or answers with a page.",
        "Set METABASE_API_KEY and METABASE_URL.",
    ),
    Reason(
        "METABASE_REFUSED",
        "Metabase refuses, or its query fails; its words are in the message.",
        "Look at the question in Metabase.",
    ),
    Reason(
        "METABASE_TRUNCATED",
        "The export is not whole: cut at a cap, or broken off.",
        "Narrow it by dates, or raise Metabase's cap.",
    ),
    Reason(
        "METABASE_UNAVAILABLE", "Metabase did not answer for METABASE_RETRY_SECONDS.", "Start it, then retry the task."
    ),
    Reason(
        "NOTHING_TO_RETRY",
        "No rejected row of the task may go through as it is.",
        "Mend the rows and load them; all=true takes all.",
    ),
    Reason("PARENT_EXPIRED", "The task that this one retries is not known any more.", "Submit its source."),
    Reason(
        "PLAN_EXPIRED",
        "The bucket's lifecycle took the plan that a retry, or the rejects, need.",
        "Submit the source anew; keep plans/ for longer.",
    ),
    Reason("PLAN_UNKNOWN", "The plan was made by another version.", "Submit the source anew."),
    Reason(
        "SKIP_UNCHANGED_OFF",
        "An ingest without SKIP_UNCHANGED had a part in a verify's turn: nothing is known of the index then.",
        "Set SKIP_UNCHANGED=true for every ingest, and ask anew.",
    ),
    Reason(
        "NOTHING_KNOWN",
        "Nothing is known of the question in this namespace, so nothing can be held against the index.",
        "Load its file again.",
    ),
    Reason(
        "MANIFEST_DISTRUSTED",
        "What was known of the question is not to be believed: another index, model or release, or a part is gone.",
        "Load its file again; all of it is bought.",
    ),
    Reason("MANIFEST_CHANGED", "Another task loaded the question since the task looked at it.", "Ask for it anew."),
    Reason(
        "REPAIR_REFUSED",
        "What a verify found cannot be loaded again: a later load wrote, or the load is gone.",
        "Verify anew, or load a file.",
    ),
    Reason(
        "ALREADY_KNOWN", "The line knows what it wrote of the question, so there is nothing to adopt.", "Verify it."
    ),
    Reason(
        "REMOVE_SHARED",
        "What is known of the question did not come from the load alone that was to be taken back.",
        "Remove the question, or mirror the right file.",
    ),
    Reason(
        "NOTHING_THERE",
        "The index lists no id of the question in this namespace.",
        "Look at both, and at PINECONE_INDEX_NAME.",
    ),
    Reason("NOTHING_TO_ADOPT", "No record's metadata hold all of its text, so nothing can be known.", "Load the file."),
    Reason(
        "WRITTEN_LATELY",
        "Somebody wrote to the namespace within the last hour, or while it was read.",
        "Stop what writes there, and adopt it an hour later.",
    ),
    Reason(
        "ADOPT_DISAGREES",
        "Vectors that were bought again are not those of the index: another model filled it, or other texts.",
        "Set OPENAI_MODEL to that model, or load the file.",
    ),
    Reason("ADOPT_UNPROVEN", "None of an adoption's sample could be bought.", "Look at its rejects; raise sample."),
    Reason("TASK_TYPE_UNKNOWN", "A later release stored the task.", "Upgrade every ingest, then ask anew."),
    Reason(
        "SUPERSEDED",
        "A later task over this question and namespace has written since.",
        "Retry the later one, or submit the file anew.",
    ),
    Reason(
        "STORE_MISSING",
        "An object of the line's own bucket is gone.",
        "Submit the source anew; look at the bucket's lifecycle.",
    ),
    Reason(
        "STORE_FORBIDDEN",
        "The line's own bucket refuses this service.",
        "Allow what the message names, then submit anew.",
    ),
    Reason("STORE_REFUSED", "The line's own bucket refuses for good.", "Do what the message says."),
    Reason(
        "SCRATCH_FULL",
        "The scan's temporary files have no room.",
        "Make room, or name a bigger disk with SCRATCH_FOLDER.",
    ),
    Reason(
        "SCRATCH_UNUSABLE", "The scan's temporary files cannot be kept.", "Name a writable folder with SCRATCH_FOLDER."
    ),
    Reason(
        "NO_ROW_INDEXED", "Every row was rejected or skipped, and none was indexed.", "Look at the rejects by reason."
    ),
    Reason(
        "DRIVE_DEFECT",
        "Reading or splitting failed inside five times.",
        "A defect: report it with the incident and the file.",
    ),
    Reason(
        "LEDGER_REFUSED",
        "The ledger refused a step five times and for a minute.",
        "A defect: report it with the incident.",
    ),
)
BLOCKED: Final = (
    Reason(
        "ACCOUNT_REFUSED", "OpenAI refuses the account: key, payment, model.", "Pay, or renew the key.", passes=True
    ),
    Reason(
        "NAMESPACE_REFUSED",
        "The namespace holds vectors of another model or dimension.",
        "Cancel it and use another namespace; or put OPENAI_MODEL back, or release it if it is empty, and retry.",
    ),
    Reason(
        "DIMENSION_REFUSED",
        "The index takes another number of values than the embedders make.",
        "Make an index of that dimension; or set EMBEDDING_DIMENSIONS, restart the embedders and retry.",
        passes=True,
    ),
    Reason(
        "INDEX_UNUSABLE",
        "The index keeps sparse vectors or documents.",
        "Name another in PINECONE_INDEX_NAME and restart the indexers, or make it anew.",
        passes=True,
    ),
    Reason(
        "INDEX_QUOTA_EXCEEDED",
        "Pinecone's plan is used up; its words are in the message.",
        "Upgrade, delete records or wait for the month; then retry.",
    ),
    Reason(
        "INDEX_REFUSED",
        "The index refused every record of the first batch.",
        "Put it right and retry; if it is the rows, they are rejected one by one then.",
    ),
    Reason(
        "INDEX_UNCONFIRMED",
        "For a minute the index said that it wrote another number of records than it was sent.",
        "Put it right, then retry.",
    ),
    Reason(
        "MIRROR_HELD",
        "All rows are in, and the mirror would remove much, or its file may not be whole.",
        "Look at the ids (rejects?include=gone); confirm them, or cancel it.",
    ),
    Reason(
        "ROWS_UNACCOUNTED",
        "The task's rows do not add up.",
        "A defect: report it, cancel the task, load the source again.",
    ),
)
