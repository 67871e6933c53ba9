"""What is sent besides model and texts: no more than changes something, and nothing that the server refuses."""

import pytest

from services.embedder.openai import parameters

BASE64 = {"encoding_format": "base64"}


@pytest.mark.parametrize(
    ("model", "forced", "chosen", "dimension", "sent"),
    [
        ("text-embedding-3-small", None, False, 512, True),
        ("text-embedding-3-small", None, False, 1_536, False),
        ("text-embedding-3-small", True, False, 1_536, True),
        ("text-embedding-3-large", None, True, 1_536, True),
        ("openai/text-embedding-3-large", None, False, 256, True),
        ("text-embedding-3-large", False, True, 256, False),
        ("text-embedding-ada-002", None, True, 1_536, False),
        ("BAAI/bge-small-en", None, False, 384, False),
        ("BAAI/bge-small-en", None, True, 384, True),
        ("BAAI/bge-small-en", False, True, 384, False),
    ],
)
def test_the_dimension_is_named_where_it_changes_something(
    model: str, forced: bool | None, chosen: bool, dimension: int, sent: bool
) -> None:
    fields = parameters.Parameters(model, forced, chosen=chosen).fields(dimension)
    assert fields == {**BASE64, **({"dimensions": dimension} if sent else {})}


def test_what_is_refused_is_left_out_for_good() -> None:
    subject = parameters.Parameters("m", None, chosen=True)
    sent = subject.fields(3)
    assert subject.drop("dimensions", sent)
    assert subject.fields(3) == BASE64
    assert subject.drop("dimensions", sent), "another request with it was under way: that is asked again too"
    assert not subject.drop("dimensions", subject.fields(3))
    assert not subject.widen(subject.fields(3)), "it is not tried again"


def test_what_the_operator_chose_is_not_left_out() -> None:
    subject = parameters.Parameters("m", True, chosen=False)
    assert not subject.drop("dimensions", subject.fields(3))
    assert not parameters.Parameters("m", False, chosen=False).widen(BASE64)


def test_vectors_of_another_width_are_asked_for_by_name_once() -> None:
    subject = parameters.Parameters("embeddings", None, chosen=False)
    assert subject.widen(subject.fields(512))
    assert subject.fields(512) == {**BASE64, "dimensions": 512}
    assert not subject.widen(subject.fields(512))


def test_before_anything_was_bought_a_refusal_may_be_about_any_of_them() -> None:
    subject = parameters.Parameters("m", None, chosen=True)
    first = subject.fields(3)
    assert subject.simplify(first, 3)
    assert subject.simplify(first, 3), "learned by another meanwhile"
    assert subject.fields(3) == {"dimensions": 3}
    assert subject.simplify(subject.fields(3), 3)
    assert subject.fields(3) == {}
    assert not subject.simplify({}, 3), "it was for none of them"
    assert subject.fields(3) == first


def test_after_something_was_bought_it_is_about_none() -> None:
    subject = parameters.Parameters("m", None, chosen=True)
    subject.prove()
    assert not subject.simplify(subject.fields(3), 3)
