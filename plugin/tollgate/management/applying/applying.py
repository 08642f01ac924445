"""Plan what makes entities as a file declares them, and do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tollgate.core.callers.authentication import hash_of
from tollgate.core.declared import Declared
from tollgate.core.entities import Key, Organization, Team, User
from tollgate.core.errors import BadRequest, Conflict, NotFound
from tollgate.management.applying.declaration import (
    Declaration,
    DoneStep,
    EntityId,
    PlannedAction,
    PlannedStep,
)
from tollgate.management.applying.declared_kinds import Verbs
from tollgate.management.spending.limits import new_entity, restarted
from tollgate.ports import Clock, Registry

_OWNERS = (Team, User)
"""Entities that take their keys with them."""

Differs = Callable[[Any, Any], bool]
"""Whether two states of an entity differ in what people can see of it."""


@dataclass(frozen=True, slots=True)
class ApplyExtent:
    """How far a file goes.

    `prune`: delete what it made and no longer contains. `take_over`: declare entities that another
    file declares, too.
    """

    prune: bool = False
    take_over: bool = False


class Applying:
    """The use case of a file that declares entities."""

    def __init__(self, registry: Registry, verbs: dict[type[Any], Verbs], clock: Clock) -> None:
        self._registry = registry
        self._verbs = verbs
        self._clock = clock

    async def plan(
        self, file: str, declarations: Sequence[Declaration], extent: ApplyExtent, differs: Differs
    ) -> list[PlannedStep]:
        """Return what has to be done: creations and changes in the order in which they can be,
        then deletions.
        """
        order = {kind: place for place, kind in enumerate(self._verbs)}
        told: dict[EntityId, Declaration] = {}
        steps = []
        for each in sorted(declarations, key=lambda one: order[one.kind]):
            name = each.kind, each.id
            if name in told:
                steps.append(_faulty(each, "the file contains it twice"))
            told.setdefault(name, each)
        steps += [await self._step(file, each, told, extent, differs) for each in told.values()]
        if extent.prune:
            steps += await self._prunings(file, told)
        return steps

    async def perform(self, file: str, steps: Sequence[PlannedStep]) -> list[DoneStep]:
        """Take the steps of a plan without faults; what fails does not stop the others."""
        return [
            await self._done(file, each) for each in steps if each.action is not PlannedAction.NONE
        ]

    async def _step(
        self,
        file: str,
        declaration: Declaration,
        told: dict[EntityId, Declaration],
        extent: ApplyExtent,
        differs: Differs,
    ) -> PlannedStep:
        kind, name = declaration.kind, declaration.id
        if (lacking := await self._find_lacking(declaration, told)) is not None:
            return _faulty(declaration, lacking)
        before = await self._verbs[kind].find(name)
        if getattr(before, "implied", False):
            before = None
        now_us = self._clock.now_us()
        if before is None:
            after = declaration.change(new_entity(declaration.blank, now_us), now_us, ())
            return PlannedStep(PlannedAction.CREATE, kind, name, None, after, declaration)
        declared: Declared | None = before.declared
        if declared is not None and declared.file != file and not extent.take_over:
            return _faulty(
                declaration, f"the file {declared.file!r} declares it; --take-over declares it here"
            )
        cleared = _cleared(declared, declaration)
        after = _changed(before, declaration, cleared, now_us)
        rotates = isinstance(before, Key) and _is_other(before, declaration.secret)
        if rotates or differs(before, after):
            action = PlannedAction.CHANGE
        elif declared != _declared(file, declaration, before):
            action = PlannedAction.ADOPT
        else:
            action = PlannedAction.NONE
        return PlannedStep(action, kind, name, before, after, declaration, cleared, rotates)

    async def _find_lacking(
        self, declaration: Declaration, told: dict[EntityId, Declaration]
    ) -> str | None:
        """Return what is wrong if an entity that it refers to is neither there nor in the file."""
        for kind, name in declaration.needs:
            if (kind, name) not in told and await self._verbs[kind].find(name) is None:
                return f"there is no {kind.__name__.lower()} {name!r}, here or in the file"
        return None

    async def _prunings(self, file: str, told: dict[EntityId, Declaration]) -> list[PlannedStep]:
        """Return the deletions of what the file made and no longer contains, owners last."""
        gone: dict[EntityId, Any] = {}
        for kind in reversed(self._verbs):
            async for entity in self._verbs[kind].all():
                declared: Declared | None = entity.declared
                if declared is None or not declared.made or declared.file != file:
                    continue
                name = kind, (entity.alias or entity.name) if kind is Key else entity.id
                if name not in told:
                    gone[name] = entity
        return [
            PlannedStep(
                PlannedAction.DELETE, kind, name, entity, note=await self._find_note(entity, gone)
            )
            for (kind, name), entity in gone.items()
        ]

    async def _find_note(self, entity: Any, gone: dict[EntityId, Any]) -> str | None:
        """Return what goes with an owner that the plan does not delete by itself."""
        if isinstance(entity, Organization):
            return "with all its teams and keys"
        if not isinstance(entity, _OWNERS):
            return None
        total = (await self._registry.page(Key, entity, 0, 1)).total
        field = "team_id" if isinstance(entity, Team) else "user_id"
        own = [each for (kind, _), each in gone.items() if kind is Key]
        others = total - sum(getattr(each, field) == entity.id for each in own)
        return f"with {others} keys that the file does not contain" if others > 0 else None

    async def _done(self, file: str, step: PlannedStep) -> DoneStep:
        verbs = self._verbs[step.kind]
        try:
            if step.action is PlannedAction.DELETE:
                await self._delete(verbs, step)
                return DoneStep(step)
            return DoneStep(step, await self._written(file, step, verbs))
        except (BadRequest, Conflict, NotFound) as error:
            return DoneStep(step, failure=str(error))

    async def _written(self, file: str, step: PlannedStep, verbs: Verbs) -> str | None:
        """Create or change an entity; return the secret of a key that got one."""
        declaration = step.declaration
        assert declaration is not None
        declared = _declared(file, declaration, step.before)

        def change(entity: Any, now_us: int) -> Any:
            after = declaration.change(entity, now_us, step.cleared)
            return replace(after, declared=declared)

        if step.action is PlannedAction.CREATE:
            return await verbs.create(declaration.blank, change, declaration.secret)
        return await verbs.change(step.before, change, declaration.secret if step.rotates else None)

    async def _delete(self, verbs: Verbs, step: PlannedStep) -> None:
        # A deleted team or user has taken its keys and memberships along.
        if await verbs.find(step.id) is not None:
            await verbs.delete(step.before)


def _faulty(declaration: Declaration, fault: str) -> PlannedStep:
    return PlannedStep(PlannedAction.NONE, declaration.kind, declaration.id, fault=fault)


def _declared(file: str, declaration: Declaration, before: Any) -> Declared:
    earlier: Declared | None = None if before is None else before.declared
    made = before is None or (earlier is not None and earlier.made)
    return Declared(file, declaration.fields, made)


def _cleared(declared: Declared | None, declaration: Declaration) -> tuple[str, ...]:
    """Return the fields that the file set before and does not name any more."""
    if declared is None:
        return ()
    return tuple(each for each in declared.fields if each not in declaration.fields)


def _changed(before: Any, declaration: Declaration, cleared: Sequence[str], now_us: int) -> Any:
    after = declaration.change(before, now_us, cleared)
    return replace(after, limits=restarted(before.limits, after.limits, now_us))


def _is_other(key: Key, secret: str | None) -> bool:
    return secret is not None and hash_of(secret) != key.hash
