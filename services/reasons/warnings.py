"""What a task or an estimate has to say of a file that it took nevertheless."""

from typing import Final

from services.reasons.reason import Reason

WARNINGS: Final = (
    Reason(
        "encoding_guessed",
        "The file is no UTF-8, and its encoding was guessed; a line of its text is shown.",
        "Look at the line; name encoding where it reads wrong.",
    ),
    Reason(
        "garbled_text",
        "Lines look as if UTF-8 had been taken for cp1252 before the file came here; one is shown.",
        "Where they are garbled, make the file anew from its source.",
    ),
    Reason(
        "header_found",
        "The header is not the first line; what stands above it was left out.",
        "Nothing, or name skip_lines.",
    ),
    Reason("duplicate_names", "Columns have the same name; later ones are name_2 and so on.", "Rename them."),
    Reason("single_quotes", "Cells are quoted by ' and not by \".", "Nothing, or name quoting."),
    Reason(
        "quoting_detected",
        "Strict reading fails, and another quoting explains the whole sample.",
        "Look at rows with quotes; name quoting.",
    ),
    Reason("blank_rows", "Rows of nothing but blanks were skipped.", "Nothing."),
    Reason("repeated_header", "The header stands again further down; these lines were skipped.", "Nothing."),
    Reason(
        "column_is_text",
        "A column that looks like numbers is text, because of the cell that is named.",
        "Mend the cell, name it in null_values, or declare the column in column_types.",
    ),
    Reason(
        "types_changed",
        "A column's type is another than at the last load: filters on it find only one of the two.",
        "Declare it in column_types, or load into a new namespace.",
    ),
    Reason(
        "date_order_inferred",
        "Day and month were told apart by what the column's other cells prove.",
        "Nothing, or name date_order.",
    ),
    Reason(
        "texts_cut",
        "The metadata of some rows hold only the beginning of their text; the vectors are of the whole texts.",
        "store_text=none leaves the copy out; fewer metadata_columns make room.",
    ),
    Reason(
        "manifest_distrusted",
        "What the line knew of the namespace does not agree with the index: all rows are bought.",
        "Nothing; find out who else writes to the namespace.",
    ),
    Reason(
        "mirror_kept",
        "Ids of the file have no row that could be loaded: what the index has of them stays.",
        "Mend the rejected rows, and load the file again.",
    ),
    Reason(
        "mirror_rows_failed",
        "The mirror removed nothing, since rows that were sent failed.",
        "Mend what the rejects say, and submit it again.",
    ),
    Reason(
        "mirror_overtaken",
        "The mirror removed nothing more, since another task had the turn on its question and namespace.",
        "Submit it again.",
    ),
    Reason(
        "mirror_uncertain",
        "The mirror removed nothing: what the namespace holds is not known for certain.",
        "Submit it again; run one release of ingest only.",
    ),
)
