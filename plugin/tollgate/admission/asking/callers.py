"""Resolve the caller of a request: its key, and everybody whose limits apply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from msgspec import structs

from tollgate.admission.asking.remembered_values import RememberedValues
from tollgate.core.answers import refusals
from tollgate.core.callers.authentication import (
    UNKNOWN_KEY,
    Objection,
    hash_of,
    is_token,
    objection_to_headers,
    objection_to_key,
    objection_to_token,
)
from tollgate.core.callers.credentials import OWN_HEADER, find_secret, passed_secrets
from tollgate.core.callers.dimensions import Values
from tollgate.core.callers.identity import NOBODY, VerifiedIdentity, derived_key, is_derived
from tollgate.core.callers.rules import Caller, DimensionValue
from tollgate.core.calls.decision import Refusal
from tollgate.core.entities import Budget, Key, Organization, OrganizationMember, Team, User
from tollgate.core.errors import cut
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION, ScopeKind
from tollgate.core.limits.limit_parts import place_for
from tollgate.core.memo import Bounded
from tollgate.core.models.probe_model import LATE_S
from tollgate.core.requests.dialects import Family
from tollgate.ports import Clock, Directory

# Entities belong to the directory; a caller adds a tuple of them and the customer's id.
_CALLER_BYTES, _VALUE_BYTES, _MOST_KNOWN_BYTES = 600, 1_500, 8 * 1024 * 1024


class Refused(Exception):
    """Carries a refusal out of a step of admission; never leaves admission."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal


class Late(Refused):
    """Carries a refusal that is told only after a time in which Envoy should have given up."""

    async def wait(self) -> None:
        """Wait for that time."""
        await asyncio.sleep(LATE_S)


