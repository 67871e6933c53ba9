"""What S3 means by an error: which kind it is, in which words a person can act on it, and whether it passes by itself.

The codes are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and of what stores with the
same API add. The answer to a HEAD has no body: its code is the bare status.
"""

import dataclasses
import enum
from typing import Any

from botocore import exceptions as aws


class Kind(enum.Enum):
    """What is to be done about it."""

    MISSING = "SOURCE_NOT_FOUND"
    FORBIDDEN = "SOURCE_FORBIDDEN"
    ARCHIVED = "SOURCE_ARCHIVED"
    CHANGED = "SOURCE_CHANGED"
    UNREADABLE = "SOURCE_UNREADABLE"
    # It passes by itself: the same call may succeed later.
    TRANSIENT = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What an error means. ``words`` go on after the name of the object, and end with the remedy."""

    kind: Kind
    words: str


_NOT_NOW = Verdict(Kind.TRANSIENT, "does not answer now")
_MISSING = Verdict(Kind.MISSING, "does not exist; look at bucket and key")
_FORBIDDEN = Verdict(
    Kind.FORBIDDEN,
    "may not be read by this service, or does not exist; it needs s3:GetObject (and s3:ListBucket)",
)
_STRANGER = Verdict(
    Kind.FORBIDDEN, "is refused because S3 does not know this service's credentials; look at its access key or role"
)
_CHANGED = Verdict(Kind.CHANGED, "was changed after the task began; start a new task")
_ARCHIVED = Verdict(
    Kind.ARCHIVED, "lies in an archive (S3 Glacier or an archive tier); restore it there first, then start a new task"
)
_KEY_DENIED = Verdict(
    Kind.FORBIDDEN, "is encrypted with a KMS key that this service may not use; it needs kms:Decrypt on that key"
)
_KEY_UNUSABLE = Verdict(
    Kind.UNREADABLE, "is encrypted with a KMS key that is disabled, deleted or gone; enable it, then start a new task"
)
_CUSTOMER_KEY = Verdict(
    Kind.UNREADABLE,
    "is encrypted with a key that only its writer has (SSE-C); copy it to an object without, and load that",
)
_ELSEWHERE = Verdict(
    Kind.UNREADABLE,
    "lies in another region than is asked; set AWS_REGION (or AWS_ENDPOINT_URL) to the bucket's",
)
_UNSUPPORTED = Verdict(
    Kind.UNREADABLE, "cannot be read: the store does not do what S3 does here (NotImplemented); copy it to another"
)
_CLOCK = Verdict(
    Kind.TRANSIENT, "is refused because this machine's clock is off by more than 15 minutes; set it right (NTP)"
)
_EXPIRED = Verdict(
    Kind.TRANSIENT, "is refused because this service's session token has expired; it goes on once that is renewed"
)
REQUESTER_PAYS = Verdict(
    Kind.FORBIDDEN,
    "lies in a bucket whose readers pay (requester pays); S3_REQUESTER_PAYS=true agrees to that for this service",
)

_BY_CODE: dict[str, Verdict] = {
    **dict.fromkeys(("404", "NoSuchKey", "NoSuchBucket", "NoSuchVersion", "NotFound", "NoSuchUpload"), _MISSING),
    # The pinned version is a delete marker.
    **dict.fromkeys(("405", "MethodNotAllowed"), _MISSING),
    **dict.fromkeys(("412", "PreconditionFailed", "304", "416", "InvalidRange"), _CHANGED),
    **dict.fromkeys(("401", "403", "AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem"), _FORBIDDEN),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidSecurity", "NotSignedUp"), _STRANGER
    ),
    "InvalidObjectState": _ARCHIVED,
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"), _EXPIRED),
    "RequestTimeTooSkewed": _CLOCK,
    **dict.fromkeys(
        ("301", "PermanentRedirect", "MovedPermanently", "AuthorizationHeaderMalformed", "IllegalLocationConstraint"),
        _ELSEWHERE,
    ),
    "IllegalLocationConstraintException": _ELSEWHERE,
    **dict.fromkeys(("501", "NotImplemented"), _UNSUPPORTED),
    # A bucket that was just made, until its name is known everywhere.
    **dict.fromkeys(("307", "TemporaryRedirect", "Redirect"), _NOT_NOW),
    **dict.fromkeys(("KMS.ThrottlingException", "KMS.KMSInternalException", "KMS.InternalException"), _NOT_NOW),
    **dict.fromkeys(("KMS.DependencyTimeoutException", "KMS.KeyUnavailableException"), _NOT_NOW),
    "KMS.AccessDeniedException": _KEY_DENIED,
    **dict.fromkeys(
        ("SlowDown", "RequestTimeout", "RequestTimeoutException", "Throttling", "ThrottlingException"), _NOT_NOW
    ),
    **dict.fromkeys(("TooManyRequests", "RequestLimitExceeded", "OperationAborted", "InternalError"), _NOT_NOW),
    **dict.fromkeys(("ConditionalRequestConflict", "ServiceUnavailable", "BandwidthLimitExceeded"), _NOT_NOW),
}


def verdict(error: aws.ClientError) -> Verdict:
    """Say what an error of S3 means."""
    answer: Any = error.response
    told = answer.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", "")).lower()
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    known = _by_message(code, message) or _BY_CODE.get(code) or _BY_CODE.get(str(status))
    if known is not None:
        return known
    if status == 429 or status >= 500:
        return _NOT_NOW
    return Verdict(Kind.UNREADABLE, f"cannot be read: S3 answers {code or status}")


def _by_message(code: str, message: str) -> Verdict | None:
    """What only the message tells, or the beginning of the code."""
    if code == "AccessDenied" and ("kms" in message or "customer master key" in message):
        return _KEY_DENIED
    if code == "AccessDenied" and "requester pays" in message.replace("-", " "):
        return REQUESTER_PAYS
    if code == "InvalidRequest" and "encryption" in message:
        return _CUSTOMER_KEY
    return _KEY_UNUSABLE if code.startswith("KMS.") and code not in _BY_CODE else None
