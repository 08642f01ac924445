"""Admissions with everything around them in memory, and short ways to ask them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import count
from typing import Any

from tests.fakes import FixedClock, MemoryCounters, MemoryRefusals, MemoryValues

from tollgate.admission.admission import Admissions, Request, Terms
from tollgate.admission.hold_waits import HoldWaits
from tollgate.admission.refusal_notes import RefusalNotes
from tollgate.core.answers.wording import Preset
from tollgate.core.callers.rules import Policy
from tollgate.core.calls.decision import Admission, Decision, Refusal
from tollgate.core.calls.refusal_records import RefusalRecord
from tollgate.core.calls.reservation import Reservation
from tollgate.core.entities import (
    Budget,
    Customer,
    Key,
    Member,
    Organization,
    OrganizationMember,
    Tag,
    Team,
    User,
)
from tollgate.core.limits.accounts import Account, Scope
from tollgate.core.models.deployment import Deployment
from tollgate.core.models.output_limits import OutputLimits
from tollgate.core.money.pricing import Price, Rates
from tollgate.core.requests import body
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates

SECRET, MASTER = "sk-test", "sk-1234"
PRICE = Price("test", (Rates(2_500_000, 10_000_000, 1_250_000, 2_500_000, 2_500_000),))


def hashed(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


@dataclass
class People:
    """A directory of what a test puts into it."""

    keys: dict[str, Key] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    customers: dict[str, Customer] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    organization_members: dict[str, OrganizationMember] = field(default_factory=dict)
    generation: int | None = None

    async def find_key(self, key_hash: str) -> Key | None:
        return self.keys.get(key_hash)

    async def find_key_of_alias(self, alias: str) -> Key | None:
        return next((each for each in self.keys.values() if each.alias == alias), None)

    async def find_key_of_id(self, key_id: str) -> Key | None:
        found = (each for each in self.keys.values() if each.id == key_id)
        return next((each for each in found if each.replaced_by is None), None)

    async def find_user(self, user_id: str) -> User | None:
        return self.users.get(user_id)

    async def find_team(self, team_id: str) -> Team | None:
        return self.teams.get(team_id)

    async def find_member(self, team_id: str, user_id: str) -> Member | None:
        return self.members.get(f"{team_id}/{user_id}")

    async def find_customer(self, customer_id: str) -> Customer | None:
        return self.customers.get(customer_id)

    async def find_budget(self, budget_id: str) -> Budget | None:
        return self.budgets.get(budget_id)

    async def find_organization(self, organization_id: str) -> Organization | None:
        return self.organizations.get(organization_id)

    async def find_tag(self, tag_id: str) -> Tag | None:
        return self.tags.get(tag_id)

    async def find_organization_member(
        self, organization_id: str, user_id: str
    ) -> OrganizationMember | None:
        return self.organization_members.get(f"{organization_id}/{user_id}")


@dataclass
class Desk:
    """Admissions with everything around them in memory."""

    people: People = field(default_factory=People)
    clock: FixedClock = field(default_factory=FixedClock)
    terms: Terms = field(
        default_factory=lambda: Terms(
            hashed(MASTER), Policy(), 100, "refuse", PRICE, "refuse", Preset.PAGE
        )
    )
    deployments: tuple[Deployment, ...] = (
        Deployment("gpt-4o", "gpt-4o", "openai", "gpt-4o", "http://mock-llm/v1"),
        Deployment("fast", "fast", "openai", "gpt-4o-mini", "http://mock-llm/v1"),
        Deployment("claude", "claude", "anthropic", "claude-sonnet-4-5", "http://mock-llm"),
        Deployment("unpriced", "unpriced", "openai", "made-up", "http://mock-llm/v1"),
    )
    counters: Any = None
    price: Price = PRICE
    ids: Iterator[int] = field(default_factory=lambda: count(1))
    _admissions: tuple[object, Admissions] | None = None
    refusals: MemoryRefusals = field(default_factory=MemoryRefusals)
    undone: list[Reservation] = field(default_factory=list)
    hold_wait_s: float = 0
    longest_wait_s: float = 0
    cooling: set[str] = field(default_factory=set)

    def sound_length(self, raw: bytes, start: int, end: int) -> float | None:
        """How long the sound is that a test uploads: it says so itself."""
        told = raw[start:end].decode()
        return float(told) if told.isdigit() else None

    def __post_init__(self) -> None:
        self.counters = self.counters or MemoryCounters(self.clock)
        self.values = MemoryValues(self.clock)
        self.refusal_notes = RefusalNotes(self.refusals, self.clock)
        self.key()

    def key(self, **changes: Any) -> None:
        self.people.keys[hashed(SECRET)] = replace(Key(hashed(SECRET), "sk-...test"), **changes)
        if self.people.generation is not None:
            self.people.generation += 1

    def with_policy(self, **limits: Any) -> Terms:
        """The terms, with limits that the configuration gives."""
        return replace(self.terms, policy=replace(self.terms.policy, **limits))

    async def spent(self, organization: str, scope: Scope) -> int:
        """What was ever spent of a scope, as seen from an organization."""
        (spend,) = await self.counters.spend(organization, (Account(scope),))
        return int(spend.total_nanousd)

    def limit_outputs(self, rows: Sequence[tuple[Sequence[str], int]]) -> None:
        """Let these be the most that models can write: patterns of names, and tokens."""
        self.terms = replace(self.terms, output_limits=OutputLimits(rows))

    def prompt_tokens(self, asked: object) -> int:
        """What a prompt is held at."""
        facts = body.read(json.dumps(asked).encode())
        return InputEstimates().tokens("any", facts.prompt_tokens)

    async def ask(
        self,
        asked: object = None,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        headers: dict[str, str] | None = None,
        secret: str = SECRET,
    ) -> Decision:
        if headers is None:
            headers = {"authorization": f"Bearer {secret}"}
        raw = (
            asked
            if isinstance(asked, bytes)
            else json.dumps(chat() if asked is None else asked).encode()
        )
        return await self.door().admit(Request(method, path, headers, raw))

    async def ask_head(
        self,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> Refusal | None:
        """What is said of a request whose body has not come."""
        headers = {"authorization": f"Bearer {SECRET}"} if headers is None else headers
        return await self.door().check_key(Request(method, path, headers, b""))

    async def recorded(self) -> list[RefusalRecord]:
        """The refusals that are recorded once everything that was noted is written."""
        writing = asyncio.create_task(self.refusal_notes.keep_written())
        await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        return self.refusals.records

    def forget(self) -> None:
        """Ask the next time as if for the first time."""
        self._admissions = None

    def door(self) -> Admissions:
        """Admission as it is set up now."""
        made_of = (self.terms, self.deployments, self.price, self.counters)
        if self._admissions is None or self._admissions[0] != made_of:
            prices = {each.id: self.price for each in self.deployments if each.id != "unpriced"}
            admissions = Admissions(
                self.people,
                self.counters,
                Catalog.of(self.deployments, prices),
                self.terms,
                self.clock,
                lambda: f"{next(self.ids):024x}",
                InputEstimates(),
                self.undone.append,
                HoldWaits(self.counters, self.hold_wait_s, self.longest_wait_s),
                self.sound_length,
                self.refusal_notes,
                self.values,
                self.cooling.__contains__,
            )
            self._admissions = (made_of, admissions)
        return self._admissions[1]


def chat(**members: object) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **members}


def refusal(decision: Decision) -> tuple[int, dict[str, Any], dict[str, str]]:
    assert isinstance(decision, Refusal)
    return decision.status, json.loads(decision.body), {h.name: h.value for h in decision.headers}


def admission(decision: Decision) -> Admission:
    assert isinstance(decision, Admission), decision
    return decision
