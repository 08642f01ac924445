"""An issuer of JSON Web Tokens, as Envoy accepts them."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER, AUDIENCE = "https://issuer.example", "llm"


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """Signs with one key (ES256)."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        """The public key, as a JWKS document."""
        numbers = self._key.public_key().public_numbers()
        place = {name: _text(getattr(numbers, name).to_bytes(32, "big")) for name in ("x", "y")}
        public = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one"}
        return json.dumps({"keys": [public | place]})

    def write_jwks(self, folder: Path) -> Path:
        """Write the public key into a folder."""
        file = folder / "jwks.json"
        file.write_text(self.jwks, encoding="utf-8")
        return file

    def token(self, *, lives_s: int | None = 600, **claims: Any) -> str:
        """A token with these claims; `lives_s` None: it never ends."""
        ends = {} if lives_s is None else {"exp": int(time.time()) + lives_s}
        head = _text(json.dumps({"alg": "ES256", "kid": "one"}).encode())
        body = _text(json.dumps({"iss": ISSUER, "aud": AUDIENCE, **ends, **claims}).encode())
        signature = self._key.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
        numbers = b"".join(each.to_bytes(32, "big") for each in decode_dss_signature(signature))
        return f"{head}.{body}.{_text(numbers)}"
