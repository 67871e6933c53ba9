"""What it means that no answer came: the SDK's transport calls nearly all of it a timeout of connecting."""

import ssl

import aiohttp
import httpx2

from services.embedder.openai import errors as openai_errors


def sort(error: BaseException, deadline_seconds: float) -> tuple[type[Exception], str]:
    """Which of `errors` it is, and words that may quote what the server sent."""
    met = _met(error)
    kind: type[Exception] = openai_errors.Unanswered
    words = f"{type(met).__name__}: {met}"
    match met:
        case aiohttp.ClientConnectorCertificateError():
            kind = openai_errors.AccountRefused
            words = (
                "The server's certificate is not to be trusted, so it is not given the key: "
                f"{met.certificate_error} SSL_CERT_FILE names the certificates that are."
            )
        case aiohttp.ConnectionTimeoutError() | httpx2.ConnectTimeout():
            kind, words = openai_errors.Failed, "No connection came about in time."
        case aiohttp.ClientOSError(__cause__=aiohttp.ClientConnectionResetError()):
            kind, words = openai_errors.Failed, "The server had closed the connection before the request was sent."
        case aiohttp.ClientConnectorError() | ssl.SSLError() | httpx2.ConnectError():
            kind = openai_errors.Failed
        case TimeoutError() | httpx2.TimeoutException():
            kind, words = openai_errors.TimedOut, f"No answer within {deadline_seconds:g} s."
        case aiohttp.ClientResponseError() | httpx2.DecodingError():
            kind, words = openai_errors.Invalid, f"The answer cannot be read as HTTP: {words}"
    return kind, words


def _met(error: BaseException) -> BaseException:
    """The first of its causes that is the transport's own, or the last there is."""
    met = error
    while not isinstance(met, aiohttp.ClientError | TimeoutError | httpx2.DecodingError) and met.__cause__ is not None:
        met = met.__cause__
    return met
