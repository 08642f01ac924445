"""Normalise spellings of a request to the ones that the routes know."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tollgate.core.requests.endpoints import normal_path


class PathsAsKnown:
    """Middleware: ignores a trailing slash, and answers HEAD as GET.

    The server itself omits the body in answers to HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "method": method, "path": normal_path(scope["path"])}
        await self._app(scope, receive, send)
