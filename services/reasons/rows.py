"""Why a row was not indexed."""

from typing import Final

from services.reasons.reason import Reason

REJECTED: Final = (
    Reason("missing_id", "The id's cell is empty.", "Give the row an id of its own."),
    Reason("empty_id", "The id's cell holds nothing but blanks.", "Give the row an id of its own."),
    Reason(
        "bad_id",
        "The id has other characters than printable ASCII, which Pinecone does not take.",
        "Use another id_column, or on_bad_id=escape.",
    ),
    Reason(
        "id_too_long", "The vector id has over 512 bytes.", "Shorten the id; with on_bad_id=escape escapes count too."
    ),
    Reason(
        "empty_text", "Nothing is left of the text once it is sanitized.", "Fill the text in, or leave the row out."
    ),
    Reason("text_too_long", "The text has over 8,192 tokens.", "Shorten it, or use on_long_text=truncate."),
    Reason(
        "metadata_too_large",
        "The metadata has over 40 KB without the text.",
        "Leave columns out by exclude_columns, or name those wanted in metadata_columns.",
    ),
    Reason("field_too_long", "A field has over 1 MB, or the whole row too much.", "Shorten it."),
    Reason(
        "ragged_row",
        "The row has more cells than the header, or fewer.",
        "Look at its quotes and delimiters; on_ragged=pad where cells that are missing at the end are empty ones.",
    ),
    Reason(
        "bad_quoting",
        "A quote stands in a cell that is not quoted, or text right after a closing one.",
        'Quote the cell and write quotes inside as ""; or say quoting=none or quoting=backslash.',
    ),
    Reason(
        "bad_encoding", "The row has bytes outside of the file's encoding.", "Save the file as UTF-8, or name encoding."
    ),
    Reason(
        "bad_date",
        "The date that the filter needs is empty, or no date to its last character.",
        "Write it in one of the forms, or leave start_date and end_date out.",
    ),
    Reason(
        "bad_value",
        "A cell cannot be what column_types declares.",
        "Mend the cell, name it in null_values, or declare another type.",
    ),
    Reason(
        "row_defect",
        "Our own code fell over the row.",
        "It is a defect: report it with the incident of the log and the row.",
    ),
    Reason(
        "embedding_refused",
        "The embedding provider refuses this text, and takes others.",
        "Retry it once; then change the text.",
        passes=True,
    ),
    Reason(
        "embedding_unusable",
        "The embedding provider gives no usable embedding for this text, and does for others.",
        "Retry it later; then change the text.",
        passes=True,
    ),
    Reason(
        "index_refused",
        "Pinecone refuses this record, and takes others; its words are in the message.",
        "Retry it; then change what it names.",
        passes=True,
    ),
    Reason(
        "poison",
        "The row's chunk killed its worker five times.",
        "Retry it; if that ends the same way, report it (runbook DeadLetter).",
        passes=True,
    ),
)
SKIPPED: Final = (
    Reason("duplicate_id", "An earlier row has the same id.", "Nothing; on_duplicate=fail makes it an error."),
    Reason("outside_dates", "Its date is outside of start_date and end_date.", "Nothing."),
    Reason("blank_row", "It holds nothing but blanks and delimiters.", "Nothing."),
    Reason("repeated_header", "It is the header again, cell by cell.", "Nothing."),
    Reason("unchanged", "The index holds just this text and metadata.", "Nothing; mode=force buys it again."),
)
# Not the row's own fault: the same row may well go through next time.
RETRYABLE: Final = frozenset(each.name for each in REJECTED if each.passes)
