"""What AWS means by an error, and what to do about it."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeVar

from botocore import exceptions

from services.runtime import aws

Answer = TypeVar("Answer")

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "403"})
MISSING = frozenset({"ResourceNotFoundException", "NoSuchBucket", "404"})
_STRANGER = frozenset({"InvalidAccessKeyId", "UnrecognizedClientException", "InvalidClientTokenId"})
_UNSIGNED = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed"})
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})


class Refused(Exception):
    """A call that AWS did not do: what it means, and the remedy. `code` is AWS's name of it, empty for no answer."""

    def __init__(self, message: str, remedy: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code


async def call(method: Callable[..., Answer], **arguments: Any) -> Answer:
    """Call a boto3 method in a thread.

    Raises:
        Refused: It was not done.
    """
    try:
        return await asyncio.to_thread(functools.partial(method, **arguments))
    except (exceptions.ClientError, exceptions.BotoCoreError) as error:
        raise meaning(error) from error


def meaning(error: Exception) -> Refused:
    """What an error of boto3 means; of its words only the name, since they may quote what was signed."""
    code = aws.code(error)
    operation = error.operation_name if isinstance(error, exceptions.ClientError) else ""
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        words, remedy = "there are no credentials", "Give this process a role, or AWS_ACCESS_KEY_ID and its secret."
    elif not code:
        words = f"it does not answer ({type(error).__name__})"
        remedy = "Look at AWS_REGION, AWS_ENDPOINT_URL and the way there (NAT, VPC endpoint, security group)."
    elif code in DENIED:
        words, remedy = (
            f"{operation} is refused",
            f"Allow {operation} to this role; docs/production.md lists what each needs.",
        )
    elif code in MISSING:
        words, remedy = "it does not exist", "`vectorline init` creates it; or look at its name and at AWS_REGION."
    elif code in _STRANGER:
        words, remedy = "the access key is not known", "Look at AWS_ACCESS_KEY_ID, or at the role."
    elif code in _UNSIGNED:
        words, remedy = f"the signature is refused ({code})", "Look at AWS_SECRET_ACCESS_KEY, and at this clock."
    elif code in _EXPIRED:
        words, remedy = "the credentials have run out", "Renew them; a role renews them by itself."
    elif code in aws.THROTTLED:
        words, remedy = f"{operation} is throttled ({code})", "Use on-demand capacity, or raise what is provisioned."
    else:
        words, remedy = f"{operation} fails ({code})", "Look at AWS's health page, and at the resource in its console."
    return Refused(words, remedy, code)
