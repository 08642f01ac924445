"""The console as people use it: a real browser, Envoy, and a store."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect
from tests.e2e.browser import browsing, faults_for_readers, sign_in
from tests.e2e.gateway import CONFIG, Gateway, gateway
from tests.e2e.sdk_programs import javascript_file

PHONE = {"width": 390, "height": 800}


@pytest_asyncio.fixture(scope="module")
async def tollgate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway whose ledger has only what these tests do. Its mode is nothing to the console."""
    async with gateway(tmp_path_factory.mktemp("console"), CONFIG) as running:
        yield running


async def test_a_key_is_made_spent_refused_explained_and_raised(
    tollgate: Gateway, tmp_path: Path
) -> None:
    """An operator's work: each step is done and seen in the browser, and holds for calls."""
    async with browsing() as page:
        await sign_in(page, tollgate.url)
        key = await make_key(page, f"{tollgate.url}/ui/people?show=keys")
        # The model costs a cent for each token of output.
        reply = await tollgate.chat(key, model="cent", max_tokens=2)
        assert reply.status_code == 200
        refused = await tollgate.chat(key, model="cent", max_tokens=2)
        assert refused.status_code == 401

        await page.get_by_role("link", name="To the key").click()
        told = page.get_by_role("alert")
        await expect(told).to_contain_text("Calls are refused now: key operators-day has used")
        await expect(told).to_contain_text("$0.020 of $0.020")

        await page.get_by_label("Budget, in dollars").fill("0.05")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status")).to_contain_text("Saved")
        await expect(page.get_by_role("alert")).to_have_count(0)
        await passes(tollgate, key)

        await page.reload()
        await page.get_by_role("table").get_by_role("link").first.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Request")
        await expect(page.get_by_role("row", name="Charged 20,000,000")).to_be_visible()

        await page.get_by_role("link", name="Usage").click()
        await page.get_by_label("Grouped by").select_option("key")
        await page.get_by_role("button", name="Show").click()
        await expect(page.get_by_role("row", name="operators-day")).to_contain_text("$0.040")
        async with page.expect_download() as download:
            await page.get_by_role("link", name="CSV").click()
        await (await download.value).save_as(tmp_path / "usage.csv")
    rows = csv.DictReader(io.StringIO((tmp_path / "usage.csv").read_text(encoding="utf-8")))
    assert [each["spend_usd"] for each in rows if each["name"] == "operators-day"] == [
        "0.040000000"
    ]


async def make_key(page: Page, list_of_keys: str) -> str:
    """Make a key that may spend two cents, and read its secret off the page."""
    await page.goto(list_of_keys)
    await page.get_by_text("New key").click()
    await page.get_by_label("Alias").fill("operators-day")
    await page.get_by_label("Budget, in dollars").fill("0.02")
    await page.get_by_role("button", name="Make the key").click()
    return (await page.locator("#secret").inner_text()).strip()


async def passes(tollgate: Gateway, key: str) -> None:
    """A call passes, once all workers know what was changed: within a second or so."""
    for _ in range(20):
        if (await tollgate.chat(key, model="cent", max_tokens=2)).status_code == 200:
            return
    raise AssertionError("the key was raised, and is refused all the same")


async def test_owners_see_what_is_theirs_and_no_more(tollgate: Gateway) -> None:
    """Their limits and requests; pages of administrators are neither linked nor shown."""
    key = await tollgate.key(key_alias="owned", user_id="alice", rpm_limit=2, max_budget=1)
    assert (await tollgate.chat(key, model="cent", max_tokens=1)).status_code == 200
    async with browsing() as page:
        await sign_in(page, tollgate.url, key)
        await expect(page.get_by_role("heading", level=1)).to_have_text("owned")
        await expect(page.get_by_text("1 of 2")).to_be_visible()
        await expect(page.get_by_text("$0.010 of $1.00")).to_be_visible()
        await expect(
            page.get_by_role("navigation", name="Pages").get_by_role("link")
        ).to_have_count(1)
        await page.get_by_role("table").get_by_role("link").first.click()
        await expect(page.get_by_text("Charged to")).to_be_visible()


