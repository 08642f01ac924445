"""Requests on their way through the small Envoy and our doors, and what became of each, told in
words of which no name of the contract is a part.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from msgspec import structs
from tests.fakes import FixedClock, MemoryCounters
from tests.make import reservation, tokens
from tests.unit.adapters.envoy.deciding import Deciding
from tests.unit.adapters.envoy.envoy_call import EnvoyCall
from tests.unit.core.usage.usage_case import table
from tests.unit.envoy_config.small_envoy import (
    LUA_WRITES,
    Answer,
    Json,
    SmallEnvoy,
    every,
    found_by_lua,
    kinds,
    lua_of,
    read_by_filters,
    worded_as,
)

from tollgate.adapters.envoy.access_log import AccessLog
from tollgate.adapters.envoy.authz_grpc import Authorization
from tollgate.adapters.envoy.authz_http import AuthorizationOverHttp
from tollgate.adapters.envoy.ext_proc import ExternalProcessor
from tollgate.core import envoy_contract
from tollgate.core.callers.verified import CLAIMS_HEADER, FAULT_HEADER
from tollgate.core.calls.decision import Admission, Decision, Edit, Header, Refusal
from tollgate.core.calls.reservation import Reservation
from tollgate.core.requests.catalog import Catalog
from tollgate.core.requests.estimate import InputEstimates
from tollgate.envoy_config.clusters.clusters import clusters
from tollgate.envoy_config.listener.listener import connection_manager
from tollgate.metering.metering import Metering
from tollgate.pb.access_log_pb2 import HTTPAccessLogEntry, StreamAccessLogsMessage
from tollgate.pb.ext_authz_pb2 import CheckRequest, CheckResponse
from tollgate.pb.ext_proc_pb2 import ProcessingRequest, ProcessingResponse
from tollgate.settings import EXAMPLE_FILE, load
from tollgate.settings.entries.identity_settings import IdentitySettings
from tollgate.topology import Address, Topology

APIS = table()
PATH = "/v1/chat/completions"
HELD = reservation("r1", tokens(1000))
STREAMED = structs.replace(HELD, stream=True, hide_usage=True)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
REPLY = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}'
LIMITS = (
    Header("x-ratelimit-limit-tokens", "1000"),
    Header("anthropic-ratelimit-tokens-limit", "1000"),
    Header("ratelimit-policy", '"key-tokens";q=1000'),
    Header("x-litellm-key-spend", "0.5"),
)
REFUSAL_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "x-amzn-errortype")
REFUSED = Refusal(
    503,
    "why",
    "message",
    b"{}",
    (*LIMITS, *(Header(each, "1") for each in (*REFUSAL_HEADERS, "www-authenticate"))),
)


IDENTITY = IdentitySettings.model_validate(
    {
        "jwt": {"issuer": "https://issuer.example", "audiences": ["llm"], "jwks_file": "keys.json"},
        "user": {"claim": "sub"},
    }
)


def _admitted(held: Reservation) -> Admission:
    return Admission("gpt-4o", held, (Edit(1, 0, "a"),), LIMITS, "/v2/y")


JOURNEYS: Mapping[str, Decision] = {
    "json": _admitted(HELD),
    "stream": _admitted(STREAMED),
    "stream that no empty line ends": _admitted(STREAMED),
    "no reader of Envoy's": _admitted(structs.replace(HELD, dialect="vertex.predict")),
    "another family": Admission("gpt-4o", structs.replace(HELD, dialect="anthropic.messages")),
    "refused": REFUSED,
}


def render() -> Json:
    """Both modes' configuration, of two workers and a model with two deployments."""
    settings = load(EXAMPLE_FILE)
    (first, *_) = settings.deployments
    second = replace(first, id=f"{first.id} 2")
    settings = replace(
        settings,
        deployments=(*settings.deployments, second),
        prices={**settings.prices, second.id: settings.prices[first.id]},
    )
    paths = [Address(path=f"/{name}") for name in ("w0", "w1", "h0", "h1", "a")]
    topology = Topology(
        Address(host="127.0.0.1", port=4000),
        tuple(paths[:2]),
        paths[4],
        workers_http=tuple(paths[2:4]),
    )
    rendered: Json = {}
    for mode in ("grpc", "native"):
        own = settings.tollgate.model_copy(
            update={"mode": mode, "cors_origins": ["*"], "identity": IDENTITY}
        )
        one = replace(settings, tollgate=own)
        rendered[mode] = [connection_manager(one), clusters(one, topology)]
    return rendered


