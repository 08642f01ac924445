"""Take the pictures of README from a running gateway, or one of every page for looking at.

python -m tests.pictures docs          now.png and request.png, as README shows them
python -m tests.pictures FOLDER --all  each page, light and dark, and as wide as a phone
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Page
from tests.e2e.browser import REFUSED, browsing, sign_in
from tests.e2e.gateway import CONFIG, Gateway, gateway
from tests.e2e.told_days import fill_history

_WIDTH, _PHONE = 1180, 390
_FRESH = {
    "now": "/ui/now",
    "organizations": "/ui/people?show=organizations",
    "teams": "/ui/people?show=teams",
    "keys": "/ui/people?show=keys",
    "users": "/ui/people?show=users",
    "customers": "/ui/people?show=customers",
    "tags": "/ui/people?show=tags",
    "refused": "/ui/requests?status=refused",
    "audit": "/ui/audit",
}
_HELLO = [{"role": "user", "content": "Why is the sky blue? Answer in a sentence. " * 6}]


async def take(folder: Path, *, every_page: bool) -> None:
    """Start a gateway with two days of calls, and take the pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        state = Path(temporary)
        await fill_history(state / "history.db", time.time_ns() // 1000)
        config = CONFIG.replace("history_url: none", f"history_url: sqlite:///{state}/history.db")
        config += "  dimensions: {tag: true}\n"
        async with gateway(state, config) as tollgate:
            if every_page:
                await _take(tollgate, _FRESH, folder, "-fresh")
            addresses = await _prepare(tollgate)
            if not every_page:
                wanted = {name: addresses[name] for name in ("now", "request")}
                await _take(tollgate, wanted, folder, "", color_scheme="light")
                return
            for scheme in ("light", "dark"):
                await _take(tollgate, addresses, folder, f"-{scheme}", color_scheme=scheme)
            phone = {"width": _PHONE, "height": 844}
            await _take(tollgate, addresses, folder, "-phone", viewport=phone)


async def _prepare(tollgate: Gateway) -> dict[str, str]:
    """Make teams, keys and calls; return the addresses of the pages by their name."""
    await _make_teams(tollgate)
    bobs = await tollgate.key(
        user_id="bob",
        team_id="support",
        key_alias="bob-laptop",
        max_budget=0.1,
        budget_duration="1d",
        rpm_limit=60,
        limits=[{"meter": "tokens", "amount": 2_000_000, "per": "1mo", "calendar": "UTC"}],
    )
    adas = await tollgate.key(
        user_id="ada",
        team_id="research",
        key_alias="ada-notebook",
        max_budget=2,
        tpm_limit=200_000,
        rpd_limit=60,
    )
    await tollgate.manage("/tag/new", name="nightly", max_budget=3, budget_duration="1d")
    await tollgate.manage("/customer/new", user_id="shop-4711", alias="Corner shop", max_budget=1)
    odd = await _odd(tollgate)
    tagged = {"user": "shop-4711", "metadata": {"tags": ["nightly"]}}
    reply = await tollgate.chat(adas, messages=_HELLO, max_tokens=400, **tagged)
    # The first look at its limits, so that a later one tells when they will be used up.
    await _told(tollgate, 'tollgate_limit_used_ratio{meter="usd",model="",name="ada-notebook"')
    for number in range(4):
        await tollgate.chat(adas, model="cent", max_tokens=20 + number)
        await tollgate.chat(bobs, model="cent", max_tokens=3)
    refused = await tollgate.chat(bobs, model="cent", max_tokens=3)
    assert refused.status_code == 401, refused.text
    await _told(tollgate, 'tollgate_limit_empty_seconds{meter="usd",model="",name="ada-notebook"')
    token = (await tollgate.info(bobs))["token"]
    explained, stopped = (each.headers["x-tollgate-request-id"] for each in (reply, refused))
    return {**_addresses(token, explained, stopped), **odd, "mine": bobs}


def _addresses(token: str, explained: str, refused: str) -> dict[str, str]:
    """Return the addresses of the pages of what was made, by their names."""
    return {
        "now": "/ui/now",
        "people": "/ui/people",
        "organizations": "/ui/people?show=organizations",
        "keys": "/ui/people?show=keys",
        "users": "/ui/people?show=users",
        "customers": "/ui/people?show=customers",
        "tags": "/ui/people?show=tags",
        "no-keys": "/ui/people?search=nobody-has-this",
        "key": f"/ui/people/key?id={token}",
        "team": "/ui/people/team?id=support",
        "organization": "/ui/people/organization?id=acme",
        "user": "/ui/people/user?id=bob",
        "tag": "/ui/people/tag?id=nightly",
        "customer": "/ui/people/customer?id=shop-4711",
        "requests": "/ui/requests",
        "refused": "/ui/requests?status=refused",
        "request": f"/ui/requests/{explained}",
        "refusal": f"/ui/requests/{refused}",
        "usage": "/ui/usage?by=team",
        "no-usage": "/ui/usage?model=none",
        "models": "/ui/models",
        "what-if": "/ui/models?meter=usd&amount=0.01&per=1d&each=key",
        "audit": "/ui/audit",
        "refusals": "/ui/usage?by=key&measure=refusals",
        "others": "/ui/requests?outside=team:support&without=customer",
        "unknown-key": "/ui/people/key?id=nobody-has-this",
        "unknown-request": "/ui/requests/nobody-has-this",
        "bad-filter": "/ui/requests?start_date=tomorrow",
    }


async def _told(tollgate: Gateway, telling: str) -> None:
    """Wait until metrics tell something that is looked at every ten seconds."""
    for _ in range(60):
        if telling in await tollgate.metrics("tollgate_"):
            return
        await asyncio.sleep(1)
    raise AssertionError(f"the metrics do not tell {telling}")


async def _make_teams(tollgate: Gateway) -> None:
    await tollgate.manage("/organization/new", organization_id="acme", organization_alias="Acme")
    for team, leader, members in (("support", "bob", ("fay", "gus")), ("research", "ada", ())):
        roles = [{"user_id": leader, "role": "admin"}]
        roles += [{"user_id": each, "role": "user"} for each in members]
        await tollgate.manage(
            "/team/new",
            team_id=team,
            organization_id="acme",
            members_with_roles=roles,
            max_budget=25,
            budget_duration="1mo",
            team_member_budget=5,
        )


async def _odd(tollgate: Gateway) -> dict[str, str]:
    """Make what is hard to draw: long names, names from right to left, many limits, large numbers
    and no spend at all; return the addresses of its pages.
    """
    long = "a-very-long-alias-without-a-single-space-" * 5
    await tollgate.manage("/organization/new", organization_id="o" * 120, max_budget=10**6)
    hebrew = "\u05e6\u05d5\u05d5\u05ea \u05de\u05d7\u05e7\u05e8 (2)"
    await tollgate.manage(
        "/team/new", team_id="rtl", team_alias=hebrew, max_budget=9_000_000, tpm_limit=10**11
    )
    limits = [
        {"meter": meter, "amount": 1_000 * amount, "per": per}
        for meter in ("tokens", "input_tokens", "output_tokens", "uncached_tokens", "requests")
        for amount, per in enumerate(("1m", "1h", "1d"), start=1)
    ]
    many = await tollgate.key(
        key_alias=long, team_id="rtl", user_id="\u05d3\u05e0\u05d4", limits=limits
    )
    return {
        "long": f"/ui/people/key?id={(await tollgate.info(many))['token']}",
        "rtl": "/ui/people/team?id=rtl",
        "wide": f"/ui/people/organization?id={'o' * 120}",
        "found": "/ui/people?search=very-long",
    }


async def _take(
    tollgate: Gateway, addresses: dict[str, str], folder: Path, suffix: str, **options: Any
) -> None:
    size = {"width": _WIDTH, "height": 860}
    async with browsing(
        REFUSED, **{"viewport": size, "reduced_motion": "reduce", **options}
    ) as page:
        await page.goto(f"{tollgate.url}/ui/sign-in")
        if len(addresses) > 2:
            await _shoot(page, folder / f"sign-in{suffix}.png")
            await page.get_by_label("Key").fill("sk-wrong")
            await page.get_by_role("button", name="Sign in").click()
            await _shoot(page, folder / f"sign-in-refused{suffix}.png")
        await sign_in(page, tollgate.url)
        for name, address in addresses.items():
            if name == "mine":
                await page.get_by_role("button", name="Sign out").click()
                await sign_in(page, tollgate.url, address)
                await page.goto(f"{tollgate.url}/ui/now")
                await _shoot(page, folder / f"forbidden{suffix}.png")
                await page.goto(f"{tollgate.url}/ui/mine")
            else:
                await page.goto(tollgate.url + address)
            await _shoot(page, folder / f"{name}{suffix}.png")


async def _shoot(page: Page, file: Path) -> None:
    await page.screenshot(path=file, full_page=True)
    print(file)


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1]), every_page="--all" in sys.argv))
