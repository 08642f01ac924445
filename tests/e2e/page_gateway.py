"""A gateway with the models of the page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import Gateway, gateway
from tests.e2e.page_shell import (
    CONFIG,
)

MODES = ["grpc", "native"]


@pytest_asyncio.fixture(scope="module", params=MODES)
async def main(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """The page's gateway, with its models; `proxy_budget_rescheduler_*` are as the page
    sets them.
    """
    async with gateway(tmp_path_factory.mktemp("page"), CONFIG, "--mode", request.param) as running:
        yield running
