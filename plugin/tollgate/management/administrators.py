"""Authenticate callers of the management API.

The master key and keys of users with the role proxy_admin administer; any other key may read about
itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from tollgate.core.callers.authentication import UNKNOWN_KEY, Objection, hash_of, objection_to_key
from tollgate.core.entities import Key, Role, User
from tollgate.core.errors import TollgateError
from tollgate.ports import Clock, Registry, entity_of


class Denied(TollgateError):
    """The caller is unknown, or may not do this.

    `kind` is LiteLLM's name for the error, `status` its HTTP status.
    """

    def __init__(self, message: str, kind: str = "auth_error", status: int = 401) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


def denied(objection: Objection) -> Denied:
    """Return the error for a key that is not accepted."""
    return Denied(objection.message, objection.kind)


@dataclass(frozen=True, slots=True)
class Administrator:
    """A caller who may do everything."""

    key: Key | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """A caller with an ordinary key, and the user it belongs to."""

    key: Key
    user: User | None = None


Caller = Administrator | Holder


def actor(caller: Caller, door: str) -> str:
    """Return how the audit log names a caller, and by which door they came."""
    key = caller.key
    if key is None:
        return f"master key, {door}"
    owner = "" if key.user_id is None else f", user {key.user_id}"
    return f"key {key.alias or key.name}{owner}, {door}"


class Authenticator:
    """Finds the owner of a secret. Without a `master_key` nobody is the master."""

    def __init__(self, registry: Registry, clock: Clock, master_key: str | None) -> None:
        self._registry = registry
        self._clock = clock
        self._master_hash = None if master_key is None else hash_of(master_key)

    async def authenticate(self, secret: str | None) -> Caller:
        """Return the caller with that secret. Raises Denied, in LiteLLM's words."""
        if not secret:
            raise Denied("Authentication Error, No api key passed in.")
        presented = hash_of(secret)
        if self._master_hash is not None and compare_digest(presented, self._master_hash):
            return Administrator()
        return await self.authenticate_hash(presented)

    async def authenticate_hash(self, key_hash: str) -> Caller:
        """The caller whose key's secret has that SHA-256, as the key is now. Raises Denied."""
        (stored,) = await self._registry.get(Key, [key_hash])
        if stored is None:
            raise denied(UNKNOWN_KEY)
        key = stored.entity
        if (objection := objection_to_key(key, self._clock.now_us())) is not None:
            raise denied(objection)
        user = None
        if key.user_id is not None:
            (found,) = await self._registry.get(User, [key.user_id])
            user = entity_of(found)
        if user is not None and user.blocked:
            raise Denied(f"Authentication Error, User={user.id} is blocked.")
        if user is not None and user.role is Role.ADMIN:
            return Administrator(key)
        return Holder(key, user)
