"""Answer OPTIONS, and control who may read replies in a browser
(https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tollgate.core.answers.headers import COST, REQUEST_ID, SERVED_MODEL, SHADOW
from tollgate.core.envoy_contract import CORS_FILTER, ROUTE_PREFIX
from tollgate.envoy_config.literals import Json, overwritten, typed
from tollgate.settings import Settings

_ANY = "*"
_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
# Browsers ask again after at most this long (Chromium's bound).
_ASK_AGAIN_SECONDS = 7200
# Listed by name, and all others by the star: names that contain a model cannot be listed.
_SHOWN = (
    *(
        f"x-ratelimit-{state}-{noun}"
        for noun in ("requests", "tokens")
        for state in ("limit", "remaining", "reset")
    ),
    "x-litellm-key-spend",
    "x-litellm-key-max-budget",
    COST,
    REQUEST_ID,
    SERVED_MODEL,
    SHADOW,
    "retry-after",
    "retry-after-ms",
    "*",
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Requests from one origin's pages, or any others: how to recognise them, and the headers that
    expose the reply.
    """

    matching: tuple[Json, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


def each_allowed(settings: Settings) -> list[Allowed]:
    """Return one entry per allowed origin, and last the one for all others."""
    shown = {
        "access-control-allow-origin": "%REQ(origin)%",
        "access-control-expose-headers": ", ".join(_SHOWN),
    }
    found = [
        Allowed(({"name": "origin", "string_match": _like(each)},), shown)
        for each in settings.tollgate.cors_origins
    ]
    return [*found, Allowed()]


def options(settings: Settings) -> list[Json]:
    """Return routes that answer OPTIONS: the preflight of each allowed origin, and the plain
    request.

    No key is needed. Envoy's own filter would answer with a fixed list of headers instead of the
    requested ones.
    """
    return [
        *map(_preflight, settings.tollgate.cors_origins),
        _answer([_OPTIONS], {"allow": _METHODS}),
    ]


def policy(settings: Settings) -> Json:
    """Return `typed_per_filter_config` that exposes replies to allowed origins; empty if there are
    none.
    """
    if not settings.tollgate.cors_origins:
        return {}
    origins = [_like(each) for each in settings.tollgate.cors_origins]
    shown = typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=origins,
        expose_headers=", ".join(_SHOWN),
    )
    return {CORS_FILTER: shown}


_OPTIONS: Json = {"name": ":method", "string_match": {"exact": "OPTIONS"}}


def _like(origin: str) -> Json:
    if origin == _ANY:
        return {"safe_regex": {"regex": ".*"}}
    return {"exact": origin}


def _preflight(origin: str) -> Json:
    asked = [
        _OPTIONS,
        {"name": "origin", "string_match": _like(origin)},
        {"name": "access-control-request-method", "present_match": True},
    ]
    told = {
        "access-control-allow-origin": "%REQ(origin)%",
        "access-control-allow-methods": "%REQ(access-control-request-method)%",
        "access-control-allow-headers": "%REQ(access-control-request-headers)%",
        "access-control-max-age": str(_ASK_AGAIN_SECONDS),
        "vary": "origin, access-control-request-method, access-control-request-headers",
    }
    return _answer(asked, told)


def _answer(matching: list[Json], headers: Mapping[str, str]) -> Json:
    return {
        "name": f"{ROUTE_PREFIX}options",
        "match": {"prefix": "/", "headers": matching},
        "direct_response": {"status": 204},
        "response_headers_to_add": overwritten(headers),
    }
