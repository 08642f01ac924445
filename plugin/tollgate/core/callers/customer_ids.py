"""Find the customer that a call is made for, in a header or in the body.

Precedence follows LiteLLM (https://docs.litellm.ai/docs/proxy/customers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tollgate.core.errors import BadRequest, cut

HEADERS = ("x-litellm-customer-id", "x-litellm-end-user-id")
"""Headers that name a customer without being configured; headers take precedence over the body."""
PLACES = ("user", "litellm_metadata.user", "metadata.user_id", "safety_identifier")
"""Places in a body that name a customer: OpenAI's `user` and its successor, Anthropic's
`metadata.user_id`, and LiteLLM's own.
"""
LONGEST_ID = 300
"""Most characters of an id that a client chooses; management enforces the same bound."""

_AGENT_PLACE = "metadata.user_id"
_SESSION = "_session_"
# Parsers disagree about larger whole numbers.
_MOST_NUMBER = 2**53 - 1


def customer_of_headers(headers: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """Return the customer that the first of these headers names.

    Raises BadRequest for a value that cannot be an id.
    """
    for name in names:
        if value := headers.get(name):
            return checked_id(value, f"header {name!r}")
    return None


def customer_of_value(place: str, value: Any) -> str | None:
    """Return the customer that a value of the body names; None if it is empty.

    A whole number stands for its digits. Raises BadRequest for a value that cannot be an id.
    """
    where = f"field {place!r}"
    if type(value) is not str or not value:
        return value_text(value, where, param=place)
    identity = checked_id(value, where, param=place)
    if place == _AGENT_PLACE:
        return without_session(identity)
    return identity


def value_text(value: Any, where: str, param: str | None = None) -> str | None:
    """Return a JSON value as the text of an id; None if it is empty.

    A whole number stands for its digits. Raises BadRequest for anything else than a string.
    """
    if value is None or value == "":
        return None
    if type(value) is int and abs(value) <= _MOST_NUMBER:
        return str(value)
    if not isinstance(value, str):
        raise BadRequest(
            f"The {where} must be a string, got {cut(msgspec.json.encode(value).decode())}.",
            param=param,
        )
    return value


def checked_id(value: str, where: str, param: str | None = None) -> str:
    """Return an id that a client chose, checked.

    Raises BadRequest if it is too long or not printable.
    """
    if len(value) > LONGEST_ID or not value.isprintable():
        raise BadRequest(
            f"The {where} must have at most {LONGEST_ID} characters, all printable, got"
            f" {cut(value)!r}.",
            param=param,
        )
    return value


def without_session(user_id: str) -> str:
    """Return the user part of a coding agent's `metadata.user_id`, which changes with each session.

    Claude Code writes `user_DEVICE_account_ACCOUNT_session_SESSION` (the account may be empty), and
    since 2.1.78 a JSON object with `device_id`, `account_uuid` and `session_id`; both become
    `user_DEVICE_account_ACCOUNT`. Any other id is unchanged.
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
