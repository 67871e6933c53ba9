"""Which tasks a caller means, and where in the list of them its next page begins."""

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Final

from vectorline.v1 import ingest_pb2, ledger_pb2

from services.ingest.request import since
from services.runtime import errors

# Those that a retry can be of; a call looks at them in this order.
STATUSES: Final = ("failed", "partially_completed", "cancelled", "blocked")
MOST: Final = 1_000
_NEEDED: Final = ("status", "reason", "since", "namespace", "question_id", "task_ids")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where to look on: in the list of a status, at a token of the ledger; no status: the lists are at their end."""

    status: str = ""
    token: str = ""

    @classmethod
    def of(cls, page_token: str) -> "Place":
        """The reverse of `page_token`."""
        status, _, token = page_token.partition(".")
        return cls(status, token)

    @property
    def page_token(self) -> str:
        """What callers are given of it."""
        return f"{self.status}.{self.token}" if self.status else ""


@dataclasses.dataclass(frozen=True)
class TaskFilter:
    """A request to retry tasks, as it was checked.

    Attributes:
        statuses: Those that are wanted.
        since: The earliest time of creation; None: any.
        size: Tasks of this page, at most.
        start: Where its first page begins.
        request: The rest of it.
    """

    statuses: tuple[str, ...]
    since: datetime.datetime | None
    size: int
    start: Place
    request: ingest_pb2.RetryTasksRequest

    @classmethod
    def checked(cls, request: ingest_pb2.RetryTasksRequest, now: datetime.datetime) -> "TaskFilter":
        """The filter of a request.

        Raises:
            errors.InvalidArgument: Bad fields, all at once; or it names none of what a filter is made of.
        """
        violations = tuple(_violations(request, now))
        if violations:
            raise errors.InvalidArgument("The tasks cannot be chosen like that.", violations=violations)
        statuses = (request.status,) if request.status else STATUSES
        return cls(
            statuses=statuses,
            since=since.parse(request.since, now) if request.since else None,
            size=request.page_size if request.HasField("page_size") else MOST,
            start=Place.of(request.page_token) if request.page_token else Place(statuses[0]),
            request=request,
        )

    def after(self, place: Place, token: str) -> Place:
        """The place behind a page of the ledger that was read at `place` and named this next token."""
        if token:
            return Place(place.status, token)
        later = self.statuses[self.statuses.index(place.status) + 1 :]
        return Place(later[0]) if later else Place()

    def asked(self, client: str) -> ledger_pb2.ListTaskRecordsRequest:
        """What the ledger is asked for, of a client (empty: of all), without a status."""
        asked = ledger_pb2.ListTaskRecordsRequest(
            client=client, reason=self.request.reason, namespace=self.request.namespace
        )
        if self.request.HasField("question_id"):
            asked.question_id = self.request.question_id
        if self.since is not None:
            asked.since.FromDatetime(self.since)
        return asked


def _violations(request: ingest_pb2.RetryTasksRequest, now: datetime.datetime) -> Iterator[errors.FieldViolation]:
    given = {field.name for field, _ in request.ListFields()}
    if not given.intersection(_NEEDED):
        yield errors.FieldViolation("status", f"One of {', '.join(_NEEDED)} is needed: no filter is no way to say all.")
    if request.status and request.status not in STATUSES:
        yield errors.FieldViolation("status", f"One of {', '.join(STATUSES)}; empty: all of these.")
    if request.since:
        try:
            since.parse(request.since, now)
        except ValueError:
            yield errors.FieldViolation("since", since.FORMS)
    if len(request.task_ids) > MOST:
        yield errors.FieldViolation("task_ids", f"{len(request.task_ids)} tasks, and {MOST} is the most of one call.")
    if request.HasField("page_size") and not 1 <= request.page_size <= MOST:
        yield errors.FieldViolation("page_size", f"{request.page_size} is not within 1 and {MOST}.")
    if request.page_token:
        statuses = (request.status,) if request.status else STATUSES
        if request.task_ids or Place.of(request.page_token).status not in statuses:
            yield errors.FieldViolation("page_token", "The next_page_token of a page with the same filter, or empty.")
