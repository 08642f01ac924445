"""One gateway for all e2e tests that need nothing special of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.e2e.gateway import CONFIG, Gateway, gateway

MODES = ("grpc", "native")
# What is carried over gRPC all along runs over both of its transports.
OVER_GRPCIO = ("test_first_light", "test_streams", "test_limits")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In each mode; and once more with gRPC by grpcio.

    A module with a gateway of its own says its modes itself.
    """
    if "tollgate" in metafunc.fixturenames and not hasattr(metafunc.module, "tollgate"):
        both = metafunc.module.__name__.rpartition(".")[2] in OVER_GRPCIO
        metafunc.parametrize(
            "tollgate", (*MODES, "grpcio") if both else MODES, indirect=True, scope="session"
        )


@pytest_asyncio.fixture(scope="session")
async def tollgate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """`tollgate up` with real Envoy, real Valkey and two workers, in one of the modes, or in grpc
    over grpcio.
    """
    config, mode = CONFIG, request.param
    if mode == "grpcio":
        config, mode = CONFIG + "  grpc_server: grpcio\n", "grpc"
    async with gateway(tmp_path_factory.mktemp("gateway"), config, "--mode", mode) as running:
        yield running


def pytest_itemcollected(item: pytest.Item) -> None:
    """Ignore sockets that SDKs leave open: the collector finds them during any later test."""
    item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
