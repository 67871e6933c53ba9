"""An error answer, sorted by what is to be done about it, in words that quote neither rows nor keys.

See platform.openai.com/docs/guides/error-codes; servers with OpenAI's API answer in a dozen other forms.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.embedder.openai import headers
from services.embedder.openai.errors import AccountRefused, Failed, Refused, Throttled, TooLarge

# Codes and types that concern the account or the configuration whatever their status, in lower case.
ACCOUNT_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "access_terminated",
        "invalid_api_key",
        "api_key_invalid",  # Google
        "authentication_error",
        "auth_error",  # LiteLLM
        "budget_exceeded",  # LiteLLM
        "model_not_found",
        "deploymentnotfound",  # Azure
    }
)
# Refusals that may be about the content: 403 is a web firewall's, 451 a filter's.
CONTENT = frozenset({400, 403, 413, 414, 422, 451})
# A request without its parameters may be taken after one of these; 0: an error in a 200. The others are never for them.
SIMPLER = frozenset({0, 400, 422})
# The server cannot do it at all: llama.cpp that was started without --embeddings.
UNABLE = frozenset({501, 505})
# 4xx that pass by themselves. 424 is a failing model of TEI, 499 a proxy that lost patience.
PASSING = frozenset({408, 409, 423, 424, 425, 499})
OPTIONAL = ("dimensions", "encoding_format")
# Another parameter of ours: only the configuration can mend it.
OURS = frozenset({*OPTIONAL, "model"})

WORDS = 300
# Row texts are not for logs: a quotation longer than this is cut out, as is whatever an input begins with.
QUOTE = 40
_QUOTES = re.compile(rf"""(?<!\w)(['"`])[^'"`]{{{QUOTE},}}(\1|$)""")
_KEYS = re.compile(r"\b(sk|org|proj)-[\w*-]{6,}")

_ABOUT = {
    "dimensions": re.compile(r"\bdimensions?\b|matryoshka|output_?dimensionality", re.I),
    "encoding_format": re.compile(r"encoding.?format|\bbase64\b", re.I),
}
_TITLE = re.compile(r"<title[^>]*>\s*([^<]{1,100}?)\s*</title>", re.I)
_BUDGET = re.compile(r"budget.{0,40}exceeded|exceeded.{0,40}budget|over budget|crossed budget", re.I)
_ACCOUNT = re.compile(
    r"api.?key|unauthori[sz]ed|authenticat|permission|quota|budget|credit|balance|billing|model.{0,60}(not|does)", re.I
)
_RATE = re.compile(r"rate.?limit|too many requests|\bRPM\b|\bTPM\b|overloaded", re.I)
_TOKENS_OF_ALL = re.compile(
    r"max_tokens_per_request|tokens.{0,20}(per request|in total|in one)|total.{0,30}tokens", re.I
)
_INPUTS = re.compile(
    r"batch|array (length|is too long|too long)|in one request|too many (inputs|texts|items|documents|strings)"
    r"|number of (inputs|texts|items|documents|strings)|input.{0,20}(list|array)"
    r"|\d (inputs|texts|items|documents|strings|elements|entries)\b",
    re.I,
)
_BYTES = re.compile(r"(payload|body|entity|request|content|message).{0,40}(too (large|big|long)|exceeds)", re.I)
_MOST = re.compile(
    r"(?:at most|no more than|not be larger than|not exceed|larger than|greater than|maximum|max|limit|up to|more than)"
    r"\D{0,40}?(\d[\d,]*)|(\d[\d,]*) (?:or (?:less|fewer)|at most)",
    re.I,
)
_LIMIT = re.compile(r"\blimit:?\s*(\d[\d,]*)", re.I)
_REQUESTED = re.compile(r"\brequested:?\s*(\d[\d,]*)", re.I)
_TOKENS = re.compile(r"tokens?\b|\bTP[MD]\b", re.I)
_OTHER_TIMES = re.compile(r"per (day|hour|month|sec)|\b[TR]P[DHS]\b", re.I)


@dataclasses.dataclass(frozen=True)
class Told:
    """An error answer, whatever its form.

    Attributes:
        status: The HTTP status; 0: an error in a 200 that names none.
        words: The provider's own sentence.
        codes: Its codes and types, in lower case.
        param: The parameter that it names; "" if none.
        where: The URL asked, without what may be secret in it.
        said: The same sentence; "" where it has none.
    """

    status: int
    words: str
    codes: frozenset[str]
    param: str
    headers: Mapping[str, str]
    where: str = ""
    said: str = ""

    def about(self, optional: str) -> bool:
        """It is about this optional parameter of ours, by its field or by its words."""
        return self.param == optional or bool(_ABOUT[optional].search(self.words))


def read(status: int, body: Any, given: Mapping[str, str], where: str = "") -> Told:
    """An error answer from its body: JSON of any form, or a text.

    A status of 200 is replaced by the one in the body, if any: 0 if there is none.
    """
    inner = _inner(body)
    code = inner.get("code")
    if status < 300:
        found = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdigit()) else 0
        status = found if 400 <= found < 600 else 0
    words = _message(inner) or (_title(body) if isinstance(body, str) else "")
    param = inner.get("param")
    return Told(
        status,
        words or f"HTTP {status}",
        frozenset(_codes(inner)),
        param if isinstance(param, str) else "",
        given,
        where,
        words,
    )