async def travel(rendered: Json, folder: Path) -> Json:
    """What becomes of each request in each mode."""
    found: Json = {}
    for mode, (manager, all_clusters) in rendered.items():
        envoy = SmallEnvoy(manager, all_clusters)
        for name in JOURNEYS:
            journey = Journey(envoy, mode, name, folder / f"{mode}{len(found)}.sock")
            found[f"{mode}: {name}"] = await journey.outcome()
    plain: Json = json.loads(json.dumps(found))
    return plain


@dataclass
class Journey:
    """One request, of which the decision is known by the journey's name."""

    envoy: SmallEnvoy
    mode: str
    name: str
    socket: Path
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: Json = field(default_factory=dict)

    async def outcome(self) -> Json:
        self.counters = MemoryCounters(FixedClock())
        self.meter = Metering(self.counters, Catalog.of((), {}), None, InputEstimates())
        self.decision = JOURNEYS[self.name]
        self.deciding = Deciding(self.decision)
        self.http = AuthorizationOverHttp(
            self.deciding,  # type: ignore[arg-type]
            self.meter,
            APIS,
            logged=True,
        )
        await self.http.start(f"unix:{self.socket}")
        try:
            await self._pass()
        finally:
            await self.http.stop(1)
            await self.meter.drain()
        self.seen["ledger"] = [
            (each.input_tokens, each.output_tokens, each.certainty) for each in self.counters.ledger
        ]
        return self.seen

    async def _pass(self) -> None:
        seen, envoy = self.seen, self.envoy
        ours = {
            value: "smuggled"
            for name, value in vars(envoy_contract).items()
            if name.endswith("_HEADER")
        }
        headers = envoy.cleaned({"authorization": "Bearer sk", **ours})
        seen["smuggled"] = sum(value == "smuggled" for value in headers.values())
        if self.mode == "native":
            seen["healthy"] = await self._healthy()
        if (config := envoy.key_check()) is not None:
            seen["key checked"] = (await self._ask(config, headers)).status
            seen["asked for the key alone"] = len(self.deciding.asked_about_keys)
        name, config = envoy.admission()
        answer = await self._ask(config, headers)
        seen |= {"status": answer.status, "told": sorted(answer.told)}
        seen["admission asked"] = [each.stream_id for each in self.deciding.asked]
        verified = (name for each in self.deciding.asked for name in each.headers)
        seen["verified"] = sum(name in (CLAIMS_HEADER, FAULT_HEADER) for name in verified)
        self.metadata[name] = dict(answer.metadata)
        seen["left in metadata"] = len(answer.metadata)
        await self._continue({**headers, **answer.upstream})
        seen["worded"] = sum(worded_as(envoy.manager, self.metadata))

    async def _continue(self, headers: dict[str, str]) -> None:
        """Let the request go to its provider, and its reply come back."""
        seen, envoy = self.seen, self.envoy
        route = envoy.route(headers)
        seen["routed"] = None if route is None else route["route"].get("cluster", "failing over")
        if route is None:
            return
        removed = route["request_headers_to_remove"]
        seen["provider sees"] = sorted(v for n, v in headers.items() if n not in removed)
        if isinstance(self.decision, Admission) and self.decision.reservation is not None:
            await self.counters.reserve(self.decision.reservation)
        chains = list(envoy.chosen(headers))
        source = lua_of(chains)
        seen["lua finds"] = found_by_lua(source, self.metadata)
        seen["read by"] = kinds(chains)
        readers: object = chains if self.mode == "native" else envoy.manager["http_filters"]
        if "ExternalProcessor" in kinds(readers) and "SseToMetadata" not in kinds(readers):
            await self._ext_proc(readers)
        else:
            self._read_by_envoy(chains, source)
        if envoy.log_takes(self.metadata):
            await self._log(headers, self.metadata)

    async def _healthy(self) -> bool:
        """Whether a worker passes the health check of its cluster."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        check = next(every(self.envoy.clusters, "tcp_health_check"))
        writer.write(bytes.fromhex(check["send"]["text"]))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return bytes.fromhex(check["receive"][0]["text"]) in head

    async def _ask(self, config: Json, headers: Mapping[str, str]) -> Answer:
        if "http_service" in config:
            transport = httpx.AsyncHTTPTransport(uds=str(self.socket), verify=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
                asked = self.envoy.asked_over_http(config, headers)
                reply = await client.post(PATH, headers=asked, content=b"{}")
            return self.envoy.heard_over_http(config, reply.status_code, reply.headers)
        request = CheckRequest()
        http = request.attributes.request.http
        http.method, http.path, http.raw_body = "POST", PATH, b"{}"
        http.headers.update(headers)
        request.attributes.context_extensions.update(config.get("context_extensions", {}))
        call = EnvoyCall()
        door = Authorization(self.deciding, self.meter, logged=True)  # type: ignore[arg-type]
        door.check(call).received(request.SerializeToString())
        await asyncio.wait_for(call.answered.wait(), 5)
        return _heard_over_grpc(CheckResponse.FromString(call.sent[0]))

    async def _ext_proc(self, readers: object) -> None:
        """Let ext_proc read the reply, with the metadata that it may see."""
        options = next(every(readers, "metadata_options"))
        call = EnvoyCall()
        stream = ExternalProcessor(self.meter, APIS, {}).process(call)  # type: ignore[arg-type]
        for number in range(2):
            request = ProcessingRequest()
            if number == 0:
                for name, value in ((":status", "200"), ("content-type", "application/json")):
                    request.response_headers.headers.headers.add(key=name, raw_value=value.encode())
            else:
                request.response_body.body, request.response_body.end_of_stream = REPLY, True
            for namespace in options["forwarding_namespaces"]["untyped"]:
                request.metadata_context.filter_metadata[namespace].update(
                    self.metadata.get(namespace, {})
                )
            stream.received(request.SerializeToString())
            await self.meter.drain()
            for _ in range(5):
                await asyncio.sleep(0)
        flags = 0
        for each in call.sent:
            for namespace, left in ProcessingResponse.FromString(each).dynamic_metadata.items():
                if namespace in options["receiving_namespaces"]["untyped"]:
                    self.metadata.setdefault(namespace, {}).update(left)
                    flags += len(left)
        self.seen["flags"] = flags

    def _read_by_envoy(self, chains: object, source: str) -> None:
        """Let Envoy's own filters read the reply, or its Lua the last event of a stream."""
        if "no empty line" in self.name:
            for namespace, key in LUA_WRITES.findall(source):
                self.metadata.setdefault(namespace, {})[key] = REPLY.decode()
            return
        told = {
            "usage": USAGE,
            **{f"usage.{name}": float(value) for name, value in USAGE.items()},
        }
        self.metadata |= read_by_filters(chains, told)

    async def _log(
        self, headers: Mapping[str, str], metadata: Mapping[str, Mapping[str, Any]]
    ) -> None:
        entry = HTTPAccessLogEntry()
        for namespace, values in metadata.items():
            entry.common_properties.metadata.filter_metadata[namespace].update(values)
        entry.common_properties.time_to_last_upstream_tx_byte.nanos = 1
        entry.response.response_code.value = 200
        entry.response.response_code_details = "via_upstream"
        for name in next(
            every(self.envoy.manager["access_log"], "additional_request_headers_to_log")
        ):
            entry.request.request_headers[name] = headers.get(name, "")
        message = StreamAccessLogsMessage()
        message.http_logs.log_entry.append(entry)
        log = AccessLog(self.meter, APIS)
        log.hear(message)
        await log.drain()


def _heard_over_grpc(response: CheckResponse) -> Answer:
    if response.HasField("denied_response"):
        denied = response.denied_response
        return Answer(denied.status.code, told={each.header.key: "" for each in denied.headers})
    ok = response.ok_response
    return Answer(
        200,
        {each.header.key: each.header.value for each in ok.headers},
        {each.header.key: each.header.value for each in ok.response_headers_to_add},
        dict(response.dynamic_metadata.items()),
    )
