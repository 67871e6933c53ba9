"""What is to be done about an answer of OpenAI that is no embeddings: five words, and the sorting into them.

See platform.openai.com/docs/guides/error-codes.
"""

import re
from collections.abc import Sequence

import openai

from services.embedder.openai import headers

# A 400 about one of these is about our configuration: bisecting would fail every row for it.
OUR_PARAMETERS = frozenset({"dimensions", "model", "encoding_format"})
_ABOUT_PARAMETERS = re.compile(
    r"'dimensions'|specifying dimensions|encoding_format|model parameter|invalid model", re.I
)
# Codes and types that concern the account whatever their status.
ACCOUNT_CODES = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated", "model_not_found"}
)
WORDS = 300
# Row texts are not for logs: a quotation longer than this is cut out, as is whatever an input begins with.
QUOTE = 40
_QUOTES = re.compile(rf"""(?<!\w)(['"`])[^'"`]{{{QUOTE},}}(\1|$)""")
_KEYS = re.compile(r"\b(sk|org|proj)-[\w*-]{6,}")


class Refused(Exception):
    """400: the provider refuses this content; bisecting finds the text."""


class AccountRefused(Exception):
    """401, 403, unknown model, insufficient_quota: it concerns the account or our configuration, not the content."""


class Throttled(Exception):
    """429: too fast. `seconds` is how long to pause, `tokens_exceeded` which limit it was, `limit_per_minute` its size.

    A limit of 0 means that the answer did not name it.
    """

    def __init__(self, seconds: float, *, tokens_exceeded: bool, limit_per_minute: float = 0.0) -> None:
        super().__init__(f"asked to pause for {seconds:.1f} s")
        self.seconds = seconds
        self.tokens_exceeded = tokens_exceeded
        self.limit_per_minute = limit_per_minute


class Failed(Exception):
    """5xx, a timeout, a dropped connection: the same request may succeed later. `seconds`: not before, if said."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Invalid(Failed):
    """A 200 that is no answer: not one embedding an input, a wrong dimension, NaN, zeros, no JSON."""


class WrongWidth(Invalid):
    """An embedding has another dimension than asked for; the others were not looked at."""


def sort(error: openai.APIStatusError, texts: Sequence[str], key: str) -> Exception:
    """The verdict on an error status; its words quote neither the texts nor the key."""
    status, words = error.status_code, _words(error)
    safe = without(words, texts, key)
    if status in {401, 403} or ACCOUNT_CODES & {error.code, error.type}:
        return AccountRefused(safe)
    if status == 404 and "model" in words.lower():
        return AccountRefused(safe)
    if status == 400 and (error.param in OUR_PARAMETERS or _ABOUT_PARAMETERS.search(safe)):
        return AccountRefused(safe)
    given = error.response.headers
    if status == 429:
        by_tokens = error.type == "tokens"
        return Throttled(
            headers.pause_seconds(given),
            tokens_exceeded=by_tokens,
            limit_per_minute=headers.limit_per_minute(given, "tokens" if by_tokens else "requests"),
        )
    if status in {400, 413, 422}:
        return Refused(safe)
    return Failed(f"HTTP {status}: {safe}", headers.retry_after_seconds(given) or 0.0)


def without(words: str, texts: Sequence[str], key: str) -> str:
    """The words, short, and without what they may quote of the inputs or of a key."""
    words = words.replace(key, "…") if key else words
    words = _KEYS.sub(lambda found: f"{found[1]}-…", words)
    for text in texts:
        start = text.strip()[:24]
        if len(start) >= 8 and start in words:
            words = words[: words.index(start)] + "…"
    return _QUOTES.sub("…", words)[:WORDS]


def _words(error: openai.APIStatusError) -> str:
    """The provider's own sentence."""
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return f"HTTP {error.status_code}"
