"""Models of the API are in force when their sender is answered, or changed nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.management_fixtures import World

from tollgate.app.added.entry_checks import EntryChecks
from tollgate.app.added.put_in_force import PutInForce
from tollgate.core.errors import BadRequest
from tollgate.management.models.added_models import AddedModels, EntryChange
from tollgate.snapshot import Snapshot


class Gateway:
    """Whoever runs the processes: takes in what is added, but no model of one name."""

    def __init__(self, folder: Path) -> None:
        self.snapshot = Snapshot(folder)
        self.snapshot.handle(self.snapshot.added_version())

    async def follow(self) -> None:
        """Judge each change, for ever."""
        while True:
            version = self.snapshot.added_version()
            if version != self.snapshot.handled_version():
                if "refused-by-envoy" in self.snapshot.added.read_text():
                    self.snapshot.refuse("Envoy refuses what was made of it")
                else:
                    self.snapshot.forget()
                self.snapshot.handle(version)
            await asyncio.sleep(0)


def models_of(world: World, serving: PutInForce) -> AddedModels:
    """The use cases, before such a gateway."""
    return AddedModels(world.registry, world.clock, lambda: EntryChecks(world.settings), serving)


def named(model: str) -> EntryChange:
    """A model of the provider under this name."""
    return EntryChange(model, {"model": f"openai/{model}"})


async def served(models: AddedModels) -> list[Any]:
    """The names of what the store has."""
    return [each["model_name"] for each in await models.entries()]


async def test_what_envoy_refuses_changes_nothing_and_is_told_to_the_sender(tmp_path: Path) -> None:
    """Whether it is added or changed, and whatever is sent at the same time."""
    gateway = Gateway(tmp_path)
    models = models_of(World(), PutInForce(gateway.snapshot))
    following = asyncio.create_task(gateway.follow())
    try:
        good, bad = await asyncio.gather(
            models.create("good", named("good")),
            models.create("bad", named("refused-by-envoy")),
            return_exceptions=True,
        )
        assert not isinstance(good, BaseException)
        assert str(bad) == "Envoy refuses what was made of it"
        with pytest.raises(BadRequest, match="Envoy refuses"):
            await models.update("good", named("refused-by-envoy"))
        assert await served(models) == ["good"]
        assert gateway.snapshot.refused_faults() == []
        await models.update("good", named("better"))
        assert await served(models) == ["better"]
        assert "better" in gateway.snapshot.added.read_text()
    finally:
        following.cancel()


async def test_a_file_that_is_refused_already_is_not_the_senders_fault(tmp_path: Path) -> None:
    """The model is kept, and served once the file is put right; likewise where nobody runs
    processes.
    """
    snapshot = Snapshot(tmp_path)
    models = models_of(World(), PutInForce(snapshot))
    await models.create("first", named("first"))
    snapshot.handle(snapshot.added_version())
    snapshot.refuse("tollgate.colour: not known")
    await models.create("second", named("second"))
    assert await served(models) == ["first", "second"]
