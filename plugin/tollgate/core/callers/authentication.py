"""Decide whether a presented key may be used: the same for calls of models and for management."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from msgspec import Struct

from tollgate.core.callers.credentials import AUTHORIZATION
from tollgate.core.entities import Key

_BEARER = "bearer "
_TOKEN_DOTS = 2


class Objection(Struct, frozen=True):
    """Why a key is not accepted. `message` and `kind` are LiteLLM's words, `code` is our own."""

    message: str
    kind: str
    code: str


def hash_of(secret: str) -> str:
    """Return the SHA-256 of a key's secret, the only form in which it is stored and compared."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


UNKNOWN_KEY = Objection(
    "Authentication Error, Invalid API key provided.", "token_not_found_in_db", "invalid_api_key"
)
_BLOCKED = Objection(
    "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.",
    "auth_error",
    "key_blocked",
)
_MALFORMED = Objection(
    "Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix.",
    "auth_error",
    "invalid_api_key",
)


def objection_to_headers(headers: Mapping[str, str]) -> Objection:
    """Return the objection to headers in which no key was found."""
    if AUTHORIZATION in headers:
        return _MALFORMED
    message = "Authentication Error, No api key passed in." + misplaced_bearer(headers)
    return Objection(message, "auth_error", "invalid_api_key")


def objection_to_token(fault: str) -> Objection | None:
    """Return the objection to a token that Envoy did not accept, in its words; None if it found no
    fault.
    """
    if not fault:
        return None
    message = f"Authentication Error, the token is not accepted: {fault}."
    return Objection(message, "auth_error", "invalid_token")


def is_token(secret: str) -> bool:
    """Whether a secret looks like a JSON Web Token and not like a key: three parts with dots
    (https://www.rfc-editor.org/rfc/rfc7519).
    """
    return secret.count(".") == _TOKEN_DOTS


def objection_to_key(key: Key, now_us: int) -> Objection | None:
    """Return the objection to a key that exists; None if it may be used."""
    if key.blocked:
        return _BLOCKED
    if key.expires_us is not None and key.expires_us <= now_us:
        message = (
            "Authentication Error - Expired Key. "
            f"Key Expiry time {_shown(key.expires_us)} and current time {_shown(now_us)}"
        )
        return Objection(message, "expired_key", "key_expired")
    return None


def _shown(instant_us: int) -> str:
    return datetime.fromtimestamp(instant_us / 1_000_000, UTC).isoformat()


def misplaced_bearer(headers: Mapping[str, str]) -> str:
    """A sentence about a header that carries a Bearer token and is not Authorization, as the page's
    own slip; else nothing.
    """
    carries = (name for name, value in headers.items() if value[: len(_BEARER)].lower() == _BEARER)
    name = next((name for name in carries if name.lower() != AUTHORIZATION), None)
    return (
        ""
        if name is None
        else f" The header {name!r} carries a Bearer token; its name must be 'Authorization'."
    )
