"""API keys: API_KEY, the one of the predecessor, and API_KEYS, as many as are needed.

API_KEYS is a JSON list, the path of a file that holds one, or the ARN of a secret that holds one; a changed file or
secret counts without a restart. An entry:

    {"id": "nightly", "hash": "<64 hex digits>", "scopes": ["ingest", "read"], "expires": "2027-01-01T00:00:00Z",
     "limits": {"requests_per_second": 10, "searches_per_second": 5, "open_tasks": 3, "rows_per_day": 1000000,
                "tokens_per_day": 50000000, "watches": 20},
     "allow": {"namespaces": ["ann-*"], "questions": [232], "sources": ["exports/ann/*", "metabase"]}}

* `hash` is HMAC-SHA256 of the secret under API_KEY_PEPPER: the list alone lets nobody in. ``vectorline config
  new-key`` (or ``python -m services.runtime.keys new``) makes a secret and its entry, ``hash-key`` the entry of yours.
* `scopes`: `read` (status, tasks, rejects, search, monitoring), `ingest` (process, upload, retry, cancel), `admin`
  (everybody's tasks, clean-up). `admin` implies the other two; `ingest` does not imply `read`.
* `allow` says which names the key may use, each the whole name or a beginning with * behind; a list that is not there
  takes all. A source is a key of the bucket, s3://bucket/key, local:path or metabase; uploads are their caller's.
* `expires`, `limits` and `allow` may be left out. Tasks belong to the `id`, and the limits are counted by it. **To
  rotate a key**, put a second entry with the same id and another hash beside the first, let the callers change over,
  take the first one out. The same works for API_KEY, whose id is `default`.
"""

import argparse
import dataclasses
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import secrets
import sys
from collections.abc import Sequence
from typing import Annotated, Final, Literal

import pydantic
import structlog

from services.runtime import identity, settings

log = structlog.get_logger()

DEFAULT_ID: Final = "default"
SCOPES: Final = frozenset({"read", "ingest", "admin"})
PEPPER_CHARACTERS: Final = 16
PEPPER: Final = "API_KEY_PEPPER"


class WrongKeys(Exception):
    """API_KEYS cannot be used; the message holds neither a secret nor a hash."""


