"""What both doors of admission answer alike, whichever protocol Envoy asks in."""

from __future__ import annotations

from typing import Final

from tollgate.core.calls.decision import Refusal
from tollgate.core.requests.dialects import error_body, family_of_path

CLIENT_CLOSED: Final = 499
"""The status of a request whose client left before it had an answer."""


def internal_error(path: str) -> Refusal:
    """The answer when deciding itself failed."""
    message = "Tollgate failed to decide about this request; the log says why."
    body = error_body(family_of_path(path), 500, "server_error", message, code="internal_error")
    return Refusal(500, "internal_error", message, body)
