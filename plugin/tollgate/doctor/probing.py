"""Send probes through Envoy, and ask the management API about them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tollgate.core.answers.headers import REQUEST_ID
from tollgate.core.callers.credentials import AUTHORIZATION, KEY_HEADERS, KEY_MEMBER, OWN_HEADER
from tollgate.core.errors import TollgateError
from tollgate.core.models.probe_model import LATE_PROBE_MODEL, LATE_S, PROBE_MODEL

CALL_PATH = "/v1/chat/completions"
QUERY_KEY = f"?{KEY_MEMBER}="
KEY_PLACES = (*(each for each in KEY_HEADERS if each != OWN_HEADER), QUERY_KEY)
"""Where clients send their keys, beside the header of all other probes."""
# Longer than a late probe takes.
_TIMEOUT_S = LATE_S + 5
# The access log settles a reply that ext_proc began to read, and did not finish, after 3 seconds.
_SETTLED_WITHIN_S = 8.0
_ASK_AGAIN_S = 0.25
_KEY_LASTS = "15m"
# An examination makes fewer calls. A bucket of a day refills too slowly to hide one.
_KEY_REQUESTS, _DAY = 1000, "1d"
_UNREACHABLE = (httpx.HTTPError, httpx.InvalidURL, OSError)


class ManagementFailed(TollgateError):
    """The management API did not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one probe; `failure` where no reply came, or not all of it."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    body: Any = None
    took_s: float = 0.0
    first_after_s: float = 0.0
    failure: str = ""

    @property
    def request_id(self) -> str:
        """Return the id under which Tollgate knows the request; empty if it never saw it."""
        return self.headers.get(REQUEST_ID, "")

    @property
    def arrived(self) -> Mapping[str, Any] | None:
        """Return what the provider of probes received; None if it did not answer."""
        found = self.body.get("arrived") if isinstance(self.body, dict) else None
        return found if isinstance(found, dict) else None

    @property
    def error_code(self) -> str:
        """Return the code of an error in OpenAI's form; empty if it is none."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("code")) if isinstance(error, dict) else ""

    @property
    def message(self) -> str:
        """Return the words of an error, or the beginning of whatever the reply says."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return str(error.get("message")) if isinstance(error, dict) else self.text[:120]