@dataclasses.dataclass(frozen=True)
class Key:
    """An API key: its id for logs and ownership, the keyed hash of its secret, what it may do, until when."""

    key_id: str
    digest: bytes
    scopes: frozenset[str]
    expires: datetime.datetime | None = None
    limits: identity.KeyAllowance = identity.UNLIMITED
    allow: identity.Reach = identity.ANYWHERE

    def expired(self, now: datetime.datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and now >= self.expires


class _Part(pydantic.BaseModel):
    # A hash in an error message would be a hash in a log.
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class _Limits(_Part):
    requests_per_second: Annotated[float, pydantic.Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    # Each open task has a place in one item of the ledger.
    open_tasks: Annotated[int, pydantic.Field(ge=0, le=1000)] = 0
    rows_per_day: Annotated[int, pydantic.Field(ge=0, le=10**15)] = 0
    searches_per_second: Annotated[float, pydantic.Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    tokens_per_day: Annotated[int, pydantic.Field(ge=0, le=10**15)] = 0
    watches: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 0


# A list that is empty takes nothing, which is a way to say so.
_Names = Annotated[
    tuple[Annotated[str, pydantic.Field(min_length=1, max_length=1_024)], ...], pydantic.Field(max_length=1_000)
]


class _Reach(_Part):
    namespaces: _Names | None = None
    questions: _Names | None = None
    sources: _Names | None = None

    @pydantic.field_validator("questions", mode="before")
    @classmethod
    def _numbers_too(cls, value: object) -> object:
        return [str(each) if type(each) is int else each for each in value] if isinstance(value, list) else value


class _Entry(_Part):
    id: Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    hash: Annotated[str, pydantic.Field(pattern=r"^[0-9a-fA-F]{64}$")]
    scopes: Annotated[frozenset[Literal["read", "ingest", "admin"]], pydantic.Field(min_length=1)]
    expires: pydantic.AwareDatetime | None = None
    limits: _Limits = _Limits()
    allow: _Reach = _Reach()

    @pydantic.field_validator("id")
    @classmethod
    def _not_ours(cls, value: str) -> str:
        if value in {identity.INTERNAL.key_id, identity.ANYBODY.key_id}:
            raise ValueError("this name is the line's own")
        return value


_ENTRIES: Final = pydantic.TypeAdapter(list[_Entry])


def digest(secret: str | bytes, pepper: str) -> bytes:
    """HMAC-SHA256 of a key's secret under the pepper: 32 bytes."""
    return hmac.digest(pepper.encode(), secret if isinstance(secret, bytes) else secret.encode(), hashlib.sha256)


def with_implied(scopes: frozenset[str]) -> frozenset[str]:
    """What a key with these scopes may do: `admin` implies all."""
    return SCOPES if "admin" in scopes else scopes


def parse(text: str) -> tuple[Key, ...]:
    """The keys of a JSON list.

    Raises:
        WrongKeys: It is none, an entry is wrong, or a hash is there twice.
    """
    try:
        entries = _ENTRIES.validate_json(text)
    except pydantic.ValidationError as error:
        raise WrongKeys("; ".join(_complaint(problem["loc"], problem["msg"]) for problem in error.errors())) from None
    found = tuple(
        Key(
            entry.id,
            bytes.fromhex(entry.hash),
            with_implied(frozenset(entry.scopes)),
            entry.expires,
            identity.KeyAllowance(**entry.limits.model_dump()),
            identity.Reach(**entry.allow.model_dump()),
        )
        for entry in entries
    )
    if len({key.digest for key in found}) < len(found):
        raise WrongKeys("two entries have the same hash")
    return found


def _complaint(place: Sequence[str | int], words: str) -> str:
    if not place:
        return f"not a JSON list of keys: {words}"
    first, *rest = place
    number = f"entry {first + 1}" if isinstance(first, int) else first
    return f"{'.'.join(map(str, (number, *rest)))}: {words}"


class Keyring:
    """The keys that are good now.

    Args:
        access: API_KEY, API_KEYS and the pepper.

    Raises:
        WrongKeys: API_KEYS cannot be used.
    """

    def __init__(self, access: settings.AccessSettings) -> None:
        self._access = access
        self._stamp: tuple[str, int, int] | None = None
        self._file_text = ""
        self._text = self._read()
        self._listed = self._parse(self._text)

    @property
    def listed(self) -> tuple[Key, ...]:
        """Those of API_KEYS."""
        return self._listed

    def find(self, secret: str | bytes) -> Key | None:
        """The key of a secret, also an expired one. All are compared, so that time tells nothing."""
        pepper = self._access.api_key_pepper.get_secret_value()
        candidate = digest(secret, pepper)
        found = None
        for key in self._keys(pepper):
            if hmac.compare_digest(candidate, key.digest):
                found = key
        return found

    def first_end(self, now: datetime.datetime) -> datetime.datetime | None:
        """When the first key that is still good expires; None: none does."""
        self._follow()
        return min((key.expires for key in self._listed if key.expires and not key.expired(now)), default=None)

    def _keys(self, pepper: str) -> tuple[Key, ...]:
        self._follow()
        single = self._access.api_key.get_secret_value()
        return (*self._listed, Key(DEFAULT_ID, digest(single, pepper), SCOPES)) if single else self._listed

    def _follow(self) -> None:
        """Take up a changed list; one that cannot be used changes nothing, or a slip would lock everybody out."""
        try:
            text = self._read()
            if text == self._text:
                return
            self._text = text
            self._listed = self._parse(text)
        except WrongKeys as error:
            log.warning("The new API_KEYS cannot be used; the ones before hold.", action="keys_wrong", why=str(error))
        else:
            log.info("New API keys are in use.", action="keys_renewed", keys=len(self._listed))

    def _read(self) -> str:
        given = self._access.api_keys.get_secret_value().strip()
        if not given or given.startswith("["):
            return given
        try:
            found = pathlib.Path(given).stat()
            stamp = (given, found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                self._file_text = pathlib.Path(given).read_text(encoding="utf-8").strip()
                self._stamp = stamp
        except (OSError, ValueError) as error:
            raise WrongKeys(f"neither a JSON list nor a file that can be read ({type(error).__name__})") from None
        if not self._file_text:
            raise WrongKeys("the file is empty")
        return self._file_text

    def _parse(self, text: str) -> tuple[Key, ...]:
        if not text:
            return ()
        if len(self._access.api_key_pepper.get_secret_value()) < PEPPER_CHARACTERS:
            raise WrongKeys(f"{PEPPER} with {PEPPER_CHARACTERS} characters or more is needed")
        return parse(text)


def entry(key_id: str, secret: str, pepper: str, scopes: Sequence[str]) -> str:
    """One entry of API_KEYS as JSON, checked.

    Raises:
        WrongKeys: The id, a scope or the pepper is wrong.
    """
    if len(pepper) < PEPPER_CHARACTERS:
        raise WrongKeys(f"{PEPPER} with {PEPPER_CHARACTERS} characters or more is needed")
    made = json.dumps({"id": key_id, "hash": digest(secret, pepper).hex(), "scopes": sorted(scopes)})
    parse(f"[{made}]")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Make an entry of API_KEYS. The pepper is read from API_KEY_PEPPER, a secret of yours from standard input."""
    parser = argparse.ArgumentParser(prog="python -m services.runtime.keys", description=main.__doc__)
    parser.add_argument("what", choices=("new", "hash"), help="make a secret too, or hash the one on standard input")
    parser.add_argument("--id", default="caller", help="whose tasks they are; two entries may have the same")
    parser.add_argument("--scope", action="append", choices=sorted(SCOPES), help="may be repeated; ingest and read")
    chosen = parser.parse_args(arguments)
    secret = f"vl_{secrets.token_urlsafe(32)}" if chosen.what == "new" else sys.stdin.readline().strip()
    if not secret:
        sys.stderr.write("Give the secret on standard input.\n")
        return 2
    try:
        made = entry(chosen.id, secret, os.environ.get(PEPPER, ""), chosen.scope or ("ingest", "read"))
    except WrongKeys as error:
        sys.stderr.write(f"No entry was made: {error}.\n")
        return 2
    if chosen.what == "new":
        sys.stdout.write(f"For the caller, shown only now: {secret}\nFor API_KEYS: ")
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
