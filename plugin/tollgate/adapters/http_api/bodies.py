"""Read request bodies: bounded, as JSON whatever the content type, with precise errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

MAX_BYTES = 1024 * 1024
_AT = re.compile(r"^(?:JSON is malformed: )?(.*?)(?: \(byte (\d+)\))?$", re.DOTALL)
_SHOWN = 20


class _JsonRequest(Request):
    """A request whose body is read as strict JSON.

    NaN, lone surrogates, and nesting deep enough to exhaust the stack are refused.
    """

    async def body(self) -> bytes:
        """Return the body, or answer 413 if it is too long."""
        if not hasattr(self, "_body"):
            received = bytearray()
            async for chunk in self.stream():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise HTTPException(413, f"the body is longer than {MAX_BYTES} bytes")
            self._body = bytes(received)
        return self._body

    async def json(self) -> Any:
        """Return the decoded body, or answer 400 if it is not JSON."""
        body = await self.body()
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(400, _fault(body, error)) from error


class JsonRoute(APIRoute):
    """A route that reads its body this way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, given a request of our class."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            # Clients of this API mean JSON, although curl says form data by default.
            headers = [each for each in request.scope["headers"] if each[0] != b"content-type"]
            scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
            return await handler(_JsonRequest(scope, request.receive))

        return handle


def _fault(body: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the body is not valid JSON: it is nested too deeply"
    match = _AT.match(str(error))
    what, at = (match[1], match[2]) if match else (str(error), None)
    if at is None:
        return f"the body is not valid JSON: {what}"
    before = body[: int(at)].decode("utf-8", "replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    shown = body[max(0, int(at) - _SHOWN) : int(at) + _SHOWN].decode("utf-8", "replace")
    return f"the body is not valid JSON: {what} at line {line}, column {column}, near {shown!r}"
