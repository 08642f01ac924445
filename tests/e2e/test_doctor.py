"""`tollgate doctor` before a real Envoy: as printed, and broken in the ways of the folder broken/.

Each file there is a difference to the printed configuration, and names the check that finds it. All
are examined by `make doctor`, some of them by `make test`; TOLLGATE_TEST_BROKEN names others.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from tests.e2e.envoy_lab import free_port, running_envoy
from tests.e2e.own_envoy import Serving, serving

from tollgate import settings
from tollgate.doctor.examination import Examination, Extent
from tollgate.doctor.finding import Finding, Result
from tollgate.doctor.probing import Probing
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.topology import Address, Topology

BROKEN = Path(__file__).parent / "broken"
SOME = ("no_ext_authz", "fail_open", "no_lua", "no_access_log", "keys_passed_on")
AT_ONCE = 8
CONFIG = """
model_list:
  - model_name: local
    litellm_params: {model: openai/local, api_base: "http://127.0.0.1:9/v1", api_key: provider-key}
general_settings: {master_key: sk-1234}
litellm_settings: {default_key_generate_params: {rpm_limit: 60}}
tollgate:
  workers: 1
  lease_seconds: 9
  max_request_bytes: 1048576
"""


@dataclass(frozen=True)
class Case:
    """What is broken, and what is to be found.

    The differences are merged as RFC 7396 says: null removes.
    """

    finds: str = ""
    result: str = "fault"
    words: str = ""
    mode: str = "grpc"
    quick: bool = True
    filters: Any = None
    order: Any = ()
    routes: Any = None
    deployments: Any = None
    manager: Any = None
    access_log: Any = None
    clusters: Any = None
    twice: Any = ()

    def broken(self, document: dict[str, Any]) -> dict[str, Any]:
        """The document with this broken in it."""
        (listener,) = document["static_resources"]["listeners"]
        filter_ = listener["filter_chains"][0]["filters"][0]
        manager = filter_["typed_config"]
        if self.access_log is not None:
            log = manager["access_log"][0]
            log["typed_config"] = merged(log["typed_config"], self.access_log)
        document["static_resources"]["clusters"] = [
            merged(each, (self.clusters or {}).get(each["name"], {}))
            for each in document["static_resources"]["clusters"]
        ]
        for host in manager["route_config"]["virtual_hosts"]:
            host["routes"] = list(self._routes(host["routes"]))
        filters = [
            each | {"typed_config": merged(each["typed_config"], self._changed(each["name"]))}
            for each in manager["http_filters"]
            if self._changed(each["name"]) is not None
            for _ in range(2 if each["name"] in self.twice else 1)
        ]
        kept = {each["name"] for each in filters}
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            own = route.get("typed_per_filter_config", {})
            for name in set(own) - kept:
                del own[name]
        manager["http_filters"] = sorted(filters, key=self._place) if self.order else filters
        filter_["typed_config"] = merged(manager, self.manager or {})
        return document

    def _changed(self, name: str) -> Any:
        return (self.filters or {}).get(name, {})

    def _place(self, entry: dict[str, Any]) -> tuple[int, int]:
        name = entry["name"]
        if name in self.order:
            return 1, self.order.index(name)
        return (0, 0) if name in ("tollgate.clean", "tollgate.key_check") else (2, 0)

    def _routes(self, routes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for each in routes:
            change = (self.routes or {}).get(each["name"], {})
            if change is None:
                continue
            if each["name"].startswith("tollgate/deployment/"):
                change = merged(change, self.deployments or {}, keep_nulls=True)
            yield merged(each, change)


def merged(value: Any, change: Any, *, keep_nulls: bool = False) -> Any:
    """A value with a change merged into it."""
    if not isinstance(change, dict) or not isinstance(value, dict):
        return change
    found = dict(value)
    for name, each in change.items():
        if each is None and not keep_nulls:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name, {} if isinstance(each, dict) else None), each)
    return found


def cases() -> dict[str, Case]:
    """What is examined, by name: as printed, and broken."""
    files = sorted(BROKEN.glob("*.yaml"))
    found = {each.stem: Case(**yaml.safe_load(each.read_text())) for each in files}
    chosen = os.environ.get("TOLLGATE_TEST_BROKEN", " ".join(SOME))
    if chosen != "all":
        found = {name: found[name] for name in chosen.split()}
    return {"printed": Case(), "printed_native": Case(mode="native"), **found}


@pytest_asyncio.fixture(scope="module")
async def found(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, list[Finding]]]:
    """What an examination of each finds; several at a time, since most of it is waiting."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def examined(served: Serving, name: str, case: Case) -> list[Finding]:
        async with turn:
            return await examine(served, name, case)

    async with serving(tmp_path_factory.mktemp("doctor"), CONFIG) as served:
        several = cases()
        results = await asyncio.gather(
            *(examined(served, name, case) for name, case in several.items())
        )
        yield dict(zip(several, results, strict=True))


async def examine(served: Serving, name: str, case: Case) -> list[Finding]:
    """What is found in an Envoy."""
    loaded = settings.load(served.folder / "file.yaml")
    loaded = replace(loaded, tollgate=loaded.tollgate.model_copy(update={"mode": case.mode}))
    port = free_port()
    at = {each: Address(path=str(served.folder / each)) for each in ("grpc", "native", "http")}
    listen = Address(host="127.0.0.1", port=port)
    topology = Topology(listen, (at["grpc"],), at["http"], workers_http=(at["native"],))
    file = served.folder / f"{name}.json"
    document = json.loads(json.dumps(bootstrap(loaded, topology)))
    file.write_text(json.dumps(case.broken(document)), encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    async with (
        running_envoy(file, port, {"TOLLGATE_PROVIDER_KEY_0": "k"}),
        Probing.open(url, None, "sk-1234") as probing,
    ):
        return await Examination(probing, Extent(quick=case.quick)).run()


@pytest.mark.parametrize("name", cases())
async def test_what_is_broken_is_found_by_its_name(
    found: dict[str, list[Finding]], name: str
) -> None:
    """The configuration as it is printed has no fault, in either mode."""
    case, findings = cases()[name], found[name]
    told = "\n".join(f"{each.check}: {each.result}: {each.seen}" for each in findings)
    by_check = {each.check: each for each in findings}
    if not case.finds:
        assert {each.result for each in findings} <= {Result.OK, Result.NOT_CHECKED}, told
        assert by_check["metering"].result == Result.OK
        return
    assert case.finds in by_check, told
    finding = by_check[case.finds]
    assert (finding.result, case.words in finding.seen) == (case.result, True), told
    assert finding.fix