async def test_a_team_opens_in_the_tree_with_members_and_keys(tollgate: Gateway) -> None:
    """Only when it is opened are they asked for."""
    await tollgate.manage(
        "/team/new", team_id="tree", members_with_roles=[{"user_id": "bob", "role": "user"}]
    )
    await tollgate.key(key_alias="bobs-key", user_id="bob", team_id="tree")
    async with browsing() as page:
        await sign_in(page, tollgate.url)
        await page.get_by_role("link", name="Keys & people").click()
        await expect(page.get_by_text("bobs-key")).to_have_count(0)
        await page.get_by_text("Members and keys").first.click()
        await expect(page.get_by_role("link", name="bobs-key")).to_be_visible()


async def test_now_keeps_itself_current(tollgate: Gateway) -> None:
    """What is spent while the page is open shows without a reload."""
    key = await tollgate.key()
    async with browsing() as page:
        await sign_in(page, tollgate.url)
        before = await page.locator("#live").get_by_text("As of").inner_text()
        await tollgate.chat(key, model="cent", max_tokens=3)
        asked = page.locator("#live").get_by_text("As of")
        await expect(asked).not_to_have_text(before, timeout=40_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_is_for_keyboards_and_screen_readers(
    tollgate: Gateway, scheme: Literal["light", "dark"]
) -> None:
    """axe finds nothing, in neither colour scheme; no page is wider than a phone."""
    await tollgate.manage("/team/new", team_id=f"axe-{scheme}", max_budget=1)
    user = {"user_id": f"axe-{scheme}", "team_id": f"axe-{scheme}", "key_alias": f"axe-{scheme}"}
    key = await tollgate.key(**user, max_budget=0.02, rpm_limit=5)
    await tollgate.manage("/user/new", user_id=f"axe-{scheme}", auto_create_key=False)
    await tollgate.manage("/tag/new", name=f"axe-{scheme}", max_budget=1)
    reply = await tollgate.chat(key, model="cent", max_tokens=2)
    paths = [
        "/ui/people",
        "/ui/people?show=keys",
        "/ui/people?show=users",
        f"/ui/people/key?id={(await tollgate.info(key))['token']}",
        f"/ui/people/team?id=axe-{scheme}",
        f"/ui/people/user?id=axe-{scheme}",
        "/ui/people?show=customers",
        "/ui/people?show=tags",
        f"/ui/people/tag?id=axe-{scheme}",
        "/ui/requests",
        f"/ui/requests/{reply.headers['x-tollgate-request-id']}",
        "/ui/now",
        "/ui/usage?by=user",
        "/ui/models?meter=usd&amount=0.01&per=1d",
        "/ui/audit",
    ]
    async with browsing(color_scheme=scheme) as page:
        await page.goto(f"{tollgate.url}/ui/sign-in")
        found = {"/ui/sign-in": await faults_for_readers(page)}
        await sign_in(page, tollgate.url)
        for path in paths:
            await page.goto(tollgate.url + path)
            found[path] = await faults_for_readers(page)
            await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            wider: int = await page.evaluate("document.documentElement.scrollWidth")
            assert wider <= PHONE["width"], path
            await page.set_viewport_size({"width": 1280, "height": 860})
    async with browsing(color_scheme=scheme) as page:
        await sign_in(page, tollgate.url, key)
        found["/ui/mine"] = await faults_for_readers(page)
    assert {path: faults for path, faults in found.items() if faults} == {}


async def test_a_keyboard_is_enough(tollgate: Gateway) -> None:
    """Sign in, skip the navigation, and open a page."""
    async with browsing() as page:
        await page.goto(f"{tollgate.url}/ui")
        await page.keyboard.type("sk-1234")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("text=Sign out")
        await page.keyboard.press("Tab")
        focused: Any = await page.evaluate("document.activeElement.className")
        assert focused == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"


def test_htmx_is_the_file_of_its_package() -> None:
    """What the wheel ships is what its makers published."""
    ours = files("tollgate.adapters.http_api.console").joinpath("static/htmx.min.js")
    assert ours.read_bytes() == javascript_file("htmx.org/dist/htmx.min.js").read_bytes()
