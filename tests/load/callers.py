"""Who calls under load: keys, and as many kinds of scopes with limits as the management API offers. What it does not is said in a note."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
from tests.load.errors import BenchFailed
from tests.load.systems import MASTER

# So high that nothing is refused, and below 2^53 nano-dollars.
_MANY = 1_000_000
_REQUESTS = {"rpm_limit": 100 * _MANY}
_RATES = {**_REQUESTS, "tpm_limit": 1000 * _MANY}
_BUDGET = {"max_budget": _MANY}
_FOUR = {**_RATES, "max_parallel_requests": _MANY, **_BUDGET}
_MODELS = ("gpt-4o", "embed")
_MODEL = {
    "model_rpm_limit": dict.fromkeys(_MODELS, _RATES["rpm_limit"]),
    "model_tpm_limit": dict.fromkeys(_MODELS, _RATES["tpm_limit"]),
    "model_max_budget": dict.fromkeys(_MODELS, _MANY),
}
_PREFIX = "bench"


class Who(StrEnum):
    """The callers that scenarios ask for."""

    ALL = "every scope limited"
    KEY = "key limited"
    NOBODY = "no limit"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Caller:
    """One key. `limits`: how many limits a request of it meets. `customer` goes into its bodies."""

    key: str
    limits: int = 0
    customer: str | None = None


@dataclass(frozen=True, slots=True)
class Callers:
    """All callers of one system, and what could not be made."""

    who: dict[Who, Caller]
    notes: tuple[str, ...] = ()


def anybody(key: str = "nobody-looks-at-this-key") -> Callers:
    """The callers of a system that has no keys of its own."""
    return Callers(dict.fromkeys(Who, Caller(key)))


def make_callers(url: str) -> Callers:
    """Make keys, and what they belong to, over the management API. Raises BenchFailed when not even keys can be made."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {MASTER}"}, timeout=30) as client:
        scopes = _Scopes(client)
        scopes.try_user()
        scopes.try_team()
        scopes.try_member()
        scopes.try_customer()
        key = {**_FOUR, **_MODEL, **scopes.belongs}
        who = {
            Who.ALL: Caller(_key(client, key), len(_FOUR) + len(_MODEL) + scopes.limits, scopes.customer),
            Who.KEY: Caller(_key(client, _FOUR), len(_FOUR)),
            Who.NOBODY: Caller(_key(client, {})),
            Who.REFUSED: Caller(_key(client, {"rpm_limit": 1}), 1),
        }
        return Callers(who, tuple(scopes.notes))


def _key(client: httpx.Client, members: dict[str, Any]) -> str:
    reply = client.post("/key/generate", json=members)
    if not reply.is_success:
        raise BenchFailed(f"/key/generate answered {reply.status_code}: {reply.text}")
    return str(reply.json()["key"])


@dataclass(slots=True)
class _Scopes:
    """What a key can belong to, made as far as it can be."""

    client: httpx.Client
    belongs: dict[str, str] = field(default_factory=dict)
    customer: str | None = None
    limits: int = 0
    notes: list[str] = field(default_factory=list)

    def try_user(self) -> None:
        user = f"{_PREFIX}-user"
        if self._made("user", "/user/new", {"user_id": user, "auto_create_key": False, **_FOUR}):
            self.belongs["user_id"] = user
            self.limits += len(_FOUR)

    def try_team(self) -> None:
        team, limits = f"{_PREFIX}-team", {**_RATES, **_BUDGET}
        if self._made("team", "/team/new", {"team_id": team, "team_alias": team, **limits}):
            self.belongs["team_id"] = team
            self.limits += len(limits)

    def try_member(self) -> None:
        if {"user_id", "team_id"} - self.belongs.keys():
            self.notes.append("member: not limited, it takes a user and a team")
            return
        member = {"role": "user", "user_id": self.belongs["user_id"]}
        body = {"team_id": self.belongs["team_id"], "member": member, "max_budget_in_team": _MANY}
        self.limits += self._made("member", "/team/member_add", body)

    def try_customer(self) -> None:
        customer = f"{_PREFIX}-customer"
        if self._made("customer", "/customer/new", {"user_id": customer, **_FOUR}):
            self.customer = customer
            self.limits += len(_FOUR)

    def _made(self, scope: str, path: str, body: dict[str, Any]) -> bool:
        reply = self.client.post(path, json=body)
        if not reply.is_success:
            said = " ".join(reply.text.split())[:160]
            self.notes.append(f"{scope}: not limited, {path} answered {reply.status_code} {said}")
        return reply.is_success