def sort(told: Told, texts: Sequence[str], key: str) -> Exception:
    """The verdict on an error answer; its words quote neither the texts nor the key."""
    status, safe = told.status, without(told.words, texts, key)
    mine = AccountRefused(f"HTTP {status or 200} from {told.where or 'the server'}: {safe}")
    if status == 401 or status in UNABLE or ACCOUNT_CODES & told.codes or told.param in OURS:
        return mine
    if status == 429 or (not status and _RATE.search(safe)):
        return mine if _BUDGET.search(safe) else _throttled(told)
    if status in CONTENT or (not status and (_ACCOUNT.search(safe) or _is_size(safe))):
        return _refused(told, safe, len(texts))
    if status in PASSING or status >= 500 or not status:
        answered = f"HTTP {status or 200}"
        return Failed(
            f"{answered}: {safe}", headers.retry_after_seconds(told.headers) or 0.0, f"OpenAI answers {answered}."
        )
    return mine


def without(words: str, texts: Sequence[str], key: str) -> str:
    """The words, short, and without what they may quote of the inputs or of a key."""
    words = words.replace(key, "…") if key else words
    words = _KEYS.sub(lambda found: f"{found[1]}-…", words)
    for text in texts:
        start = text.strip()[:24]
        if len(start) >= 8 and start in words:
            words = words[: words.index(start)] + "…"
    # Half of a character outside of Unicode's basic plane, which JSON can say, is not for those who hear of it.
    return _QUOTES.sub("…", words)[:WORDS].encode("utf-8", "replace").decode()


def _refused(told: Told, safe: str, inputs: int) -> Refused:
    words = f"HTTP {told.status or 200}: {safe}"
    if not _is_size(safe) and told.status != 413:
        return Refused(words)
    if _TOKENS_OF_ALL.search(safe):
        return TooLarge(words, tokens=max(_limits(safe), default=0))
    if _INPUTS.search(safe):
        return TooLarge(words, inputs=max((each for each in _limits(safe) if each < inputs), default=0))
    return TooLarge(words)


def _is_size(words: str) -> bool:
    return any(pattern.search(words) for pattern in (_TOKENS_OF_ALL, _INPUTS, _BYTES))


def _limits(words: str) -> Iterator[int]:
    for found in _MOST.finditer(words):
        if limit := _number(found[1] or found[2]):
            yield limit


def _throttled(told: Told) -> Throttled:
    limit, asked = (_number(found[1]) if (found := each.search(told.words)) else 0 for each in (_LIMIT, _REQUESTED))
    excess = asked / limit if limit and asked > limit else 0.0
    by_tokens = "tokens" in told.codes or excess > 0 or ("requests" not in told.codes and _named_tokens(told.words))
    named = headers.limit_per_minute(told.headers, "tokens" if by_tokens else "requests")
    if not named and excess and not _OTHER_TIMES.search(told.words):
        named = float(limit)
    pause = headers.pause_seconds(told.headers, told.words)
    return Throttled(pause, tokens_exceeded=by_tokens, limit_per_minute=named, excess=excess)


def _named_tokens(words: str) -> bool:
    return bool(_TOKENS.search(words))


def _number(digits: str) -> int:
    return int(digits.replace(",", "")[:12] or 0)


def _inner(body: Any) -> dict[str, Any]:
    """The object that tells: in a list (Google), under `error`, or the body itself (vLLM, TEI)."""
    if isinstance(body, list) and body:
        return _inner(body[0])
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {**body, "message": error} if isinstance(error, str) else body


def _message(inner: dict[str, Any]) -> str:
    for name in ("message", "detail", "msg"):
        value = inner.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list):  # FastAPI's validation
            return "; ".join(str(each.get("msg", "")) for each in value if isinstance(each, dict))
        if isinstance(value, dict):
            return _message(value)
    return ""


def _codes(inner: dict[str, Any]) -> Iterator[str]:
    details = inner.get("details")
    reasons = [each.get("reason") for each in details if isinstance(each, dict)] if isinstance(details, list) else []
    for value in (inner.get("code"), inner.get("type"), inner.get("status"), *reasons):
        if isinstance(value, str):
            yield value.lower()


def _title(page: str) -> str:
    """What a page of HTML or a plain sentence says."""
    if "<" not in page:
        return "" if page.lstrip()[:1] in {"{", "["} else page.strip()[:WORDS]  # what is left of JSON says nothing
    found = _TITLE.search(page)
    return found[1] if found else ""
