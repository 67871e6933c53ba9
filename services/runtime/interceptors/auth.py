"""Who may call: an API key with a scope, or the identity of another service of the line.

Each method says in its proto who may call it (`option (access)`); a method that says nothing is refused.
"""

import contextlib
import dataclasses
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterable

import structlog
from google.protobuf import descriptor_pool
from vectorline.v1 import access_pb2

from services.runtime import errors, identity
from services.runtime.interceptors import around

log = structlog.get_logger()

API_KEY = "x-api-key"
INTERNAL_TOKEN = "x-internal-token"  # noqa: S105 (the name of a header)

SCOPES = {
    access_pb2.ACCESS_READ: "read",
    access_pb2.ACCESS_INGEST: "ingest",
    access_pb2.ACCESS_ADMIN: "admin",
}
# Health and reflection are asked by load balancers and tools, which have no key.
OPEN_PACKAGES = ("/grpc.health.v1.", "/grpc.reflection.")


@dataclasses.dataclass(frozen=True)
class Key:
    """An API key: its id for logs and ownership, the SHA-256 of the secret, what it may do."""

    key_id: str
    digest: bytes
    scopes: frozenset[str]


def key(key_id: str, secret: str, scopes: Iterable[str]) -> Key:
    """A key from its secret, which is not kept."""
    return Key(key_id, hashlib.sha256(secret.encode()).digest(), frozenset(scopes))


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


class Auth(around.Around):
    """Binds the caller to the call or refuses it. Comparisons take constant time."""

    def __init__(self, keys: tuple[Key, ...], internal_token: str) -> None:
        self._keys = keys
        self._internal_token = internal_token.encode()
        self._access: dict[str, access_pb2.Access.ValueType] = {}

    @contextlib.asynccontextmanager
    async def around(self, method: str, context: around.Context) -> AsyncIterator[None]:
        """Admit the call or raise Unauthenticated or PermissionDenied."""
        if method not in self._access:
            self._access[method] = access_of(method)
        metadata = dict(context.invocation_metadata() or ())
        caller = self._admit(self._access[method], metadata)
        token = identity.bind(caller)
        with structlog.contextvars.bound_contextvars(caller=caller.key_id):
            try:
                yield
            finally:
                with contextlib.suppress(ValueError):  # a stream closed by the server is finished in another context
                    identity.unbind(token)

    def _admit(self, access: "access_pb2.Access.ValueType", metadata: dict[str, str | bytes]) -> identity.Caller:
        if access == access_pb2.ACCESS_PUBLIC:
            return identity.ANYBODY
        if self._is_internal(metadata.get(INTERNAL_TOKEN)):
            return identity.INTERNAL
        if access not in SCOPES:
            raise errors.PermissionDenied("This method is for the line's own services.", reason="INTERNAL_ONLY")
        found = self._find(metadata.get(API_KEY))
        if found is None:
            raise errors.Unauthenticated("Missing or wrong API key: send it as X-API-Key.", reason="API_KEY_INVALID")
        if SCOPES[access] not in found.scopes:
            raise errors.PermissionDenied(
                f"The key {found.key_id!r} lacks the scope {SCOPES[access]!r}.", reason="SCOPE_MISSING"
            )
        return identity.Caller(found.key_id, found.scopes)

    def _is_internal(self, token: str | bytes | None) -> bool:
        if not token or not self._internal_token:
            return False
        return hmac.compare_digest(token if isinstance(token, bytes) else token.encode(), self._internal_token)

    def _find(self, secret: str | bytes | None) -> Key | None:
        if not secret:
            return None
        digest = hashlib.sha256(secret if isinstance(secret, bytes) else secret.encode()).digest()
        found = None
        for each in self._keys:  # all are compared, so that time tells nothing
            if hmac.compare_digest(digest, each.digest):
                found = each
        return found
