"""Make entities for the console, and send its forms."""

from __future__ import annotations

import re
from typing import Any

from tests.unit.adapters.http_api.console.console_visit import Visit
from tests.unit.management_fixtures import Api, World

from tollgate.core.limits.accounts import Scope, ScopeKind

HOUR_US = 3_600_000_000


async def made(api: Api, **fields: Any) -> tuple[str, str]:
    """A new key: its secret and its hash."""
    secret = (await api.made(**fields))["key"]
    return secret, (await api.info(secret))["token"]


async def spend(world: World, kind: ScopeKind, identity: str, dollars: float) -> None:
    """Let calls that somebody paid for cost so much."""
    await world.spend(Scope(kind, identity), int(dollars * 1_000_000_000))


def posted(visit: Visit, action: str) -> dict[str, str]:
    """The fields of a form of the open page, as they are shown."""
    form = visit.page.text.partition(f'action="{action}"')[2].partition("</form>")[0]
    pairs = re.findall(r'<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"', form)
    return {name: value.replace("&#34;", '"') for name, value in pairs}
