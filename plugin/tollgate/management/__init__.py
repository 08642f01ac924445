"""Manage keys, users, teams, members, organizations, customers and budgets: who may change what,
and what was spent.

Nothing here knows HTTP or the store. A change is a function of an entity and is retried when
somebody else changed the entity concurrently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tollgate.core.entities import Key
from tollgate.management.administrators import Authenticator
from tollgate.management.applying.applying import Applying
from tollgate.management.applying.declared_kinds import verbs_by_kind
from tollgate.management.budgets import Budgets
from tollgate.management.customers import Customers
from tollgate.management.imports import Imports
from tollgate.management.models.added_models import AddedModels, EntryCheck, ModelServing, Unserved
from tollgate.management.organizations import Organizations
from tollgate.management.spending.creation import NO_RULES, Creation
from tollgate.management.spending.guard import UNCHECKED, GuardedRegistry, LimitGuard
from tollgate.management.spending.spending import Spending
from tollgate.management.tags import Tags
from tollgate.management.teams import Teams
from tollgate.management.users import Users
from tollgate.management.virtual_keys import Keys
from tollgate.ports import Clock, Counters, Registry, SpendBook


@dataclass(frozen=True, slots=True)
class Management:
    """All use cases of management."""

    registry: Registry
    callers: Authenticator
    keys: Keys
    users: Users
    teams: Teams
    customers: Customers
    budgets: Budgets
    organizations: Organizations
    tags: Tags
    added_models: AddedModels
    imports: Imports
    applying: Applying
    remake: Callable[[Registry, Key | None], Management]

    def acting_as(self, by: str, own: Key | None) -> Management:
        """The same use cases, whose changes the audit log tells to be somebody's.

        `own`: that one's key, whose limits they may not raise; None: the master key.
        """
        return self.remake(self.registry.acting_as(by), own)

    @classmethod
    def of(
        cls,
        registry: Registry,
        counters: Counters,
        book: SpendBook,
        clock: Clock,
        master_key: str | None,
        guard: LimitGuard = UNCHECKED,
        own: Key | None = None,
        check: Callable[[], EntryCheck | None] = lambda: None,
        serving: ModelServing | None = None,
        creation: Creation = NO_RULES,
    ) -> Management:
        """Build the use cases over these ports.

        Without a master key, only keys of administrators can administer. `guard`: what a change of
        limits has to respect. `check`: what judges models that are added; `serving`: who
        takes them in. `creation`: what new entities have where nobody says anything.
        """

        def remake(registry: Registry, own: Key | None) -> Management:
            return cls.of(
                registry,
                counters,
                book,
                clock,
                master_key,
                guard,
                own,
                check,
                serving,
                creation,
            )

        plain, registry = registry, GuardedRegistry(registry, guard, own)
        spending = Spending(registry, counters, book, clock)

        def nouns(
            rules: Creation,
        ) -> tuple[Keys, Users, Teams, Customers, Budgets, Organizations, Tags]:
            return (
                Keys(registry, spending, clock, rules.keys),
                Users(registry, spending, clock, rules),
                Teams(registry, spending, clock, rules),
                Customers(registry, spending, clock),
                Budgets(registry, spending, clock, rules.customer_budget_id),
                Organizations(registry, spending, clock, rules.users),
                Tags(registry, spending, clock),
            )

        return cls(
            plain,
            Authenticator(registry, clock, master_key),
            *nouns(creation),
            AddedModels(plain, clock, check, serving or Unserved()),
            Imports(registry, spending),
            Applying(registry, verbs_by_kind(registry, *nouns(creation.undefaulted())), clock),
            remake,
        )