@dataclass(slots=True)
class Probing:
    """One examination's connection to a gateway.

    - `management_url`: where the management API answers; usually the gateway's own address.
    - `key`: the key of the probes; empty while there is none.
    - `key_is_made`: whether nobody else calls with that key.
    """

    url: str
    management_url: str
    master_key: str | None
    client: httpx.AsyncClient
    key: str = ""
    key_is_made: bool = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, management_url: str | None, master_key: str | None
    ) -> AsyncIterator[Probing]:
        """Provide the connection for the duration of a block."""
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, limits=limits) as client:
            base = url.rstrip("/")
            yield cls(base, (management_url or base).rstrip("/"), master_key, client)

    async def call(
        self,
        word: str = "reply",
        *,
        key: str | None = None,
        model: str = PROBE_MODEL,
        headers: Mapping[str, str] | None = None,
        seconds: float = 0,
        stream: bool = False,
        body_bytes: int = 0,
        query: str = "",
    ) -> Reply:
        """Send a probe and return what came of it; never raises.

        `word` and `seconds` say what the provider does; "" says nothing, for a real provider. The
        body has `body_bytes`, or as few as it needs. `key` "" sends none. `query` begins with "?".
        """
        body: dict[str, Any] = {
            "model": model,
            "max_tokens": 16,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
        }
        if word:
            body["probe"] = {"word": word, "seconds": seconds, "padding": ""}
            body["probe"]["padding"] = "x" * max(0, body_bytes - len(json.dumps(body)))
        secret = self.key if key is None else key
        sent = {
            "content-type": "application/json",
            **({OWN_HEADER: f"Bearer {secret}"} if secret else {}),
            **(headers or {}),
        }
        content = json.dumps(body).encode()
        return await self._send("POST", self.url + CALL_PATH + query, content=content, headers=sent)

    async def with_key_in(self, place: str) -> Reply:
        """Send a probe whose key is in one header, or in the query for `QUERY_KEY`."""
        if place == QUERY_KEY:
            return await self.call(key="", query=f"{QUERY_KEY}{quote(self.key)}")
        secret = f"Bearer {self.key}" if place == AUTHORIZATION else self.key
        return await self.call(key="", headers={place: secret})

    async def late(self) -> Reply:
        """Send a probe that Tollgate decides about only after Envoy should have given up."""
        return await self.call(model=LATE_PROBE_MODEL)

    async def abandon(self) -> None:
        """Send a probe, and leave before the reply begins."""
        call = asyncio.create_task(self.call("silence", seconds=5))
        await asyncio.sleep(1)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def get(self, path: str) -> Reply:
        """Ask the management API without a key."""
        return await self._send("GET", self.management_url + path)

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        """Return the management API's answer. Raises ManagementFailed."""
        headers = {"authorization": f"Bearer {self.master_key}"}
        reply = await self._send(method, self.management_url + path, headers=headers, **options)
        if reply.failure or reply.status != httpx.codes.OK or reply.body is None:
            raise ManagementFailed(reply.failure or f"{reply.message} ({reply.status})")
        return reply.body

    @asynccontextmanager
    async def made_key(self, *more_models: str) -> AsyncIterator[None]:
        """Make a key for the probes, and delete it at the end. Raises ManagementFailed."""
        members = {
            "models": [PROBE_MODEL, LATE_PROBE_MODEL, *more_models],
            "duration": _KEY_LASTS,
            "key_alias": f"tollgate-doctor-{time.time_ns()}",
            "max_budget": 1,
            "limits": [{"meter": "requests", "amount": _KEY_REQUESTS, "per": _DAY}],
        }
        made = await self.ask("POST", "/key/generate", json=members)
        self.key, self.key_is_made = str(made.get("key", "")), True
        try:
            yield
        finally:
            await self.ask("POST", "/key/delete", json={"keys": [self.key]})

    async def admitted_requests(self) -> int | None:
        """Return how often Tollgate admitted calls of the key; None for a key that was given."""
        if not self.key_is_made:
            return None
        usage = await self.ask("GET", "/v1/usage", params={"key": self.key})
        (own,) = (
            each
            for each in usage["limits"]
            if (each["scope"], each["meter"], each["window"]) == ("key", "requests", _DAY)
            and each["model"] is None
        )
        left: float = own["left"]
        return _KEY_REQUESTS - round(left)

    async def settled(self, request_id: str) -> dict[str, Any] | None:
        """Return the ledger's record of a request; None if there is none within a few seconds."""
        for _ in range(round(_SETTLED_WITHIN_S / _ASK_AGAIN_S)):
            try:
                found = await self.ask("GET", "/spend/explain", params={"request_id": request_id})
            except ManagementFailed:
                await asyncio.sleep(_ASK_AGAIN_S)
                continue
            return found if isinstance(found, dict) else None
        return None

    async def others_settled(self, known: set[str]) -> list[str]:
        """Return the ids of this key's records beside the known ones, once there are some.

        A record of a lease that has ended tells nothing of the call's own end.
        """
        query = {"api_key": self.key, "summarize": "false"}
        for _ in range(round(_SETTLED_WITHIN_S / _ASK_AGAIN_S)):
            rows = await self.ask("GET", "/spend/logs", params=query)
            found = [
                each["request_id"]
                for each in rows
                if each["request_id"] not in known and each["usage"] != "expired"
            ]
            if found:
                return found
            await asyncio.sleep(_ASK_AGAIN_S)
        return []

    async def _send(self, method: str, url: str, **options: Any) -> Reply:
        began, status, first_s = time.monotonic(), 0, 0.0
        headers: Mapping[str, str] = {}
        pieces: list[bytes] = []
        failure = ""
        try:
            async with self.client.stream(method, url, **options) as response:
                status, headers = response.status_code, response.headers
                async for piece in response.aiter_bytes():
                    first_s = first_s or time.monotonic() - began
                    pieces.append(piece)
        except _UNREACHABLE as error:
            failure = str(error) or type(error).__name__
        raw = b"".join(pieces)
        return Reply(
            status,
            headers,
            raw.decode("utf-8", "replace"),
            _json(raw),
            time.monotonic() - began,
            first_s,
            failure,
        )


def decoys() -> dict[str, str]:
    """Return every header in which a client may carry a key, beside ours, with a made-up one."""
    names = (each for each in KEY_HEADERS if each != OWN_HEADER)
    return {each: "Bearer sk-decoy" if each == "authorization" else "sk-decoy" for each in names}


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
