"""What ends a task before its rows are looked at: the source cannot be had, or the file is not one to read."""


class Failure(Exception):
    """The whole task fails, once and for all.

    Args:
        reason: Stable UPPER_SNAKE name.
        message: A sentence for people: the thing, the limit, the remedy.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class SourceFailure(Failure):
    """The bytes cannot be had: SOURCE_NOT_FOUND, _FORBIDDEN, _ARCHIVED, _CHANGED or _UNREADABLE."""


class FileFailure(Failure):
    """The bytes are there but are no CSV that the contract takes: NOT_TEXT, MISSING_COLUMN, PLAN_UNKNOWN and so on."""


class StoreFailure(Failure):
    """The line's own bucket refuses for good: STORE_MISSING (of a plan PLAN_EXPIRED), _FORBIDDEN or _REFUSED."""


class SourceUnavailable(Exception):
    """The source does not answer now (5xx, timeout, broken connections); the same call may succeed later."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
