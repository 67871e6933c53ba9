"""How a file quotes: found out or asked for, and a row that does not keep to it is never cut at a wrong delimiter."""

import csv
import io
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest import failures
from services.ingest.planning import plan
from services.ingest.reading import quoting, records
from tests.unit.ingest import support

HEAD = "id,formatted_text,n\n"

# The file, the options, the kind found, texts by id and reasons by row.
KINDS: dict[str, tuple[str, dict[str, Any], str, dict[str, str], dict[int, str]]] = {
    "inches, and cells that are quoted": (
        f'{HEAD}1,"a, b",5\n2,a 5" nail,6\n3,6" and 7"" nails,8\n',
        {},
        "csv",
        {"1": "a, b"},
        {2: "bad_quoting", 3: "bad_quoting"},
    ),
    "inches only": (f'{HEAD}1,a 5" nail,5\n2,6"" nail,6\n', {}, "csv", {"1": 'a 5" nail', "2": '6"" nail'}, {}),
    "an inch above the first cell that is quoted": (
        f'{HEAD}1,a 5" nail,5\n' + "".join(f"{n},{'plain ' * 50},6\n" for n in range(2, 1_500)) + '1500,"a, b",7\n',
        {},
        "csv",
        {},
        {1: "bad_quoting"},
    ),
    "a quote that closes a cell too early": (
        f'{HEAD}1,"a", b",5\n2,"c, d",6\n',
        {},
        "csv",
        {"2": "c, d"},
        {1: "bad_quoting"},
    ),
    "blanks before quotes": (
        f'{HEAD}1, "a, b", 5\n2,\t"c",6\n3,"d" ,7\n',
        {},
        "csv",
        {"1": "a, b", "2": "c", "3": "d"},
        {},
    ),
    "blanks before quotes of several lines": (
        'id, formatted_text, n\n1, "a,\n b", 5\n2, c, 6\n',
        {},
        "csv",
        {"1": "a,\n b", "2": "c"},
        {},
    ),
    "backslashes": (
        f'{HEAD}1,"a \\"b\\", c",5\n2,"d \\\\",6\n3,"\\N, \\n",7\n',
        {},
        "backslash",
        {"1": 'a "b", c', "2": "d \\", "3": "\\N, \\n"},
        {},
    ),
    "backslashes without quotes": (
        f"{HEAD}1,a\\, b,5\n2,\\N,6\n",
        {"quoting": "backslash"},
        "backslash",
        {"1": "a, b", "2": "\\N"},
        {},
    ),
    "backslashes that mean nothing": (
        f'{HEAD}1,"C:\\new\\",5\n2,"say ""hi"" \\",6\n',
        {},
        "csv",
        {"1": "C:\\new\\", "2": 'say "hi" \\'},
        {},
    ),
    "quotes that mean nothing": (
        'id\tformatted_text\n1\t"Soft" chairs\n2\tA 5" nail\n3\t"The lid\n',
        {},
        "none",
        {"1": '"Soft" chairs', "2": 'A 5" nail', "3": '"The lid'},
        {},
    ),
    "quotes that mean nothing, as asked": (
        'id\tformatted_text\n1\t"a"\n',
        {"quoting": "none"},
        "none",
        {"1": '"a"'},
        {},
    ),
    "quotes that may mean something": (
        'id\tformatted_text\n1\t"Soft" chairs\n2\t"Heroes"\n',
        {},
        "csv",
        {"2": "Heroes"},
        {1: "bad_quoting"},
    ),
    "single quotes": (f"{HEAD}1,'a, b',5\n2,'it''s, here',6\n", {}, "csv", {"1": "a, b", "2": "it's, here"}, {}),
    "single quotes around all": ("'id','formatted_text'\n'1','a'\n'2','b'\n", {}, "csv", {"1": "a", "2": "b"}, {}),
    "apostrophes": (f"{HEAD}1,'tis it's,5\n2,b,6\n", {}, "csv", {"1": "'tis it's", "2": "b"}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_as_it_quotes(kind: str) -> None:
    data, chosen, found, texts, reasons = KINDS[kind]
    loaded = support.load(data, sanitizer="none", **chosen)
    assert loaded.plan.dialect.quoting == found
    assert loaded.reasons() == reasons
    read = {row.vector_id.removeprefix("7."): row.text for row in loaded.rows()}
    assert read == (texts or read)


@pytest.mark.parametrize("piece_bytes", [1, 40, 1 << 20])
def test_whether_a_quote_is_damage_is_a_matter_of_the_whole_file(
    piece_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 1)
    monkeypatch.setattr("services.ingest.reading.encoding.HEAD_BYTES", 64)
    rows = [*(f'{number},a 5" nail,6\n' for number in range(1, 9)), '9,"a, b",7\n', '10,6",8\n']
    loaded = support.load(HEAD + "".join(rows), piece_bytes=piece_bytes, chunk_size=1)
    assert set(loaded.reasons().values()) == {"bad_quoting"}
    assert [row.row_number for row in loaded.rows()] == [9]
    chunks = loaded.chunks()
    assert [loaded.chunks(first_chunk=number)[0] for number in range(10)] == chunks


def test_a_row_with_broken_quoting_keeps_its_line_as_it_stands() -> None:
    loaded = support.load(f'{HEAD}1,"a",5\n2,"He said \\"hi, you\\"",6\n3,a "b" c,7\r\n')
    assert [list(reject.cells) for reject in loaded.rejects()] == [
        ['2,"He said \\"hi, you\\"",6'], ['3,a "b" c,7'],
    ]  # fmt: skip
    assert all("quoting=none" in reject.message for reject in loaded.rejects())


def test_a_quote_never_closed_names_row_line_and_option() -> None:
    with pytest.raises(failures.FileFailure, match=r"row 2 \(line 5 of the file\).*quoting=backslash.*quoting=none"):
        support.load('\nid,formatted_text\n1,a\n\n2,"open\n3,"x"y"\n' + "4,b\n" * 9)


def test_what_was_detected_is_said_and_what_was_asked_for_is_not() -> None:
    tsv = 'id\tformatted_text\n1\t"Soft" chairs\n3\t"The lid\n'
    assert [each.code for each in support.load(tsv).plan.warnings] == ["quoting_detected"]
    assert support.load(tsv, quoting="none").plan.warnings == ()
    assert [each.code for each in support.load(f"{HEAD}1,'a, b',5\n").plan.warnings] == ["single_quotes"]


# The header, a plain row of such a file, and rows two of which have a stray quote.
SWALLOWED = {
    "a dump of tabs": (
        "id\tformatted_text\tn\n", "{}\tA\t1\n",
        '1\tA\t1\n2\t"The open lid\t2\n3\tB\t3\n4\tThe end"\t4\n5\tC\t5\n',
    ),
    "in the last column": (
        "id,n,formatted_text\r\n", "a-{},7,A\r\n", 'a-1,7,A\r\na-2,8,"The lid\r\na-3,9,B"\r\na-4,5,C\r\n',
    ),
    "the writer quotes": (
        HEAD, "{},A,1\n",
        '1,"a, b",1\n2,"open,2\n' + "".join(f"{n},Thing,{n}\n" for n in range(3, 99)) + '99,end",5\n',
    ),
    "two columns": ("id|formatted_text\n", "{}|A\n", '1|"open\n2|B\n3|C"\n4|D\n'),
}  # fmt: skip


@pytest.mark.parametrize("above", [0, 30_000])
@pytest.mark.parametrize("case", SWALLOWED)
def test_rows_that_two_stray_quotes_may_have_swallowed_are_asked_about(case: str, above: int) -> None:
    header, plain, rows = SWALLOWED[case]
    before = "".join(map(plain.format, range(1_000, 1_000 + above)))
    with pytest.raises(failures.FileFailure, match=r"looks like a row.*quoting=none.*quoting=csv") as refused:
        support.load(header + before + rows)
    assert refused.value.reason == "UNBALANCED_QUOTE"
    one_field = support.load(header + rows, quoting="csv")
    assert len(one_field.rows()) < rows.count("\n")
    assert not one_field.rejects()


@pytest.mark.parametrize(
    "text",
    [
        f'{HEAD}1,"Hello\nDear Bob, how are you, well",5\n',
        'id,formatted_text\n1,"Hello\nred,blue"\n2,b\n',
        'id,formatted_text\n1,"Hello\nDear Bob, how are you\nBest wishes, Ann"\n',
        'id,n,formatted_text\n1,2,"colours\nred,blue,green\nbig,small,tall"\n',
        'id,formatted_text,n\n1,"a\n2,b,3\n",4\n',
        'id;n;formatted_text\n1;2;"a\n\nb"\n',
    ],
)
def test_a_text_of_several_lines_is_no_question(text: str) -> None:
    loaded = support.load(text)
    assert "\n" in loaded.rebuilt(1, 1)[0].cells[-1] + loaded.rebuilt(1, 1)[0].cells[1]
    assert not loaded.rejects()


def test_single_quotes_are_quotes_where_all_words_are_within_them() -> None:
    loaded = support.load("id,formatted_text,n\n'1','A stool','5'\n'2','It''s a lamp',6\n")
    assert [(row.vector_id, row.text) for row in loaded.rows()] == [("7.1", "A stool"), ("7.2", "It's a lamp")]
    assert [each.code for each in loaded.plan.warnings] == ["single_quotes"]
    plain = support.load("id,formatted_text,n\n1,'tis the season,5\n2,'A title',6\n")
    assert [row.text for row in plain.rows()] == ["'tis the season", "'A title'"]


CELLS = st.text(st.sampled_from("a\",\\ \n\r'\t5;N"), max_size=8)


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    kind=st.sampled_from(["csv", "backslash"]),
    piece_bytes=st.sampled_from([1, 7, 1 << 20]),
)
def test_what_a_writer_of_a_kind_writes_is_what_is_read(
    rows: list[tuple[str, str]], end: str, kind: str, piece_bytes: int
) -> None:
    out = io.StringIO(newline="")
    style = {"escapechar": "\\", "doublequote": False} if kind == "backslash" else {}
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL, **style).writerows([("id", "formatted_text"), *rows])  # type: ignore[arg-type]
    loaded = support.load(out.getvalue(), piece_bytes=piece_bytes, quoting=kind, delimiter=",", on_ragged="pad")
    again = [tuple(row.cells) for row in loaded.rebuilt(1, 99) if row.reason != "blank_row"]
    assert again == [row for row in rows if "".join(row).strip()]


