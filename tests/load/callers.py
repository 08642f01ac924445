"""Who calls under load: keys, and as many kinds of scopes with limits as the management API offers.

What it does not is said in a note.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
from tests.load.errors import BenchFailed
from tests.load.systems import MASTER

# So high that nothing is refused, and below 2^53 nano-dollars.
_MANY = 1_000_000
_MODELS = ("gpt-4o", "embed")
_RPM, _TPM, _PARALLEL, _BUDGET = (
    {"rpm_limit": 100 * _MANY}, {"tpm_limit": 1000 * _MANY}, {"max_parallel_requests": _MANY},
    {"max_budget": _MANY},
)  # fmt: skip
_MODEL_RPM = {"model_rpm_limit": dict.fromkeys(_MODELS, 100 * _MANY)}
_MODEL_TPM = {"model_tpm_limit": dict.fromkeys(_MODELS, 1000 * _MANY)}
_MODEL_BUDGET = {"model_max_budget": dict.fromkeys(_MODELS, _MANY)}
_FOUR = _RPM | _TPM | _PARALLEL | _BUDGET
_PREFIX = "bench"

Members = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What each scope of a caller is limited by, as the management API writes it.

    A member's is a budget.
    """

    user: Members
    team: Members
    customer: Members
    key: Members


# One limit at each of eight scopes (user, team and key also narrowed to the model, and the member);
# and all that can be set.
EACH = Limits(
    user=_TPM | _MODEL_RPM, team=_BUDGET | _MODEL_RPM, customer=_BUDGET, key=_RPM | _MODEL_TPM
)
ALL = Limits(
    user=_FOUR,
    team=_RPM | _TPM | _BUDGET,
    customer=_FOUR,
    key=_FOUR | _MODEL_RPM | _MODEL_TPM | _MODEL_BUDGET,
)


class Who(StrEnum):
    """The callers that scenarios ask for."""

    EACH = "every scope limited"
    ALL = "every limit set"
    KEY = "key limited"
    NOBODY = "no limit"
    REFUSED = "refused"
    WRONG_KEY = "wrong key"
    WITHIN = "an organization limited"
    SHARED = "an organization, user and customer limited"


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
    """Make keys, and what they belong to, over the management API.

    Raises BenchFailed when not even keys can be made.
    """
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {MASTER}"}, timeout=30
    ) as client:
        each, all_ = (
            _Scopes(client, f"{_PREFIX}-each", EACH),
            _Scopes(client, f"{_PREFIX}-all", ALL),
        )
        who = {
            Who.EACH: each.caller(),
            Who.ALL: all_.caller(),
            Who.KEY: Caller(_key(client, _FOUR), len(_FOUR)),
            Who.NOBODY: Caller(_key(client, {})),
            Who.REFUSED: Caller(_key(client, {"rpm_limit": 1}), 1),
            Who.WRONG_KEY: Caller("sk-nobody-has-this-key"),
        }
        return Callers(who, (*each.notes, *all_.notes))


def make_organization_callers(url: str, organization: str = f"{_PREFIX}-org") -> dict[Who, Caller]:
    """Make an organization with two keys, whose calls are limited by it and their team.

    Those of the other are limited by a user and a customer too, who span organizations. Raises
    BenchFailed when something cannot be made.
    """
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {MASTER}"}, timeout=30
    ) as client:
        team, user, customer = (f"{organization}-{each}" for each in ("team", "user", "customer"))
        _make(client, "/organization/new", {"organization_id": organization,
              "organization_alias": organization, **_RPM, **_BUDGET})  # fmt: skip
        _make(client, "/team/new", {"team_id": team, "organization_id": organization, **_TPM})
        _make(client, "/user/new", {"user_id": user, "auto_create_key": False, **_TPM})
        _make(client, "/customer/new", {"user_id": customer, **_BUDGET})
        within = Caller(_key(client, {"team_id": team, **_RPM}), 4)
        shared = Caller(_key(client, {"team_id": team, "user_id": user, **_RPM}), 6, customer)
        return {Who.WITHIN: within, Who.SHARED: shared}


def _make(client: httpx.Client, path: str, body: Members) -> None:
    reply = client.post(path, json=body)
    if not reply.is_success:
        raise BenchFailed(f"{path} answered {reply.status_code}: {reply.text}")


def _key(client: httpx.Client, members: Members) -> str:
    reply = client.post("/key/generate", json=members)
    if not reply.is_success:
        raise BenchFailed(f"/key/generate answered {reply.status_code}: {reply.text}")
    return str(reply.json()["key"])


@dataclass(slots=True)
class _Scopes:
    """What a key can belong to, made as far as it can be.

    `count`: how many limits a request of it meets.
    """

    client: httpx.Client
    prefix: str
    limits: Limits
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def caller(self) -> Caller:
        """A key that belongs to a user, a team and the two together, and calls for a customer."""
        user, team, customer = (f"{self.prefix}-{noun}" for noun in ("user", "team", "customer"))
        belongs: Members = {}
        if self._made(
            "user", "/user/new", {"user_id": user, "auto_create_key": False}, self.limits.user
        ):
            belongs["user_id"] = user
        if self._made("team", "/team/new", {"team_id": team, "team_alias": team}, self.limits.team):
            belongs["team_id"] = team
        if len(belongs) == 2:
            member = {"team_id": team, "member": {"role": "user", "user_id": user}}
            self._made("member", "/team/member_add", member, {"max_budget_in_team": _MANY})
        else:
            self.notes.append("member: not limited, it takes a user and a team")
        named = (
            customer
            if self._made("customer", "/customer/new", {"user_id": customer}, self.limits.customer)
            else None
        )
        key = _key(self.client, {**self.limits.key, **belongs})
        return Caller(key, self.count + len(self.limits.key), named)

    def _made(self, scope: str, path: str, body: Members, limits: Members) -> bool:
        reply = self.client.post(path, json=body | limits)
        if reply.is_success:
            self.count += len(limits)
        else:
            said = " ".join(reply.text.split())[:160]
            self.notes.append(f"{scope}: not limited, {path} answered {reply.status_code} {said}")
        return reply.is_success
