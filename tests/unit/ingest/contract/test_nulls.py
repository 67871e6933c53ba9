from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.contract import nulls
from tests.unit.ingest import support


def test_a_null_cell_is_no_value_wherever_it_stands() -> None:
    data = (
        "id,formatted_text,price,active,colour\n"
        "1,A stool,5,true,NULL\n"
        "NULL,A lamp,6,true,red\n"
        "3, NULL ,7,true,red\n"
        r"4,A rug,\N,NULL,null"
        "\n"
        "NULL,A chest,6,true,red\n"
    )
    loaded = support.load(data, null_values=("NULL", r"\N"))
    assert loaded.reasons() == {2: "missing_id", 3: "empty_text", 5: "missing_id"}
    assert loaded.plan.types == ("number", "string", "number", "boolean", "string")
    first, fourth = loaded.metadata()
    assert (first["price"], first["active"]) == (5.0, True)
    assert "colour" not in first
    # Compared with their case.
    assert fourth["colour"] == "null"
    assert not {"price", "active"} & set(fourth)
    assert list(loaded.rejects()[1].cells)[1] == " NULL "
    assert loaded.plan.duplicates_total == 0


def test_a_template_has_no_null_in_its_text() -> None:
    data = "id,title,size\n1,A stool,NULL\n2,NULL,NULL\n"
    assert support.load(data, null_values=("NULL",), text_template="{title} {size}").rows()[0].text == "A stool"


def test_without_null_values_only_blanks_mean_nothing() -> None:
    made = support.load("id,formatted_text,a\n1,NULL,NULL\n2,x,  \n").metadata()
    assert (made[0]["text"], made[0]["a"]) == ("NULL", "NULL")
    assert "a" not in made[1]


@settings(deadline=None)
@given(cells=st.lists(st.sampled_from(["", " ", "x", " x", "X", "NULL ", "y"])), values=st.sets(st.sampled_from("xy")))
def test_blanked_cells_are_those_that_are_null(cells: list[str], values: set[str]) -> None:
    empty = nulls.Nulls(sorted(values))
    made = empty.blanked(cells)
    assert [not cell.strip() for cell in made] == [empty.is_null(cell) for cell in cells]
    assert all(new in ("", old) for old, new in zip(cells, made, strict=True))