class Callers:
    """Callers by the directory.

    `master_hash` is the master key's SHA-256; None means that no master key exists.
    `remembered`: which values that requests choose are told apart. `admit_unknown`: an identity
    need not be registered. `customer_budget_id`: the budget of customers without limits of their
    own.
    """

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        master_hash: str | None,
        remembered: RememberedValues,
        *,
        admit_unknown: bool = False,
        customer_budget_id: str | None = None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._master_hash = master_hash
        self._remembered = remembered
        self._admit_unknown = admit_unknown
        self._customer_budget_id = customer_budget_id
        # Callers of the current generation of the directory: one look-up instead of four for a
        # caller that asks again.
        self._known: Bounded[tuple[str | None, str | None, str | None, Values], Caller] = Bounded(
            _MOST_KNOWN_BYTES
        )
        self._generation: int | None = None

    async def authenticate(
        self,
        headers: Mapping[str, str],
        query: str,
        family: Family,
        identity: VerifiedIdentity = NOBODY,
    ) -> Key | None:
        """Return the key that asks; None is the master key.

        Keys are compared by hash only. An identity that Envoy vouches for needs no key; one that
        nobody knows is ignored then, since SDKs insist on sending some. Raises Refused.
        """
        secret = find_secret(headers, query)
        if secret is None:
            if identity.names_caller:
                return await self._identified(identity, family)
            missing = objection_to_token(identity.fault) or objection_to_headers(headers)
            raise _refused(missing, family)
        key_hash = hash_of(secret)
        if key_hash == self._master_hash:
            return None
        key = await self._directory.find_key(key_hash)
        if key is None and identity.names_caller:
            return await self._identified(identity, family)
        # Most keys never expire: the clock is not read for them.
        now_us = 0 if key is None or key.expires_us is None else self._clock.now_us()
        objection = UNKNOWN_KEY if key is None else objection_to_key(key, now_us)
        if objection is not None:
            token = objection_to_token(identity.fault) if is_token(secret) else None
            raise _refused(token or objection, family)
        if key is None or identity.user_id is None:
            return key
        return await self._with_user(key, identity, family)

    async def _with_user(self, key: Key, identity: VerifiedIdentity, family: Family) -> Key:
        """Return the key, with the identity's user if it has none of its own. Raises Refused."""
        if key.user_id is not None or identity.user_id is None:
            return key
        await self._check_user(identity.user_id, family)
        return replace(key, user_id=identity.user_id)

    async def _identified(self, identity: VerifiedIdentity, family: Family) -> Key:
        """Return the key of an identity, or the one that stands for it. Raises Refused."""
        directory = self._directory
        if identity.key_alias is not None:
            key = await directory.find_key_of_alias(identity.key_alias)
            if key is None:
                raise Refused(_unregistered(family, "key", identity.key_alias))
            if (objection := objection_to_key(key, self._clock.now_us())) is not None:
                raise _refused(objection, family)
            return await self._with_user(key, identity, family)
        organization = identity.organization_id or DEFAULT_ORGANIZATION
        if identity.team_id is not None:
            team = await directory.find_team(identity.team_id)
            if team is not None:
                organization = team.organization
            elif not self._admit_unknown:
                raise Refused(_unregistered(family, "team", identity.team_id))
        if identity.user_id is not None:
            user = await self._check_user(identity.user_id, family)
            if user is not None and identity.team_id is None and identity.organization_id is None:
                organization = user.organization
        key = derived_key(identity, organization)
        if organization == DEFAULT_ORGANIZATION:
            return key
        found = await directory.find_organization(organization)
        if found is None and not self._admit_unknown:
            raise Refused(_unregistered(family, "organization", organization))
        if found is None or found.shards == 1:
            return key
        home = place_for(organization, found.shards, identity.team_id or key.id)
        return replace(key, home=home)

    async def _check_user(self, user_id: str, family: Family) -> User | None:
        """Return the user of an identity. Raises Refused for one whom nobody registered, unless
        such may call.
        """
        user = await self._directory.find_user(user_id)
        if user is None and not self._admit_unknown:
            raise Refused(_unregistered(family, "user", user_id))
        return user

    async def check_passed(self, headers: Mapping[str, str], family: Family) -> None:
        """Allow a request that carries its client's own provider credential.

        Raises Refused if that credential is a key of ours.
        """
        for secret in passed_secrets(headers):
            key_hash = hash_of(secret)
            if (
                key_hash == self._master_hash
                or await self._directory.find_key(key_hash) is not None
            ):
                message = (
                    "This model's provider receives your own credential: "
                    f"send the gateway's key in the header {OWN_HEADER!r} only."
                )
                raise Refused(
                    refusals.refusal(
                        family, 400, "invalid_request_error", message, code="key_would_pass"
                    )
                )

    async def find(
        self, key: Key | None, customer_id: str | None, family: Family, values: Values = ()
    ) -> Caller:
        """Return everybody whose limits apply: the same object until one of them changes.

        Raises Refused if one of them is blocked, or there is no room for a customer or a value.
        """
        if customer_id is not None and not self._remembered.has_room_for_customer(customer_id):
            customer_id = await self._told_apart(ScopeKind.CUSTOMER, customer_id, key, family)
        if values:
            kept = [
                (name, await self._told_apart(name, value, key, family)) for name, value in values
            ]
            values = tuple(dict.fromkeys(kept))
        generation = self._directory.generation
        if generation != self._generation:
            self._known.clear()
            self._generation = generation
        name = (
            (None, None, customer_id, values)
            if key is None
            else (key.hash, key.user_id, customer_id, values)
        )
        caller = self._known.get(name)
        if caller is None:
            caller = await self._look_up(key, customer_id, family)
            if customer_id is not None and self._customer_budget_id is not None:
                budget = await self._find_customer_budget(self._customer_budget_id, family)
                caller = structs.replace(caller, customer_budget=budget)
            if values:
                found = await self._find_values(values, family)
                caller = structs.replace(caller, values=found)
            # An entity may have changed during the look-ups; then the result is not cached.
            if (
                generation is not None
                and generation == self._generation == self._directory.generation
            ):
                self._known.put(
                    name,
                    caller,
                    _CALLER_BYTES + 4 * len(customer_id or "") + _VALUE_BYTES * len(values),
                )
        return caller

    async def _find_customer_budget(self, budget_id: str, family: Family) -> Budget:
        """Return the budget of customers. Raises Refused where it is missing: calls that it was to
        limit would have no limit.
        """
        budget = await self._directory.find_budget(budget_id)
        if budget is None:
            message = (
                f"The configuration gives customers the budget {cut(budget_id)!r}, which does not"
                " exist. An administrator makes it with POST /budget/new."
            )
            code = "customer_budget_missing"
            raise Refused(refusals.refusal(family, 503, "server_error", message, code=code))
        return budget

    async def _told_apart(self, name: str, value: str, key: Key | None, family: Family) -> str:
        """Return the value, or the one that stands for all beyond the bound. Raises Refused."""
        place = DEFAULT_ORGANIZATION if key is None else key.place
        found = await self._remembered.told_apart(name, value, place)
        if found is None:
            raise Refused(_no_room(family, name, value))
        return found

    async def _find_values(self, values: Values, family: Family) -> tuple[DimensionValue, ...]:
        """Return the values of dimensions as they are registered. Raises Refused for a blocked
        one.
        """
        found = []
        for dimension, identity in values:
            tag = None
            if dimension == ScopeKind.TAG:
                tag = await self._directory.find_tag(identity)
            if tag is not None and tag.blocked:
                raise Refused(_blocked(family, "Tag", identity, None))
            found.append(DimensionValue(dimension, identity, tag))
        return tuple(found)

    async def _look_up(self, key: Key | None, customer_id: str | None, family: Family) -> Caller:
        """Return everybody whose limits apply. Raises Refused if one of them is blocked."""
        directory = self._directory
        customer = await directory.find_customer(customer_id) if customer_id is not None else None
        if customer is not None and customer.blocked:
            raise Refused(_blocked(family, "Customer", customer.id, customer.alias))
        if key is None:
            return Caller(customer_id=customer_id, customer=customer)
        team = await directory.find_team(key.team_id) if key.team_id is not None else None
        if team is not None and team.blocked:
            raise Refused(_blocked(family, "Team", team.id, team.alias))
        user = await directory.find_user(key.user_id) if key.user_id is not None else None
        if user is not None and user.blocked:
            raise Refused(_blocked(family, "User", user.id, user.alias))
        member = None
        if key.team_id is not None and key.user_id is not None:
            member = await directory.find_member(key.team_id, key.user_id)
        organization, employee = await self._find_organization(key, team, family)
        caller = Caller(key, team, member, user, customer_id, customer, organization, employee)
        return _of_identity(caller, key) if is_derived(key) else caller

    async def _find_organization(
        self, key: Key, team: Team | None, family: Family
    ) -> tuple[Organization | None, OrganizationMember | None]:
        """Return the organization of a key, which is its team's, and its user as a member of it.

        One that nobody made has no limits, but its spend is recorded. Raises Refused if it is
        blocked.
        """
        name = key.organization if team is None else team.organization
        if name == DEFAULT_ORGANIZATION:
            return None, None
        organization = await self._directory.find_organization(name) or Organization(name)
        if organization.blocked:
            raise Refused(_blocked(family, "Organization", name, organization.alias))
        if key.user_id is None:
            return organization, None
        return organization, await self._directory.find_organization_member(name, key.user_id)


