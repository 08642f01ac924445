"""A visitor of the console without a browser: follows links, posts forms, keeps cookies."""

from __future__ import annotations

import re
from html import unescape

import httpx
from tests.unit.management_fixtures import MASTER, World
from tests.unit.memory_registry import MemoryAuditLog

from tollgate.adapters.http_api import create_api
from tollgate.adapters.http_api.console.console_app import create_console
from tollgate.adapters.http_api.console.sessions import Sessions


class Visit:
    """One visitor. `page` is the last answer."""

    page: httpx.Response

    def __init__(self, world: World, *, administrators_only: bool = False) -> None:
        audit_log = MemoryAuditLog(world.registry)
        console = create_console(
            world.management,
            world.reports,
            world.refused,
            world.usage_sums,
            world.levels,
            audit_log,
            world.watched,
            Sessions.of(MASTER, administrators_only=administrators_only),
        )
        self.told_to_stop = console.state.told_to_stop
        app = create_api(
            world.management,
            version="test",
            watched=world.watched,
            reported=world.reports,
            refused=world.refused,
            usage_sums=world.usage_sums,
            levels=world.levels,
            console=console,
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://tollgate")

    async def see(self, path: str, **query: str) -> str:
        """Open a page, following redirects; its text, without tags."""
        self.page = await self.client.get(path, params=query or None, follow_redirects=True)
        return self.text

    async def send(self, path: str, **fields: str) -> str:
        """Post a form with the token of the page that is open; what is answered in the end."""
        token = re.search(r'name="form_token" value="([^"]*)"', self.page.text)
        if token is not None:
            fields = {"form_token": unescape(token[1]), **fields}
        self.page = await self.client.post(path, data=fields, follow_redirects=True)
        return self.text

    async def sign_in(self, key: str = MASTER, after: str = "") -> str:
        """Sign in by the form."""
        await self.see("/ui/sign-in")
        return await self.send("/ui/sign-in", key=key, after=after)

    @property
    def text(self) -> str:
        """The page as it is read."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page.text)).split())

    @property
    def path(self) -> str:
        """Where the visitor ended."""
        return self.page.url.path
