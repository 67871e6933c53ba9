"""What would end a task, told to a caller who waits: an expected state is never INTERNAL."""

import contextlib
from collections.abc import Iterator

from services.ingest import failures
from services.runtime import errors

# Everything else is wrong with what the caller named: INVALID_ARGUMENT.
KINDS: dict[str, type[errors.ServiceError]] = {
    "SOURCE_NOT_FOUND": errors.NotFound,
    "PLAN_EXPIRED": errors.NotFound,
    "STORE_MISSING": errors.NotFound,
    "SOURCE_CHANGED": errors.Conflict,
    "SOURCE_ARCHIVED": errors.Conflict,
    "PLAN_UNKNOWN": errors.Conflict,
    "METABASE_UNAVAILABLE": errors.Unavailable,
    # The deployment's, not the caller's: somebody has to mend it, and then the same call succeeds.
    "STORE_FORBIDDEN": errors.Unavailable,
    "STORE_REFUSED": errors.Unavailable,
    "SCRATCH_FULL": errors.Unavailable,
}


@contextlib.contextmanager
def told(**metadata: str) -> Iterator[None]:
    """Turn what would end a task into what a caller meets.

    Args:
        metadata: Context for the error's details; empty values are left out.

    Raises:
        errors.ServiceError: Of the failure's reason and message, or UNAVAILABLE for what does not answer now.
    """
    given = {name: value for name, value in metadata.items() if value}
    try:
        yield
    except failures.Failure as failure:
        kind = KINDS.get(failure.reason, errors.InvalidArgument)
        raise kind(failure.message, reason=failure.reason, metadata=given) from failure
    except failures.SourceUnavailable as error:
        raise errors.Unavailable(
            error.message, reason="SOURCE_UNAVAILABLE", metadata=given, retry_seconds=5.0
        ) from error