def _of_identity(caller: Caller, key: Key) -> Caller:
    """Return the caller with the user and the team that an identity names, registered or not."""
    unregistered = {ScopeKind.KEY}
    if key.user_id is not None and caller.user is None:
        caller = structs.replace(caller, user=User(key.user_id))
        unregistered.add(ScopeKind.USER)
    if key.team_id is not None and caller.team is None:
        caller = structs.replace(caller, team=Team(key.team_id, organization=key.organization))
        unregistered.add(ScopeKind.TEAM)
    if caller.member is None:
        unregistered.add(ScopeKind.MEMBER)
    return structs.replace(caller, unregistered=frozenset(unregistered))


def _unregistered(family: Family, noun: str, identity: str) -> Refusal:
    message = (
        f"Authentication Error, the {noun} {cut(identity)!r} of your identity is not registered"
        " here. An administrator can register it, or admit those that are not."
    )
    return refusals.refusal(family, 403, "auth_error", message, code="unknown_identity")


def _no_room(family: Family, name: str, value: str) -> Refusal:
    message = (
        f"The {name} {cut(value)!r} is new, and as many are remembered here as may be. One that was"
        " used lately, or is registered, is served."
    )
    return refusals.refusal(family, 429, "rate_limit_error", message, code="too_many_values")


def _refused(objection: Objection, family: Family) -> Refused:
    refusal = refusals.refusal(family, 401, objection.kind, objection.message, code=objection.code)
    return Refused(refusal)


def _blocked(family: Family, noun: str, identity: str, alias: str | None) -> Refusal:
    """Return the refusal for a blocked entity, in LiteLLM's words and with its alias."""
    called = f" ({alias})" if alias else ""
    kind = noun.lower()
    path = f"/{kind}/update" if kind in ("user", "organization", "tag") else f"/{kind}/unblock"
    message = (
        f"Authentication Error, {noun}={identity}{called} is blocked. Update via `{path}`"
        " if you're an admin."
    )
    return refusals.refusal(family, 401, "auth_error", message, code=f"{kind}_blocked")
