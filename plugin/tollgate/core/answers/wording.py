"""How a spent limit is worded.

`page`: as the page shows it, and in its manner where it shows nothing; `openai`: as OpenAI words
its own quotas; `litellm`: as LiteLLM 1.109 does. Each names the scope, what is spent, the limit and
when it resets.

Clients of another API read the same words in its shape, and a spent budget is 402 to them:
Anthropic's billing_error, Cohere's billing limit. Coding agents take a 401 for a bad login, and
SDKs repeat a 429.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from tollgate.core.answers.error_shapes import error_body
from tollgate.core.limits.accounts import Meter, ScopeKind
from tollgate.core.limits.limit import METERS
from tollgate.core.requests.dialects import Family


class Preset(StrEnum):
    """The value of `tollgate.errors`."""

    PAGE = "page"
    OPENAI = "openai"
    LITELLM = "litellm"


WHAT_HELPS = "GET /v1/usage lists every limit of your key; an administrator can raise one."

WHAT_HELPS_STRICT = (
    "The limit is strict: all that a call may use has to fit. A shorter prompt or a lower output"
    " limit helps."
)

WHAT_HELPS_UPSTREAM = "Another model may have room; GET /v1/models lists those that you may use."


@dataclass(frozen=True, slots=True)
class Crossed:
    """A limit that a request did not fit, in words and numbers as they are printed.

    `window`: of a budget that has one of its own, as ` per day`; it stands behind the limit.
    """

    scope: str
    name: str
    model: str | None
    spent: str
    limit: str
    resets: str
    window: str = ""

    @property
    def whose(self) -> str:
        """The scope as a message names it."""
        shown = f"{self.scope.replace('_', ' ')} {self.name}"
        if self.scope == ScopeKind.PROXY:
            shown = "the proxy"
        if self.model is None:
            return shown
        return f"{shown} for model {self.model}"

    @property
    def it_resets(self) -> str:
        """When the limit starts anew, as a sentence's end."""
        return f"it {self.resets.replace('reset', 'resets', 1)}"


@dataclass(frozen=True, slots=True)
class Worded:
    """A refusal's status, message and JSON body."""

    status: int
    message: str
    body: bytes


def budget_spent(preset: Preset, family: Family, crossed: Crossed) -> Worded:
    """The refusal of a budget that is spent."""
    status, message, body = _SPENT[preset](crossed)
    if family is not Family.OPENAI:
        return Worded(402, message, error_body(family, 402, "", message))
    return Worded(status, message, msgspec.json.encode(body))


def rate_reached(
    preset: Preset, family: Family, meter: Meter, message: str, crossed: Crossed
) -> Worded:
    """The refusal of a limit that is worth trying again: of requests, tokens, calls at once, or a
    budget that is held.

    The page shows none, so it is OpenAI's.
    """
    if preset is Preset.LITELLM:
        descriptor = "api_key" if crossed.scope == ScopeKind.KEY else crossed.scope
        message = (
            f"Rate limit exceeded for {descriptor}: {crossed.name}. Limit type:"
            f" {_NOUNS.get(meter, meter.value)}. {message}"
        )
        return Worded(
            429, message, error_body(family, 429, "throttling_error", message, code="429")
        )
    kind_word = "tokens" if METERS[meter].tokens else "requests"
    return Worded(
        429, message, error_body(family, 429, kind_word, message, code="rate_limit_exceeded")
    )


# LiteLLM's names of limits.
_NOUNS = {Meter.CALLS: "max_parallel_requests", Meter.USD: "max_budget"}


def _page(crossed: Crossed) -> tuple[int, str, Mapping[str, Any]]:
    if crossed.scope == ScopeKind.KEY and crossed.model is None:
        message = (
            f"Authentication Error, ExceededTokenBudget: Current spend for token: {crossed.spent};"
            f" Max Budget for Token: {crossed.limit}{crossed.window}. Key {crossed.name},"
            f" {crossed.resets}. {WHAT_HELPS}"
        )
        # The SDKs show `error` and nothing else of a body.
        error = {
            "message": message,
            "type": "budget_exceeded",
            "param": None,
            "code": "budget_exceeded",
        }
        return 401, message, {"detail": message, "error": error}
    facts = f"Current spend: {crossed.spent}; Max Budget: {crossed.limit}{crossed.window}"
    if crossed.scope == ScopeKind.MEMBER:
        message = (
            f"ExceededBudget: Crossed spend within team. Member {crossed.name}, {facts},"
            f" {crossed.resets}. {WHAT_HELPS}"
        )
    elif crossed.scope in (ScopeKind.CUSTOMER, ScopeKind.USER) and crossed.model is None:
        message = (
            f"Budget has been exceeded: User {crossed.name} has exceeded their budget. {facts};"
            f" {crossed.resets}. {WHAT_HELPS}"
        )
    else:
        message = (
            f"Budget has been exceeded: {crossed.whose} has exceeded its budget. {facts};"
            f" {crossed.resets}. {WHAT_HELPS}"
        )
    return (
        401,
        message,
        {"error": {"message": message, "type": "auth_error", "param": "None", "code": 401}},
    )


def _openai(crossed: Crossed) -> tuple[int, str, Mapping[str, Any]]:
    message = (
        f"The budget of {crossed.whose} is spent; {crossed.it_resets}. Current spend:"
        f" {crossed.spent}; Max Budget: {crossed.limit}{crossed.window}. {WHAT_HELPS}"
    )
    error = {
        "message": message,
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
    return 429, message, {"error": error}


def _litellm(crossed: Crossed) -> tuple[int, str, Mapping[str, Any]]:
    noun = {
        ScopeKind.PROXY.value: "",
        ScopeKind.MEMBER.value: "TeamMember=",
        ScopeKind.CUSTOMER.value: "End User=",
    }.get(crossed.scope, f"{crossed.scope.title().replace('_', '')}=")
    named = f"{noun}{crossed.name} " if noun else ""
    narrowed = f"Model={crossed.model} " if crossed.model is not None else ""
    message = (
        f"Budget has been exceeded! {named}{narrowed}Current cost: {crossed.spent}, Max budget:"
        f" {crossed.limit}{crossed.window}, {crossed.resets}."
    )
    return (
        422,
        message,
        {"error": {"message": message, "type": "budget_exceeded", "param": None, "code": "422"}},
    )


_SPENT: Mapping[Preset, Callable[[Crossed], tuple[int, str, Mapping[str, Any]]]] = {
    Preset.PAGE: _page,
    Preset.OPENAI: _openai,
    Preset.LITELLM: _litellm,
}
