"""How people call the scopes that a caller belongs to."""

from __future__ import annotations

from tollgate.core.callers.rules import Caller
from tollgate.core.entities import User
from tollgate.core.limits.accounts import Account, Scope, ScopeKind
from tollgate.core.limits.limit_parts import number_of


def scope_name(caller: Caller, scope: Scope) -> str:
    """Return the alias of a scope, or else its id; a member is named as a user in a team."""
    found: str | None = None
    match scope.kind:
        case ScopeKind.KEY if caller.key is not None:
            found = caller.key.alias or caller.key.name
        case ScopeKind.TEAM if caller.team is not None:
            found = caller.team.alias
        case ScopeKind.USER if caller.user is not None:
            found = _user_name(caller.user)
        case ScopeKind.MEMBER if caller.member is not None and caller.team is not None:
            user = _user_name(caller.user) if caller.user else caller.member.user_id
            found = f"{user} in {caller.team.alias or caller.team.id}"
        case ScopeKind.ORGANIZATION_MEMBER if caller.organization_member is not None:
            user = _user_name(caller.user) if caller.user else caller.organization_member.user_id
            organization = caller.organization_member.organization_id
            if caller.organization is not None:
                organization = caller.organization.alias or organization
            found = f"{user} in {organization}"
        case ScopeKind.CUSTOMER if caller.customer is not None:
            found = caller.customer.alias
        case ScopeKind.ORGANIZATION if caller.organization is not None:
            found = caller.organization.alias
    return found or scope.id


def name_of_kind(caller: Caller, kind: str) -> str:
    """Return the alias or id of the one scope of a kind that a caller has; empty: of several."""
    ids = {
        ScopeKind.KEY: caller.key and caller.key.id,
        ScopeKind.TEAM: caller.team and caller.team.id,
        ScopeKind.MEMBER: caller.member and caller.member.id,
        ScopeKind.USER: caller.user and caller.user.id,
        ScopeKind.ORGANIZATION: caller.organization and caller.organization.id,
        ScopeKind.CUSTOMER: caller.customer_id,
    }
    identity = ids.get(ScopeKind(kind))
    return scope_name(caller, Scope(kind, identity)) if identity else ""


def account_name(caller: Caller, account: Account) -> str:
    """Return how the scope of an account is called, and which part of it the account is."""
    name = scope_name(caller, account.scope)
    if account.parts == 1:
        return name
    number = number_of(account.scope.home or caller.place)
    return f"{name}, part {number + 1} of {account.parts}"


def _user_name(user: User) -> str:
    return user.alias or user.email or user.id
