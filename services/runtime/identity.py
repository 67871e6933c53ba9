"""Who is calling: set by the auth interceptor, read by servicers."""

import contextvars
import dataclasses
from collections.abc import Sequence

from services.runtime import errors


@dataclasses.dataclass(frozen=True)
class KeyAllowance:
    """What one key may use; 0: no limit.

    Attributes:
        requests_per_second: Calls, over all replicas that share a Valkey.
        searches_per_second: Searches, over all replicas that share a Valkey.
        open_tasks: Tasks at once that are neither terminal nor blocked.
        rows_per_day: Rows of sources scanned in a day (UTC).
        tokens_per_day: Tokens bought in a day (UTC), for searches and loads.
        watches: Watches at once, in each indexer.
    """

    requests_per_second: float = 0.0
    open_tasks: int = 0
    rows_per_day: int = 0
    searches_per_second: float = 0.0
    tokens_per_day: int = 0
    watches: int = 0


UNLIMITED = KeyAllowance()


@dataclasses.dataclass(frozen=True)
class Reach:
    """Which names a key may use. A list holds names, or beginnings of names with a * behind; None: any name.

    Attributes:
        namespaces: Of the index.
        questions: Numbers of questions, as text.
        sources: s3://bucket/key, a key of the line's own bucket, local:path, or metabase.
    """

    namespaces: tuple[str, ...] | None = None
    questions: tuple[str, ...] | None = None
    sources: tuple[str, ...] | None = None

    def takes(self, listed: str, *names: str) -> bool:
        """Whether a list takes a thing, by any of its names."""
        patterns: tuple[str, ...] | None = getattr(self, listed)
        return patterns is None or any(_matches(pattern, name) for pattern in patterns for name in names)


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


ANYWHERE = Reach()


@dataclasses.dataclass(frozen=True)
class Caller:
    """A caller of the line. `key_id` names the API key (never the key); internal callers are other services."""

    key_id: str
    scopes: frozenset[str]
    internal: bool = False
    limits: KeyAllowance = UNLIMITED
    allow: Reach = ANYWHERE

    @property
    def admin(self) -> bool:
        """Sees every task."""
        return self.internal or "admin" in self.scopes


ANYBODY = Caller("anybody", frozenset())
INTERNAL = Caller("internal", frozenset({"read", "ingest", "admin"}), internal=True)

_caller: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("caller", default=None)


def bind(caller: Caller) -> contextvars.Token[Caller | None]:
    """Set the caller of this call."""
    return _caller.set(caller)


def current() -> Caller:
    """The caller of this call.

    Raises:
        errors.Unauthenticated: Nobody was bound: the method was reached around the interceptor.
    """
    caller = _caller.get()
    if caller is None:
        raise errors.Unauthenticated("No caller is known for this call.")
    return caller


def unbind(token: contextvars.Token[Caller | None]) -> None:
    """Forget the caller that `bind` set."""
    _caller.reset(token)


def require(*, namespace: str | None = None, question: int | None = None, source: Sequence[str] = ()) -> None:
    """Refuse what the caller's key may not use: asked here by every method that names any of it.

    Args:
        namespace: Of the index; None: none is named.
        question: Its number; None: none is named.
        source: The names of one source, all of which mean it; empty: none is named, or the caller's own upload.

    Raises:
        errors.PermissionDenied: NOT_ALLOWED; says which list, and not what is in it.
    """
    caller = current()
    asked = {
        "namespaces": () if namespace is None else (namespace,),
        "questions": () if question is None else (str(question),),
        "sources": tuple(source),
    }
    for listed, names in asked.items():
        if names and not caller.allow.takes(listed, *names):
            raise errors.PermissionDenied(
                f"The key {caller.key_id!r} may not use {names[0][:200]!r}: it is not in its list allow.{listed}.",
                reason="NOT_ALLOWED",
                metadata={"list": f"allow.{listed}"},
            )