@given(cells=st.lists(CELLS, min_size=1, max_size=6), kind=st.sampled_from(["csv", "backslash"]))
def test_a_record_looked_at_closely_has_the_cells_that_csv_finds(cells: list[str], kind: str) -> None:
    rules = quoting.Rules(",", kind)
    out = io.StringIO(newline="")
    style = {"escapechar": "\\", "doublequote": False} if kind == "backslash" else {}
    csv.writer(out, lineterminator="", quoting=csv.QUOTE_ALL, **style).writerow(cells)  # type: ignore[arg-type]
    assert rules.look_at(out.getvalue()).cells == cells
    assert rules.look_at(out.getvalue().replace('","', '" ,\t"', 1)).cells is not None


COLUMNS = ["id", "formatted_text", "price", "kind", "note"]


def table(seed: int) -> list[list[str]]:
    rng = random.Random(seed)
    texts = ["Notebook, ruled", 'He said "hi", twice', "two\nlines, here", "Kettle", "a; b"]
    notes = ["", "late, lost", "ok", 'said "no"']
    return [
        [str(n), f"{rng.choice(texts)} {n}", f"{n}.5", rng.choice(["home", "a, b"]), rng.choice(notes)]
        for n in range(1, 9)
    ]


def polluted(seed: int) -> Iterator[tuple[str, str]]:
    """Files with one thing wrong, each with a name, of the kinds that the corpus Pollock has (VLDB 2023)."""
    lines = []
    for row in [COLUMNS, *table(seed)]:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerow(row)
        lines.append(out.getvalue())
    for number, line in enumerate(lines[1:], start=1):
        outside = [p for p, sign in enumerate(line) if sign == "," and line[:p].count('"') % 2 == 0]
        changed = {f"more {p}": f"{line[:p]},{line[p:]}" for p in outside}
        changed |= {f"less {p}": line[:p] + line[p + 1 :] for p in outside}
        changed |= {f"quote at {p}": f'{line[:p]}"{line[p:]}' for p in range(len(line))}
        changed |= {f"no quote at {p}": line[:p] + line[p + 1 :] for p, sign in enumerate(line) if sign == '"'}
        changed["other delimiter"] = "".join(";" if p in outside else sign for p, sign in enumerate(line))
        changed["backslashes"] = line.replace('""', '\\"')
        changed["not doubled"] = line.replace('""', '"')
        for name, wrong in changed.items():
            yield f"row {number}: {name}", "".join([*lines[:number], wrong, *lines[number + 1 :]])
    yield "no quotes", "".join(lines).replace('"', "")
    yield "not doubled", "".join(lines).replace('""', '"')


