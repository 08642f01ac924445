"""Manage deployments that are added over the API, beside those of the configuration file.

A change is checked as an entry of the file would be, and refused with all its faults. The running
gateways learn of it from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol

import msgspec

from tollgate.core.errors import BadRequest, Conflict
from tollgate.core.models.added_model import AddedModel
from tollgate.management.collection import Collection
from tollgate.ports import Clock, Registry, Stored, Write

Json = dict[str, Any]

_SECRETS = frozenset({"api_key", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
ADDED = "db_model"
"""LiteLLM's word, in `model_info`, for a deployment that was added over the API."""


class EntryCheck(Protocol):
    """Judges entries of `model_list`."""

    def faults(self, entry: Json) -> list[str]:
        """Return a line for each fault of an entry."""
        ...

    def in_file(self, identity: str) -> bool:
        """Return whether the configuration file has a deployment of that id."""
        ...


class ModelServing(Protocol):
    """Who takes in the deployments that are added."""

    turn: asyncio.Lock
    """Held while a change is made, so that faults are those of one change."""

    async def take_in(self, entries: list[Json]) -> list[str]:
        """Wait until all of them are served, or refused. Return a line for each fault."""
        ...


class Unserved:
    """A `ModelServing` without processes."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()

    async def take_in(self, entries: list[Json]) -> list[str]:  # noqa: ARG002 - the port's
        """Return no fault."""
        return []


@dataclass(frozen=True, slots=True)
class EntryChange:
    """What a request says of a deployment. None, as a value of `params` too, says nothing."""

    model_name: str | None = None
    params: Mapping[str, Any] | None = None
    info: Mapping[str, Any] | None = None

    def apply(self, model: AddedModel) -> AddedModel:
        """Return the deployment with this change."""
        given = {name: value for name, value in (self.params or {}).items() if value is not None}
        secrets = {name: given.pop(name) for name in _SECRETS & given.keys()}
        info = {
            name: value
            for name, value in (self.info or {}).items()
            if value is not None and name not in ("id", ADDED)
        }
        return replace(
            model,
            model_name=model.model_name if self.model_name is None else self.model_name,
            params=_merged(model.params, given),
            info=_merged(model.info, info),
            secrets=_merged(model.secrets, secrets),
        )


def entry_of(model: AddedModel) -> Json:
    """Return the deployment as an entry of `model_list`, credentials included."""
    decode = msgspec.json.decode
    return {
        "model_name": model.model_name,
        "litellm_params": {**decode(model.params), **decode(model.secrets)},
        "model_info": {**decode(model.info), "id": model.id, ADDED: True},
    }


def _collection(registry: Registry) -> Collection[AddedModel]:
    return Collection(registry, AddedModel, "model not found: Model with id={} not found in db")


async def added_entries(registry: Registry) -> list[Json]:
    """Return the deployments of a store as entries of `model_list`, the oldest first."""
    models = await _collection(registry).all()
    models.sort(key=lambda each: (each.created_us, each.id))
    return [entry_of(each) for each in models]


class AddedModels:
    """The use cases. Without `check` nothing can be added."""

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        check: Callable[[], EntryCheck | None],
        serving: ModelServing,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._check = check
        self._serving = serving
        self.entities = _collection(registry)

    async def create(self, identity: str, change: EntryChange) -> AddedModel:
        """Add a deployment; it is served then. Raises BadRequest with all faults."""
        now_us = self._clock.now_us()
        model = change.apply(AddedModel(identity, "", created_us=now_us, updated_us=now_us))
        if self._checked(model).in_file(identity):
            raise BadRequest(f"the configuration file has a model with id={identity}", "id")
        async with self._serving.turn:
            try:
                await self._registry.write(Write(None, model))
            except Conflict as conflict:
                raise BadRequest(str(conflict), "id") from conflict
            if faults := await self._serving.take_in(await self.entries()):
                await self._registry.write(Write(await self.entities.get(identity), None))
                await self._refuse(faults)
        return model

    async def update(self, identity: str, change: EntryChange) -> AddedModel:
        """Change a deployment; it is served so then. Raises NotFound, or BadRequest with all
        faults.
        """
        now_us = self._clock.now_us()

        def apply(model: AddedModel) -> AddedModel:
            changed = replace(change.apply(model), updated_us=now_us)
            self._checked(changed)
            return changed

        async with self._serving.turn:
            before = (await self._own(identity)).entity
            after = await self.entities.change(identity, apply)
            if faults := await self._serving.take_in(await self.entries()):
                await self.entities.change(identity, lambda _: before)
                await self._refuse(faults)
        return after

    async def delete(self, identity: str) -> AddedModel:
        """Remove a deployment. Raises NotFound or BadRequest."""
        stored = await self._own(identity)
        await self._registry.write(Write(stored, None))
        return stored.entity

    async def entries(self) -> list[Json]:
        """Return all of them as entries of `model_list`, the oldest first."""
        return await added_entries(self._registry)

    async def _refuse(self, faults: list[str]) -> NoReturn:
        """Let what was before be served again. Raises BadRequest."""
        await self._serving.take_in(await self.entries())
        raise BadRequest("; ".join(faults))

    async def _own(self, identity: str) -> Stored[AddedModel]:
        """Return a deployment of ours. Raises NotFound, BadRequest for one of the file."""
        check = self._check()
        if check is not None and check.in_file(identity):
            raise BadRequest(
                f"Model with id={identity} is in the configuration file, which the API does not"
                " change: change it there",
                "id",
            )
        return await self.entities.get(identity)

    def _checked(self, model: AddedModel) -> EntryCheck:
        check = self._check()
        if check is None:
            raise BadRequest("this server serves no models")
        if faults := check.faults(entry_of(model)):
            raise BadRequest("; ".join(faults))
        return check


def _merged(document: str, given: Mapping[str, Any]) -> str:
    return msgspec.json.encode({**msgspec.json.decode(document), **given}).decode()
