"""Who a call is made for: the customer that a request names, by a header or in its body, in
LiteLLM's order of precedence (https://docs.litellm.ai/docs/proxy/customers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tollgate.core.errors import BadRequest, cut

HEADERS = ("x-litellm-customer-id", "x-litellm-end-user-id")
"""The headers that name a customer. They come before whatever the body says."""
PLACES = ("user", "litellm_metadata.user", "metadata.user_id", "safety_identifier")
"""Where a body names a customer: OpenAI's `user` and its successor, Anthropic's `metadata.user_id`,
and LiteLLM's own.
"""
LONGEST_ID = 300
"""Characters of an id that a client chooses; management takes no longer one either."""

_AGENT_PLACE = "metadata.user_id"
_SESSION = "_session_"
# A whole number beyond this is not the same to every parser.
_MOST_NUMBER = 2**53 - 1


def customer_of_headers(headers: Mapping[str, str]) -> str | None:
    """The customer that a header names. Raises BadRequest for one that cannot be an id."""
    for name in HEADERS:
        if value := headers.get(name):
            return checked_id(value, f"header {name!r}")
    return None


def customer_of_value(place: str, value: Any) -> str | None:
    """The customer that a value of the body names; None where it is empty.

    Raises BadRequest for one that cannot be an id.

    A whole number is taken for its digits.
    """
    if value is None or value == "":
        return None
    if type(value) is int and abs(value) <= _MOST_NUMBER:
        return str(value)
    if not isinstance(value, str):
        raise BadRequest(
            f"The field {place!r} must be a string, got {cut(msgspec.json.encode(value).decode())}.",
            param=place,
        )
    identity = checked_id(value, f"field {place!r}", param=place)
    return without_session(identity) if place == _AGENT_PLACE else identity


def checked_id(value: str, where: str, param: str | None = None) -> str:
    """An id that a client chose.

    Raises BadRequest when it is too long to keep, or cannot be shown.
    """
    if len(value) > LONGEST_ID or not value.isprintable():
        raise BadRequest(
            f"The {where} must have at most {LONGEST_ID} characters, all printable, got {cut(value)!r}.",
            param=param,
        )
    return value


def without_session(user_id: str) -> str:
    """The user of a coding agent's `metadata.user_id`, which is another in each session.

    Claude Code writes `user_DEVICE_account_ACCOUNT_session_SESSION` (the account may be empty), and
    since 2.1.78 an object as JSON with `device_id`, `account_uuid` and `session_id`; both become
    `user_DEVICE_account_ACCOUNT`. Any other id stays.
    """
    if user_id.startswith("{"):
        return _of_object(user_id)
    if user_id.startswith("user_") and "_account_" in user_id:
        return user_id.partition(_SESSION)[0]
    return user_id


def _of_object(user_id: str) -> str:
    try:
        told = msgspec.json.decode(user_id)
    except (msgspec.DecodeError, RecursionError):
        return user_id
    if not isinstance(told, dict) or "session_id" not in told:
        return user_id
    device, account = told.get("device_id"), told.get("account_uuid")
    if isinstance(device, str) and device:
        return f"user_{device}_account_{account if isinstance(account, str) else ''}"
    return msgspec.json.encode(
        {name: told[name] for name in sorted(told) if name != "session_id"}
    ).decode()
