"""One gateway for all e2e tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, Gateway, gateway


@pytest_asyncio.fixture(scope="session", params=["grpc", "native"])
async def tollgate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """`tollgate up` with real Envoy, real Valkey and two workers, in each mode."""
    async with gateway(tmp_path_factory.mktemp("gateway"), CONFIG, "--mode", request.param) as running:
        yield running
