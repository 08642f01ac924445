"""Spellings of a request that are answered as the one that the routes know."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tollgate.core.requests.endpoints import normal_path


class PathsAsKnown:
    """Middleware: a path with a slash at its end is the path without, and HEAD is answered as GET
    is.

    The server itself leaves out the body of what answers HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "method": method, "path": normal_path(scope["path"])}
        await self._app(scope, receive, send)
