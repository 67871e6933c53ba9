"""What a key may use: names, beginnings of names, everything where there is no list, nothing where it is empty."""

import pytest

from services.runtime import errors, identity


def asked(reach: identity.Reach, **names: object) -> str:
    """NOT_ALLOWED and the list, or nothing."""
    token = identity.bind(identity.Caller("ann", frozenset({"ingest"}), allow=reach))
    try:
        identity.require(**names)  # type: ignore[arg-type]
    except errors.PermissionDenied as refused:
        return str(refused.metadata["list"])
    finally:
        identity.unbind(token)
    return ""


LISTS = identity.Reach(
    namespaces=("ann", "ann-*"), questions=("232", "9*"), sources=("exports/ann/*", "s3://other/x.csv")
)


@pytest.mark.parametrize("namespace", ["ann", "ann-", "ann-2026"])
def test_a_name_or_its_beginning_is_taken(namespace: str) -> None:
    assert asked(LISTS, namespace=namespace) == ""


@pytest.mark.parametrize("namespace", ["", "an", "annex", "Ann", "bob", "ann*", " ann"])
def test_any_other_name_is_not(namespace: str) -> None:
    assert asked(LISTS, namespace=namespace) == "allow.namespaces"


@pytest.mark.parametrize(
    ("question", "taken"), [(232, True), (9, True), (912, True), (23, False), (2320, False), (0, False)]
)
def test_questions_are_numbers(question: int, taken: bool) -> None:
    assert asked(LISTS, question=question) == ("" if taken else "allow.questions")


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        (("exports/ann/a.csv", "s3://ours/exports/ann/a.csv"), True),
        (("s3://other/x.csv",), True),
        (("s3://other/x.csv.gz",), False),
        (("exports/bob/a.csv", "s3://ours/exports/bob/a.csv"), False),
        (("metabase",), False),
        ((), True),  # the caller's own upload
    ],
)
def test_a_source_is_known_by_any_of_its_names(source: tuple[str, ...], taken: bool) -> None:
    assert asked(LISTS, source=source) == ("" if taken else "allow.sources")


def test_without_lists_everything_is_taken_and_an_empty_list_takes_nothing() -> None:
    everything = {"namespace": "any", "question": 1, "source": ("s3://a/b",)}

    assert asked(identity.ANYWHERE, **everything) == ""
    assert asked(identity.Reach(namespaces=()), **everything) == "allow.namespaces"


def test_what_is_in_a_list_is_not_told() -> None:
    token = identity.bind(identity.Caller("ann", frozenset(), allow=LISTS))
    try:
        with pytest.raises(errors.PermissionDenied) as refused:
            identity.require(namespace="bob")
    finally:
        identity.unbind(token)
    assert refused.value.reason == "NOT_ALLOWED"
    assert "ann-" not in str(refused.value)
    assert "allow.namespaces" in str(refused.value)
