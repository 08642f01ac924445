"""/health/diagnosis, and the provider of the model that `tollgate doctor` calls

The provider answers as OpenAI's chat completions do, and adds what it received: how far a request
had come through Envoy when it arrived here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from msgspec import Meta

from tollgate.adapters.http_api.dependencies import Admin
from tollgate.core.models.probe_model import DAMAGED_PROBE, PROBE_PATH

_TEAPOT = 418
_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
_EVENT_EVERY_S = 1.0
_WORDS = {"index": 0, "delta": {"content": "still here "}, "finish_reason": None}


class Diagnosed(Protocol):
    """What knows the gateway from inside."""

    async def facts(self) -> dict[str, Any]:
        """Return what `tollgate doctor` compares with what it sees from outside."""
        ...


class _Asked(msgspec.Struct):
    """What a probe wants: `word` says which answer, after or during `seconds`."""

    word: Literal["reply", "error", "silence", "stream"] = "reply"
    seconds: Annotated[float, Meta(ge=0, le=120)] = 0


class _Body(msgspec.Struct):
    """A chat completion's body, as far as it is looked at."""

    model: str = ""
    stream_options: dict[str, Any] | None = None
    probe: _Asked = msgspec.field(default_factory=_Asked)


router = APIRouter(include_in_schema=False)


@router.get("/health/diagnosis")
async def diagnosis(request: Request, _: Admin) -> dict[str, Any]:
    """Return the gateway's own view, for administrators."""
    diagnosed: Diagnosed = request.app.state.diagnosed
    return await diagnosed.facts()


@router.post(f"{PROBE_PATH}/chat/completions")
async def provider(request: Request) -> Response:
    """Answer a probe as a provider would."""
    try:
        body = msgspec.json.decode(await request.body(), type=_Body)
    except msgspec.MsgspecError as error:
        return JSONResponse(
            {"error": {"message": f"no probe: {error}", "code": DAMAGED_PROBE}}, 400
        )
    asked = body.probe
    if asked.word == "stream":
        return StreamingResponse(_events(body), media_type="text/event-stream")
    if asked.word == "silence":
        await asyncio.sleep(asked.seconds)
    if asked.word == "error":
        return JSONResponse({"error": {"message": "as asked"}}, _TEAPOT)
    message = {"role": "assistant", "content": "hello"}
    return JSONResponse(
        {
            "id": "probe",
            "object": "chat.completion",
            "model": body.model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _USAGE,
            "arrived": {
                "model": body.model,
                "path": request.url.path,
                # Names alone: the values of some may be secrets.
                "headers": sorted(set(request.headers)),
                "accept_encoding": request.headers.get("accept-encoding", ""),
                "timeout_ms": request.headers.get("x-envoy-expected-rq-timeout-ms"),
            },
        }
    )


async def _events(body: _Body) -> AsyncIterator[str]:
    """Yield a stream of as many seconds as asked for, and its usage if asked for."""
    for _ in range(max(1, round(body.probe.seconds / _EVENT_EVERY_S))):
        yield _event({"choices": [_WORDS]})
        await asyncio.sleep(_EVENT_EVERY_S)
    yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.stream_options or {}).get("include_usage"):
        yield _event({"choices": [], "usage": _USAGE})
    yield "data: [DONE]\n\n"


def _event(members: dict[str, Any]) -> str:
    return f"data: {json.dumps({'id': 'probe', 'object': 'chat.completion.chunk', **members})}\n\n"
