"""A visitor for each test of the console."""

from __future__ import annotations

import pytest
from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import World


@pytest.fixture
def visit(world: World) -> Visit:
    """Somebody who is not signed in."""
    return Visit(world)


@pytest.fixture
async def admin(visit: Visit) -> Visit:
    """Somebody with the master key."""
    await visit.sign_in()
    return visit
