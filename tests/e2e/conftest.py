"""One gateway for all e2e tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway, gateway


@pytest_asyncio.fixture(scope="session")
async def tollgate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """`tollgate up` with real Envoy, real Valkey and two workers."""
    async with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running
