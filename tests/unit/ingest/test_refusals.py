import pytest

from services.ingest import failures, refusals
from services.runtime import errors


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("SOURCE_NOT_FOUND", errors.NotFound),
        ("SOURCE_FORBIDDEN", errors.InvalidArgument),
        ("SOURCE_CHANGED", errors.Conflict),
        ("PLAN_EXPIRED", errors.NotFound),
        ("PLAN_UNKNOWN", errors.Conflict),
        ("STORE_FORBIDDEN", errors.Unavailable),
        ("MISSING_COLUMN", errors.InvalidArgument),
    ],
)
def test_an_expected_state_is_told_by_its_name(reason: str, kind: type[errors.ServiceError]) -> None:
    with pytest.raises(kind, match=r"words") as caught, refusals.told(task_id="t", upload_id=""):
        raise failures.Failure(reason, "words")
    assert (caught.value.reason, caught.value.metadata) == (reason, {"task_id": "t"})


def test_what_does_not_answer_now_may_be_asked_again() -> None:
    with pytest.raises(errors.Unavailable) as caught, refusals.told():
        raise failures.SourceUnavailable("words")
    assert (caught.value.reason, caught.value.retry_seconds) == ("SOURCE_UNAVAILABLE", 5.0)
