"""Who may call: an API key with a scope, or the identity of another service of the line.

Each method says in its proto who may call it (`option (access)`); a method that says nothing is refused.
"""

import contextlib
import datetime
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable

import pydantic
import structlog
from google.protobuf import descriptor_pool
from vectorline.v1 import access_pb2

from services.runtime import errors, identity, key_rates, keys, secrets, tls
from services.runtime.interceptors import around
from services.runtime.interceptors.around import Context  # `around` is a method in the class

log = structlog.get_logger()

API_KEY = "x-api-key"
INTERNAL_TOKEN = "x-internal-token"  # noqa: S105 (the name of a header)

# The gateway adds it to every call, and takes the internal token away. Should it forget to, or have been given a
# service's certificate, its callers are no services of the line for that: neither counts behind this header.
FORWARDED = "x-forwarded-for"

SCOPES = {
    access_pb2.ACCESS_READ: "read",
    access_pb2.ACCESS_INGEST: "ingest",
    access_pb2.ACCESS_ADMIN: "admin",
}
# Health and reflection are asked by load balancers and tools, which have no key.
OPEN_PACKAGES = ("/grpc.health.v1.", "/grpc.reflection.")


def access_of(method: str) -> "access_pb2.Access.ValueType":
    """The access that the proto gives "/package.Service/Method"; ACCESS_UNSPECIFIED when it gives none."""
    if method.startswith(OPEN_PACKAGES):
        return access_pb2.ACCESS_PUBLIC
    service, _, name = method.lstrip("/").partition("/")
    try:
        descriptor = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
    except KeyError:
        return access_pb2.ACCESS_UNSPECIFIED
    access: access_pb2.Access.ValueType = descriptor.GetOptions().Extensions[access_pb2.access]
    return access


async def _nothing_new() -> None:
    """There is nowhere to look for newer secrets."""


class Auth(around.Around):
    """Binds the caller to the call, or refuses it before its handler and any of its body is read.

    Args:
        ring: The API keys.
        internal_token: What proves another service; empty: only a certificate does.
        rate: Counts the requests of keys that have a limit.
        look: Looks for newer keys and tokens, when one is not known; bounds itself how often.
        peers: Names in certificates that make a caller another service of the line. The gateway is not among them: it
            speaks for its callers.
    """

    def __init__(
        self,
        ring: keys.Keyring,
        internal_token: pydantic.SecretStr,
        rate: key_rates.Rate | None = None,
        look: Callable[[], Awaitable[None]] = _nothing_new,
        *,
        peers: frozenset[str] = frozenset(),
    ) -> None:
        self._keys = ring
        self._internal_token = internal_token
        self._rate = rate or key_rates.LocalRate()
        self._look = look
        self._peers = peers
        self._access: dict[str, access_pb2.Access.ValueType] = {}

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        """Admit the call or raise Unauthenticated, PermissionDenied or ResourceExhausted."""
        if method not in self._access:
            self._access[method] = access_of(method)
        caller = await self._admit(self._access[method], context)
        token = identity.bind(caller)
        with structlog.contextvars.bound_contextvars(caller=caller.key_id):
            try:
                yield
            finally:
                with contextlib.suppress(ValueError):  # a stream closed by the server is finished in another context
                    identity.unbind(token)

    async def _admit(self, access: "access_pb2.Access.ValueType", context: Context) -> identity.Caller:
        if access == access_pb2.ACCESS_PUBLIC:
            return identity.ANYBODY
        metadata = dict(context.invocation_metadata() or ())
        if await self._is_internal(metadata, context):
            return identity.INTERNAL
        if access not in SCOPES:
            raise errors.PermissionDenied("This method is for the line's own services.", reason="INTERNAL_ONLY")
        found = await self._key(metadata.get(API_KEY))
        await self._count(found)
        if SCOPES[access] not in found.scopes:
            raise errors.PermissionDenied(
                f"The key {found.key_id!r} lacks the scope {SCOPES[access]!r}.", reason="SCOPE_MISSING"
            )
        return identity.Caller(found.key_id, found.scopes, limits=found.limits, allow=found.allow)

    async def _is_internal(self, metadata: dict[str, str | bytes], context: Context) -> bool:
        if FORWARDED in metadata:
            return False
        if tls.is_service(context.auth_context() or {}, self._peers):
            return True
        token = metadata.get(INTERNAL_TOKEN)
        if not token or not self._internal_token.get_secret_value():
            return False
        given = token if isinstance(token, bytes) else token.encode()
        if self._same(given):
            return True
        await self._look()
        return self._same(given)

    def _same(self, given: bytes) -> bool:
        accepted = [hmac.compare_digest(given, each.encode()) for each in secrets.accepted(self._internal_token)]
        return any(accepted)

    async def _key(self, secret: str | bytes | None) -> keys.Key:
        found = self._keys.find(secret) if secret else None
        if found is None and secret:
            await self._look()
            found = self._keys.find(secret)
        if found is None:
            raise errors.Unauthenticated("Missing or wrong API key: send it as X-API-Key.", reason="API_KEY_INVALID")
        if found.expired(datetime.datetime.now(datetime.UTC)):
            raise errors.Unauthenticated(
                f"The key {found.key_id!r} has expired; ask for a new one.", reason="API_KEY_EXPIRED"
            )
        return found

    async def _count(self, key: keys.Key) -> None:
        per_second = key.limits.requests_per_second
        if not per_second:
            return
        wait = await self._rate.take(key.key_id, per_second)
        if wait:
            raise errors.ResourceExhausted(
                f"The key {key.key_id!r} may send {per_second:g} requests a second. Ask again after retry-after.",
                reason="REQUESTS_QUOTA_EXCEEDED",
                metadata={"limit": f"{per_second:g}", "unit": "requests/s"},
                retry_seconds=wait,
            )
