"""Sessions of the console: a signed cookie that names a key, never a secret.

The key is looked up again at each request, so a session ends when its key is blocked, expires or is
deleted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

import msgspec
from itsdangerous import BadSignature, URLSafeSerializer, URLSafeTimedSerializer

COOKIE = "tollgate_session"
LONGEST_S = 12 * 3600
"""A session ends after this many seconds, whatever happens."""


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed in: the hash of a key's secret, or None for the master key.

    `nonce` differs from one session to the next.
    """

    key_hash: str | None
    nonce: str


class Sessions:
    """Signs and reads sessions.

    `secret`: what the signatures are made with. Who knows it can sign in as anybody.
    `administrators_only`: nobody else may look at the console.
    """

    def __init__(self, secret: str, *, administrators_only: bool = False) -> None:
        self.administrators_only = administrators_only
        # SHA-1 is itsdangerous' default for old cookies' sake.
        options = {"digest_method": sha256}
        self._cookies = URLSafeTimedSerializer(secret, salt="session", signer_kwargs=options)
        self._tokens = URLSafeSerializer(secret, salt="form", signer_kwargs=options)

    @classmethod
    def of(cls, master_key: str | None, *, administrators_only: bool = False) -> Sessions:
        """Sessions that hold as long as the master key does, in all processes that know it.

        Without a master key they hold as long as this process runs.
        """
        secret = secrets.token_urlsafe(32) if master_key is None else f"console {master_key}"
        return cls(secret, administrators_only=administrators_only)

    def begin(self, key_hash: str | None) -> Session:
        """Return a new session."""
        return Session(key_hash, secrets.token_urlsafe(16))

    def cookie(self, session: Session) -> str:
        """Return the cookie's value."""
        return str(self._cookies.dumps([session.key_hash, session.nonce]))

    def find(self, cookie: str | None) -> Session | None:
        """Return the session that a cookie names; None when it is not ours, or too old."""
        if cookie is None:
            return None
        try:
            found = self._cookies.loads(cookie, max_age=LONGEST_S)
            return Session(*msgspec.convert(found, tuple[str | None, str]))
        except (BadSignature, msgspec.ValidationError):
            return None

    def form_token(self, session: Session) -> str:
        """Return what every form of a session carries, and no page of another site can know."""
        return str(self._tokens.dumps(session.nonce))

    def is_form_token(self, session: Session, token: str) -> bool:
        """Tell whether a form came from a page of this session."""
        return compare_digest(token.encode(), self.form_token(session).encode())
