"""What all tests share: a real store of their own, emptied before each test that uses it.

TOLLGATE_TEST_STORE names another kind than one server: `make stores` runs over each.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings
from tests.many_servers import StoreUnderTest, store_of_kind
from valkey.asyncio import Valkey

from tollgate.adapters.valkey.connection.client import connect
from tollgate.adapters.valkey.connection.opening import open_pipe
from tollgate.adapters.valkey.connection.pipe import Pipe

# A busy machine is no fault of what is tested. Generated examples are the same in every run, so a
# failure is that of a change; `make fuzz` looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def store_under_test(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    """A store for the whole run: a server on a Unix socket, or of the kind that is asked for."""
    kind = os.environ.get("TOLLGATE_TEST_STORE", "server")
    # Paths of Unix sockets are short.
    with store_of_kind(kind, tmp_path_factory.mktemp("s")) as found:
        yield found


@pytest.fixture(scope="session")
def valkey_url(store_under_test: StoreUnderTest) -> str:
    """The URL of the store."""
    return store_under_test.url


@pytest.fixture
async def pipe(valkey_url: str) -> AsyncIterator[Pipe]:
    """A pipe to the store, for the calls of requests."""
    pipe = open_pipe(valkey_url, timeout_s=5)
    yield pipe
    await pipe.aclose()


@pytest.fixture
async def store(store_under_test: StoreUnderTest) -> AsyncIterator[Valkey]:
    """A client of an empty store."""
    client = connect(store_under_test.url, 5)
    store_under_test.empty()
    yield client
    await client.aclose()
