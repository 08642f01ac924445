"""Models that are added over the API: judged as entries of the file, and passed on to whoever runs
the processes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from tollgate import telemetry
from tollgate.adapters.valkey.entities.changes import follow
from tollgate.background import beside
from tollgate.core.errors import StoreUnavailable
from tollgate.core.models.probe_model import PROBE_MODEL, is_probe
from tollgate.management.models.added_models import AddedModels
from tollgate.settings import Settings
from tollgate.settings.environment import variable_of
from tollgate.settings.settings_file import Invalid, validated
from tollgate.snapshot import Snapshot

_AGAIN_S = 1.0
_KIND = "model:"


class EntryChecks:
    """The port `EntryCheck`, by the settings in force."""

    def __init__(self, settings: Settings) -> None:
        self._in_file = {each.id for each in settings.deployments if not each.added}

    def in_file(self, identity: str) -> bool:
        return identity in self._in_file

    def faults(self, entry: dict[str, Any]) -> list[str]:
        """Return what is wrong with an entry, or why it could not be served.

        A variable may be named in the file only: over the API, its value could be sent anywhere.
        """
        if named := sorted(set(_variables(entry))):
            return [
                f"{each}: variables may be named in the configuration file only; give the value"
                for each in named
            ]
        name, identity = entry["model_name"], entry["model_info"]["id"]
        if is_probe(name) or is_probe(identity):
            return [f"{name}: {PROBE_MODEL} is a name of Tollgate's own"]
        try:
            settings = validated({"model_list": [entry]}, os.environ)
        except Invalid as error:
            return error.faults
        left_out = [] if settings.deployments else settings.warnings
        return [each.removesuffix("; it is left out") for each in left_out]


def _variables(value: Any) -> Iterator[str]:
    """Yield the references to variables anywhere in a value."""
    if isinstance(value, str):
        if variable_of(value) is not None:
            yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _variables(each)
    elif isinstance(value, list):
        for each in value:
            yield from _variables(each)


class _Noticed:
    """Hears from the store that a model may have changed."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def started(self) -> None:
        self.event.set()

    def changed(self, reference: str) -> None:
        if reference.startswith(_KIND):
            self.event.set()

    def fresh_until(self, instant_s: float) -> None:
        """Nothing is cached here."""


@asynccontextmanager
async def added_models_passed_on(
    models: AddedModels, redis_url: str, snapshot: Snapshot | None
) -> AsyncIterator[None]:
    """Write the models of the store into their file whenever one may have changed."""
    if snapshot is None:
        yield
        return
    async with beside(_keep_passing_on(models, redis_url, snapshot)):
        yield


async def _keep_passing_on(models: AddedModels, redis_url: str, snapshot: Snapshot) -> NoReturn:
    noticed = _Noticed()
    async with beside(follow(redis_url, noticed)):
        while True:
            await noticed.event.wait()
            noticed.event.clear()
            if not await _pass_on(models, snapshot):
                noticed.event.set()
                await asyncio.sleep(_AGAIN_S)


async def _pass_on(models: AddedModels, snapshot: Snapshot) -> bool:
    """Return whether the store could be read."""
    try:
        snapshot.write_added(await models.entries())
    except StoreUnavailable as error:
        telemetry.store_failed("models", error)
        return False
    return True
