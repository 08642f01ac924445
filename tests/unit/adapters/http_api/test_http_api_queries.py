"""Query parameters: those that a path does not know, and numbers that no list has."""

from __future__ import annotations

import pytest
from tests.unit.management_fixtures import Api, World, error_of

from tollgate.adapters.http_api import create_api

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
HIDDEN = ("/docs", "/metrics", "/end_user/list", "/health/liveness", "/v1/model/info")
PROVIDERS = ("/v1/models", "/v1/models/{name}")
KNOWN = (path for path, methods in API.openapi()["paths"].items() if "get" in methods)
PATHS = (*(path for path in KNOWN if path not in PROVIDERS), *HIDDEN)


@pytest.mark.parametrize("path", PATHS)
async def test_a_parameter_that_a_path_does_not_know_is_named(api: Api, path: str) -> None:
    """On every GET: a filter that is ignored would give a wrong answer without a word."""
    answer = await api.get(path, foo=1)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "foo")
    assert "'foo' is no query parameter" in error_of(answer)["message"]


async def test_clients_of_providers_may_add_parameters_of_their_own(api: Api) -> None:
    """Their lists of models are whole whatever page is asked for."""
    assert (await api.get("/v1/models", limit=20, after_id="x")).status_code == 200


@pytest.mark.parametrize("path", ["/key/list", "/user/list", "/customer/list", "/end_user/list"])
@pytest.mark.parametrize(
    "page", ["99999999999999999999", "8e34", "-1", "0", "1.5", "", "NaN", "10000000000"]
)
async def test_a_page_that_no_list_has_is_refused(api: Api, path: str, page: str) -> None:
    """400 that names it, before the store is asked."""
    answer = await api.get(path, page=page)
    assert (answer.status_code, error_of(answer)["param"]) == (400, "page")


@pytest.mark.parametrize("path", ["/key/list", "/user/list", "/customer/list"])
async def test_the_last_page_is_empty(api: Api, path: str) -> None:
    """A page beyond the end is no fault."""
    assert (await api.get(path, page=1_000_000_000)).status_code == 200
