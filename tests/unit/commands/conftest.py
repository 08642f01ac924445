"""The API on a real port, for each file of commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from tests.unit.commands.command_runs import Run, tollgate
from tests.unit.management_fixtures import MASTER, World
from tests.unit.memory_registry import MemoryAuditLog
from typer.testing import CliRunner, Result

from tollgate.adapters.http_api import create_api


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the API is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    world = World()
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
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def run(url: str) -> Run:
    """Run a command against the API."""

    def invoke(*arguments: str, master_key: str = MASTER, columns: str = "200") -> Result:
        environment = {"TOLLGATE_MASTER_KEY": master_key, "COLUMNS": columns}
        return CliRunner().invoke(tollgate, [*arguments, "--url", url], env=environment)

    return invoke
