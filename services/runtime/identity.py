"""Who is calling: set by the auth interceptor, read by servicers."""

import contextvars
import dataclasses

from services.runtime import errors


@dataclasses.dataclass(frozen=True)
class KeyAllowance:
    """What one key may use; 0: no limit.

    Attributes:
        requests_per_second: Calls, over all replicas that share a Valkey.
        open_tasks: Tasks at once that are neither terminal nor blocked.
        rows_per_day: Rows of sources scanned in a day (UTC).
    """

    requests_per_second: float = 0.0
    open_tasks: int = 0
    rows_per_day: int = 0


UNLIMITED = KeyAllowance()


@dataclasses.dataclass(frozen=True)
class Caller:
    """A caller of the line. `key_id` names the API key (never the key); internal callers are other services."""

    key_id: str
    scopes: frozenset[str]
    internal: bool = False
    limits: KeyAllowance = UNLIMITED

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
