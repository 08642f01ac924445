"""The management API against its own description: schemathesis makes requests that it allows, and
some that it does not, of the real admin server over a real Valkey.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from tests.unit.management_fixtures import World

from tollgate.adapters.http_api import create_api
from tollgate.settings import EXAMPLE_FILE

MASTER = {"authorization": "Bearer sk-1234"}
checks.load_all_checks()
CHECKS = checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ]
)
# By id, so that some of the requests meet what there is.
ENTITIES = {
    "/budget/new": {"budget_id": "free-tier", "max_budget": 1},
    "/user/new": {"user_id": "ann", "auto_create_key": False},
    "/team/new": {
        "team_id": "core-infra",
        "members_with_roles": [{"role": "user", "user_id": "ann"}],
    },
    "/customer/new": {"user_id": "ann", "budget_id": "free-tier"},
    "/key/generate": {"key": "sk-0123456789abcdef", "user_id": "ann", "team_id": "core-infra"},
}


@pytest.fixture(scope="module")
def admin(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an admin server of its own process, with an entity of each kind."""
    folder = tmp_path_factory.mktemp("admin")
    port = _free_port()
    places = {
        "--config": shutil.copy(EXAMPLE_FILE, folder),
        "--beat": folder / "beat",
        "--beats": folder,
        "--http": f"127.0.0.1:{port}",
    }
    arguments = [str(each) for pair in places.items() for each in pair]
    environment = {
        **os.environ,
        "TOLLGATE_STORE_URL": valkey_url,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    command = [sys.executable, "-m", "tollgate.app", "admin", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            url = f"http://127.0.0.1:{port}"
            for path, body in ENTITIES.items():
                made = httpx.post(url + path, json=body, headers=MASTER, timeout=60)
                assert made.status_code == 200, made.text
            yield url
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def description(admin: str) -> Any:
    """The API as it describes itself."""
    return schemathesis.openapi.from_url(f"{admin}/openapi.json")


WORLD = World()
API = create_api(
    WORLD.management,
    version="test",
    watched=WORLD.watched,
    reported=WORLD.reports,
    refused=WORLD.refused,
    usage_sums=WORLD.usage_sums,
    levels=WORLD.levels,
)
OPERATIONS = [
    (path, method, mode)
    for path, methods in API.openapi()["paths"].items()
    for method, operation in methods.items()
    for mode in schemathesis.GenerationMode
    # Where nothing is given nothing can be given wrongly.
    if mode is schemathesis.GenerationMode.POSITIVE
    or {"parameters", "requestBody"} & operation.keys()
]


# Not by schemathesis' own pytest plugin, which does not work with this pytest.
@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_no_request_of_the_descriptions_kind_breaks_the_api(
    description: Any, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    """No 5xx; each answer has a status and a body that the description tells of."""

    @given(case=description[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def run(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=MASTER, checks=CHECKS)

    run()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
