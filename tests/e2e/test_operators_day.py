"""An operator's day in the console, in a real browser: who is near a limit, why was somebody
refused, a raise, a new key, what yesterday cost, and an export.
"""

from __future__ import annotations

import asyncio
import csv
import io
import sys
import time
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from playwright.async_api import Page, expect
from tests.e2e.browser import browsing, faults_for_readers, sign_in
from tests.e2e.gateway import CONFIG, Gateway, gateway
from tests.e2e.told_days import fill_history


async def test_an_operators_day(tmp_path: Path) -> None:
    """Each question is answered in the browser, and what is done there holds for calls."""
    spent = await fill_history(tmp_path / "history.db", time.time_ns() // 1000)
    config = CONFIG.replace("history_url: none", f"history_url: sqlite:///{tmp_path}/history.db")
    async with gateway(tmp_path, config) as tollgate, browsing() as page:
        members = [{"user_id": "ada", "role": "admin"}, {"user_id": "bob", "role": "user"}]
        await tollgate.manage("/team/new", team_id="support", members_with_roles=members)
        team = {"team_id": "support", "key_alias": "bobs-key"}
        bobs = await tollgate.key(user_id="bob", **team, max_budget=0.1)
        adas = await tollgate.key(user_id="ada", team_id="support", key_alias="adas-key")
        assert (await tollgate.chat(bobs, model="cent", max_tokens=9)).status_code == 200

        await sign_in(page, tollgate.url)
        await near_a_limit(page)
        # The live page told it before the budget was used up; this call uses it up.
        assert (await tollgate.chat(bobs, model="cent", max_tokens=9)).status_code == 200
        refused = await tollgate.chat(bobs, model="cent", max_tokens=9)
        assert refused.status_code == 401
        await tollgate.recorded_refusals(1)
        await why_was_bob_refused(page)
        await raised_for_a_day(page, tollgate, bobs)
        await a_key_for_fay(page, tollgate)
        await yesterday_by_team(page, tmp_path, spent)
        assert await faults_for_readers(page) == []

        await page.get_by_role("button", name="Sign out").click()
        await the_teams_admin(page, tollgate, adas)


async def near_a_limit(page: Page) -> None:
    """*Now* tells whose budget will be used up first, without a reload."""
    first = page.locator("#live").get_by_text("bobs-key")
    await expect(first).to_be_visible(timeout=40_000)
    await expect(page.locator("#live")).to_contain_text("$0.090 of $0.10")


async def why_was_bob_refused(page: Page) -> None:
    """The refusal with the limit that it met, its arithmetic, and until when."""
    await page.get_by_role("link", name="Requests").click()
    await page.get_by_label("User").fill("bob")
    await page.get_by_label("Outcome").select_option("refused")
    await page.get_by_role("button", name="Filter").click()
    await page.get_by_role("table").get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Refused request")
    await expect(page.get_by_role("main")).to_contain_text("bobs-key")
    await expect(page.get_by_role("main")).to_contain_text("the limit is raised")
    assert await faults_for_readers(page) == []


async def raised_for_a_day(page: Page, tollgate: Gateway, bobs: str) -> None:
    """From the refusal to the key, and calls pass again."""
    await page.get_by_role("link", name="bobs-key").first.click()
    await page.get_by_text("Raise for a time").click()
    await page.get_by_label("By how much").fill("1")
    await page.get_by_role("button", name="Raise", exact=True).click()
    await expect(page.get_by_text("raised by $1.00 until").first).to_be_visible()
    for _ in range(20):
        if (await tollgate.chat(bobs, model="cent", max_tokens=1)).status_code == 200:
            break
    else:
        raise AssertionError("the key was raised, and is refused all the same")


async def a_key_for_fay(page: Page, tollgate: Gateway) -> None:
    """A new member of the team gets a key; what her client needs runs as it is copied."""
    await page.get_by_role("link", name="support").first.click()
    await page.get_by_text("Add a member").click()
    await page.get_by_label("User").first.fill("fay")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.get_by_role("status")).to_contain_text("fay is a member now")
    await page.get_by_text("New key").click()
    made = page.locator("form[action='/ui/people/key/new']")
    await made.get_by_label("Alias").fill("fays-laptop")
    await made.get_by_label("User").fill("fay")
    await made.get_by_role("button", name="Make the key").click()
    secret = (await page.locator("#secret").inner_text()).strip()
    for client in ("OpenAI SDK", "Anthropic SDK", "Claude Code", "Codex"):
        await expect(page.get_by_text(client, exact=True)).to_be_visible()
    for number, run in enumerate((["sh", "-c"], *[[sys.executable, "-c"]] * 2), start=1):
        program = await page.locator(f"#client-{number}").text_content()
        assert program is not None
        assert secret in program
        done = await asyncio.create_subprocess_exec(*run, program, stdout=PIPE, stderr=PIPE)
        printed, complaint = await done.communicate()
        assert (done.returncode, b"error" in printed) == (0, False), (printed, complaint)
        assert printed
    assert (await tollgate.chat(secret, model="cent", max_tokens=1)).status_code == 200


async def yesterday_by_team(page: Page, folder: Path, spent: dict[str, int]) -> None:
    """What the chart's table and the exports say is what the history holds."""
    day = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    await page.get_by_role("link", name="Usage").click()
    await page.get_by_label("Grouped by").select_option("team")
    await page.get_by_label("From", exact=True).fill(day)
    await page.get_by_label("To", exact=True).fill(day)
    await page.get_by_role("button", name="Show").click()
    for team, nanousd in spent.items():
        row = page.get_by_role("row", name=team)
        await expect(row).to_contain_text(f"${nanousd / 1e9:,.2f}")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="CSV").click()
    await (await download.value).save_as(folder / "teams.csv")
    rows = csv.DictReader(io.StringIO((folder / "teams.csv").read_text(encoding="utf-8")))
    told = {each["name"] or each["team"]: each["spend_usd"] for each in rows}
    assert told == {team: f"{nanousd / 1e9:.9f}" for team, nanousd in spent.items()}
    async with page.expect_download() as download:
        await page.get_by_role("link", name="FOCUS").click()
    await (await download.value).save_as(folder / "focus.csv")
    billed = csv.DictReader(io.StringIO((folder / "focus.csv").read_text(encoding="utf-8")))
    total = sum(round(float(each["BilledCost"]) * 10**9) for each in billed)
    assert total == sum(spent.values())


async def the_teams_admin(page: Page, tollgate: Gateway, adas: str) -> None:
    """Ada sees her team and no page of administrators; what she stops is stopped."""
    await sign_in(page, tollgate.url, adas)
    await expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(4)
    await page.get_by_role("link", name="support").first.click()
    await page.get_by_role("link", name="fays-laptop").click()
    await page.get_by_role("button", name="Block").click()
    await expect(page.get_by_role("alert")).to_contain_text("Every call is refused")
    assert await faults_for_readers(page) == []
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{tollgate.url}/ui/now", follow_redirects=False)
    assert reply.status_code == 303
