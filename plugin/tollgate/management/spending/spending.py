"""What entities have spent, live: every number is asked of the counters, none is kept beside the
entity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from msgspec import structs

from tollgate.core.audit import Action, Change
from tollgate.core.callers.inherit import with_budget
from tollgate.core.callers.scopes import Limited, scope_of
from tollgate.core.entities import (
    BUDGETED,
    NO_LIMITS,
    Budget,
    Key,
    LimitSet,
    Member,
    Organization,
    Team,
)
from tollgate.core.limits.accounts import DEFAULT_ORGANIZATION, Account, Scope, Spend
from tollgate.core.limits.limit_parts import amount_in, parts_of_scope, whole_spend
from tollgate.management.spending.periods import Periods
from tollgate.ports import Clock, Counters, E, Registry, SpendBook, entity_of

NOTHING = Spend(0, 0, 0, {})


@dataclass(frozen=True, slots=True)
class Live(Generic[E]):
    """An entity with its own numbers: what it spent in the current period, and when that ends
    (None: never).
    """

    entity: E
    spend: Spend = NOTHING
    reset_us: int | None = None


class Spending:
    """Reads and corrects what was spent."""

    def __init__(
        self, registry: Registry, counters: Counters, book: SpendBook, clock: Clock
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._book = book
        self._clock = clock
        self.periods = Periods(registry, book, clock)

    async def live(self, entities: Sequence[E], organization: str | None = None) -> list[Live[E]]:
        """The entities with their numbers, one round trip an organization.

        Members need to be told theirs: the team's.
        """
        accounts = [
            self._account(limits, entity) for limits, entity in await self._limits(entities)
        ]
        places: defaultdict[str, list[int]] = defaultdict(list)
        split: list[tuple[int, str, Account]] = []
        entity: Any
        for number, entity in enumerate(entities):
            places[organization or _place(entity)].append(number)
            for place, bare in _more_parts(entity, accounts[number].scope):
                split.append((number, place, structs.replace(accounts[number], scope=bare)))
        spends: list[Spend] = [NOTHING] * len(entities)
        for name, numbers in places.items():
            found = await self._counters.spend(name, tuple(accounts[number] for number in numbers))
            for number, spend in zip(numbers, found, strict=True):
                spends[number] = spend
        for number, place, account in split:
            (spend,) = await self._counters.spend(place, (account,))
            spends[number] = whole_spend([spends[number], spend])
        return [
            Live(entity, spend, account.period.end_us or None)
            for entity, spend, account in zip(entities, spends, accounts, strict=True)
        ]

    async def unregistered(self, scope: Scope) -> Spend:
        """Return what calls in the name of somebody whom nobody registered spent."""
        (found,) = await self._counters.spend(DEFAULT_ORGANIZATION, (Account(scope),))
        return found

    async def correct(self, live: Live[E], nanousd: int, organization: str) -> None:
        """Say what an entity has spent in its current period."""
        ((limits, entity),) = await self._limits([live.entity])
        await self._set(organization, self._account(limits, entity), nanousd, _parts(entity))

    async def correct_models(
        self,
        entity: Limited,
        by_model_nanousd: Mapping[str, int],
        organization: str,
    ) -> None:
        """Say what an entity has spent of its budgets for single models."""
        scope = scope_of(entity)
        for each in entity.model_limits:
            if (nanousd := by_model_nanousd.get(each.model)) is not None:
                account = self._account_of(scope.narrowed(each.model), each.limits)
                await self._set(organization, account, nanousd, _parts(entity))

    async def _set(self, organization: str, account: Account, nanousd: int, parts: int) -> None:
        """Correct the spend of an account, and note who did. Each of its parts gets a share."""
        scope, shares = account.scope, []
        places = parts_of_scope(scope, parts) if parts > 1 else ((organization, scope),)
        for number, (place, bare) in enumerate(places):
            part = structs.replace(account, scope=bare)
            shares += await self._counters.spend(place, (part,))
            await self._book.set_spend(place, part, amount_in(nanousd, number, parts))
        before = whole_spend(shares)
        told = {} if scope.model is None else {"model": scope.model}
        change = Change(
            Action.SPEND,
            scope.kind,
            scope.id,
            before={"spend_nanousd": before.used_nanousd, **told},
            after={"spend_nanousd": nanousd, **told},
        )
        await self._registry.note(change)

    async def forget(self, entities: Sequence[Limited], organization: str = "") -> None:
        """Remove what entities that are deleted have spent and used, in all and of each model.

        `organization`: of members, whose team tells it.
        """
        by_organization: defaultdict[str, dict[Scope, set[str]]] = defaultdict(dict)
        for each in entities:
            place = organization or _place(each)
            models = {limits.model for limits in each.model_limits}
            by_organization[place][scope_of(each)] = models
            for part, bare in _more_parts(each, scope_of(each)):
                by_organization[part][bare] = set(models)
        for name, models_of in by_organization.items():
            # Limits of a budget, and those that were there before, are for models that were called.
            spends = await self._counters.spend(name, tuple(map(Account, models_of)))
            for scope, spend in zip(models_of, spends, strict=True):
                models_of[scope].update(spend.by_model_nanousd)
            narrowed = [
                scope.narrowed(model) for scope, models in models_of.items() for model in models
            ]
            await self._book.forget(name, [*models_of, *narrowed])

    async def forget_all(self, entities: Sequence[Any]) -> None:
        """The same of entities that are deleted together, members among them.

        Users of a team's keys may be members by the team's limits alone.
        """
        teams = {each.id: each for each in entities if isinstance(each, Team)}
        members = {(each.team_id, each.user_id) for each in entities if isinstance(each, Member)}
        members |= {
            (each.team_id, each.user_id)
            for each in entities
            if isinstance(each, Key) and each.team_id in teams and each.user_id is not None
        }
        await self.forget([each for each in entities if not isinstance(each, Member)])
        places: defaultdict[str, list[Member]] = defaultdict(list)
        for team_id, user_id in sorted(members):
            member = Member(team_id, user_id)
            team = teams.get(team_id)
            place = await self._place_of(member) if team is None else team.place
            places[place].append(member)
        for place, several in places.items():
            await self.forget(several, place)

    async def _place_of(self, member: Member) -> str:
        """Return where a member's counters are: in the place of the team."""
        team = entity_of((await self._registry.get(Team, [member.team_id]))[0])
        return DEFAULT_ORGANIZATION if team is None else team.place

    async def _limits(self, entities: Sequence[E]) -> list[tuple[LimitSet, E]]:
        """Each entity with the limits that it has in effect: those of a budget
        where it has none.
        """
        names = sorted(
            {name for each in entities if (name := getattr(each, "budget_id", None)) is not None}
        )
        budgets = {
            name: entity_of(stored)
            for name, stored in zip(
                names, await self._registry.get(Budget, names) if names else (), strict=True
            )
        }
        found = []
        for entity in entities:
            limits: LimitSet = getattr(entity, "limits", NO_LIMITS)
            if isinstance(entity, BUDGETED) and entity.budget_id is not None:
                limits = with_budget(entity, budgets[entity.budget_id]).limits
            found.append((limits, entity))
        return found

    def _account(self, limits: LimitSet, entity: E) -> Account:
        return self._account_of(scope_of(entity), limits)  # type: ignore[arg-type]

    def _account_of(self, scope: Scope, limits: LimitSet) -> Account:
        return Account(scope, period=limits.spend_period(self._clock.now_us()))


def _parts(entity: Any) -> int:
    return entity.shards if isinstance(entity, Organization) else 1


def _more_parts(entity: Any, scope: Scope) -> tuple[tuple[str, Scope], ...]:
    """Return the parts of an entity's scope beside the first."""
    return parts_of_scope(scope, _parts(entity))[1:]


def _place(entity: Limited) -> str:
    if isinstance(entity, Member):
        raise TypeError("a member is counted in the place of its team")
    return entity.place
