"""What tests of management share: its use cases over memory, and the API before them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.unit.management_fixtures import Api, World
from tests.unit.memory_registry import MemoryAuditLog

from tollgate.adapters.http_api import create_api


@pytest.fixture
def world() -> World:
    """What stands behind the API."""
    return World()


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    """The API in this process."""
    app = create_api(
        world.management,
        version="test",
        watched=world.watched,
        reported=world.reports,
        refused=world.refused,
        usage_sums=world.usage_sums,
        levels=world.levels,
        audit_log=MemoryAuditLog(world.registry),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://tollgate") as client:
        yield Api(client)
