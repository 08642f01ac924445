"""What a client's set-up names: the gateway's address, and a model of each API for its example."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from tollgate.core.entities import Key
from tollgate.core.models.modes import mode_of
from tollgate.core.requests.endpoints import Wire
from tollgate.management.administrators import Holder
from tollgate.reporting.reports import Reports

_CHAT = "chat"
_UNKNOWN = "MODEL"


@dataclass(frozen=True, slots=True)
class ClientSetup:
    """`openai`, `anthropic`: a chat model that the key may use on that API's own paths; a
    placeholder where there is none.
    """

    url: str
    openai: str
    anthropic: str


async def client_setup(request: Request, reports: Reports, key: Key) -> ClientSetup:
    """Return what the clients of a key are set up with."""
    openai, anthropic = [
        next(
            (
                model.name
                for model, deployment in await reports.models(Holder(key), wire)
                if (deployment.mode or mode_of(deployment.model)) == _CHAT and "*" not in model.name
            ),
            _UNKNOWN,
        )
        for wire in (Wire.OPENAI, Wire.ANTHROPIC)
    ]
    return ClientSetup(public_url(request), openai, anthropic)


def public_url(request: Request) -> str:
    """Return the gateway's address as the visitor came to it."""
    scheme = "https" if request.headers.get("x-forwarded-proto") == "https" else "http"
    return f"{scheme}://{request.headers.get('host', 'localhost')}"