@pytest.mark.parametrize("seed", range(3))
def test_one_thing_wrong_in_a_file_is_never_a_wrong_cell_in_silence(seed: int) -> None:
    truth = {row[0]: row for row in table(seed)}
    for name, data in polluted(seed):
        try:
            loaded = support.load(data, sanitizer="none", metadata="legacy")
        except failures.FileFailure:
            continue
        for row, values in zip(loaded.rows(), loaded.metadata(), strict=True):
            read = [values["row_id"], row.text, *(values.get(column, "") for column in COLUMNS[2:])]
            expected = truth.get(read[0])
            # Quotes that are left out around a cell leave their doubles behind: no cell is cut, but signs are lost.
            if name == "no quotes" and expected is not None:
                expected = [cell.replace('"', "") for cell in expected]
            assert read == expected, (name, data)


def test_the_text_of_a_row_is_without_the_blank_lines_before_it() -> None:
    parsed = records.Parsed(["\n", "\0\n", "a,b\r\n"], [["a", "b"]], [3], [0, 1], {})
    assert parsed.text(0) == "a,b"


def test_every_row_has_one_outcome_whatever_the_kind_and_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CHUNKS", 1)
    rng = random.Random(5)
    parts = [
        '1,"a, b",5\n',
        "2,c,6\n",
        '3, "d, e", 7\n',
        '4,5" f,8\n',
        ",,\n",
        "id,formatted_text,n\n",
        "5,g\n",
        '6,"h\n, i",9\n',
    ]
    for kind, _ in itertools.product(["auto", "csv", "backslash", "none"], range(4)):
        data = HEAD + "".join(rng.choices(parts, k=30))
        try:
            loaded = support.load(data, quoting=kind, chunk_size=2, piece_bytes=rng.choice([1, 9, 1 << 20]))
        except failures.FileFailure:
            continue
        chunks = loaded.chunks()
        assert sum(chunk.rows for chunk in chunks) == loaded.plan.rows_total
        assert [loaded.chunks(first_chunk=number)[0] for number in range(len(chunks))] == chunks
