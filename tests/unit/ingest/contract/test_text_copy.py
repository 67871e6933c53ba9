import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.contract import text_copy

TEXT = st.text(
    st.one_of(
        st.sampled_from('a"\\\n\x01é椅\U0001f469\u200d\U0001f680\u0301\r'), st.characters(exclude_categories=["Cs"])
    )
)


def size(text: str) -> int:
    return len(orjson.dumps(text))


@given(text=TEXT, room=st.integers(-5, 80))
def test_a_prefix_fits_and_no_longer_one_would_but_for_what_is_one_character_to_the_eye(text: str, room: int) -> None:
    cut = text_copy.prefix(text, room)
    assert text.startswith(cut)
    assert not cut or size(cut) <= room
    longest = max((end for end in range(len(text) + 1) if size(text[:end]) <= room), default=0)
    assert len(cut) <= longest
    # What is left out beside goes on in one character: marks, joiners, or the line end's second half.
    for place in range(len(cut) + 1, longest + (longest < len(text))):
        assert not text[place].isascii() or text[place] == "\n" or text[place - 1] == "\u200d"


@pytest.mark.parametrize(
    ("text", "room", "cut"),
    [
        ("abc", 5, "abc"),
        ("abc", 4, "ab"),
        ("abc", 2, ""),
        ("abc", 0, ""),
        ('"""', 6, '""'),
        ("né", 5, "né"),
        ("né", 4, "n"),
        ("ne\u0301", 4, "n"),
        ("a\U0001f469\u200d\U0001f680b", 10, "a"),
        ("a\U0001f44d\U0001f3fd", 8, "a"),
        ("a\r\nb", 5, "a"),
        ("a" + "\u0301" * 100, 20, ""),
        ("a" + "\u0301" * 100, 83, "a" + "\u0301" * 40),
    ],
)
def test_a_cut_stands_between_two_characters(text: str, room: int, cut: str) -> None:
    assert text_copy.prefix(text, room) == cut
