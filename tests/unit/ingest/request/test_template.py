import pytest

from services.ingest.request import template


def test_names_may_hold_blanks_and_braces_are_doubled() -> None:
    text = template.parse("{{{FIRST APPEARANCE}}} by {name}!").render(["name", "FIRST APPEARANCE"])
    assert text(["Ann", "May-62"]) == "{May-62} by Ann!"


@pytest.mark.parametrize("source", ["{open", "close}", "{}", "{ }", "{a{b}}", "no column", "{a} }", "x" * 20_000])
def test_broken_syntax_is_refused(source: str) -> None:
    with pytest.raises(template.TemplateError):
        template.parse(source)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(KeyError, match="colour"):
        template.parse("{colour}").render(["color"])
